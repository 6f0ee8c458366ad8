"""From the analysis of an image to its report."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import numpy as np

from blood_cell_system.analysis.image_analysis import ImageAnalysis
from blood_cell_system.cells.measures import measure_cells
from blood_cell_system.cells.table import Cells
from blood_cell_system.model_metadata import ModelMetadata
from blood_cell_system.reports.findings import (
    NONE_OF_THESE,
    Findings,
    JudgedCell,
    find,
)
from blood_cell_system.reports.rates import Rate
from blood_cell_system.reports.report import (
    CellFlag,
    DiagnosticReport,
    Image,
    Provenance,
    ReportedCell,
    ReportSettings,
    TypeSummary,
)
from blood_cell_system.taxonomy import CELL_TYPES, PLATELET, RBC, WBC

# Healthy blood has one white cell to a thousand red ones. Fields are often taken around white
# cells, which gives one to ten; only leukaemia gives more.
_MANY_WHITE: Final = 10
_ODD_SHARE: Final = 0.5

_CANCER: Final = "cancer_WBC"


def diagnose(
    analysis: ImageAnalysis,
    *,
    image: Image,
    settings: ReportSettings,
    provenance: Provenance,
    rbc_facts: ModelMetadata | None = None,
    wbc_facts: ModelMetadata | None = None,
    further_warnings: Sequence[str] = (),
) -> DiagnosticReport:
    """Draw up the report of an image.

    Parameters
    ----------
    analysis : ImageAnalysis
    image : Image
    settings : ReportSettings
    provenance : Provenance
    rbc_facts, wbc_facts : ModelMetadata, optional
        Of the classifiers whose answers are columns of the analysis's cells.
    further_warnings : sequence of str
        Of the caller, after those of the image itself.

    Returns
    -------
    DiagnosticReport
    """
    cells = reported_cells(analysis, settings, {RBC: rbc_facts, WBC: wbc_facts})
    warnings = [finding.message for finding in analysis.quality.warnings]
    warnings += _warnings_of_cells(cells)
    return DiagnosticReport(
        image=image,
        settings=settings,
        provenance=provenance,
        types=tuple(_summary(cell_type, cells) for cell_type in CELL_TYPES),
        rates=rates_of(cells),
        rbc_findings=_findings(cells, RBC, rbc_facts),
        wbc_findings=_findings(cells, WBC, wbc_facts),
        cells=cells,
        scale=analysis.scale,
        quality=analysis.quality,
        warnings=(*warnings, *further_warnings),
    )


def _warnings_of_cells(cells: Sequence[ReportedCell]) -> list[str]:
    """Say what is odd about the cells themselves."""
    if not cells:
        return ["No cell was found. Look at the image; --cell-diameter says how wide cells are."]
    white = sum(cell.cell_type == WBC for cell in cells)
    red = sum(cell.cell_type == RBC for cell in cells)
    if white >= _MANY_WHITE and white > _ODD_SHARE * red:
        return [
            f"{white} white cells beside {red} red ones: such blood is rare, and a stain that the "
            "model does not know is more likely. Look at the outlines before you use the counts."
        ]
    return []


def reported_cells(
    analysis: ImageAnalysis, settings: ReportSettings, metadata: Mapping[str, ModelMetadata | None]
) -> tuple[ReportedCell, ...]:
    """Measure and flag every cell that was found; ``metadata`` are those of classifiers by type."""
    cells = measure_cells(analysis.cells, "form_factor")
    boxes = np.rint(cells["whole_box"]).astype(np.int64).tolist()
    pixel_size_um = analysis.scale.pixel_size_um
    reported = []
    for row, cell_type in enumerate(cells["cell_type"]):
        answers = _answers_of(cells, row, metadata.get(cell_type))
        diameter = float(cells["equivalent_diameter_area"][row])
        x, y = cells["centroid"][row].tolist()
        reported.append(
            ReportedCell(
                cell_id=row + 1,
                cell_type=cell_type,
                bbox=tuple(boxes[row]),
                centroid=(x, y),
                area_px=int(cells["area"][row]),
                equivalent_diameter_px=diameter,
                equivalent_diameter_um=None if pixel_size_um is None else diameter * pixel_size_um,
                circularity=float(cells["form_factor"][row]),
                confidence=float(cells["confidence"][row]),
                flags=_flags(cells, row, answers, settings),
                **answers,
            )
        )
    return tuple(reported)


def _answers_of(cells: Cells, row: int, metadata: ModelMetadata | None) -> dict[str, Any]:
    """Fields of the report that a classifier fills; none for a cell that was not classified."""
    if metadata is None or "condition" not in cells or cells["condition"][row] is None:
        return {}
    condition, is_known = cells["condition"][row], bool(cells["is_known"][row])
    known = float(cells["in_distribution"][row])
    has_type = cells["subtype"][row] is not None
    return {
        "condition": condition if is_known else NONE_OF_THESE,
        "probabilities": {name: float(cells[f"{name}_prob"][row]) for name in metadata.conditions},
        "possible_conditions": cells["possible_conditions"][row],
        "wbc_type": cells["subtype"][row] if is_known and condition != _CANCER else None,
        "type_probabilities": {
            name: float(cells[f"{name}_prob"][row]) for name in metadata.subtypes
        }
        if has_type
        else {},
        "known": None if np.isnan(known) else known,
    }


def is_uncertain(
    confidence: float, probabilities: Sequence[float], settings: ReportSettings
) -> bool:
    """Whether a person should look at a cell.

    Parameters
    ----------
    confidence : float
        That there is such a cell, 0 to 1.
    probabilities : sequence of float
        Of its conditions; empty without a classifier.
    settings : ReportSettings
    """
    if confidence < settings.confidence_threshold:
        return True
    likely = sorted(probabilities, reverse=True)
    if len(likely) < 2:
        return False
    is_weak = likely[0] < settings.confidence_threshold
    return is_weak or likely[0] - likely[1] < settings.uncertain_margin


def _is_ambiguous(cells: Cells, row: int) -> bool:
    """Whether the calibration leaves several classes, or none."""
    if len(cells["possible_conditions"][row]) != 1:
        return True
    has_type = cells["subtype"][row] is not None and cells["condition"][row] != _CANCER
    return has_type and len(cells["possible_subtypes"][row]) != 1


def _flags(
    cells: Cells, row: int, answers: Mapping[str, Any], settings: ReportSettings
) -> tuple[CellFlag, ...]:
    confidence = float(cells["confidence"][row])
    is_odd = is_uncertain(confidence, (), settings)
    is_none = answers.get("condition") == NONE_OF_THESE
    if answers and not is_none:
        probabilities = tuple(answers["probabilities"].values())
        is_odd = is_uncertain(confidence, probabilities, settings) or _is_ambiguous(cells, row)
    flags = {
        CellFlag.UNCERTAIN: is_odd,
        CellFlag.TOUCHING_BORDER: cells["touches_border"][row],
        CellFlag.NOT_COUNTED: not cells["is_counted"][row],
        CellFlag.NONE_OF_THESE: is_none,
    }
    return tuple(flag for flag, is_set in flags.items() if is_set)


def _findings(
    cells: Sequence[ReportedCell], cell_type: str, metadata: ModelMetadata | None
) -> Findings:
    return find(
        (
            JudgedCell(
                condition=cell.condition, wbc_type=cell.wbc_type, is_uncertain=cell.is_uncertain
            )
            for cell in cells
            if cell.cell_type == cell_type and cell.is_counted
        ),
        metadata,
    )


def rates_of(cells: Sequence[ReportedCell]) -> tuple[Rate, ...]:
    """Shares that need no classifier, of the counted cells."""
    count = {
        cell_type: sum(cell.is_counted and cell.cell_type == cell_type for cell in cells)
        for cell_type in CELL_TYPES
    }
    return blood_rates(count[RBC], count[WBC], count[PLATELET])


def blood_rates(red: int, white: int, platelets: int) -> tuple[Rate, ...]:
    """White cells among red and white ones, platelets among red cells and platelets."""
    return (
        Rate(
            name="wbc_of_rbc_and_wbc",
            label="white cells among red and white cells",
            count=white,
            total=red + white,
        ),
        Rate(
            name="platelets_of_rbc_and_platelets",
            label="platelets among red cells and platelets",
            count=platelets,
            total=red + platelets,
        ),
    )


def _summary(cell_type: str, cells: Sequence[ReportedCell]) -> TypeSummary:
    of_type = [cell for cell in cells if cell.cell_type == cell_type]
    whole = [cell for cell in of_type if not cell.touches_border]
    diameters_um = [cell.equivalent_diameter_um for cell in whole]
    known_um = [value for value in diameters_um if value is not None]
    return TypeSummary(
        cell_type=cell_type,
        count=sum(cell.is_counted for cell in of_type),
        touching_border=len(of_type) - len(whole),
        not_counted=sum(not cell.is_counted for cell in of_type),
        uncertain=sum(cell.is_uncertain for cell in of_type),
        median_diameter_px=median(c.equivalent_diameter_px for c in whole) if whole else None,
        median_diameter_um=median(known_um) if known_um else None,
    )
