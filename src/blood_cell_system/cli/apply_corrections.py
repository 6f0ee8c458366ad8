"""``bloodcells apply-corrections``: what people have corrected, as results and as data to learn."""

from pathlib import Path
from typing import Annotated

from blood_cell_system.cli.options import MovedImages, Seed, argument, option


def apply(
    *,
    results: Annotated[Path, argument("RESULTS", "Folder that analyze has written.")],
    output_dir: Annotated[Path, option("-o --output-dir DIR", "New folder to write.")],
    corrections: Annotated[
        Path | None,
        option(
            "--corrections FILE",
            "What the page has exported.",
            default="what bloodcells review has saved in RESULTS",
        ),
    ] = None,
    images: MovedImages = None,
    trains: Annotated[
        bool,
        option(
            "--train",
            "Also fine-tune the built-in classifiers on the corrected cells, into DIR/models.",
        ),
    ] = False,
    seed: Seed = 0,
) -> int:
    """Write corrected results, and folders that train and train-classifier take as they are.

    Fields that were reviewed to their end are learned from as a whole, others only where a person
    acted.

    Examples
    --------
    bloodcells apply-corrections results -o corrected
    bloodcells apply-corrections results --corrections corrections.json -o corrected --train
    """
    from blood_cell_system.corrections.correction_log import log_of, read_corrections
    from blood_cell_system.errors import DatasetError, MissingDataError
    from blood_cell_system.folder_lock import locked_folder
    from blood_cell_system.pipeline.corrected_folders import apply_corrections
    from blood_cell_system.pipeline.results_folder import ResultsFolder

    folder = ResultsFolder(results, images or [])
    path = corrections or log_of(results)
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such file; expected corrections. Review the results with "
            "bloodcells review, or name what review.html has exported with --corrections."
        )
    with locked_folder(output_dir.parent, command="apply-corrections"):
        applied = apply_corrections(
            folder, read_corrections(path), output_dir, where=str(path), seed=seed
        )
    print(applied.to_text())
    if not trains:
        return 0
    trained = []
    from blood_cell_system.cli.train import fine_tune_classifier_of

    for kind, cells in applied.cell_folders.items():
        try:
            fine_tune_classifier_of(kind, cells, target=output_dir / "models", seed=seed)
            trained.append(kind)
        except DatasetError as error:
            print(f"{kind}: no classifier was trained. {error}")
    return 0 if trained else 1
