"""What is a red cell: its size and colour in this image, its pallor, and cells without a box."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.cell_diameter import is_whole
from blood_cell_system.masks.ellipses import clip_to_pixels, ellipse_distance
from blood_cell_system.stain.optical_density import RED
from blood_cell_system.taxonomy import RBC

_CORE = 0.7  # Half-axes of the ellipse whose pixels surely belong to the cell.
_MIN_SAMPLES = 50  # Pixels; of fewer no colour is learned.
_SAMPLE_STEP = 7  # Every so many pixels is a sample: neighbours say the same.
_LEAST_NUCLEUS_DENSITY = 0.3  # Red density of a nucleus at least.
_NUCLEUS_DENSITY = 0.4  # Red density from which a pixel may be a nucleus,
_NUCLEUS_RATIO = 2.0  # and the same in the density of red cells.
_SPECK_SHARE = 0.25  # Of a red cell's diameter: smaller dark spots are parasites or platelets.
_CYTOPLASM_SHARE = 0.5  # How far cytoplasm reaches beyond a nucleus, in red-cell diameters.
_LEAST_SHOWN = 0.4  # Of a red cell's area that a piece shows at least.
_CROWDED_SHARE = 0.15  # Of a cell's outline; where more touches others, it may be two cells.


@dataclass(frozen=True, slots=True, kw_only=True)
class RedCellAppearance:
    """How red cells look in one image.

    Parameters
    ----------
    samples : ndarray of shape (n, 3), dtype float32
        Optical densities of some of their pixels; empty when there are too few.
    red_share : float
        Median of the red density's share of the density of all channels: small in red cells, larger
        in everything that takes up blue dye.
    red_share_spread : float
        Standard deviation of that share, robustly.
    nucleus_density : float
        Red density that no red cell reaches: from there on it is a nucleus, a parasite or a
        platelet.
    diameter_px : float
        Of a typical cell.
    """

    samples: NDArray[np.float32]
    red_share: float
    red_share_spread: float
    nucleus_density: float
    diameter_px: float

    @property
    def area_px(self) -> float:
        """Area of a round cell of that diameter."""
        return float(np.pi / 4 * self.diameter_px**2)


def red_share_of(density: NDArray[np.float32], *, window_px: int = 7) -> NDArray[np.float32]:
    """Red density's share of the density of all channels, averaged over a small window.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32

    Returns
    -------
    ndarray of shape (height, width), dtype float32
        0.33 for gray.
    """
    red = cv2.blur(density[:, :, RED], (window_px, window_px))
    total = cv2.blur(cv2.transform(density, np.ones((1, 3), np.float32)), (window_px, window_px))
    share: NDArray[np.float32] = red / np.maximum(total, 0.03)
    return share


def appearance_of_red_cells(
    density: NDArray[np.float32],
    foreground: NDArray[np.bool_],
    red_share: NDArray[np.float32],
    cells: Sequence[Annotation],
) -> RedCellAppearance:
    """Learn from the boxed red cells; without any, from all foreground in no other box.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
    foreground : ndarray of shape (height, width), dtype bool
    red_share : ndarray of shape (height, width), dtype float32
        As of ``red_share_of``.
    """
    shape = foreground.shape
    is_sample = np.zeros(shape, dtype=bool)
    red_cells = [cell for cell in cells if cell.cell_type == RBC]
    for cell in red_cells:
        rows, columns = clip_to_pixels(cell, shape)
        is_sample[rows, columns] |= ellipse_distance(cell, rows, columns) < _CORE
    if not red_cells:
        is_sample[:] = True
    for cell in cells:
        if cell.cell_type != RBC:
            is_sample[clip_to_pixels(cell, shape)] = False
    chosen = np.flatnonzero(is_sample & foreground)[::_SAMPLE_STEP]
    samples = density.reshape(-1, 3)[chosen]
    diameter = _diameter_px(red_cells, foreground)
    if len(samples) < _MIN_SAMPLES:
        return RedCellAppearance(
            samples=samples[:0],
            red_share=0.2,
            red_share_spread=0.05,
            nucleus_density=_LEAST_NUCLEUS_DENSITY,
            diameter_px=diameter,
        )
    shares = red_share.ravel()[chosen]
    middle = float(np.median(shares))
    return RedCellAppearance(
        samples=samples,
        red_share=middle,
        red_share_spread=1.4826 * float(np.median(np.abs(shares - middle))),
        nucleus_density=max(_LEAST_NUCLEUS_DENSITY, 2.0 * float(np.quantile(samples[:, RED], 0.9))),
        diameter_px=diameter,
    )


def median_red_cell_density(
    density: NDArray[np.float32], stained: NDArray[np.bool_], *, diameter_px: float | None
) -> NDArray[np.float64] | None:
    """Median optical density of the red cells of an image: its own standard of stain.

    Taken from stained pixels that are no nucleus, nor as near to one as its cytoplasm, in pieces of
    a red cell's size at least.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
    stained : ndarray of shape (height, width), dtype bool
    diameter_px : float or None
        Of a red cell; estimated from the stain where it is unknown.

    Returns
    -------
    ndarray of shape (3,) or None
        Red, green and blue; None where the image shows less than half of a red cell.
    """
    if not stained.any():
        return None
    diameter = _diameter_px((), stained) if diameter_px is None else diameter_px
    red = density[:, :, RED]
    # White cells may cover half of what is stained, so that the lower quarter speaks for red cells.
    limit = max(_NUCLEUS_DENSITY, _NUCLEUS_RATIO * float(np.quantile(red[stained], 0.25)))
    speck = max(1, round(_SPECK_SHARE * diameter))
    nucleus = cv2.morphologyEx(
        (red > limit).astype(np.uint8), cv2.MORPH_OPEN, np.ones((speck, speck), np.uint8)
    )
    side = 2 * round(_CYTOPLASM_SHARE * diameter) + 1
    near = cv2.dilate(nucleus, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    free = (stained & (near == 0)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
    least = _LEAST_SHOWN * np.pi / 4 * diameter**2
    is_large = stats[:, cv2.CC_STAT_AREA] >= least
    is_large[0] = False
    shown = density[is_large[labels]]
    return None if not len(shown) else np.median(shown, axis=0).astype(np.float64)


def _diameter_px(red_cells: Sequence[Annotation], foreground: NDArray[np.bool_]) -> float:
    height, width = (int(side) for side in foreground.shape)
    whole = [
        np.sqrt(cell.width * cell.height) for cell in red_cells if is_whole(cell, foreground.shape)
    ]
    if not whole:
        whole = [max(cell.width, cell.height) for cell in red_cells]
    if whole:
        return float(np.median(whole))
    # The mean chord of a disc of diameter d is π/4 d; clumps lengthen it, specks shorten it.
    padded = np.pad(foreground.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(padded[:: max(1, height // 100)], axis=1)
    chords = np.flatnonzero(steps.ravel() == -1) - np.flatnonzero(steps.ravel() == 1)
    chords = chords[chords > 3]
    if not len(chords):
        return max(8.0, min(height, width) / 6)
    diameter = float(np.quantile(chords, 0.6)) * 4 / np.pi
    return min(max(8.0, diameter), max(8.0, min(height, width)))


def unboxed_red_cells(
    red: NDArray[np.bool_], claimed: NDArray[np.bool_], appearance: RedCellAppearance
) -> list[tuple[Annotation, tuple[slice, slice], NDArray[np.bool_]]]:
    """Single red cells that nobody has boxed: blobs of a red cell's size that are round.

    Parameters
    ----------
    red : ndarray of shape (height, width), dtype bool
        Pixels of red cells.
    claimed : ndarray of shape (height, width), dtype bool
        Pixels in or near the ellipse of a box. A blob that leans on them is part of a clump.

    Returns
    -------
    list of (Annotation, (slice, slice), ndarray)
        Tight box, the window of the image that it covers, and the cell's pixels in that window.
    """
    height, width = red.shape
    free = red & ~claimed
    count, labels, stats, _ = cv2.connectedComponentsWithStats(free.view(np.uint8), connectivity=4)
    near_claimed = cv2.dilate((red & claimed).view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    found = []
    for label in range(1, count):
        x, y, columns, rows, area = (int(value) for value in stats[label])
        is_cut = x == 0 or y == 0 or x + columns == width or y + rows == height
        smallest = 0.15 if is_cut else 0.4
        if not smallest * appearance.area_px < area < 1.7 * appearance.area_px:
            continue
        if max(columns, rows) > 1.6 * appearance.diameter_px:
            continue
        if not is_cut and max(columns, rows) > 1.8 * min(columns, rows):
            continue
        window = (slice(y, y + rows), slice(x, x + columns))
        pixels = labels[window] == label
        contours, _ = cv2.findContours(
            pixels.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        contour = max(contours, key=len)
        touches = (
            red[contour[:, 0, 1] + y, contour[:, 0, 0] + x]
            & (near_claimed[contour[:, 0, 1] + y, contour[:, 0, 0] + x])
        )
        if touches.mean() > _CROWDED_SHARE:
            continue
        hull_area = max(1.0, cv2.contourArea(cv2.convexHull(contour)))
        if cv2.contourArea(contour) < 0.9 * hull_area:
            continue
        box = Annotation(cell_type=RBC, box=Box(x, y, x + columns, y + rows), origin=Origin.STAIN)
        found.append((box, window, pixels))
    return found
