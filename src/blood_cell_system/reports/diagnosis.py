"""From the analysis of a picture to its report."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from blood_cell_system.cells.outlines import circularity, perimeters_px
from blood_cell_system.cells.separation import DetectedCell
from blood_cell_system.classes import CELL_TYPES, CellType
from blood_cell_system.inference.analysis import PictureAnalysis
from blood_cell_system.reports.diagnostic import (
    NOT_ASSESSED,
    CellFlag,
    DiagnosticReport,
    Findings,
    Picture,
    Provenance,
    ReportedCell,
    ReportSettings,
    TypeSummary,
)
from blood_cell_system.reports.rates import Rate

# Healthy blood has one white cell to a thousand red ones. Fields are often taken around white
# cells, which gives one to ten; only leukaemia gives more.
_MANY_WHITE: Final = 10
_ODD_SHARE: Final = 0.5

NO_CLASSIFIER = Findings(state=NOT_ASSESSED, reason="no classifier is loaded")


def diagnose(
    analysis: PictureAnalysis,
    *,
    picture: Picture,
    settings: ReportSettings,
    provenance: Provenance,
    rbc_findings: Findings = NO_CLASSIFIER,
    wbc_findings: Findings = NO_CLASSIFIER,
    further_warnings: Sequence[str] = (),
) -> DiagnosticReport:
    """Draw up the report of a picture.

    Parameters
    ----------
    analysis : PictureAnalysis
    picture : Picture
    settings : ReportSettings
    provenance : Provenance
    rbc_findings, wbc_findings : Findings
    further_warnings : sequence of str
        Of the caller, after those of the picture itself.

    Returns
    -------
    DiagnosticReport
    """
    cells = reported_cells(analysis, settings)
    warnings = [finding.message for finding in analysis.quality.warnings]
    warnings += _warnings_of_cells(cells)
    return DiagnosticReport(
        picture=picture,
        settings=settings,
        provenance=provenance,
        types=tuple(_summary(cell_type, cells) for cell_type in CELL_TYPES),
        rates=rates_of(cells),
        rbc_findings=rbc_findings,
        wbc_findings=wbc_findings,
        cells=cells,
        scale=analysis.scale,
        quality=analysis.quality,
        warnings=(*warnings, *further_warnings),
    )


def _warnings_of_cells(cells: Sequence[ReportedCell]) -> list[str]:
    """Say what is odd about the cells themselves."""
    if not cells:
        return ["No cell was found. Look at the picture; --cell-diameter says how wide cells are."]
    white = sum(cell.cell_type == CellType.WBC for cell in cells)
    red = sum(cell.cell_type == CellType.RBC for cell in cells)
    if white >= _MANY_WHITE and white > _ODD_SHARE * red:
        return [
            f"{white} white cells beside {red} red ones: such blood is rare, and a stain that the "
            "model does not know is more likely. Look at the outlines before you use the counts."
        ]
    return []


def reported_cells(analysis: PictureAnalysis, settings: ReportSettings) -> tuple[ReportedCell, ...]:
    """Measure and flag every cell that was found."""
    found = analysis.separated.cells
    perimeters = perimeters_px(analysis.separated.label_image, count=len(found))
    pixel_size_um = analysis.scale.pixel_size_um
    return tuple(
        ReportedCell(
            cell_id=cell.label,
            cell_type=cell.cell_type,
            bbox=(
                round(cell.box.x_min),
                round(cell.box.y_min),
                round(cell.box.x_max),
                round(cell.box.y_max),
            ),
            centroid=cell.centroid,
            area_px=cell.area_px,
            equivalent_diameter_px=cell.equivalent_diameter_px,
            equivalent_diameter_um=(
                None if pixel_size_um is None else cell.equivalent_diameter_px * pixel_size_um
            ),
            circularity=circularity(cell.area_px, float(perimeters[cell.label - 1])),
            confidence=cell.confidence,
            flags=_flags(cell, settings, is_counted=is_counted),
        )
        for cell, is_counted in zip(found, analysis.counted, strict=True)
    )


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
    return len(likely) > 1 and likely[0] - likely[1] < settings.uncertain_margin


def _flags(
    cell: DetectedCell, settings: ReportSettings, *, is_counted: bool
) -> tuple[CellFlag, ...]:
    flags = {
        CellFlag.UNCERTAIN: is_uncertain(cell.confidence, (), settings),
        CellFlag.TOUCHING_BORDER: cell.touches_border,
        CellFlag.NOT_COUNTED: not is_counted,
    }
    return tuple(flag for flag, is_set in flags.items() if is_set)


def rates_of(cells: Sequence[ReportedCell]) -> tuple[Rate, ...]:
    """Shares that need no classifier, of the counted cells."""
    count = {
        cell_type: sum(cell.is_counted and cell.cell_type == cell_type for cell in cells)
        for cell_type in CELL_TYPES
    }
    return blood_rates(count[CellType.RBC], count[CellType.WBC], count[CellType.PLATELET])


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


def _summary(cell_type: CellType, cells: Sequence[ReportedCell]) -> TypeSummary:
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
