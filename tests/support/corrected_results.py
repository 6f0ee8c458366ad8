"""Results of drawn cells, and their corrections."""

from pathlib import Path

from support.analysed_images import analysis_of, report_of, write_smear_image

from blood_cell_system.corrections.record import Corrections, Event
from blood_cell_system.pipeline.model_slots import sha256_of
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.image_files import write_image_files


def write_results(folder: Path, *names: str) -> ResultsFolder:
    """Write results of one drawn image under several names; its cells are those of CELLS."""
    image = write_smear_image(folder / "smears" / "field.png")
    provenance = report_of().provenance.model_copy(update={"data_sha256": sha256_of(image)})
    for name in names:
        report = report_of(name="field.png").model_copy(update={"provenance": provenance})
        write_image_files(folder / "results", name, analysis_of(), report)
    (folder / "results" / "review.html").write_text("<b>review</b>")
    return ResultsFolder(folder / "results", [folder / "smears"])


def corrections_of(results: ResultsFolder, *events: Event) -> Corrections:
    """Corrections of results."""
    return Corrections(header=results.header, events=events)
