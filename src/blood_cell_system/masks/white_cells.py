"""The outline of a white cell, given its box.

Rays run from the middle of the box. Along each, every radius is scored: how much more the pixels
below it look like this cell than like what surrounds it, whether it gets paler just there, and how
near it is to the box's ellipse. The best closed, smooth outline through the scores is found
exactly, by dynamic programming; then the cytoplasm's colour is learnt again from what lies inside,
and the outline is found once more. The nucleus belongs to the cell in any case.

Boxes are drawn with some air around the cell, a tenth of the width or more: the ellipse is a weak
hint only.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.masks.colour_model import ColourModel
from blood_cell_system.masks.ellipses import clip_to_pixels, ellipse_distance, whole_cell_box
from blood_cell_system.masks.polar_contour import best_closed_contour
from blood_cell_system.masks.red_cells import RedCellLook
from blood_cell_system.masks.stain import RED

# Rays, and radii along a ray in half-axes of the box's ellipse.
_ANGLES: Final = 96
_RADII: Final = 96
_LARGEST_RADIUS: Final = 1.2
_SMALLEST_RADIUS: Final = 0.3

# Spread of densities within one kind of pixel, beyond what the samples show.
_SLIDE_SPREAD: Final = 0.04
_RED_CELL_SPREAD: Final = 0.01
_NUCLEUS_SPREAD: Final = 0.15
_CYTOPLASM_SPREAD: Final = 0.05

_REGION_WEIGHT: Final = 15.0
_EDGE_WEIGHT: Final = 1.0
_ELLIPSE_WEIGHT: Final = 1.0
_ELLIPSE_RADIUS: Final = 0.95
_ELLIPSE_TOLERANCE: Final = 0.15
_BEND_COST: Final = 0.3
_MOST_EVIDENCE: Final = 4.0
_EDGE_CONTRAST: Final = 0.3
_ROUNDS: Final = 2
_FIRST_RADIUS: Final = 0.6
_HALO: Final = 0.015
_MIN_SAMPLES: Final = 60
_UNLIKELY: Final = np.float32(-50.0)


def outline_white_cell(
    density: NDArray[np.float32], cell: LabelledBox, look: RedCellLook
) -> tuple[slice, slice, NDArray[np.bool_]] | None:
    """Find the pixels of a white cell.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density of the picture.
    cell : LabelledBox
        Box around the cell.
    look : RedCellLook
        How red cells look in this picture, to tell them from cytoplasm.

    Returns
    -------
    rows, columns : slice
        Window of the picture around the cell.
    inside : ndarray of shape (rows, columns), dtype bool
        Pixels of the cell in that window. None in place of all three where the box holds too few
        pixels to tell.
    """
    shape = (density.shape[0], density.shape[1])
    whole = whole_cell_box(cell, shape)
    rows, columns = clip_to_pixels(cell, shape, margin=0.15 * max(cell.width, cell.height))
    window = density[rows, columns]
    distance = ellipse_distance(whole, rows, columns)
    in_ellipse = distance < 1.0
    if np.count_nonzero(in_ellipse) < _MIN_SAMPLES:
        return None
    nucleus_threshold = _nucleus_threshold(window[:, :, RED][in_ellipse])
    rays = _Rays(window, cell, whole, rows.start, columns.start)
    radius_index = _outline(rays, look, nucleus_threshold)
    inside = np.zeros(window.shape[:2], dtype=np.uint8)
    corners = rays.points(radius_index)
    cv2.fillPoly(inside, [np.rint(corners * 16).astype(np.int32)], 1, shift=4)
    nucleus = (window[:, :, RED] > nucleus_threshold) & in_ellipse
    touched = cv2.dilate(inside, np.ones((3, 3), np.uint8)).astype(bool)
    return rows, columns, inside.astype(bool) | (nucleus & touched)


class _Rays:
    """Densities along rays from the middle of a box's ellipse.

    Parameters
    ----------
    window : ndarray of shape (rows, columns, 3), dtype float32
    cell, whole : LabelledBox
        The box, and that of the whole cell where the border cuts it, in pixels of the picture.
    top, left : int
        Corner of the window in the picture.
    """

    def __init__(
        self,
        window: NDArray[np.float32],
        cell: LabelledBox,
        whole: LabelledBox,
        top: int,
        left: int,
    ) -> None:
        self.radii = np.linspace(0.02, _LARGEST_RADIUS, _RADII, dtype=np.float32)
        self._middle = np.array([whole.centre[0] - 0.5 - left, whole.centre[1] - 0.5 - top])
        angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
        directions = np.stack([np.cos(angles) * whole.width, np.sin(angles) * whole.height], axis=1)
        self._directions = directions / 2
        points = self._middle + self._directions[:, None] * self.radii[:, None]
        x, y = points[:, :, 0].astype(np.float32), points[:, :, 1].astype(np.float32)
        height, width = window.shape[:2]
        self.is_visible = (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
        self.is_in_box = (np.abs(x + 0.5 + left - cell.centre[0]) < cell.width / 2) & (
            np.abs(y + 0.5 + top - cell.centre[1]) < cell.height / 2
        )
        self.density: NDArray[np.float32] = cv2.remap(
            window, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    def points(self, radius_index: NDArray[np.intp]) -> NDArray[np.float64]:
        """Corners ``(x, y)`` of the outline in pixels of the window."""
        return np.asarray(
            self._middle + self._directions * (self.radii[radius_index] + _HALO)[:, None]
        )


def _nucleus_threshold(red_density: NDArray[np.float32]) -> float:
    """Otsu's threshold of the red density: nuclei take up far more blue dye than all else."""
    largest = 1.2
    scaled = np.clip(red_density * (255 / largest), 0, 255).astype(np.uint8)
    otsu, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return max(float(otsu) / 255 * largest, 0.12)


def _outline(rays: _Rays, look: RedCellLook, nucleus_threshold: float) -> NDArray[np.intp]:
    pixels = rays.density
    is_nucleus = (pixels[:, :, RED] > nucleus_threshold) & rays.is_visible
    outside = ColourModel.around(np.zeros(3, np.float32), spread=_SLIDE_SPREAD).log_density(pixels)
    if len(look.samples):
        red_cell = ColourModel.of_samples(look.samples, spread=_RED_CELL_SPREAD)
        outside = np.logaddexp(outside, red_cell.log_density(pixels))
    nucleus = _log_density_of(pixels, is_nucleus & (rays.radii < 1.0), _NUCLEUS_SPREAD)
    hints = _edge_score(rays) + _ellipse_score(rays)
    hints[:, rays.radii < _SMALLEST_RADIUS] = -1e4

    near_nucleus = cv2.dilate(is_nucleus.astype(np.uint8), np.ones((3, 5), np.uint8)).astype(bool)
    may_be_cytoplasm = rays.is_visible & ~near_nucleus
    is_inside = np.broadcast_to(rays.radii < _FIRST_RADIUS, is_nucleus.shape)
    step = _LARGEST_RADIUS / _RADII
    index = np.zeros(_ANGLES, dtype=np.intp)
    for _ in range(_ROUNDS):
        cytoplasm = _log_density_of(pixels, is_inside & may_be_cytoplasm, _CYTOPLASM_SPREAD)
        evidence = np.logaddexp(nucleus, cytoplasm) - outside
        np.clip(evidence, -_MOST_EVIDENCE, _MOST_EVIDENCE, out=evidence)
        evidence[~rays.is_in_box] = -_MOST_EVIDENCE
        evidence *= rays.is_visible
        region = np.cumsum(evidence * rays.radii, axis=1) * (step * _REGION_WEIGHT)
        index = best_closed_contour((region + hints).astype(np.float32), bend_cost=_BEND_COST)
        is_inside = np.arange(_RADII) < index[:, None] - 2
    return index


def _log_density_of(
    pixels: NDArray[np.float32], chosen: NDArray[np.bool_], spread: float
) -> NDArray[np.float32]:
    samples = pixels[chosen]
    if len(samples) < _MIN_SAMPLES:
        return np.full(pixels.shape[:2], _UNLIKELY)
    return ColourModel.of_samples(samples, spread=spread).log_density(pixels)


def _edge_score(rays: _Rays) -> NDArray[np.float32]:
    """Where it gets paler outwards, in full; where only the colour changes, by half."""
    reach = 2
    change = rays.density[:, : -2 * reach] - rays.density[:, 2 * reach :]
    paler = change.sum(axis=2) / _EDGE_CONTRAST
    other = np.abs(change).sum(axis=2) / _EDGE_CONTRAST
    score = np.zeros(rays.density.shape[:2], dtype=np.float32)
    score[:, reach:-reach] = _EDGE_WEIGHT * np.clip(np.maximum(paler, 0.5 * other), 0, 1)
    return np.asarray(score * rays.is_visible)


def _ellipse_score(rays: _Rays) -> NDArray[np.float32]:
    deviation = (rays.radii - _ELLIPSE_RADIUS) / _ELLIPSE_TOLERANCE
    score = np.maximum(-_ELLIPSE_WEIGHT * deviation**2, -4 * _ELLIPSE_WEIGHT)
    return np.asarray(score * rays.is_visible, dtype=np.float32)
