"""``bloodcells agreement``: two people's corrections, or a person's and the program, compared."""

from pathlib import Path
from typing import Annotated

from blood_cell_system.cli.options import MovedImages, argument, counted, option


def agreement(
    *,
    first: Annotated[Path, argument("A", "Corrections, or a folder of results with their log.")],
    second: Annotated[
        Path | None, argument("B", "Those of another person.", default="the program")
    ] = None,
    results: Annotated[
        Path | None,
        option(
            "--results DIR",
            "Results that both have corrected.",
            default="A or B, if one is a folder",
        ),
    ] = None,
    images: MovedImages = None,
    output_dir: Annotated[
        Path | None, option("-o --output-dir DIR", "Folder to write.", default="the results")
    ] = None,
) -> int:
    """Measure how far two people agree on the cells of the same results.

    Without B, a person is compared with the program. Cells count that both have judged: corrected,
    marked as reviewed, or in fields that were reviewed to their end.

    Examples
    --------
    bloodcells agreement ada.json bob.json --results results
    bloodcells agreement results
    """
    from blood_cell_system.corrections.correction_log import log_of
    from blood_cell_system.errors import SettingsError
    from blood_cell_system.pipeline.people_compared import (
        AGREEMENT_STEM,
        compare_people,
        write_agreement,
    )
    from blood_cell_system.pipeline.results_folder import ResultsFolder
    from blood_cell_system.reports.report import shown_name

    folder = results or next((one for one in (first, second) if one and one.is_dir()), None)
    if folder is None:
        raise SettingsError(
            "--results: missing; corrections refer to the cells of results. Name the folder that "
            "both have corrected."
        )
    files = [log_of(one) if one and one.is_dir() else one for one in (first, second)]
    opened = ResultsFolder(folder, images or [])
    found, shown = compare_people(opened, files[0] or first, files[1])
    place = output_dir or folder
    write_agreement(found, shown, opened, place)
    print(f"{shown_name(found.first)} and {shown_name(found.second)}")
    for question in found.questions:
        print(
            f"{question.name}: {counted(question.total, 'cell')}, the same answer "
            f"{question.observed}, kappa {question.kappa}"
        )
    print(f"They disagree on {counted(len(found.disagreements), 'cell')}")
    print(f"All of it: {shown_name(str(place / AGREEMENT_STEM))}.html, .json")
    return 0
