"""``prepare --mode verify``: findings as a table, JSON and a sheet of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from blood_cell_system.datasets.verify.report import VerificationReport

_STYLES = {"error": "bold red", "warning": "yellow", "info": "dim"}
_EXAMPLES = 3


def run_verify(
    root: Path, *, json_path: Path | None, contact_sheet_path: Path | None, fix_to: Path | None
) -> int:
    """Verify a prepared folder and tell the outcome.

    Parameters
    ----------
    root : Path
    json_path : Path or None
        Where the findings go as JSON.
    contact_sheet_path : Path or None
        Where the overlays go; beside the folder, named after it, by default.
    fix_to : Path or None
        Where a repaired copy goes; it is verified as well.

    Returns
    -------
    int
        0 when there is no error, 1 otherwise. With ``fix_to``, errors of the copy count.
    """
    from rich.console import Console

    from blood_cell_system.atomic_files import write_json
    from blood_cell_system.datasets.verify.repair import write_repaired_copy
    from blood_cell_system.datasets.verify.report import overlay_sheet, verify_folder
    from blood_cell_system.imaging.image_file import write_image

    console = Console(highlight=False)
    if not console.is_terminal:
        # A log has no width of its own; narrow columns would break every line.
        console.width = 120
    report = verify_folder(root)
    _print_report(console, report)
    if json_path is not None:
        write_json(json_path, report.to_json())
        console.print(f"Findings: {json_path}", markup=False, soft_wrap=True)
    if contact_sheet_path is None:
        folder = root.resolve()
        contact_sheet_path = folder.parent / f"{folder.name}_contact_sheet.png"
    write_image(contact_sheet_path, overlay_sheet(report))
    console.print(f"Overlays: {contact_sheet_path}", markup=False, soft_wrap=True)
    if fix_to is not None:
        summary = write_repaired_copy(root, fix_to, report)
        console.print(summary.to_text(), markup=False, soft_wrap=True)
        report = verify_folder(fix_to)
        console.print("The repaired copy:")
        _print_report(console, report)
    return 0 if report.is_ok else 1


def _print_report(console: "Console", report: "VerificationReport") -> None:
    from rich.table import Table
    from rich.text import Text

    from blood_cell_system.datasets.verify.findings import Severity

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
        Text(f"{verdict}: {report.root}: {errors} errors, {warnings} warnings", style=style),
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
