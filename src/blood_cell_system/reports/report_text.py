"""A report as plain text."""

import textwrap
from typing import TYPE_CHECKING, Final

from blood_cell_system.inference.picture_quality import Severity
from blood_cell_system.inference.scale import ScaleSource
from blood_cell_system.reports.disclaimer import DISCLAIMER
from blood_cell_system.reports.names import shown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blood_cell_system.reports.diagnostic import (
        DiagnosticReport,
        ReportedCell,
        TypeSummary,
    )
    from blood_cell_system.reports.findings import Findings
    from blood_cell_system.reports.rates import Rate

_WIDTH: Final = 88
_SHOWN_UNCERTAIN: Final = 10
_TYPE_NAMES: Final = {"RBC": "red cells", "WBC": "white cells", "Platelet": "platelets"}


def report_to_text(report: "DiagnosticReport") -> str:
    """Lay a report out as lines of at most 88 characters, but for file names."""
    picture = report.picture
    title = f"Blood smear report: {shown_name(picture.file_name)}"
    parts = [
        [title, "=" * min(len(title), _WIDTH), DISCLAIMER],
        [f"Picture  {picture.width_px}×{picture.height_px} pixels", f"Scale    {_scale(report)}"],
        _warning_lines(report),
        ["Cells", *(f"  {_type_line(summary)}" for summary in report.types), *_border(report)],
        ["Rates", *(line for rate in report.rates for line in _wrapped(_rate_line(rate)))],
        [
            "Findings",
            *_findings_lines("red cells", report.rbc_findings),
            *_findings_lines("white cells", report.wbc_findings),
        ],
        ["Not sure", *_uncertain_lines(report)],
        ["Picture quality", *_quality_lines(report)],
        _provenance_lines(report),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _scale(report: "DiagnosticReport") -> str:
    scale = report.scale
    if scale.source == ScaleSource.UNKNOWN or scale.red_cell_diameter_px is None:
        words = "not known: taken as in the pictures of the training"
    else:
        words = f"a red cell is {scale.red_cell_diameter_px:.0f} px wide ({scale.source})"
    if scale.pixel_size_um is not None:
        words += f", a pixel {scale.pixel_size_um:.4g} µm"
    return words


def _warning_lines(report: "DiagnosticReport") -> list[str]:
    if not report.warnings:
        return []
    return ["Warnings", *(line for warning in report.warnings for line in _wrapped(f"! {warning}"))]


def _type_line(summary: "TypeSummary") -> str:
    name = _TYPE_NAMES[summary.cell_type]
    line = f"{name:<12} {summary.count:>6}"
    if summary.median_diameter_um is not None:
        line += f"   median diameter {summary.median_diameter_um:.1f} µm"
    elif summary.median_diameter_px is not None:
        line += f"   median diameter {summary.median_diameter_px:.0f} px"
    return line


def _border(report: "DiagnosticReport") -> list[str]:
    touching = sum(summary.touching_border for summary in report.types)
    left_out = sum(summary.not_counted for summary in report.types)
    if not touching:
        return []
    line = f"{touching} cut off by the border, of which {touching - left_out} are counted"
    return [*_wrapped(f"{line} (border rule: {report.settings.border_rule})")]


def _findings_lines(title: str, findings: "Findings") -> list[str]:
    if findings.is_assessed and findings.seen == 0:
        return _wrapped(f"{title}: there are none to assess")
    lines = _wrapped(f"{title}: {findings.state} ({findings.reason})")
    if not findings.is_assessed:
        return lines
    counts = (findings.counts, findings.types)
    told = [", ".join(f"{name} {count}" for name, count in part.items()) for part in counts if part]
    aside = {
        "none of these": findings.none_of_these,
        "cut off, covered or too small": findings.cut_off,
        "not sure": findings.uncertain,
    }
    told.append(", ".join(f"{count} {name}" for name, count in aside.items() if count))
    told += rate_lines(findings.rates)
    return lines + [line for part in told if part for line in _wrapped(part, indent=4)]


def rate_lines(rates: "Sequence[Rate]") -> list[str]:
    """Tell shares; those that lack the same cells in one line."""
    enough = [_rate_line(rate) for rate in rates if rate.is_enough and rate.share is not None]
    lacking: dict[tuple[int, int], list[str]] = {}
    for rate in rates:
        if not (rate.is_enough and rate.share is not None):
            lacking.setdefault((rate.total, rate.min_total), []).append(rate.name)
    for (total, needed), names in lacking.items():
        enough.append(
            f"shares of {', '.join(names)}: too few cells to say ({total}; at least {needed} are "
            "needed)"
        )
    return enough


def _rate_line(rate: "Rate") -> str:
    found = f"{rate.count} of {rate.total}"
    if rate.share is None or rate.interval is None:
        words = f"too few cells to say ({found}; at least {rate.min_total} are needed)"
    else:
        low, high = rate.interval
        words = f"{rate.share:.2%} ({found}; 95 %: {low:.2%} to {high:.2%})"
    return f"{rate.label}: {words}"


def _uncertain_lines(report: "DiagnosticReport") -> list[str]:
    uncertain = report.uncertain_cells
    if not uncertain:
        return ["  no cell"]
    shown = ", ".join(f"{cell.cell_id} ({_short(cell)})" for cell in uncertain[:_SHOWN_UNCERTAIN])
    more = len(uncertain) - _SHOWN_UNCERTAIN
    rest = f" and {more} more" if more > 0 else ""
    return _wrapped(
        f"{len(uncertain)} of {len(report.cells)}, cell (type or condition, certainty): {shown}"
        f"{rest}"
    )


def _short(cell: "ReportedCell") -> str:
    name = cell.condition if cell.probabilities else str(cell.cell_type)
    return f"{name}, {cell.certainty:.2f}"


def _quality_lines(report: "DiagnosticReport") -> list[str]:
    lines = _wrapped(f"judged: {report.quality.judged_share:.0%} of the picture")
    for finding in report.quality.findings:
        mark = "!" if finding.severity == Severity.WARNING else "-"
        lines += _wrapped(f"{mark} {finding.name}: {finding.message}")
    return lines


def _provenance_lines(report: "DiagnosticReport") -> list[str]:
    made_with = report.provenance
    seed = "none, nothing is drawn" if made_with.seed is None else str(made_with.seed)
    return [
        f"Software {made_with.software_version}, seed: {seed}",
        f"Model    {shown_name(made_with.model)}, SHA-256 {made_with.model_sha256[:16]}…",
        *(
            f"         {shown_name(name)}, SHA-256 {digest[:16]}…"
            for name, digest in (
                (made_with.rbc_classifier, made_with.rbc_classifier_sha256),
                (made_with.wbc_classifier, made_with.wbc_classifier_sha256),
            )
            if name is not None and digest is not None
        ),
        f"Data     SHA-256 {report.picture.sha256[:16]}…",
    ]


def _wrapped(text: str, *, indent: int = 2) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2)
    )
