"""``bloodcells suggest``: which cells to review next."""

from collections import Counter
from pathlib import Path
from typing import Annotated

from blood_cell_system.cli.options import Seed, argument, counted, option, within


def suggest(
    *,
    results: Annotated[Path, argument("RESULTS", "Folder that bloodcells analyze has written.")],
    count: Annotated[
        int, option("--count N", "How many cells.", parser=within(int, 1, 10_000))
    ] = 50,
    cell_type: Annotated[
        list[str] | None,
        option("--cell-type TYPE...", "Their types.", default="all that were classified"),
    ] = None,
    corrections: Annotated[
        list[Path] | None,
        option("--corrections FILE...", "Corrections that are not in the log of the results."),
    ] = None,
    output_dir: Annotated[
        Path | None, option("-o --output-dir DIR", "Folder to write.", default="RESULTS")
    ] = None,
    seed: Seed = 0,
) -> int:
    """List the cells and fields whose review teaches a classifier most.

    Cells that the program is not sure of and that are unlike each other and unlike those that were
    reviewed; never more than 19 of a field.

    Examples
    --------
    bloodcells suggest results
    bloodcells suggest results --count 100 --cell-type WBC
    """
    from blood_cell_system.pipeline.results_folder import ResultsFolder
    from blood_cell_system.pipeline.suggestion import (
        SUGGESTIONS_STEM,
        write_suggestions,
    )
    from blood_cell_system.pipeline.suggestion import suggest as suggestions_of
    from blood_cell_system.reports.report import shown_name

    folder = ResultsFolder(results)
    found = suggestions_of(
        folder,
        count=count,
        cell_types=cell_type or (),
        corrections=corrections or (),
        seed=seed,
    )
    links = write_suggestions(found, folder, output_dir or results)
    for reason in found.failed:
        print(f"failed  {shown_name(reason)}")
    kinds = Counter(cell.cell_type for cell in found.cells)
    words = ", ".join(f"{number} {name}" for name, number in kinds.items())
    fields = len({cell.image for cell in found.cells})
    print(
        f"{counted(len(found.cells), 'cell')} to look at ({words or 'none'}) in "
        f"{counted(fields, 'field')}; {found.reviewed} were reviewed before"
    )
    for field in found.fields:
        print(f"Field to review to its end: {shown_name(field.image)}, {field.cells} cells")
    place = (output_dir or results) / SUGGESTIONS_STEM
    print(f"List: {shown_name(str(place))}.json, .csv")
    if links:
        print(f"Review them: {shown_name(str(place))}.html")
    elif found.cells:
        print("No page to review: analyse again with --resume, without --no-review-page")
    return 1 if found.failed else 0
