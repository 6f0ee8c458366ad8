"""A report as JSON; ``docs/report_schema.json`` describes it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from blood_cell_system.reports.disclaimer import DISCLAIMER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blood_cell_system.reports.diagnostic import (
        DiagnosticReport,
        ReportedCell,
        ReportSettings,
        TypeSummary,
    )
    from blood_cell_system.reports.findings import Findings
    from blood_cell_system.reports.rates import Rate

FORMAT_VERSION: Final = 2


def report_to_json(report: "DiagnosticReport") -> dict[str, Any]:
    """Turn a report into what ``json.dumps`` takes; the same picture gives the same bytes."""
    scale, quality = report.scale, report.quality
    return {
        "format_version": FORMAT_VERSION,
        "disclaimer": DISCLAIMER,
        "status": str(report.status),
        "warnings": list(report.warnings),
        "picture": {
            "file_name": report.picture.file_name,
            "width_px": report.picture.width_px,
            "height_px": report.picture.height_px,
        },
        "settings": settings_to_json(report.settings),
        "provenance": asdict(report.provenance) | {"data_sha256": report.picture.sha256},
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
