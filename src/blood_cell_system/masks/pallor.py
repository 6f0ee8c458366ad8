"""The pale middle of red cells belongs to them; the gaps between cells do not."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.masks.ellipses import (
    clip_to_pixels,
    ellipse_distance,
    nearest_ellipse,
    whole_cell_box,
)

_SPECK_SHARE = 0.02
_MIDDLE = 0.75
_MIN_ROUNDNESS = 0.65
_MIN_SOLIDITY = 0.88
_BROKEN_RING = 0.9
_GAP_SHARE = 0.12
# Holes from this area on have a shape that tells pallor from gaps, as part of a cell's area.
_SHAPELESS_SHARE = 0.12
# The pallor of ghost cells: its area in those of the largest usual pallor, and its solidity.
_GHOST_SHARE = 1.5
_GHOST_SOLIDITY = 0.92
_PALE = 0.6
_PALE_THRESHOLD = 0.6


def fill_pallor(
    foreground: NDArray[np.bool_],
    cells: Sequence[LabelledBox],
    *,
    cell_area_px: float,
    max_share: float,
) -> NDArray[np.bool_]:
    """Fill the holes that lie in cells.

    A hole in the middle of a boxed red cell is its pallor. A hole in no box is taken for one when
    it is round: the gaps between round cells are triangles with hollow sides.

    Parameters
    ----------
    foreground : ndarray of shape (height, width), dtype bool
    cells : sequence of LabelledBox
    cell_area_px : float
        Area of a typical red cell.
    max_share : float
        Largest hole in no box that is filled, as part of a cell's area; in the middle of a box it
        may be twice as large.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
    """
    shape = foreground.shape
    red_cells = [
        whole_cell_box(cell, shape)
        for cell in cells
        if cell.cell_type is CellType.RBC and cell.width > 0 and cell.height > 0
    ]
    filled = foreground.copy()
    for cell in red_cells:
        _close_broken_ring(filled, cell)
    owner, distance = nearest_ellipse(red_cells, shape, reach=1.0)
    count, labels, stats, middles = cv2.connectedComponentsWithStats(
        (~filled).view(np.uint8), connectivity=4
    )
    for label in range(1, count):
        x, y, width, height, area = stats[label]
        if area > 2 * max_share * cell_area_px:
            continue
        column, row = np.rint(middles[label]).astype(int)
        in_cell = distance[row, column] < _MIDDLE**2
        if in_cell:
            cell = red_cells[owner[row, column]]
            limit = 2 * max_share * np.pi / 4 * max(cell.width * cell.height, cell_area_px / 2)
        elif x == 0 or y == 0 or x + width == shape[1] or y + height == shape[0]:
            continue
        else:
            limit = max_share * cell_area_px
        if area > limit:
            continue
        window = np.s_[y : y + height, x : x + width]
        hole = labels[window] == label
        if in_cell or area < _SPECK_SHARE * cell_area_px or _is_round(hole):
            filled[window][hole] = True
    return filled


def doubtful_holes(
    foreground: NDArray[np.bool_], *, cell_area_px: float, max_share: float
) -> NDArray[np.bool_]:
    """Holes that were not filled, but may be pallor rather than a gap between cells.

    Parameters
    ----------
    foreground : ndarray of shape (height, width), dtype bool
        As of ``fill_pallor``.
    cell_area_px : float
        Area of a typical red cell.
    max_share : float
        Largest pallor of a usual cell, as part of its area.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        Holes too small to have a shape of their own, larger ones without any hollow side, as ghost
        cells have them, and small ones that one side of the picture cuts.
    """
    shape = foreground.shape
    doubtful = np.zeros(shape, dtype=bool)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (~foreground).view(np.uint8), connectivity=4
    )
    for label in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[label])
        if area > _GHOST_SHARE * max_share * cell_area_px:
            continue
        window = np.s_[y : y + height, x : x + width]
        hole = labels[window] == label
        sides_cut = (x == 0) + (y == 0) + (x + width == shape[1]) + (y + height == shape[0])
        if sides_cut:
            is_pallor_like = sides_cut == 1 and area < max_share * cell_area_px
            is_doubtful = is_pallor_like and _solidity(hole) > _MIN_SOLIDITY
        else:
            is_small = area < _SHAPELESS_SHARE * cell_area_px
            is_doubtful = is_small or _solidity(hole) > _GHOST_SOLIDITY
        if is_doubtful:
            doubtful[window][hole] = True
    return doubtful


def pale_cells(
    green_density: NDArray[np.float32],
    foreground: NDArray[np.bool_],
    red_cells: Sequence[LabelledBox],
    *,
    threshold: float,
) -> NDArray[np.bool_]:
    """Pixels of boxed cells that are too pale for the picture's threshold.

    Only where a person has seen a cell, and most of it is missing, a lower threshold is tried.

    Parameters
    ----------
    green_density : ndarray of shape (height, width), dtype float32
    foreground : ndarray of shape (height, width), dtype bool
    red_cells : sequence of LabelledBox
    threshold : float
        The one that the foreground was found with.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
    """
    pale = np.zeros(foreground.shape, dtype=bool)
    kernel = np.ones((3, 3), np.uint8)
    for cell in red_cells:
        rows, columns = clip_to_pixels(cell, foreground.shape)
        inside = ellipse_distance(cell, rows, columns) <= 1.0
        seen = np.count_nonzero(foreground[rows, columns] & inside)
        if seen >= _PALE * np.count_nonzero(inside):
            continue
        candidate = (green_density[rows, columns] > _PALE_THRESHOLD * threshold) & inside
        opened = cv2.morphologyEx(candidate.view(np.uint8), cv2.MORPH_OPEN, kernel)
        pale[rows, columns] |= opened.astype(bool)
    return pale


def _close_broken_ring(foreground: NDArray[np.bool_], cell: LabelledBox) -> None:
    """Close gaps in the ring of a pale cell, within its ellipse, in place."""
    rows, columns = clip_to_pixels(cell, foreground.shape)
    inside = ellipse_distance(cell, rows, columns) <= 1.0
    visible = foreground[rows, columns] & inside
    size = int(np.count_nonzero(inside))
    if size == 0 or not 0.2 < np.count_nonzero(visible) / size < _BROKEN_RING:
        return
    gap = 2 * int(_GAP_SHARE * min(cell.width, cell.height) / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    padded = np.pad(visible.view(np.uint8), gap)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[gap:-gap, gap:-gap]
    foreground[rows, columns] |= closed.astype(bool) & inside


def _outer_contour(hole: NDArray[np.bool_]) -> NDArray[np.int32]:
    contours, _ = cv2.findContours(hole.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(contours, key=len))


def _is_round(hole: NDArray[np.bool_]) -> bool:
    contour = _outer_contour(hole)
    area = max(1.0, cv2.contourArea(contour))
    perimeter = max(1.0, cv2.arcLength(cv2.approxPolyDP(contour, 0.8, True), True))  # noqa: FBT003
    return 4 * np.pi * area / perimeter**2 > _MIN_ROUNDNESS and _solidity(hole) > _MIN_SOLIDITY


def _solidity(hole: NDArray[np.bool_]) -> float:
    """Area as part of the hull's: small with hollow sides, as the gaps between round cells have."""
    contour = _outer_contour(hole)
    hull = max(1.0, cv2.contourArea(cv2.convexHull(contour)))
    return max(1.0, cv2.contourArea(contour)) / hull
