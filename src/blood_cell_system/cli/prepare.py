"""``bloodcells prepare`` and ``prepare_segmentation_data.py``: labels of any format to masks.

The modes combine, verify and augment of the guide's launcher are commands of their own; here they
are passed on.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

import typer

from blood_cell_system.annotation.format_registry import format_names
from blood_cell_system.cli.folders import (
    CONTACT_SHEET,
    COPIES,
    FINDINGS,
    FIX,
    KEEP_SCALE,
    RED_CELL_DIAMETER,
    SOURCE_DIAMETER,
    augment,
    combine,
    verify,
)
from blood_cell_system.cli.main import main as run_program
from blood_cell_system.cli.options import (
    ALL_CORES,
    SEGMENTATION_DIR,
    Classes,
    Jobs,
    LabelMap,
    Seed,
    argument,
    given,
    hidden,
    option,
)
from blood_cell_system.errors import SettingsError

FORMATS: Final = format_names()[0]
if TYPE_CHECKING:
    InputFormat = str
    Mode = str
else:
    InputFormat = Literal[("auto", *FORMATS, "qupath")]
    Mode = Literal[("bccd", *FORMATS, "qupath", "combine", "verify", "augment")]
# As in masks/sample_mask.py, which imports OpenCV; a test compares them.
Unlabelled = Literal["stain", "unscored", "background"]
UNLABELLED: Final = get_args(Unlabelled)

# The guide leaves folders out in places; these are the ones it uses everywhere else.
DEFAULT_INPUT: Final = {
    "bccd": Path("./BCCD_Dataset"),
    "verify": SEGMENTATION_DIR,
    "augment": SEGMENTATION_DIR,
}


def prepare(
    *,
    source: Annotated[
        list[Path] | None, argument("SOURCE", "Folder or zip file to read.", default=False)
    ] = None,
    input_format: Annotated[
        InputFormat | None,
        option(
            "--format",
            "Format to read; auto recognises and reports it; qupath is geojson.",
            default="auto",
        ),
    ] = None,
    mode: Annotated[
        Mode | None, option("--mode", "What to do, or the format to read.", hidden=True)
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        option(
            "-i --input DIR...",
            "The same as SOURCE; to combine: all the folders.",
            default="as in the guide",
        ),
    ] = None,
    output: Annotated[
        Path | None, option("-o --output DIR", "Folder to write.", default="./data/segmentation")
    ] = None,
    mask_method: Annotated[
        Literal["stain", "ellipse"],
        option("--mask-method", "Boxes become masks by the stain, or ellipses in the boxes alone."),
    ] = "stain",
    label_map: LabelMap = None,
    classes: Classes = None,
    mask_values: Annotated[
        str | None,
        option(
            "--mask-values VALUE=CLASS,…",
            "For masks: what numbers or colours mean, for instance 0=background,1=RBC,#0000ff=WBC.",
        ),
    ] = None,
    unlabelled: Annotated[
        Unlabelled,
        option(
            "--unlabelled",
            "Cells without annotation: as their stain shows, not scored, or background where "
            "all cells are annotated.",
        ),
    ] = "stain",
    first_pixel: Annotated[
        Literal[0, 1] | None,
        option(
            "--first-pixel",
            "What the label files call the first pixel.",
            default="the format's rule",
        ),
    ] = None,
    aug_factor: Annotated[int, hidden(COPIES)] = 3,
    json: Annotated[Path | None, hidden(FINDINGS)] = None,
    contact_sheet: Annotated[Path | None, hidden(CONTACT_SHEET)] = None,
    fix: Annotated[Path | None, hidden(FIX)] = None,
    cell_diameter: Annotated[float | None, hidden(RED_CELL_DIAMETER)] = None,
    keep_scale: Annotated[bool, hidden(KEEP_SCALE)] = False,
    source_diameter: Annotated[list[str] | None, hidden(SOURCE_DIAMETER)] = None,
    seed: Seed = 0,
    jobs: Jobs = ALL_CORES,
) -> int:
    """Make masks for a data set of any format, ready for training.

    Examples
    --------
    bloodcells prepare photos_with_labels/ -o data/mine
    bloodcells prepare labelled.zip --format coco --label-map erythro=RBC,dust=none -o data/mine
    """
    if mode is not None and input_format is not None:
        raise typer.BadParameter("--mode and --format: expected one of them.")
    sources = [*(inputs or []), *(source or [])]
    if mode == "combine":
        return combine(
            folders=sources,
            **given(output=output),
            cell_diameter=cell_diameter,
            keep_scale=keep_scale,
            source_diameter=source_diameter,
            seed=seed,
            jobs=jobs,
        )
    if mode is input_format is None and not sources:
        raise typer.BadParameter("expected a SOURCE: a folder or a zip file to read.")
    folder = _one_source(sources, mode)
    if mode == "verify":
        return verify(folder=folder, json=json, contact_sheet=contact_sheet, fix=fix)
    if mode == "augment":
        return augment(
            folder=folder, **given(output=output), aug_factor=aug_factor, seed=seed, jobs=jobs
        )
    output = output or SEGMENTATION_DIR
    name = mode or input_format or "auto"
    from blood_cell_system.annotation.archives import opened_folder
    from blood_cell_system.annotation.format_registry import matches_for
    from blood_cell_system.annotation.label_map import read_label_map
    from blood_cell_system.annotation.mask_files import read_mask_values
    from blood_cell_system.annotation.reader import ReadOptions
    from blood_cell_system.masks.prepare_folder import prepare_reading, prepare_voc
    from blood_cell_system.taxonomy import taxonomy_of_option

    if mode == "bccd":
        with opened_folder(folder) as opened:
            summary = prepare_voc(opened, output, mask_method=mask_method, jobs=jobs)
        print(summary.to_text())
        return 1 if summary.failed else 0
    types = taxonomy_of_option(classes)
    options = ReadOptions(
        label_map=read_label_map(label_map, types) if label_map else {},
        mask_values=read_mask_values(mask_values, types) if mask_values else None,
        first_pixel=first_pixel,
        taxonomy=types,
    )
    with opened_folder(folder) as opened:
        chosen, *others = matches_for(opened, "geojson" if name == "qupath" else name)
        print(f"{folder}: read as {chosen.reader.title} ({chosen.reader.name}): {chosen.seen}")
        for other in others:
            print(
                f"  it could be {other.reader.title} as well ({other.seen}): "
                f"--format {other.reader.name} reads it so"
            )
        summary = prepare_reading(
            chosen.reader.read(opened, options),
            output,
            mask_method=mask_method,
            unlabelled=unlabelled,
            jobs=jobs,
            mode=chosen.reader.name,
        )
    print(summary.to_text())
    return 1 if summary.failed else 0


def _one_source(sources: Sequence[Path], mode: str | None) -> Path:
    if not sources and mode not in DEFAULT_INPUT:
        raise SettingsError("no input was named; expected a folder or a zip file to read.")
    if len(sources) > 1:
        raise SettingsError(
            f"{len(sources)} folders to read; expected one here. Prepare each, then put them "
            "together with bloodcells combine."
        )
    return sources[0] if sources else DEFAULT_INPUT[mode or ""]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``prepare_segmentation_data.py``, which has all modes."""
    return run_program(arguments, program="prepare_segmentation_data.py", command="prepare")


if __name__ == "__main__":
    sys.exit(main())
