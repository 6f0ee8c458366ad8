"""From the analysis of an image to its report."""

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.classification import unclassified
from blood_cell_system.analysis.image_analysis import ImageAnalysis
from blood_cell_system.analysis.scale import ScaleEstimate
from blood_cell_system.cells.hidden_nuclei import hold_nuclei
from blood_cell_system.cells.measures import in_micrometres, measure_cells, measured_columns
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.reports.claims import Verdict, asked_for, classes_claimed, unsure_words
from blood_cell_system.reports.findings import (
    BLAST,
    Findings,
    Rate,
    are_uncertain,
    findings_in,
    rates_in,
)
from blood_cell_system.reports.report import (
    CellFlag,
    DiagnosticReport,
    Image,
    Provenance,
    ReportSettings,
    TypeSummary,
    classes_in,
    probabilities_of,
)
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC, Taxonomy
from blood_cell_system.wording import counted

# Healthy blood has one white cell to a thousand red ones. Fields are often taken around white
# cells, which gives one to ten; only leukaemia gives more.
MANY_WHITE: Final = 10
"""Cells: with fewer white ones than this, their share means nothing."""
ODD_SHARE: Final = 0.5
"""White cells to one red cell from which on a smear is doubted."""

FEW_SIZED: Final = 8
"""Whole red cells below which their median size is left to chance."""
MOST_SMALLER: Final = 0.75
"""Median diameter of the red cells that were found by the one that they were taken to have. In 196
images of ten folders it was 0.80 to 1.29, but for one of clumps."""
MOST_LARGER: Final = 1.3
"""The same upwards."""

FEW_JUDGED: Final = 5
"""Cells of a type below which the share of strange ones is left to chance."""
MANY_STRANGE: Final = 0.6
"""Share of cells that resemble no class from which the others say little about a smear; of the same
images 2 have more red ones, both pale and without central pallor."""

FEW_NUCLEI: Final = 2
"""Red cells as dense as a nucleus, fewer than which may be any artifact."""
MANY_NUCLEI: Final = 0.01
"""Their share of the red cells from which the counts of both types are doubted."""


def diagnose(
    analysis: ImageAnalysis,
    *,
    image: Image,
    settings: ReportSettings,
    provenance: Provenance,
    further_warnings: Sequence[str] = (),
) -> DiagnosticReport:
    """Draw up the report of an image.

    Parameters
    ----------
    analysis : ImageAnalysis
        Its cells with the columns of the classifiers, if there were any.
    further_warnings : sequence of str
        Of the caller, after those of the image itself.
    """
    cells = reported_cells(analysis, settings)
    taxonomy = cells.taxonomy
    rates = rates_in(cells)
    findings = {kind.name: findings_in(cells, kind) for kind in taxonomy if kind.conditions}
    return DiagnosticReport(
        taxonomy=None if taxonomy == BUILT_IN else taxonomy.to_dict(),
        image=image,
        analysed_on=_today(),
        settings=settings,
        provenance=provenance,
        types={kind.name: type_summary(cells, kind.name) for kind in taxonomy},
        rates=rates,
        findings=findings,
        validation=dict(cells.validation),
        cells=cells,
        scale=analysis.scale,
        quality=analysis.quality,
        warnings=(
            *(finding.message for finding in analysis.quality.warnings),
            *(_warnings_of_cells(cells) if analysis.quality.is_smear else ()),
            *_doubt_of_scale(cells, analysis.scale),
            *unfamiliar(findings, taxonomy),
            *doubts(rate for part in findings.values() for rate in part.rates),
            *further_warnings,
        ),
    )


def _today() -> str:
    """Day of the analysis; that of ``SOURCE_DATE_EPOCH`` where it is set, so that bytes repeat."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return now.date().isoformat()


def reported_cells(analysis: ImageAnalysis, settings: ReportSettings) -> Cells:
    """Measure and flag every cell that was found; red cells like nuclei are not assessed."""
    names = [column.name for column in measured_columns()]
    cells = measure_cells(analysis.cells, *names, image=analysis.image, light=analysis.light)
    cells = in_micrometres(cells, analysis.scale.pixel_size_um)
    if "condition" not in cells:
        cells = cells.with_columns(**unclassified(len(cells), ()))
    pixel_size_um = analysis.scale.pixel_size_um
    conditions, _ = classes_in(cells)
    diameters = cells["equivalent_diameter_area"]
    is_judged = np.array([why in (None, Reason.UNDECIDED) for why in cells["reason"]], np.bool_)
    reasons = cells["reason"].copy()
    reasons[_hidden_nuclei(cells) & is_judged] = Reason.NUCLEUS
    cells = cells.with_columns(reason=reasons)
    if settings.counts_unproven:
        cells = asked_for(cells)
    claimed = {name for kind in cells.taxonomy for name in classes_claimed(cells, kind)}
    subtypes = cells["subtype"].copy()
    # A blast has no normal type; one that is none of the model's to tell has the likeliest, and is
    # uncertain.
    subtypes[~cells["is_known"] | ((cells["condition"] == BLAST) & (BLAST in claimed))] = None
    cells = cells.with_columns(
        is_smear=np.full(len(cells), analysis.quality.is_smear),
        equivalent_diameter_um=diameters * (np.nan if pixel_size_um is None else pixel_size_um),
        subtype=subtypes,
    )
    return cells.with_columns(
        flags=[
            _flags(cells, row, likely, settings, claimed)
            for row, likely in enumerate(probabilities_of(cells, conditions))
        ],
    )


def _hidden_nuclei(cells: Cells) -> NDArray[np.bool_]:
    """Which red cells hold a nucleus, but for those that are called sick: they hold parasites."""
    healthy = {one.name for kind in cells.taxonomy for one in kind.conditions if one.is_healthy}
    is_called_sick = [
        why is None and condition not in (None, *healthy)
        for why, condition in zip(cells["reason"], cells["condition"], strict=True)
    ]
    return np.asarray(hold_nuclei(cells) & ~np.array(is_called_sick, dtype=np.bool_))


def _flags(
    cells: Cells,
    row: int,
    probabilities: Mapping[str, float],
    settings: ReportSettings,
    claimed: Set[str],
) -> tuple[CellFlag, ...]:
    is_known, condition = bool(cells["is_known"][row]), cells["condition"][row]
    is_classified = condition is not None and is_known
    # Where nothing is claimed about its condition, that may be open.
    has_claim = is_classified and not claimed.isdisjoint(probabilities)
    likely = list(probabilities.values()) if has_claim else ()
    is_odd = settings.is_uncertain(float(cells["confidence"][row]), likely)
    is_odd |= cells["reason"][row] in (Reason.UNDECIDED, Reason.NUCLEUS)
    # Blasts are a row of their own in a differential: a normal type is not theirs.
    is_odd |= is_classified and condition == BLAST and BLAST not in claimed
    flags = {
        CellFlag.UNCERTAIN: is_odd or (is_classified and _is_open(cells, row, claimed, has_claim)),
        CellFlag.TOUCHING_BORDER: cells["touches_border"][row],
        CellFlag.NOT_COUNTED: not cells["is_counted"][row],
        CellFlag.NONE_OF_THESE: not is_known,
        CellFlag.NOT_VALIDATED: is_classified and condition not in claimed,
    }
    return tuple(flag for flag, is_set in flags.items() if is_set)


def _is_open(cells: Cells, row: int, claimed: Set[str], has_claim: bool) -> bool:  # noqa: FBT001
    """Whether the calibration leaves several classes, or none, where one is claimed."""
    if has_claim and len(cells["possible_conditions"][row]) != 1:
        return True
    return cells["subtype"][row] in claimed and len(cells["possible_subtypes"][row]) != 1


def doubts(rates: Iterable[Rate]) -> list[str]:
    """Warn of shares that uncertain cells carry."""
    return [
        f"{rate.label[:1].upper()}{rate.label[1:]}: {unsure_words(rate.uncertain, rate.count)}. "
        "No share is reported."
        for rate in rates
        if rate.verdict == Verdict.UNCERTAIN
    ]


def unfamiliar(findings: Mapping[str, Findings], taxonomy: Taxonomy) -> list[str]:
    """Warn of cells that are mostly unlike all that a classifier knows: its shares rest on few."""
    warnings = []
    for name, found in findings.items():
        strange, judged = found.none_of_these, found.assessed + found.none_of_these
        if judged >= FEW_JUDGED and strange > MANY_STRANGE * judged:
            kind = taxonomy[name].display_name
            warnings.append(
                f"{strange:,} of {judged:,} {kind} are none of the classes that the classifier "
                "knows: shares rest on the others, and mean little. Look at focus and stain; if "
                "these are good, train it further on cells of your own."
            )
    return warnings


def _doubt_of_scale(cells: Cells, scale: ScaleEstimate) -> list[str]:
    """Warn where red cells came out much larger or smaller than they were taken to be."""
    expected = scale.red_cell_diameter_px
    is_whole = cells.is_type(RBC) & ~cells["touches_border"]
    if expected is None or np.count_nonzero(is_whole) < FEW_SIZED:
        return []
    found = float(np.median(cells["equivalent_diameter_area"][is_whole]))
    if MOST_SMALLER < found / expected < MOST_LARGER:
        return []
    return [
        f"Red cells were taken as {expected:.0f} px wide ({scale.source}), but those that were "
        f"found are {found:.0f} px wide: cells may be missed or cut in two. Look at the outlines; "
        f"if they fit, give --cell-diameter {found:.0f}."
    ]


def _warnings_of_cells(cells: Cells) -> list[str]:
    if not len(cells):
        return ["No cell was found. Look at the image; --cell-diameter says how wide cells are."]
    warnings = []
    white, red = cells.count(WBC), cells.count(RBC)
    if white >= MANY_WHITE and white > ODD_SHARE * red:
        warnings.append(
            f"{counted(white, 'white cell')} beside {red} red ones: such blood is rare, and a "
            "stain that the model does not know is more likely. Look at the outlines before you "
            "use the counts."
        )
    nuclei = _hidden_nuclei(cells)
    count = np.count_nonzero(nuclei)
    if count >= FEW_NUCLEI and count >= MANY_NUCLEI * red:
        reasons = cells["reason"][nuclei].astype(str)
        others = count - np.count_nonzero(np.isin(reasons, (Reason.NUCLEUS, Reason.NO_CLASSIFIER)))
        besides = f" ({others} of them not assessed for another reason)" if others else ""
        warnings.append(
            f"{count} of {counted(red, 'red cell')} are as dense and purple as nuclei{besides}: "
            "they may be white cells in clumps, or pieces of them. Look at the outlines before you "
            "use the counts of either type."
        )
    return warnings


def type_summary(cells: Cells, cell_type: str) -> TypeSummary:
    """Count the cells of a type, and measure the whole ones."""
    of_type = cells.is_type(cell_type)
    is_whole = of_type & ~cells["touches_border"]
    sums = {
        "count": of_type & cells["is_counted"],
        "touching_border": of_type & cells["touches_border"],
        "not_counted": of_type & ~cells["is_counted"],
        "uncertain": of_type & are_uncertain(cells),
    }
    return TypeSummary(
        **{name: cells.number(rows) for name, rows in sums.items()},
        median_diameter_px=cells.median("equivalent_diameter_area", is_whole),
        median_diameter_um=cells.median("equivalent_diameter_um", is_whole),
    )
