"""Cells that the border of what was seen cuts off: which they are, and which are counted."""

from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.neighbours import crops_of
from blood_cell_system.cells.separation import in_reading_order
from blood_cell_system.cells.table import Cells

_LEAST_THICKNESS: Final = 0.35
"""Thickness of a cell that the rim of a round field cuts, at least, in diameters of whole cells."""


class BorderRule(StrEnum):
    """Which of the cells that the border cuts off are counted."""

    COUNTED = "counted"
    """All of them."""

    TWO_SIDES = "two-sides"
    """Only those at the upper and the left side, as in a counting chamber. So every cell of the
    smear has one field in which it counts, and cells per area come out without a bias."""


def cells_within(cells: Cells, field_mask: NDArray[np.bool_]) -> Cells:
    """Leave out what lies outside the field of view; cells that its rim cuts touch the border.

    Slivers along the rim are left out too: the light falls off there, and the dark of the surround
    is taken for stain.

    Parameters
    ----------
    field_mask : ndarray of shape (height, width), dtype bool
        True where the slide is seen.

    Returns
    -------
    Cells
        Those whose centroid is in the field, and which are no slivers.
    """
    if field_mask.all():
        return cells
    height, width = field_mask.shape
    labels = cells.label_image
    inner = cv2.erode(field_mask.view(np.uint8), np.ones((5, 5), np.uint8), borderValue=1)
    columns, rows = np.minimum(cells["centroid"].astype(np.intp), (width - 1, height - 1)).T
    touches_rim = np.array(
        [
            bool(((labels[crop] == label) & (inner[crop] == 0)).any())
            for label, crop in enumerate(crops_of(labels, len(cells)), 1)
        ],
        dtype=np.bool_,
    )
    marked = cells.with_columns(touches_border=cells["touches_border"] | touches_rim)
    is_kept = field_mask[rows, columns] & ~_slivers(marked, touches_rim)
    return in_reading_order(marked.select(is_kept))


def _slivers(cells: Cells, touches_rim: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the cells at the rim are far thinner than the others of their type."""
    is_sliver = np.zeros(len(cells), dtype=np.bool_)
    crops = crops_of(cells.label_image, len(cells))
    for cell_type in set(cells["cell_type"].tolist()):
        of_type = cells.is_type(cell_type)
        whole = of_type & ~cells["touches_border"]
        if not whole.any():
            continue
        diameter = float(np.median(cells["equivalent_diameter_area"][whole]))
        for row in np.flatnonzero(of_type & touches_rim):
            inside = (cells.label_image[crops[row]] == row + 1).astype(np.uint8)
            padded = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            thickness = 2 * cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5).max()
            is_sliver[row] = thickness < _LEAST_THICKNESS * diameter
    return is_sliver


def count_by_rule(cells: Cells, rule: BorderRule, field_mask: NDArray[np.bool_]) -> Cells:
    """Add the column ``is_counted``.

    In a round field the upper left half of the rim stands for the upper and the left side.

    Parameters
    ----------
    field_mask : ndarray of shape (height, width), dtype bool
    """
    if rule == BorderRule.COUNTED:
        return cells.with_columns(is_counted=np.ones(len(cells), dtype=np.bool_))
    height, width = field_mask.shape
    rows, columns = np.flatnonzero(field_mask.any(axis=1)), np.flatnonzero(field_mask.any(axis=0))
    middle = (
        (columns[0] + columns[-1] + 1) / 2 if len(columns) else width / 2,
        (rows[0] + rows[-1] + 1) / 2 if len(rows) else height / 2,
    )
    box, centroid = cells["box"], cells["centroid"]
    # A resampled cell may end a pixel before the border that it touches.
    is_at_right = (box[:, 2] >= width - 1) | (box[:, 3] >= height - 1)
    is_at_left = (box[:, 0] <= 1) | (box[:, 1] <= 1)
    is_upper_left = centroid[:, 0] - middle[0] + centroid[:, 1] - middle[1] < 0
    is_counted = ~cells["touches_border"] | (~is_at_right & (is_at_left | is_upper_left))
    return cells.with_columns(is_counted=is_counted)
