"""A report as plain text."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from blood_cell_system.analysis.quality import ImageQuality, Severity
from blood_cell_system.analysis.scale import ScaleEstimate, ScaleSource
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.errors import SettingsError
from blood_cell_system.reports.findings import HEALTHY, NONE_OF_THESE, NOT_ASSESSED, Findings
from blood_cell_system.reports.rates import Rate

DISCLAIMER: Final = "Research use only; not a medical device."


def shown_name(name: str) -> str:
    r"""Write a file name in one line: what cannot be printed is escaped.

    Examples
    --------
    >>> shown_name("Größe 1.png"), shown_name("two\nlines.png"), shown_name("odd\udcff.png")
    ('Größe 1.png', 'two\\nlines.png', 'odd\\udcff.png')
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


class CellFlag(StrEnum):
    """What a reader should know of a cell."""

    UNCERTAIN = "uncertain"
    TOUCHING_BORDER = "touching_border"
    NOT_COUNTED = "not_counted"
    NONE_OF_THESE = "none_of_these"


class Status(StrEnum):
    """How an image ended."""

    OK = "ok"
    WARNED = "warned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedCell:
    """One cell of the report.

    Parameters
    ----------
    cell_id : int
        From 1; the value of its pixels in the label image.
    cell_type : str
    bbox : tuple of int
        ``(x_min, y_min, x_max, y_max)`` in pixels, 0-based and half-open.
    centroid : tuple of float
        ``(x, y)`` in pixels.
    area_px : int
    equivalent_diameter_px : float
        Diameter of the disc of the same area.
    equivalent_diameter_um : float or None
        None where the size of a pixel is not known.
    circularity : float
        1 for a disc, less for all else.
    confidence : float
        0 to 1: how sure it is that there is such a cell.
    flags : tuple of CellFlag
    condition : str
        What a classifier says of it; ``not assessed`` without one or where the border cuts it off,
        ``none of these`` for what is none of the classes.
    probabilities : mapping of str to float
        By condition; empty without a classifier.
    possible_conditions : tuple of str
        Conditions that the calibration cannot rule out: one is an answer, several or none are not.
    wbc_type : str or None
        Type of a white cell; None without a classifier of types, and for blasts.
    type_probabilities : mapping of str to float
        By type; empty without a classifier of types.
    known : float or None
        0 to 1: whether it is any of the classes; None where no classifier says so.
    """

    cell_id: int
    cell_type: str
    bbox: tuple[int, int, int, int]
    centroid: tuple[float, float]
    area_px: int
    equivalent_diameter_px: float
    equivalent_diameter_um: float | None
    circularity: float
    confidence: float
    flags: tuple[CellFlag, ...] = ()
    condition: str = NOT_ASSESSED
    probabilities: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    possible_conditions: tuple[str, ...] = ()
    wbc_type: str | None = None
    type_probabilities: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    known: float | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the border rule counts it."""
        return CellFlag.NOT_COUNTED not in self.flags

    @property
    def is_uncertain(self) -> bool:
        """Whether a person should look at it."""
        return CellFlag.UNCERTAIN in self.flags

    @property
    def is_abnormal(self) -> bool:
        """Whether it has a condition other than health."""
        return self.condition not in HEALTHY | {NOT_ASSESSED, NONE_OF_THESE}

    @property
    def certainty(self) -> float:
        """The smaller of its confidence and the probability of its condition, 0 to 1."""
        return min(self.confidence, max(self.probabilities.values(), default=1.0))

    @property
    def touches_border(self) -> bool:
        """Whether it is cut off, so that its size is a lower bound."""
        return CellFlag.TOUCHING_BORDER in self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeSummary:
    """All cells of one type.

    Parameters
    ----------
    cell_type : str
    count : int
        As the border rule counts.
    touching_border, not_counted, uncertain : int
        Cells of each flag.
    median_diameter_px, median_diameter_um : float or None
        Equivalent diameter of the whole cells; None where there is none, or no pixel size.
    """

    cell_type: str
    count: int
    touching_border: int
    not_counted: int
    uncertain: int
    median_diameter_px: float | None
    median_diameter_um: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Which image a report is of.

    Parameters
    ----------
    file_name : str
    width_px, height_px : int
    sha256 : str
        Of the file's bytes.
    """

    file_name: str
    width_px: int
    height_px: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """What was asked for.

    Parameters
    ----------
    confidence_threshold : float
        A cell of a lower confidence is uncertain.
    uncertain_margin : float
        So is one whose two most likely conditions are less than this apart.
    border_rule : BorderRule
    cell_diameter_px, pixel_size_um : float or None
        As given; None where they were to be estimated.
    classifier_views : int or None
        Views of a cell that a classifier's answer is the mean of; None for the usual ones, 1 of a
        red cell and 4 of a white one.

    Raises
    ------
    SettingsError
        Threshold or margin is not within 0..1.
    """

    confidence_threshold: float
    uncertain_margin: float
    border_rule: BorderRule
    cell_diameter_px: float | None = None
    pixel_size_um: float | None = None
    classifier_views: int | None = None

    def __post_init__(self) -> None:
        for name in ("confidence_threshold", "uncertain_margin"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise SettingsError(f"{name}: received {value}; expected a number from 0 to 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a report was made with.

    Parameters
    ----------
    software_version : str
    model : str
        Name of the model's file.
    model_sha256 : str
        Of the file, or of the weights of a model in memory.
    seed : int or None
        Of random numbers; None where none were drawn, as in segmenting.
    rbc_classifier, wbc_classifier : str or None
        Names of the classifiers' files; None without one.
    rbc_classifier_sha256, wbc_classifier_sha256 : str or None
    """

    software_version: str
    model: str
    model_sha256: str
    seed: int | None = None
    rbc_classifier: str | None = None
    rbc_classifier_sha256: str | None = None
    wbc_classifier: str | None = None
    wbc_classifier_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticReport:
    """What was found in one image. Research use only; not a medical device.

    Parameters
    ----------
    image : Image
    settings : ReportSettings
    provenance : Provenance
    types : tuple of TypeSummary
        In ``CELL_TYPES`` order.
    rates : tuple of Rate
    rbc_findings, wbc_findings : Findings
    cells : tuple of ReportedCell
    scale : ScaleEstimate
    quality : ImageQuality
    warnings : tuple of str
        Everything that a reader should know before believing the counts.
    """

    image: Image
    settings: ReportSettings
    provenance: Provenance
    types: tuple[TypeSummary, ...]
    rates: tuple[Rate, ...]
    rbc_findings: Findings
    wbc_findings: Findings
    cells: tuple[ReportedCell, ...]
    scale: ScaleEstimate
    quality: ImageQuality
    warnings: tuple[str, ...]

    @property
    def status(self) -> Status:
        """``warned`` where there is a warning."""
        return Status.WARNED if self.warnings else Status.OK

    @property
    def counts(self) -> Mapping[str, int]:
        """Cells by type, as the border rule counts."""
        return MappingProxyType({summary.cell_type: summary.count for summary in self.types})

    @property
    def uncertain_cells(self) -> tuple[ReportedCell, ...]:
        """Cells that a person should look at, the least certain first."""
        uncertain = (cell for cell in self.cells if cell.is_uncertain)
        return tuple(sorted(uncertain, key=lambda cell: (cell.certainty, cell.cell_id)))

    def to_summary_text(self) -> str:
        """Tell the report in some twenty lines of plain text."""
        return report_to_text(self)

    def to_json(self) -> dict[str, Any]:
        """Tell all of the report, as ``docs/report_schema.json`` describes it."""
        return report_to_json(self)


FORMAT_VERSION: Final = 2


def report_to_json(report: "DiagnosticReport") -> dict[str, Any]:
    """Turn a report into what ``json.dumps`` takes; the same image gives the same bytes."""
    scale, quality = report.scale, report.quality
    return {
        "format_version": FORMAT_VERSION,
        "disclaimer": DISCLAIMER,
        "status": str(report.status),
        "warnings": list(report.warnings),
        "image": {
            "file_name": report.image.file_name,
            "width_px": report.image.width_px,
            "height_px": report.image.height_px,
        },
        "settings": settings_to_json(report.settings),
        "provenance": asdict(report.provenance) | {"data_sha256": report.image.sha256},
        "counts": {str(summary.cell_type): summary.count for summary in report.types},
        "types": {str(summary.cell_type): _type(summary) for summary in report.types},
        "rates": [rate_to_json(rate) for rate in report.rates],
        "rbc_findings": findings_to_json(report.rbc_findings),
        "wbc_findings": findings_to_json(report.wbc_findings),
        "scale": {
            "red_cell_diameter_px": _rounded(scale.red_cell_diameter_px, 2),
            "magnification_applied": round(scale.magnification_applied, 4),
            "source": str(scale.source),
            "pixel_size_um": scale.pixel_size_um,
        },
        "quality": {
            "is_smear": quality.is_smear,
            "judged_share": round(quality.judged_share, 4),
            "findings": [
                {
                    "name": finding.name,
                    "severity": str(finding.severity),
                    "value": _rounded(finding.value, 4),
                    "message": finding.message,
                }
                for finding in quality.findings
            ],
        },
        "uncertain_cells": [cell.cell_id for cell in report.uncertain_cells],
        "cells": [_cell(cell) for cell in report.cells],
    }


def settings_to_json(settings: "ReportSettings") -> dict[str, Any]:
    """Tell what was asked for."""
    return {
        "confidence_threshold": settings.confidence_threshold,
        "uncertain_margin": settings.uncertain_margin,
        "border_rule": str(settings.border_rule),
        "cell_diameter_px": settings.cell_diameter_px,
        "pixel_size_um": settings.pixel_size_um,
        "classifier_views": settings.classifier_views,
    }


def _type(summary: "TypeSummary") -> dict[str, Any]:
    return {
        "count": summary.count,
        "touching_border": summary.touching_border,
        "not_counted": summary.not_counted,
        "uncertain": summary.uncertain,
        "median_diameter_px": _rounded(summary.median_diameter_px, 2),
        "median_diameter_um": _rounded(summary.median_diameter_um, 3),
    }


def rate_to_json(rate: "Rate") -> dict[str, Any]:
    """Tell a share, its interval, and whether there were cells enough."""
    return {
        "name": rate.name,
        "label": rate.label,
        "count": rate.count,
        "total": rate.total,
        "min_total": rate.min_total,
        "share": _rounded(rate.share, 6),
        "interval_95": None if rate.interval is None else [round(e, 6) for e in rate.interval],
        "is_enough": rate.is_enough,
    }


def findings_to_json(findings: "Findings") -> dict[str, Any]:
    """Tell what a classifier found among the cells of one type."""
    return {
        "state": findings.state,
        "reason": findings.reason,
        "counts": dict(findings.counts),
        "types": dict(findings.types),
        "none_of_these": findings.none_of_these,
        "cut_off": findings.cut_off,
        "uncertain": findings.uncertain,
        "rates": [rate_to_json(rate) for rate in findings.rates],
    }


def _cell(cell: "ReportedCell") -> dict[str, Any]:
    return {
        "cell_id": cell.cell_id,
        "cell_type": str(cell.cell_type),
        "bbox": list(cell.bbox),
        "centroid": [round(value, 2) for value in cell.centroid],
        "area_px": cell.area_px,
        "equivalent_diameter_px": round(cell.equivalent_diameter_px, 2),
        "equivalent_diameter_um": _rounded(cell.equivalent_diameter_um, 3),
        "circularity": round(cell.circularity, 3),
        "touching_border": cell.touches_border,
        "condition": cell.condition,
        "confidence": round(cell.confidence, 4),
        "probabilities": _probabilities(cell.probabilities),
        "possible_conditions": list(cell.possible_conditions),
        "wbc_type": cell.wbc_type,
        "type_probabilities": _probabilities(cell.type_probabilities),
        "known": _rounded(cell.known, 4),
        "flags": [str(flag) for flag in cell.flags],
    }


def _probabilities(values: "Mapping[str, float]") -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


_WIDTH: Final = 88
_SHOWN_UNCERTAIN: Final = 10
_TYPE_NAMES: Final = {"RBC": "red cells", "WBC": "white cells", "Platelet": "platelets"}


def report_to_text(report: "DiagnosticReport") -> str:
    """Lay a report out as lines of at most 88 characters, but for file names."""
    image = report.image
    title = f"Blood smear report: {shown_name(image.file_name)}"
    parts = [
        [title, "=" * min(len(title), _WIDTH), DISCLAIMER],
        [f"Image  {image.width_px}×{image.height_px} pixels", f"Scale    {_scale(report)}"],
        _warning_lines(report),
        ["Cells", *(f"  {_type_line(summary)}" for summary in report.types), *_border(report)],
        ["Rates", *(line for rate in report.rates for line in _wrapped(_rate_line(rate)))],
        [
            "Findings",
            *_findings_lines("red cells", report.rbc_findings),
            *_findings_lines("white cells", report.wbc_findings),
        ],
        ["Not sure", *_uncertain_lines(report)],
        ["Image quality", *_quality_lines(report)],
        _provenance_lines(report),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _scale(report: "DiagnosticReport") -> str:
    scale = report.scale
    if scale.source == ScaleSource.UNKNOWN or scale.red_cell_diameter_px is None:
        words = "not known: taken as in the images of the training"
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
    lines = _wrapped(f"judged: {report.quality.judged_share:.0%} of the image")
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
        f"Data     SHA-256 {report.image.sha256[:16]}…",
    ]


def _wrapped(text: str, *, indent: int = 2) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2)
    )
