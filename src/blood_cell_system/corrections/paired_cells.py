"""Which cells of two people's corrections of one field are the same cell.

A cell of the results that both left where it is is one by its row. Of all others, those are one
whose pixels overlap by more than half (IoU), where no cell can have two partners. What one has and
the other has not is compared where the other has said so: removed it, or reviewed the whole field.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from blood_cell_system.corrections.replay import CorrectedCell, CorrectedField
from blood_cell_system.metrics.matching import Overlaps

_SAME: Final = 0.5
"""Pixels of one label image lie in one cell each: above half, partners are unique."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCell:
    """A cell that both have judged.

    Parameters
    ----------
    first, second : CorrectedCell or None
        None for one who says that there is no such cell.
    first_label, second_label : int
        Value of its pixels in the label image of each; 0 for None.
    """

    first: CorrectedCell | None
    second: CorrectedCell | None
    first_label: int
    second_label: int


def paired_cells(first: CorrectedField, second: CorrectedField) -> Iterator[PairedCell]:
    """Give the cells of a field that both have judged.

    Parameters
    ----------
    first, second : CorrectedField
        Of the same results, with pixels.
    """
    of_first, of_second = _by_row(first), _by_row(second)
    for row in sorted(of_first.keys() & of_second.keys()):
        a, b = of_first[row], of_second[row]
        if _has_judged(first, first.cells[a]) and _has_judged(second, second.cells[b]):
            yield _pair(first, second, a, b)
    rest_of_first = [i for i, cell in enumerate(first.cells) if cell.row not in of_second]
    rest_of_second = [i for i, cell in enumerate(second.cells) if cell.row not in of_first]
    partner = _partners(first, second, rest_of_first, rest_of_second)
    for a in rest_of_first:
        if not _has_judged(first, first.cells[a]):
            continue
        if a in partner:
            if _has_judged(second, second.cells[partner[a]]):
                yield _pair(first, second, a, partner[a])
        elif _denies(second, first.cells[a]):
            yield _pair(first, second, a, None)
    taken = set(partner.values())
    for place in rest_of_second:
        cell = second.cells[place]
        if place not in taken and _has_judged(second, cell) and _denies(first, cell):
            yield _pair(first, second, None, place)


def _by_row(field: CorrectedField) -> dict[int, int]:
    return {cell.row: i for i, cell in enumerate(field.cells) if cell.row is not None}


def _has_judged(field: CorrectedField, cell: CorrectedCell) -> bool:
    return field.is_reviewed or cell.is_stated or cell.row is None


def _denies(field: CorrectedField, cell: CorrectedCell) -> bool:
    """Whether a field without a cell says that there is none."""
    return field.is_reviewed or cell.row in field.removed


def _partners(
    first: CorrectedField, second: CorrectedField, rows: list[int], others: list[int]
) -> dict[int, int]:
    if not rows or not others:
        return {}
    overlaps = Overlaps.of_labels(
        first.label_image,
        second.label_image,
        true_count=len(first.cells),
        found_count=len(second.cells),
    )
    is_same = (
        (overlaps.iou > _SAME)
        & np.isin(overlaps.true_index, rows)
        & np.isin(overlaps.found_index, others)
    )
    pairs = overlaps.true_index[is_same], overlaps.found_index[is_same]
    return dict(zip(*(one.tolist() for one in pairs), strict=True))


def _pair(
    first: CorrectedField, second: CorrectedField, a: int | None, b: int | None
) -> PairedCell:
    return PairedCell(
        first=None if a is None else first.cells[a],
        second=None if b is None else second.cells[b],
        first_label=0 if a is None else a + 1,
        second_label=0 if b is None else b + 1,
    )
