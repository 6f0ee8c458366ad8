"""Outlines of cells as polygons."""

import cv2
import numpy as np

from blood_cell_system.cells.neighbours import crops_of
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
    polygons: list[Polygon] = []
    for label, place in enumerate(crops_of(cells.label_image, len(cells)), start=1):
        mask = (cells.label_image[place] == label).astype(np.uint8)
        if not mask.size:
            polygons.append([])
            continue
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        largest = max(contours, key=len)
        corners = cv2.approxPolyDP(largest, epsilon=tolerance_px, closed=True).reshape(-1, 2)
        x, y = place[1].start + 0.5, place[0].start + 0.5
        polygons.append([(float(column) + x, float(row) + y) for column, row in corners])
    return polygons
