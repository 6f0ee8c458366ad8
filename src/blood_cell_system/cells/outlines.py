"""Outlines of cells as polygons."""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.table import Cells

Polygon = list[tuple[float, float]]


def outline_polygons(cells: Cells, *, tolerance_px: float = 0.7) -> list[Polygon]:
    """Outline of every cell as a polygon through the middles of its outermost pixels.

    Parameters
    ----------
    tolerance_px : float
        How far the polygon may be from the outline, so that it has few corners.

    Returns
    -------
    list of list of tuple
        For each cell its corners ``(x, y)`` in pixels, where the middle of the first pixel is
        (0.5, 0.5); of its largest part where a cell is in pieces; empty for one without pixels.
    """
    places = enumerate(cells["box"].tolist(), start=1)
    return label_polygons(cells.label_image, places, tolerance_px=tolerance_px)


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
