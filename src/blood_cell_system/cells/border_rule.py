"""Cells that the border of what was seen cuts off: which they are, and which are counted."""

from dataclasses import replace
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.cells.separation import DetectedCell, SeparatedCells, in_reading_order


class BorderRule(StrEnum):
    """Which of the cells that the border cuts off are counted."""

    COUNTED = "counted"
    """All of them."""

    TWO_SIDES = "two-sides"
    """Only those at the upper and the left side, as in a counting chamber. So every cell of the
    smear has one field in which it counts, and cells per area come out without a bias."""


def cells_within(separated: SeparatedCells, field_mask: NDArray[np.bool_]) -> SeparatedCells:
    """Leave out what lies outside the field of view; cells that its rim cuts touch the border.

    Parameters
    ----------
    separated : SeparatedCells
    field_mask : ndarray of shape (height, width), dtype bool
        True where the slide is seen.

    Returns
    -------
    SeparatedCells
        Of the cells whose middle is in the field, each as it was.
    """
    if field_mask.all():
        return separated
    height, width = field_mask.shape
    labels = separated.label_image.copy()
    inner = cv2.erode(field_mask.view(np.uint8), np.ones((5, 5), np.uint8), borderValue=1)
    kept: list[DetectedCell] = []
    crops = ndimage.find_objects(labels, max_label=len(separated.cells))
    for cell, crop in zip(separated.cells, crops, strict=True):
        is_cell = labels[crop] == cell.label
        column = min(int(cell.centroid[0]), width - 1)
        row = min(int(cell.centroid[1]), height - 1)
        if not field_mask[row, column]:
            labels[crop][is_cell] = 0
            continue
        touches_rim = bool((is_cell & (inner[crop] == 0)).any())
        kept.append(replace(cell, touches_border=True) if touches_rim else cell)
    return in_reading_order(labels, kept, count=len(separated.cells))


def count_by_rule(
    separated: SeparatedCells, rule: BorderRule, field_mask: NDArray[np.bool_]
) -> tuple[bool, ...]:
    """Which cells a border rule counts.

    In a round field the upper left half of the rim stands for the upper and the left side.

    Parameters
    ----------
    separated : SeparatedCells
    rule : BorderRule
    field_mask : ndarray of shape (height, width), dtype bool

    Returns
    -------
    tuple of bool
        One for each cell.
    """
    if rule == BorderRule.COUNTED:
        return (True,) * len(separated.cells)
    height, width = field_mask.shape
    rows, columns = np.flatnonzero(field_mask.any(axis=1)), np.flatnonzero(field_mask.any(axis=0))
    middle = (
        (columns[0] + columns[-1] + 1) / 2 if len(columns) else width / 2,
        (rows[0] + rows[-1] + 1) / 2 if len(rows) else height / 2,
    )
    return tuple(_is_counted(cell, (height, width), middle) for cell in separated.cells)


def _is_counted(cell: DetectedCell, shape: tuple[int, int], middle: tuple[float, float]) -> bool:
    if not cell.touches_border:
        return True
    # A resampled cell may end a pixel before the border that it touches.
    if cell.box.x_max >= shape[1] - 1 or cell.box.y_max >= shape[0] - 1:
        return False
    is_at_side = cell.box.x_min <= 1 or cell.box.y_min <= 1
    if is_at_side:
        return True
    return cell.centroid[0] - middle[0] + cell.centroid[1] - middle[1] < 0
