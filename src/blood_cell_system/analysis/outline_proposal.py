"""The outline of a cell that a person points at or draws a box around."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.segmentation import find_cells
from blood_cell_system.analysis.trained_models import Runtime, training_diameter_of
from blood_cell_system.annotation.outline import PixelOutline, polygon_of
from blood_cell_system.boxes import Box
from blood_cell_system.cells.separation import SeparationSettings
from blood_cell_system.cells.table import Cells
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX

_REACH: Final = 2.5
"""Diameters of a red cell that the network sees around the place, for its surroundings."""
_NEAR: Final = 0.7
"""Diameters between a point and the middle of the cell that it may mean."""
_LEAST_OVERLAP: Final = 0.3
"""Intersection over union of a box and the cell that it is around."""
_LEAST_FILLED: Final = 0.1
"""Share of a box that stained pixels fill; in an emptier one the cell is drawn as an ellipse."""
_TOLERANCE_PX: Final = 0.7
"""How far corners may be left out: below what a person sees, and few enough to drag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedOutline:
    """A cell where a person says that there is one.

    Parameters
    ----------
    polygon : tuple of tuple of float
        x and y in pixels of the image.
    cell_type : str or None
        What the network takes it for; None where it sees no cell.
    """

    polygon: tuple[tuple[float, float], ...]
    cell_type: str | None


def propose_outline(
    runtime: Runtime,
    image: NDArray[np.uint8],
    place: Box | tuple[float, float],
    *,
    diameter_px: float,
    taken: NDArray[np.bool_] | None = None,
) -> ProposedOutline | None:
    """Outline the cell at a point, or in a box.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    place : Box, or tuple of float
        Around the cell; or x and y of a point in it, in pixels.
    diameter_px : float
        Of a red cell in the image.
    taken : ndarray of shape (height, width), dtype bool, optional
        Pixels of other cells, which the outline leaves out.

    Returns
    -------
    ProposedOutline or None
        None where a point is in no cell that the network sees, or in pixels that are taken.
    """
    height, width = image.shape[:2]
    box = place if isinstance(place, Box) else Box(*place, *place)
    reach = _REACH * diameter_px
    left, top = max(int(box.x_min - reach), 0), max(int(box.y_min - reach), 0)
    right, bottom = min(int(box.x_max + reach) + 1, width), min(int(box.y_max + reach) + 1, height)
    if right <= left or bottom <= top:
        return None
    window = slice(top, bottom), slice(left, right)
    training_diameter = training_diameter_of(runtime) or TRAINING_DIAMETER_PX
    found = find_cells(
        runtime,
        np.ascontiguousarray(image[window]),
        magnification=training_diameter / diameter_px,
        separation=SeparationSettings().for_diameter(training_diameter),
        keeps_pose=True,
    )
    is_free = np.ones(found.class_mask.shape, bool) if taken is None else ~taken[window]
    cells = found.cells
    in_window = Box(box.x_min - left, box.y_min - top, box.x_max - left, box.y_max - top)
    if isinstance(place, Box):
        label = _cell_in(cells, in_window, is_free)
        pixels = cells.label_image == label if label else found.class_mask > 0
        if not label:
            pixels = _in_box(pixels & is_free, in_window)
    else:
        label = _cell_at(cells, (in_window.x_min, in_window.y_min), diameter_px, is_free)
        pixels = (cells.label_image == label) & bool(label)
    pixels = _largest_part(pixels & is_free)
    if not pixels.any():
        return None
    outline = PixelOutline.from_pixels(pixels, offset=(left, top))
    ring = max(polygon_of(outline, tolerance_px=_TOLERANCE_PX).rings, key=len)
    return ProposedOutline(
        polygon=tuple((round(float(x), 1), round(float(y), 1)) for x, y in ring),
        cell_type=str(cells["cell_type"][label - 1]) if label else None,
    )


def _cell_in(cells: Cells, box: Box, is_free: NDArray[np.bool_]) -> int:
    """Label of the cell that a box is around; 0 for none."""
    is_inside = _rectangle(is_free.shape, box)
    labels = np.where(is_free, cells.label_image, 0)
    areas = np.bincount(labels.ravel(), minlength=len(cells) + 1)
    shared = np.bincount(labels[is_inside], minlength=len(cells) + 1)
    overlaps = shared / np.maximum(areas + np.count_nonzero(is_inside) - shared, 1)
    overlaps[0] = 0
    best = int(overlaps.argmax())
    return best if overlaps[best] >= _LEAST_OVERLAP else 0


def _cell_at(
    cells: Cells, point: tuple[float, float], diameter_px: float, is_free: NDArray[np.bool_]
) -> int:
    """Label of the cell that a point means; 0 for none."""
    labels = np.where(is_free, cells.label_image, 0)
    height, width = labels.shape
    column, row = min(int(point[0]), width - 1), min(int(point[1]), height - 1)
    if not is_free[row, column] or labels[row, column]:
        return int(labels[row, column])
    if not len(cells):
        return 0
    distances = np.linalg.norm(cells["centroid"] - np.array(point), axis=1)
    # One that is taken is another person's.
    distances[np.bincount(labels.ravel(), minlength=len(cells) + 1)[1:] == 0] = np.inf
    nearest = int(distances.argmin())
    return nearest + 1 if distances[nearest] <= _NEAR * diameter_px else 0


def _in_box(stained: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    """Give the stained pixels of a box, or an ellipse where there are hardly any."""
    is_inside = _rectangle(stained.shape, box)
    found = stained & is_inside
    if np.count_nonzero(found) >= _LEAST_FILLED * np.count_nonzero(is_inside):
        return found
    rows, columns = np.indices(stained.shape)
    x, y = box.centre
    distance = ((columns + 0.5 - x) / max(box.width / 2, 0.5)) ** 2
    distance += ((rows + 0.5 - y) / max(box.height / 2, 0.5)) ** 2
    return np.asarray(distance <= 1)


def _rectangle(shape: tuple[int, ...], box: Box) -> NDArray[np.bool_]:
    rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    in_rows = (rows >= box.y_min) & (rows <= box.y_max)
    in_columns = (columns >= box.x_min) & (columns <= box.x_max)
    return np.asarray(in_rows[:, None] & in_columns[None, :])


def _largest_part(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pixels.astype(np.uint8))
    if count < 2:
        return pixels
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))
