"""The outline of a white cell, given its box, and where white cells are that nobody has boxed.

Rays run from the middle of the box. Along each, every radius is scored: how much more the pixels
below it look like this cell than like what surrounds it, whether it gets paler just there, and how
near it is to the box's ellipse. The best closed, smooth outline through the scores is found
exactly, by dynamic programming; then the cytoplasm's colour is learnt again from what lies inside,
and the outline is found once more. The nucleus belongs to the cell in any case.

Boxes are drawn with some air around the cell, a tenth of the width or more: the ellipse is a weak
hint only.

What may belong to a white cell that nobody has boxed is not scored. Its nucleus gives it away; how
far the cytoplasm reaches is found with a box guessed around the nucleus, and the smear of a burst
cell is followed as far as it is purple.
"""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.masks.ellipses import clip_to_pixels, ellipse_distance, whole_cell_box
from blood_cell_system.masks.red_cells import RedCellAppearance
from blood_cell_system.stain.optical_density import GREEN, RED
from blood_cell_system.taxonomy import WBC


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourModel:
    """A Gaussian over the three densities of a pixel.

    Parameters
    ----------
    mean : ndarray of shape (3,), dtype float32
    whitening : ndarray of shape (3, 3), dtype float32
        Factor ``L`` of the inverse covariance ``L @ L.T``.
    """

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]

    @classmethod
    def of_samples(cls, samples: NDArray[np.float32], *, spread: float) -> Self:
        """Fit to samples, leaving out the tenth of them that is farthest from the median.

        Parameters
        ----------
        samples : ndarray of shape (n, 3), dtype float32
            At least one.
        spread : float
            Standard deviation that is added to the samples' own.
        """
        middle = np.median(samples, axis=0).astype(np.float32)
        offsets = samples - middle
        distance = np.abs(offsets).sum(axis=1)
        offsets = offsets[distance <= np.quantile(distance, 0.9)]
        covariance = offsets.T @ offsets / len(offsets) + np.eye(3) * spread**2
        return cls(mean=middle, whitening=_factor(covariance))

    @classmethod
    def around(cls, mean: NDArray[np.float32], *, spread: float) -> Self:
        """Equal spread in all directions around a known colour."""
        return cls(mean=mean, whitening=_factor(np.eye(3) * spread**2))

    def log_density(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logarithm of the Gaussian, but for a constant that is the same for all models.

        Parameters
        ----------
        pixels : ndarray of shape (..., 3), dtype float32

        Returns
        -------
        ndarray of shape (...), dtype float32
        """
        whitened = (pixels - self.mean) @ self.whitening
        log_volume = np.float32(np.log(np.diag(self.whitening)).sum())
        exponent: NDArray[np.float32] = np.einsum("...i,...i->...", whitened, whitened)
        return log_volume - np.float32(0.5) * exponent


def _factor(covariance: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)


def best_closed_contour(
    score: NDArray[np.float32], *, bend_cost: float, max_step: int = 3
) -> NDArray[np.intp]:
    """Radius index at every angle, so that the sum of scores less the cost of bends is largest.

    Parameters
    ----------
    score : ndarray of shape (angles, radii), dtype float32
        How well the outline passes through a radius at an angle; the angles go once around.
    bend_cost : float
        Cost of a step of one radius between neighbouring angles; it grows with the square.
    max_step : int
        Largest step between neighbouring angles.

    Returns
    -------
    ndarray of shape (angles,), dtype intp

    Notes
    -----
    The circle is cut open, followed for two turns, and the middle turn is kept: after half a turn
    the beginning no longer matters, so the ends meet.

    Examples
    --------
    >>> score = np.zeros((8, 5), dtype=np.float32)
    >>> score[:, 3] = 1.0
    >>> best_closed_contour(score, bend_cost=0.1).tolist()
    [3, 3, 3, 3, 3, 3, 3, 3]
    """
    angles, radii = score.shape
    start = angles // 2
    order = (np.arange(2 * angles) - start) % angles
    steps = np.arange(-max_step, max_step + 1)
    costs = (bend_cost * steps.astype(np.float32) ** 2)[:, None]
    padded = np.full(radii + 2 * max_step, -np.inf, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, radii)
    came_from = np.empty((len(order), radii), dtype=np.intp)
    columns = np.arange(radii)
    padded[max_step : max_step + radii] = score[order[0]]
    for index in range(1, len(order)):
        options = windows - costs
        best = options.argmax(axis=0)
        came_from[index] = columns + best - max_step
        padded[max_step : max_step + radii] = options[best, columns] + score[order[index]]
    path = np.empty(len(order), dtype=np.intp)
    path[-1] = int(padded[max_step : max_step + radii].argmax())
    for index in range(len(order) - 1, 0, -1):
        path[index - 1] = came_from[index, path[index]]
    return path[start : start + angles]


# Rays, and radii along a ray in half-axes of the box's ellipse.
_ANGLES: Final = 96
_RADII: Final = 96  # Radii along a ray.
_LARGEST_RADIUS: Final = 1.2  # Half-axes of the box's ellipse, where rays end.
_SMALLEST_RADIUS: Final = 0.3  # Half-axes; no outline comes nearer to the middle.

# Spread of densities within one kind of pixel, beyond what the samples show.
_SLIDE_SPREAD: Final = 0.04
_RED_CELL_SPREAD: Final = 0.01  # Optical density; red cells are all alike.
_NUCLEUS_SPREAD: Final = 0.15  # Optical density; nuclei are coarse.
_CYTOPLASM_SPREAD: Final = 0.05  # Optical density.

_REGION_WEIGHT: Final = 15.0  # Of what pixels inside say, against an edge of full contrast.
_EDGE_WEIGHT: Final = 1.0  # Of an edge of full contrast; the unit of the other weights.
_ELLIPSE_WEIGHT: Final = 1.0  # Of lying on the ellipse of the box.
_ELLIPSE_RADIUS: Final = 0.95  # Half-axes; careful boxes leave a little room.
# Half-axes off the ellipse that cost one _ELLIPSE_WEIGHT.
_ELLIPSE_TOLERANCE: Final = 0.15
_BEND_COST: Final = 0.3  # Of a step of one radius between neighbouring rays.
_MOST_EVIDENCE: Final = 4.0  # Logarithm of a likelihood ratio at which one pixel is cut off.
_EDGE_CONTRAST: Final = 0.3  # Optical density of an edge of full contrast.
_ROUNDS: Final = 2  # Times that the cytoplasm is learned anew.
_FIRST_RADIUS: Final = 0.6  # Half-axes that are taken for the cell at first.
_HALO: Final = 0.015  # Half-axes by which the outline lies outside the steepest edge.
_MIN_SAMPLES: Final = 60  # Pixels; of fewer no colour is learned.
_UNLIKELY: Final = np.float32(-50.0)


def outline_white_cell(
    density: NDArray[np.float32], cell: Annotation, appearance: RedCellAppearance
) -> tuple[slice, slice, NDArray[np.bool_]] | None:
    """Find the pixels of a white cell.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density of the image.
    cell : Annotation
        Box around the cell.
    appearance : RedCellAppearance
        How red cells look in this image, to distinguish them from cytoplasm.

    Returns
    -------
    rows, columns : slice
        Window of the image around the cell.
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
    radius_index = _outline(rays, appearance, nucleus_threshold)
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
    cell, whole : Annotation
        The box, and that of the whole cell where the border cuts it, in pixels of the image.
    top, left : int
        Corner of the window in the image.
    """

    def __init__(
        self,
        window: NDArray[np.float32],
        cell: Annotation,
        whole: Annotation,
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


def _outline(
    rays: _Rays, appearance: RedCellAppearance, nucleus_threshold: float
) -> NDArray[np.intp]:
    pixels = rays.density
    is_nucleus = (pixels[:, :, RED] > nucleus_threshold) & rays.is_visible
    outside = ColourModel.around(np.zeros(3, np.float32), spread=_SLIDE_SPREAD).log_density(pixels)
    if len(appearance.samples):
        red_cell = ColourModel.of_samples(appearance.samples, spread=_RED_CELL_SPREAD)
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


# Of a typical red cell's area.
_MIN_NUCLEUS_SHARE: Final = 0.15
# Green density of a nucleus in stains that leave it magenta, as Giemsa does: that of the darkest
# red cells times this, and at least so much.
_MAGENTA_LEAD: Final = 3.0
_LEAST_MAGENTA_DENSITY: Final = 1.2  # Green density of a magenta nucleus at least.
# Of a typical red cell's diameter: what surrounds a nucleus in any case, the air of the guessed
# box, and the doubt about the outline found in it.
_CYTOPLASM_SHARE: Final = 0.35
_MARGIN_SHARE: Final = 0.35  # Of a red cell's diameter: margin of a guessed box around the nucleus.
_DOUBT_SHARE: Final = 0.06  # Of a red cell's diameter: width of the rim in doubt.
# Red share above the red cells' from which on stain near a nucleus is purple.
_PURPLE_LEAD: Final = 0.07


def around_unboxed_nuclei(
    density: NDArray[np.float32],
    red_share: NDArray[np.float32],
    appearance: RedCellAppearance,
    *,
    foreground: NDArray[np.bool_],
    in_red_box: NDArray[np.bool_],
    is_white: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Where a white cell seems to lie that has no box, or a wrong one.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density of the image.
    red_share : ndarray of shape (height, width), dtype float32
        As of ``red_share_of``.
    appearance : RedCellAppearance
        How red cells look in this image.
    foreground : ndarray of shape (height, width), dtype bool
        Pixels of any cell.
    in_red_box : ndarray of shape (height, width), dtype bool
        Where a person has seen a red cell: a smear may lie on it, but ends there.
    is_white : ndarray of shape (height, width), dtype bool
        Pixels of the white cells that have a box.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        Nucleus, cytoplasm and purple smear; pale cytoplasm also where it is no foreground.
    """
    nuclei = _nuclei(density, appearance, in_red_box=in_red_box, is_white=is_white)
    if not nuclei.any():
        return nuclei
    distance = cv2.distanceTransform((~nuclei).view(np.uint8), cv2.DIST_L2, 3)
    unscored = foreground & (distance < _CYTOPLASM_SHARE * appearance.diameter_px)
    cytoplasm = np.zeros(nuclei.shape, dtype=np.uint8)
    for box in _guessed_boxes(nuclei, appearance):
        outline = outline_white_cell(density, box, appearance)
        if outline is not None:
            rows, columns, inside = outline
            cytoplasm[rows, columns] |= inside
    doubt = 2 * round(_DOUBT_SHARE * appearance.diameter_px) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (doubt, doubt))
    unscored |= cytoplasm.astype(bool) | (foreground & (cv2.dilate(cytoplasm, kernel) > 0))
    unscored |= _purple_smear(
        red_share, appearance, foreground=foreground & ~in_red_box, seeds=nuclei
    )
    return np.asarray(unscored & ~is_white)


def _nuclei(
    density: NDArray[np.float32],
    appearance: RedCellAppearance,
    *,
    in_red_box: NDArray[np.bool_],
    is_white: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    dark = density[:, :, RED] > appearance.nucleus_density
    if len(appearance.samples):
        darkest = float(np.quantile(appearance.samples[:, GREEN], 0.9))
        magenta = density[:, :, GREEN] > max(_LEAST_MAGENTA_DENSITY, _MAGENTA_LEAD * darkest)
        # A parasite makes a red cell as dark.
        dark |= magenta & ~in_red_box
    dark &= ~is_white
    # A white cell's own outline may leave a fringe of its nucleus.
    opened = cv2.morphologyEx(dark.view(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    is_nucleus = stats[:, cv2.CC_STAT_AREA] >= _MIN_NUCLEUS_SHARE * appearance.area_px
    is_nucleus[0] = False
    return np.asarray(is_nucleus[labels])


def _guessed_boxes(nuclei: NDArray[np.bool_], appearance: RedCellAppearance) -> list[Annotation]:
    """Put a box around every nucleus, or lobe of one, with air for the cytoplasm."""
    margin = _MARGIN_SHARE * appearance.diameter_px
    height, width = nuclei.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(nuclei.view(np.uint8), connectivity=8)
    return [
        Annotation(
            cell_type=WBC,
            box=Box(
                max(0.0, x - margin),
                max(0.0, y - margin),
                min(float(width), x + columns + margin),
                min(float(height), y + rows + margin),
            ),
        )
        for x, y, columns, rows, _ in stats[1:].tolist()
    ]


def _purple_smear(
    red_share: NDArray[np.float32],
    appearance: RedCellAppearance,
    *,
    foreground: NDArray[np.bool_],
    seeds: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Foreground that is connected to a nucleus and is purple all the way."""
    purple = foreground & (red_share > appearance.red_share + _PURPLE_LEAD)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    # The rims of red cells are purple too, but thin.
    solid = cv2.morphologyEx((purple | seeds).view(np.uint8), cv2.MORPH_OPEN, kernel)
    joined = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, kernel)
    _, labels = cv2.connectedComponents(joined)
    is_smear = np.zeros(int(labels.max()) + 1, dtype=bool)
    is_smear[labels[seeds]] = True
    is_smear[0] = False
    return np.asarray(is_smear[labels])
