"""What a haematology laboratory reports of a slide, as far as images show it.

A figure that is a share or a ratio of cells is a row of :class:`Ratio`, as every finding is; the
others (sizes, counts per microlitre) follow from the same table of cells and the area of the
fields. Definitions and sources are in ``docs/lab_figures.md``; what a laboratory may change is in
``figure_settings``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blood_cell_system.cells.neighbours import close_pairs, connected_groups
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.metrics.intervals import (
    independent_total,
    rate_interval,
    wilson_interval,
    with_interval,
)
from blood_cell_system.reports.claims import (
    NOT_VALIDATED,
    Verdict,
    classes_claimed,
    unsure_words,
    why_unproven,
)
from blood_cell_system.reports.figure_settings import (
    CountPerField,
    EnteredCounts,
    FiguresSettings,
    Platelets,
    Rouleaux,
)
from blood_cell_system.reports.findings import (
    BLAST,
    ERYTHROBLAST,
    MIN_RED_CELLS,
    Count,
    Ratio,
    Record,
    leukocytes,
    of_types,
    ratios_of,
    why_none,
    with_condition,
    with_subtype,
)
from blood_cell_system.taxonomy import GAMETOCYTE, PARASITE_STAGES, PLATELET, RBC, WBC

PALLOR: Final = "pallor_area_share"
"""Column of the part of a red cell's area that its central pallor takes."""

TOUCHING: Final = "touching_cells"
"""Column of how many others a cell touches."""

PARASITAEMIA: Final = "malaria_RBC"
"""Finding that parasites per microlitre follow from."""

_DIFFERENTIAL: Final = (
    "neutrophil",
    "lymphocyte",
    "monocyte",
    "eosinophil",
    "basophil",
    "immature_granulocyte",
)
"""Subtypes in the order of a differential."""

_H20: Final = "CLSI H20-A2, Reference Leukocyte Differential Count, 2007"
_CORRECTION: Final = (
    "Corrected count = count × 100 / (100 + nucleated red cells per 100 white cells)"
)
_DPDX: Final = "CDC DPDx: infected red cells among 500 to 2,000; a cell with several counts once"
_ICSH: Final = "ICSH: L. Palmer et al., Int J Lab Hematol 37, 2015"
_SCHISTOCYTES: Final = "ICSH: G. Zini et al., Int J Lab Hematol 43, 2021"
_OWN: Final = "Definition of this package: docs/lab_figures.md"


class LabFigure(Record):
    """A figure of a slide or patient, with what it rests on."""

    name: str
    group: Annotated[str, Field(description="setting that switches it")]
    label: str
    value: Annotated[
        float | None, Field(description="null where it cannot be given; the note says why")
    ] = None
    unit: Annotated[str, Field(description="%, per 100, /µL, µm, px; empty for a number of things")]
    interval_95: tuple[float, float] | None = None
    count: Annotated[Count | None, Field(description="cells of the numerator")] = None
    total: Annotated[Count | None, Field(description="cells that it rests on")] = None
    min_total: Count | None = None
    advised_total: Annotated[Count | None, Field(description="better than the least")] = None
    grade: str | None = None
    note: str = ""
    proof: Annotated[str, Field(description="in how many laboratories, with which figures")] = ""
    source: str = ""

    def noted(self, note: str) -> Self:
        """Say why there is no value, or what to know of it."""
        return self.model_copy(update={"note": note})

    def given(self, value: float | None, interval: tuple[float, float] | None, **more: Any) -> Self:
        """Give the value with its interval."""
        return self.model_copy(update={"value": value, "interval_95": interval, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the figures of a slide or patient are computed from.

    Parameters
    ----------
    cells : Cells
        With the column ``image``.
    areas_um2 : mapping of str to float or None
        Area that was analysed of each field; None where its pixel size is not known.
    """

    cells: Cells
    areas_um2: Mapping[str, float | None]
    entered: EnteredCounts

    def per_area(self, rows: NDArray[np.bool_]) -> tuple[float, tuple[float, float]] | None:
        """Cells per µm², and the interval; None where an area is not known."""
        areas = list(self.areas_um2.values())
        if not areas or any(area is None for area in areas):
            return None
        found = Counter(self.cells["image"][rows])
        counts = [found[image] for image in self.areas_um2]
        known = [float(area) for area in areas if area is not None]
        return sum(counts) / sum(known), rate_interval(counts, known)


def lab_figures(evidence: Evidence, settings: FiguresSettings) -> tuple[LabFigure, ...]:
    """Give every figure that is switched on, also those that cannot be given, with the reason."""
    groups = {
        "differential": _differential,
        "nucleated_red_cells": _nucleated_red_cells,
        "white_cells": _white_cells,
        "platelets": _platelets,
        "parasitaemia": _parasitaemia,
        "red_cell_size": _red_cell_size,
        "hypochromia": _hypochromia,
        "red_cell_shapes": _red_cell_shapes,
        "rouleaux": _rouleaux,
    }
    return tuple(
        figure
        for name, group in groups.items()
        if getattr(settings, name).is_reported
        for figure in group(evidence, settings)
    )


def ratio_figure(ratio: Ratio, cells: Cells, *, group: str) -> LabFigure:
    """Compute a row: a share in per cent, or a number per 100 others."""
    total = ratio.among(cells) & cells["is_counted"]
    count = ratio.of(cells) & cells["is_counted"]
    if ratio.per is None:
        count &= total
    k, n = cells.number(count), cells.number(total)
    figure = LabFigure(
        name=ratio.name,
        group=group,
        label=ratio.label,
        unit="%" if ratio.per is None else f"per {ratio.per:g}",
        count=k,
        total=n,
        min_total=ratio.min_cells,
        advised_total=ratio.advised_cells,
        source=ratio.source,
    )
    claimed = {name for kind in cells.taxonomy for name in classes_claimed(cells, kind)}
    if f"{ratio.name}_prob" in cells and ratio.name not in claimed:
        note = f"{NOT_VALIDATED} ({why_unproven(cells, ratio.name)})"
        return figure.model_copy(update={"count": None, "note": note})
    if n < ratio.min_cells or n == 0:
        return figure.noted(f"not enough cells: {n:,} of {ratio.min_cells:,}")
    rate = ratio.rate(cells)
    if rate.verdict == Verdict.UNCERTAIN:
        return figure.noted(unsure_words(rate.uncertain, k))
    if rate.verdict == Verdict.FALSE_ALARMS:
        return figure.noted(f"{k:,} of {n:,}: within false alarms, not distinguishable from none")
    by_field = [cells.by_image(rows) for rows in (count, total)]
    # Of numbers beside each other the share of the one among both has the binomial interval.
    whole = k + n if ratio.per else n
    independent = independent_total(by_field[0], by_field[1] + (by_field[0] if ratio.per else 0))
    low, high = wilson_interval(min(independent, k * (independent / whole)), independent)
    scale = ratio.per or 100.0
    if rate.errors and not ratio.per:
        low, high = rate.interval_95 or (low, high)
    if ratio.per:
        low, high = low / (1 - low), high / (1 - high)
    note = ""
    if ratio.advised_cells is not None and n < ratio.advised_cells:
        note = f"{ratio.advised_cells:,} cells are better: {n:,} were counted"
    proof = "" if rate.proof is None else rate.proof.words
    return figure.given(scale * k / n, (scale * low, scale * high), note=note, proof=proof)


def _missing(group: str, label: str, unit: str, note: str) -> LabFigure:
    return LabFigure(name=group, group=group, label=label, unit=unit, note=note)


def _why_no(cells: Cells, classes: str) -> str:
    return f"not assessed: {why_none(cells['reason'], f'no classifier of {classes}')}"


def _differential(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    cells, group = evidence.cells, settings.differential
    subtypes = {one.name: one for one in cells.taxonomy.subtypes if f"{one.name}_prob" in cells}
    if not any(name in subtypes for name in _DIFFERENTIAL):
        yield _missing("differential", "differential", "%", _why_no(cells, "white-cell types"))
        return
    rows = [
        Ratio(
            name=name,
            label=subtypes[name].display_name,
            of=with_subtype(name),
            among=leukocytes,
            min_cells=group.min_cells,
            advised_cells=group.advised_cells,
            source=_H20,
        )
        for name in _DIFFERENTIAL
        if name in subtypes
    ]
    if f"{BLAST}_prob" in cells:
        blast = replace(
            rows[0], name=BLAST, label="blast-like cells", of=with_condition(WBC, BLAST)
        )
        rows.append(blast)
    for row in rows:
        yield ratio_figure(row, cells, group="differential")


def _nrbc(evidence: Evidence, settings: FiguresSettings) -> LabFigure:
    row = Ratio(
        name=ERYTHROBLAST,
        label="nucleated red cells per 100 white cells",
        of=with_subtype(ERYTHROBLAST),
        among=leukocytes,
        min_cells=settings.nucleated_red_cells.min_cells,
        per=100,
        source=_H20,
    )
    return ratio_figure(row, evidence.cells, group="nucleated_red_cells")


def _nucleated_red_cells(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    group, limit = "nucleated_red_cells", settings.nucleated_red_cells.correct_from
    if f"{ERYTHROBLAST}_prob" not in evidence.cells:
        note = _why_no(evidence.cells, "white-cell types")
        yield _missing(group, "nucleated red cells per 100 white cells", "per 100", note)
        return
    nrbc = _nrbc(evidence, settings)
    yield nrbc
    white = [evidence.entered.white_cells_per_ul] if evidence.entered.white_cells_per_ul else []
    label = "white count without nucleated red cells"
    if not white:
        white = [one.value for one in _white_cells(evidence, settings) if one.value is not None]
        label += ", of the estimate"
    figure = LabFigure(
        name="corrected_white_cells", group=group, label=label, unit="/µL", source=_CORRECTION
    )
    if nrbc.value is None or nrbc.interval_95 is None:
        yield figure.noted(nrbc.note)
    elif nrbc.value < limit:
        yield figure.noted(
            f"no correction: fewer than {limit:g} nucleated red cells per 100 white cells"
        )
    elif not white:
        yield figure.noted("no white count: enter one, or give factor and area of a field")
    else:
        corrected, high, low = (
            white[0] * 100 / (100 + one) for one in (nrbc.value, *nrbc.interval_95)
        )
        note = "the interval is that of the nucleated red cells alone"
        yield figure.given(corrected, (low, high), note=note)


def _white_cells(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    return _counts(evidence, settings.white_cells, "white_cells", WBC, "white cells")


def _platelets(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    group, cells = settings.platelets, evidence.cells
    yield ratio_figure(
        Ratio(
            name="platelets_per_100_red_cells",
            label="platelets per 100 red cells",
            of=of_types(PLATELET),
            among=of_types(RBC),
            min_cells=group.min_red_cells,
            per=100,
            source=_OWN,
        ),
        cells,
        group="platelets",
    )
    clumps = platelet_clumps(cells, group)
    count = len(set(clumps[clumps > 0].tolist()))
    clumped = int(np.count_nonzero(clumps))
    note = f"{clumped:,} platelets lie in clumps: counts are too low" if count else ""
    yield LabFigure(
        name="platelet_clumps",
        group="platelets",
        label=f"platelet clumps of {group.clump_from} or more",
        value=float(count),
        unit="",
        count=clumped,
        total=cells.count(PLATELET),
        note=note,
        source=_OWN,
    )
    for figure in _counts(evidence, group, "platelets", PLATELET, "platelets"):
        yield figure.noted(figure.note or note)


def _counts(
    evidence: Evidence, group: CountPerField, name: str, cell_type: str, words: str
) -> Iterator[LabFigure]:
    """Estimate a count per microlitre in both ways."""
    cells = evidence.cells
    rows = cells.is_type(cell_type) & cells["is_counted"]
    figure = LabFigure(
        name=f"{name}_per_ul_by_field",
        group=name,
        label=f"{words}, estimate from cells a field",
        unit="/µL",
        count=int(np.count_nonzero(rows)),
        source="Cells a field × factor of the laboratory for the area of its field",
    )
    density = evidence.per_area(rows)
    if group.factor is None or group.field_area_um2 is None:
        yield figure.noted("no factor: enter that of your laboratory and the area of its field")
    elif density is None:
        yield figure.noted("the area of a field is not known: give the pixel size")
    else:
        scale = group.factor * group.field_area_um2
        low, high = density[1]
        yield figure.given(scale * density[0], (scale * low, scale * high))
    ratio = Ratio(
        name=f"{name}_per_ul_by_red_cells",
        label=f"{words}, estimate from the red count",
        of=of_types(cell_type),
        among=of_types(RBC),
        min_cells=MIN_RED_CELLS,
        per=evidence.entered.red_cells_per_ul or 1.0,
        source=f"{words.capitalize()} per red cell × entered red count",
    )
    by_ratio = ratio_figure(ratio, cells, group=name).model_copy(update={"unit": "/µL"})
    if evidence.entered.red_cells_per_ul is None:
        by_ratio = by_ratio.given(None, None, note="no red count: enter that of an analyser")
    yield by_ratio


def _parasitaemia(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    group, cells = settings.parasitaemia, evidence.cells
    rows = [one for one in ratios_of(cells.taxonomy) if one.name == PARASITAEMIA]
    if not rows or not all(name in cells for name in rows[0].needs):
        yield _missing("parasitaemia", "parasitaemia", "%", _why_no(cells, "red cells"))
        return
    infected = rows[0].of
    row = replace(
        rows[0],
        # Gametocytes do not multiply in the blood, and outlive a cure by weeks.
        of=lambda some: infected(some) & ~with_subtype(GAMETOCYTE)(some),
        min_cells=group.min_cells,
        advised_cells=group.advised_cells,
        source=_DPDX,
    )
    share = ratio_figure(row, cells, group="parasitaemia")
    gametocytes = int(np.count_nonzero(with_subtype(GAMETOCYTE)(cells) & cells["is_counted"]))
    if gametocytes and share.value is not None:
        note = f"{gametocytes:,} with gametocytes are left out"
        share = share.noted("; ".join(filter(None, (share.note, note))))
    yield share
    red = evidence.entered.red_cells_per_ul
    per_ul = share.model_copy(
        update={
            "name": "parasites_per_ul",
            "label": "parasites, from the red count",
            "unit": "/µL",
            "source": "Parasitaemia × entered red count",
        }
    )
    if share.value is None or share.interval_95 is None:
        yield per_ul
    elif red is None:
        yield per_ul.given(None, None, note="no red count: enter that of an analyser")
    else:
        low, high = share.interval_95
        yield per_ul.given(share.value * red / 100, (low * red / 100, high * red / 100))


def whole_red_cells(cells: Cells) -> NDArray[np.bool_]:
    """Choose counted red cells that neither border nor other cells hide: their size is known."""
    is_covered = np.array([why == Reason.COVERED for why in cells["reason"]], dtype=np.bool_)
    is_whole = ~cells["touches_border"] & ~is_covered
    return np.asarray(cells.is_type(RBC) & cells["is_counted"] & is_whole)


def single_red_cells(cells: Cells) -> NDArray[np.bool_]:
    """Choose whole red cells that touch no other, where that was measured.

    Of cells that touch, the outline between them is a guess: it doubles the spread of sizes.
    """
    rows = whole_red_cells(cells)
    return rows & (cells[TOUCHING] == 0) if TOUCHING in cells else rows


def diameters(cells: Cells) -> tuple[NDArray[np.float64], str]:
    """Diameters in µm where all cells have them, else in px."""
    in_um = cells["equivalent_diameter_um"].astype(np.float64)
    if len(in_um) and np.isfinite(in_um).all():
        return in_um, "µm"
    return cells["equivalent_diameter_area"].astype(np.float64), "px"


def _red_cell_size(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    group, cells = settings.red_cell_size, evidence.cells
    rows = single_red_cells(cells)
    values, unit = diameters(cells)
    chosen, fields = values[rows], cells["image"][rows].tolist()
    base: dict[str, Any] = {
        "group": "red_cell_size",
        "total": len(chosen),
        "min_total": group.min_cells,
        "source": _OWN,
    }
    median = LabFigure(
        name="red_cell_diameter", label="median diameter of red cells", unit=unit, **base
    )
    if len(chosen) < group.min_cells:
        yield median.noted(f"not enough cells: {len(chosen):,} of {group.min_cells:,}")
        return
    center = float(np.median(chosen))
    middle = with_interval(lambda weights: _weighted_median(chosen, weights), fields)
    yield median.given(center, middle.interval)
    spread = with_interval(lambda weights: _spread(chosen, weights), fields)
    label = "spread of red-cell diameters (CV, not RDW)"
    yield LabFigure(name="red_cell_diameter_spread", label=label, unit="%", **base).given(
        spread.value, spread.interval
    )
    low, high = center * group.small_below, center * group.large_above
    against = f"the smear's own median ({low:.3g} to {high:.3g} {unit})"
    if group.normal_um is not None:
        low, high = group.normal_um
        against = f"{low:g} to {high:g} µm"
    for name, label, of in (
        ("large_red_cells", "macrocytes", values > high),
        ("small_red_cells", "microcytes", values < low),
    ):
        full = f"{label} by diameter, against {against}"
        if group.normal_um is not None and unit == "px":
            note = "the pixel size is not known: enter it, or compare with the smear's own median"
            yield LabFigure(name=name, label=full, unit="%", note=note, **base)
            continue
        row = Ratio(
            name=name,
            label=full,
            of=lambda _, of=of: of,  # type: ignore[misc]
            among=single_red_cells,
            min_cells=group.min_cells,
            source=_OWN,
        )
        yield ratio_figure(row, cells, group="red_cell_size")


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _spread(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    mean = np.average(values, weights=weights)
    return float(100 * np.sqrt(np.average((values - mean) ** 2, weights=weights)) / mean)


def _hypochromia(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    group, cells = settings.hypochromia, evidence.cells
    label = f"hypochromic red cells: pallor above {100 * group.pallor_above:g} % of the area"
    if PALLOR not in cells:
        yield _missing("hypochromia", label, "%", "the central pallor was not measured")
        return
    pallor = cells[PALLOR].astype(np.float64)
    row = Ratio(
        name="hypochromic_red_cells",
        label=label,
        of=lambda _: pallor > group.pallor_above,
        among=lambda some: whole_red_cells(some) & np.isfinite(pallor),
        min_cells=group.min_cells,
        source=_OWN,
    )
    yield ratio_figure(row, cells, group="hypochromia")


def _red_cell_shapes(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    group, cells = settings.red_cell_shapes, evidence.cells
    known = cells.taxonomy[RBC].subtypes if RBC in cells.taxonomy else ()
    shapes = [
        one for one in known if f"{one.name}_prob" in cells and one.name not in PARASITE_STAGES
    ]
    if not shapes:
        note = _why_no(cells, "red-cell shapes")
        yield _missing("red_cell_shapes", "shapes of red cells", "%", note)
        return
    for shape in shapes:
        row = Ratio(
            name=shape.name,
            label=shape.display_name,
            of=with_subtype(shape.name),
            among=with_subtype(*(one.name for one in shapes)),
            min_cells=group.min_cells,
            advised_cells=group.advised_cells,
            source=_ICSH,
        )
        figure = ratio_figure(row, cells, group="red_cell_shapes")
        if (share := figure.value) is not None:
            cuts = group.grades.get(shape.name, {}).items()
            reached = [grade for grade, least in cuts if share >= least]
            figure = figure.model_copy(update={"grade": max(reached, default=None)})
            limit = group.suspicious_above.get(shape.name)
            if limit is not None and share > limit:
                figure = figure.noted(f"above {limit:g} %: suspicious ({_SCHISTOCYTES})")
        yield figure


def _rouleaux(evidence: Evidence, settings: FiguresSettings) -> Iterator[LabFigure]:
    group, cells = settings.rouleaux, evidence.cells
    in_chain = _chained_red_cells(cells, group)
    row = Ratio(
        name="rouleaux",
        label=f"red cells in chains of {group.chain_from} or more",
        of=lambda _: in_chain,
        among=of_types(RBC),
        min_cells=group.min_cells,
        source=_OWN,
    )
    yield ratio_figure(row, cells, group="rouleaux")


# Neighbours


def _neighbour_groups(cells: Cells, rows: NDArray[np.bool_], reach: float) -> NDArray[np.intp]:
    """Give each group of chosen cells near each other a number from 1; 0 for all others.

    Centres of neighbours are apart by ``reach`` of their mean diameters at most.
    """
    numbers = np.zeros(len(cells), dtype=np.intp)
    images = cells["image"].astype(str)
    for image in np.unique(images[rows]):
        chosen = np.flatnonzero(rows & (images == image))
        centres, sizes = _places(cells, chosen)
        pairs = close_pairs(centres, reach * sizes.max())
        first, second = pairs.T
        distances = np.linalg.norm(centres[first] - centres[second], axis=1)
        pairs = pairs[distances <= reach * (sizes[first] + sizes[second]) / 2]
        numbers[chosen] = numbers.max() + 1 + connected_groups(len(chosen), pairs)
    return numbers


def _places(
    cells: Cells, chosen: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and diameters of cells, also where others lie over them."""
    boxes = cells["whole_box"][chosen].reshape(-1, 4)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)


def platelet_clumps(cells: Cells, settings: Platelets) -> NDArray[np.intp]:
    """Give a number to each clump of platelets; 0 for cells in none."""
    groups = _neighbour_groups(cells, cells.is_type(PLATELET), settings.clump_reach)
    sizes = np.bincount(groups)
    return np.where((groups > 0) & (sizes[groups] >= settings.clump_from), groups, 0)


def _chained_red_cells(cells: Cells, settings: Rouleaux) -> NDArray[np.bool_]:
    """Find red cells of overlapping rows that are long and narrow, as coins in a roll."""
    groups = _neighbour_groups(cells, cells.is_type(RBC), settings.reach)
    sizes = np.bincount(groups)
    is_chained = np.zeros(len(cells), dtype=np.bool_)
    for group in 1 + np.flatnonzero(sizes[1:] >= settings.chain_from):
        members = np.flatnonzero(groups == group)
        centres, _ = _places(cells, members)
        breadth, length = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(centres.T)), 0))
        is_chained[members] = breadth <= settings.max_breadth * length
    return is_chained
