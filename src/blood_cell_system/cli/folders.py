"""``bloodcells augment``, ``combine``, ``verify`` and ``split``: work on prepared folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from blood_cell_system.cli.options import (
    ALL_CORES,
    SEGMENTATION_DIR,
    Jobs,
    Output,
    Seed,
    SegmentationDir,
    argument,
    diameter_px,
    option,
    refuse_among_images,
    within,
)
from blood_cell_system.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from blood_cell_system.datasets.verify.verification import VerificationReport

_STYLES: Final = {"error": "bold red", "warning": "yellow", "info": "dim"}
# Findings of one check that are spelled out in the table; the JSON has them all.
_EXAMPLES: Final = 3
# Columns of the table in a log, which has no width of its own: narrow ones would break every line.
_LOG_WIDTH: Final = 120

COPIES: Final = option("--aug-factor N", "Copies of each image.", parser=within(int, 1, 1000))
FINDINGS: Final = option("--json FILE", "Write the findings of verify there.")
CONTACT_SHEET: Final = option(
    "--contact-sheet FILE",
    "Where the overlays of verify go.",
    default="FOLDER_contact_sheet.png beside the folder",
)
FIX: Final = option(
    "--fix DIR", "Verify and write a repaired copy, whose errors then decide the exit code."
)
RED_CELL_DIAMETER: Final = option(
    "--cell-diameter PX",
    "Resample each source to combine, so that its red cells are that wide.",
    default="as the networks expect them",
    parser=diameter_px,
)
KEEP_SCALE: Final = option("--keep-scale", "Combine, but leave the size of all cells.")
SOURCE_DIAMETER: Final = option(
    "--source-diameter NAME=PX",
    "Width of the red cells of a source whose labels do not show it; may be repeated.",
)

Folder = Annotated[Path, argument("FOLDER", "Prepared folder.")]


def augment(
    *,
    folder: Folder = SEGMENTATION_DIR,
    output: Output = Path("./data/segmentation_augmented"),
    aug_factor: Annotated[int, COPIES] = 3,
    seed: Seed = 0,
    jobs: Jobs = ALL_CORES,
) -> int:
    """Add changed copies of the training images: turned, scaled, stained otherwise.

    Examples
    --------
    bloodcells augment data/segmentation -o data/segmentation_augmented --aug-factor 3
    """
    from blood_cell_system.augmentation.augmented_folder import write_augmented_folder

    summary = write_augmented_folder(folder, output, copies=aug_factor, seed=seed, jobs=jobs)
    print(summary.to_text())
    return 0


def combine(
    *,
    folders: Annotated[list[Path], argument("FOLDER", "Prepared folders to merge.")],
    output: Output = Path("./data/segmentation_combined"),
    cell_diameter: Annotated[float | None, RED_CELL_DIAMETER] = None,
    keep_scale: Annotated[bool, KEEP_SCALE] = False,
    source_diameter: Annotated[list[str] | None, SOURCE_DIAMETER] = None,
    seed: Seed = 0,
    jobs: Jobs = ALL_CORES,
) -> int:
    """Merge several prepared folders into one, with red cells of one size.

    Examples
    --------
    bloodcells combine data/bccd data/mine -o data/both
    bloodcells combine data/bccd data/mine --source-diameter mine=62 -o data/both
    """
    from blood_cell_system.datasets.combine import combine_folders
    from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX

    if keep_scale and cell_diameter is not None:
        raise typer.BadParameter("--keep-scale and --cell-diameter: expected one of them.")
    diameters = dict(_name_and_diameter(word) for word in source_diameter or ())
    summary = combine_folders(
        folders,
        output,
        cell_diameter_px=None if keep_scale else cell_diameter or TRAINING_DIAMETER_PX,
        source_diameters=diameters,
        seed=seed,
        jobs=jobs,
    )
    print(summary.to_text())
    return 0


def verify(
    *,
    folder: Folder = SEGMENTATION_DIR,
    json: Annotated[Path | None, FINDINGS] = None,
    contact_sheet: Annotated[Path | None, CONTACT_SHEET] = None,
    fix: Annotated[Path | None, FIX] = None,
) -> int:
    """Check a prepared folder: files, masks, boxes, duplicates, leaks between splits.

    The exit code is 1 where there is an error.

    Examples
    --------
    bloodcells verify data/segmentation
    bloodcells verify data/segmentation --fix data/repaired
    """
    from blood_cell_system.atomic_files import write_json
    from blood_cell_system.datasets.verify.repair import write_repaired_copy
    from blood_cell_system.datasets.verify.verification import overlay_sheet, verify_folder
    from blood_cell_system.imaging.image_file import write_image
    from blood_cell_system.imaging.image_folders import refuse_output_around
    from blood_cell_system.terminal import safe_console

    console = safe_console(highlight=False)
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    refuse_among_images(folder, json=json, contact_sheet=contact_sheet)
    if fix is not None:
        refuse_output_around(fix, folder, option="--fix")
    report = verify_folder(folder)
    _print_report(console, report)
    if json is not None:
        write_json(json, report.to_json())
        console.print(f"Findings: {json}", markup=False, soft_wrap=True)
    if contact_sheet is None:
        place = folder.resolve()
        contact_sheet = place.parent / f"{place.name}_contact_sheet.png"
    write_image(contact_sheet, overlay_sheet(report))
    console.print(f"Overlays: {contact_sheet}", markup=False, soft_wrap=True)
    if fix is not None:
        summary = write_repaired_copy(folder, fix, report)
        console.print(summary.to_text(), markup=False, soft_wrap=True)
        report = verify_folder(fix)
        console.print("The repaired copy:")
        _print_report(console, report)
    return 0 if report.is_ok else 1


def split(
    *,
    data_dir: SegmentationDir = SEGMENTATION_DIR,
    by: Annotated[
        Literal["image", "slide", "patient", "source"],
        option("--by", "What stays together in one split."),
    ] = "image",
    pattern: Annotated[
        str | None,
        option(
            "--pattern REGEX",
            "Finds the slide or patient in an image's name, for instance 'slide(\\d+)'.",
        ),
    ] = None,
    table: Annotated[
        Path | None, option("--table CSV", "Columns image and slide, patient or group.")
    ] = None,
    val: Annotated[float, option("--val SHARE", "Share of val.")] = 0.15,
    test: Annotated[float, option("--test SHARE", "Share of test.")] = 0.15,
    check: Annotated[
        bool, option("--check", "Look for leaks only, write nothing; exit code 1 if there are any.")
    ] = False,
    seed: Seed = 0,
    jobs: Jobs = ALL_CORES,
) -> int:
    r"""Split a prepared folder into train, val and test, or find leaks between them.

    Examples
    --------
    bloodcells split --data-dir data/mine --by slide --pattern 'slide(\d+)'
    bloodcells split --data-dir data/mine --check
    """
    from blood_cell_system.datasets.splitting import GroupBy, split_folder

    summary = split_folder(
        data_dir,
        by=GroupBy(by),
        pattern=pattern,
        table=table,
        val_share=val,
        test_share=test,
        seed=seed,
        jobs=jobs,
        is_check=check,
    )
    print(summary.to_text())
    return 1 if check and summary.leaks_before else 0


def _name_and_diameter(word: str) -> tuple[str, float]:
    name, _, number = word.rpartition("=")
    try:
        diameter = float(number)
    except ValueError:
        diameter = 0.0
    if not name or diameter <= 0:
        raise typer.BadParameter(f"--source-diameter: expected NAME=PX, received {word!r}")
    return name, diameter


def _print_report(console: "Console", report: "VerificationReport") -> None:
    from rich.table import Table
    from rich.text import Text

    from blood_cell_system.datasets.verify.checks import Severity

    _print_statistics(console, report.statistics)
    if report.findings:
        table = Table("Severity", "Check", "Count", "Examples, and what to do")
        for findings in report.by_check():
            first = findings[0]
            examples = [f"· {finding.message}" for finding in findings[:_EXAMPLES]]
            more = [f"· {len(findings) - _EXAMPLES} more"] if len(findings) > _EXAMPLES else []
            words = Text("\n".join([*examples, *more, f"→ {first.remedy}"]))
            severity = str(first.severity)
            table.add_row(
                Text(severity, style=_STYLES[severity]), first.check, str(len(findings)), words
            )
        console.print(table)
    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    verdict = "Verified" if report.is_ok else "Not usable as it is"
    style = "green" if report.is_ok else "bold red"
    console.print(
        Text(
            f"{verdict}: {report.root}: {counted(errors, 'error')}, {counted(warnings, 'warning')}",
            style=style,
        ),
        soft_wrap=True,
    )


def _print_statistics(console: "Console", statistics: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("Split", "Images", "Copies", "Background", "RBC", "WBC", "Not scored", "Cells")
    for name, row in statistics["splits"].items():
        shares = row.get("class_shares", {})
        cells = row["cells"] or {}
        table.add_row(
            name,
            str(row["images"]),
            str(row["augmented_copies"]),
            *(f"{shares[c]:.1%}" if shares else "-" for c in ("background", "rbc", "wbc")),
            f"{row['not_scored_share']:.1%}" if shares else "-",
            ", ".join(f"{count} {name}" for name, count in cells.items() if count) or "-",
        )
    console.print(table)
    sizes = ", ".join(f"{size} ({count})" for size, count in statistics["image_sizes"].items())
    sides = ", ".join(f"{name} {px:g}" for name, px in statistics["median_cell_side_px"].items())
    if sizes:
        console.print(f"Image sizes in pixels: {sizes}", markup=False)
    if sides:
        console.print(f"Median side of a cell's box in pixels: {sides}", markup=False)
