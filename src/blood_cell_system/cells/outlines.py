"""Outlines of cells as polygons, and how round they are."""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.separation import DetectedCell

Polygon = list[tuple[float, float]]


def perimeters_px(label_image: NDArray[np.integer], *, count: int) -> NDArray[np.float64]:
    """Length of the boundary of every cell, holes included, whatever way it runs.

    Parameters
    ----------
    label_image : ndarray of int, shape (height, width)
        0 in no cell, 1..``count`` in the cells.
    count : int
        Number of cells.

    Returns
    -------
    ndarray of shape (count,), dtype float64
        Pixels; that of cell ``i`` at ``i - 1``, 0 for a cell without pixels.

    Notes
    -----
    Cauchy and Crofton: a curve's length is half the integral over all lines of how often they cross
    it. Rows, columns and both diagonals stand for all lines. Counting the sides of pixels would
    call a disc's boundary 27 % too long, and a chain of pixels' middles does so by 5 %.

    Examples
    --------
    >>> rows, columns = np.ogrid[:101, :101]
    >>> disc = ((rows - 50) ** 2 + (columns - 50) ** 2 <= 40**2).astype(np.int32)
    >>> bool(abs(perimeters_px(disc, count=1)[0] / (2 * np.pi * 40) - 1) < 0.02)
    True
    """
    padded = np.pad(label_image, 1)
    lengths = np.zeros(count + 1)
    pairs = (
        (padded[:, 1:], padded[:, :-1], 1.0),
        (padded[1:], padded[:-1], 1.0),
        (padded[1:, 1:], padded[:-1, :-1], math.sqrt(0.5)),
        (padded[1:, :-1], padded[:-1, 1:], math.sqrt(0.5)),
    )
    for first, second, spacing in pairs:
        crossed = first != second
        for side in (first[crossed], second[crossed]):
            lengths += spacing * np.bincount(side, minlength=count + 1)
    # Half of the sum, at angles that are an eighth of a full turn apart.
    return np.asarray(lengths[1:] * (math.pi / 8))


def circularity(area_px: float, perimeter_px: float) -> float:
    """How round a cell is: ``4π · area / perimeter²``, 1 for a disc and less for all else.

    Examples
    --------
    >>> round(circularity(math.pi * 9, 2 * math.pi * 3), 6)
    1.0
    """
    if perimeter_px <= 0:
        return 0.0
    return min(1.0, 4 * math.pi * area_px / perimeter_px**2)


def outline_polygons(
    label_image: NDArray[np.integer], cells: Sequence[DetectedCell], *, tolerance_px: float = 0.7
) -> list[Polygon]:
    """Outline of every cell as a polygon through the middles of its outermost pixels.

    Parameters
    ----------
    label_image : ndarray of int, shape (height, width)
    cells : sequence of DetectedCell
    tolerance_px : float
        How far the polygon may be from the outline, so that it has few corners.

    Returns
    -------
    list of list of tuple
        For each cell its corners ``(x, y)`` in pixels, where the middle of the first pixel is
        (0.5, 0.5); of its largest part where a cell is in pieces; empty for one without pixels.
    """
    places = [
        (cell.label, (cell.box.x_min, cell.box.y_min, cell.box.x_max, cell.box.y_max))
        for cell in cells
    ]
    return label_polygons(label_image, places, tolerance_px=tolerance_px)


def label_polygons(
    label_image: NDArray[np.integer],
    places: Iterable[tuple[int, Sequence[float]]],
    *,
    tolerance_px: float = 0.7,
) -> list[Polygon]:
    """Outlines as of :func:`outline_polygons`, where only labels and boxes are known.

    Parameters
    ----------
    label_image : ndarray of int, shape (height, width)
    places : iterable of tuple
        Label of each cell, and ``(x_min, y_min, x_max, y_max)`` of its box.
    tolerance_px : float
    """
    height, width = label_image.shape
    polygons: list[Polygon] = []
    for label, (x_min, y_min, x_max, y_max) in places:
        left, top = max(math.floor(x_min), 0), max(math.floor(y_min), 0)
        right, bottom = min(math.ceil(x_max), width), min(math.ceil(y_max), height)
        window = label_image[top:bottom, left:right] == label
        if not window.any():
            polygons.append([])
            continue
        contours, _ = cv2.findContours(
            window.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        largest = max(contours, key=len)
        corners = cv2.approxPolyDP(largest, epsilon=tolerance_px, closed=True).reshape(-1, 2)
        polygons.append([(float(x) + left + 0.5, float(y) + top + 0.5) for x, y in corners])
    return polygons
