"""Separation of touching cells by their shape alone: watershed of the distance to the rim."""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.neighbours import close_pairs, connected_groups

_SMOOTHING_PX: Final = 1.5
"""Blur of the distance to the rim, so that a rough rim does not give many tops."""
_LINE_SAMPLES: Final = 24
"""Places at which the distance is read between two tops; a neck is some pixels wide."""
_ROUND: Final = 0.6
"""4π · area / perimeter² from which a hole is a pallor; the gap between four touching
discs has 0.27."""


@lru_cache(maxsize=32)
def disc(radius: int) -> NDArray[np.uint8]:
    """Give the kernel of that radius in pixels for OpenCV's morphology."""
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def separate_by_shape(mask: NDArray[np.uint8], *, min_neck: float) -> NDArray[np.int32]:
    """Label the cells of one class; cells that touch are cut at their necks.

    Every pixel climbs the distance to the rim to the top that it reaches. Two tops belong to one
    cell when the distance along the line between them falls by less than a share of the lower one,
    which is the h-maxima transform with an ``h`` that grows with the cell.

    Parameters
    ----------
    mask : ndarray of shape (height, width), dtype uint8
        1 in cells, 0 elsewhere. The image's border counts as a rim.
    min_neck : float
        How much narrower than the smaller cell a neck is at least: 0 cuts at every dent, 1 never.

    Returns
    -------
    ndarray of shape (height, width), dtype int32
        0 outside the mask, 1..n in the cells.
    """
    labels = np.zeros(mask.shape, dtype=np.int32)
    x, y, width, height = cv2.boundingRect(mask)
    crop = slice(y, y + height), slice(x, x + width)
    # The border of zeros also lets every pixel look at eight neighbours.
    padded = cv2.copyMakeBorder(mask[crop], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    distance = cv2.GaussianBlur(distance, (0, 0), _SMOOTHING_PX)
    distance[padded == 0] = 0
    pixels = np.flatnonzero(padded)
    top_of_pixel = _climb(distance, pixels)
    tops = pixels[top_of_pixel == pixels]
    cell_at = np.zeros(padded.shape, dtype=np.int32)
    cell_at.ravel()[tops] = _group_tops(tops, distance, min_neck=min_neck) + 1
    cell_at.ravel()[pixels] = cell_at.ravel()[top_of_pixel]
    labels[crop] = cell_at[1:-1, 1:-1]
    return labels


def _climb(distance: NDArray[np.float32], pixels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Flat index of the top that each pixel reaches by going to its highest neighbour."""
    width = distance.shape[1]
    heights = distance.ravel()
    target, highest = pixels.copy(), heights[pixels]
    for step in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1):
        neighbour = pixels + step
        height = heights[neighbour]
        np.copyto(target, neighbour, where=height > highest)
        np.maximum(highest, height, out=highest)
    # Going to the target's target doubles the distance with every round.
    targets = np.zeros(distance.size, dtype=np.intp)
    while True:
        targets[pixels] = target
        further = targets[target]
        if np.array_equal(further, target):
            return target
        target = further


def _group_tops(
    tops: NDArray[np.intp], distance: NDArray[np.float32], *, min_neck: float
) -> NDArray[np.intp]:
    """Give the tops of one cell one number."""
    if not len(tops):
        return np.zeros(0, dtype=np.intp)
    places = np.stack(np.unravel_index(tops, distance.shape), axis=1)
    radius = distance.ravel()[tops]
    pairs = close_pairs(places, 2 * float(radius.max()) + 2)
    first, second = pairs.T
    apart = np.linalg.norm((places[first] - places[second]).astype(np.float64), axis=1)
    # The two of a plateau are neighbours however small their radius is.
    is_near = apart < radius[first] + radius[second] + 2
    first, second = first[is_near], second[is_near]
    lowest = np.full(len(first), np.inf, dtype=np.float32)
    for share in np.linspace(0, 1, _LINE_SAMPLES):
        between = np.rint(places[first] * (1 - share) + places[second] * share).astype(np.intp)
        np.minimum(lowest, distance[tuple(between.T)], out=lowest)
    is_joined = lowest >= (1 - min_neck) * np.minimum(radius[first], radius[second])
    joined = np.stack([first[is_joined], second[is_joined]], axis=1)
    return connected_groups(len(tops), joined)


def fill_round_holes(mask: NDArray[np.uint8], *, always_below_px: int) -> NDArray[np.uint8]:
    """Close the holes that are a red cell's pallor, not the gaps between cells.

    A pallor is round; the gap between touching discs has concave sides. Specks are closed whatever
    their shape.

    Parameters
    ----------
    mask : ndarray of shape (height, width), dtype uint8
        1 in cells, 0 elsewhere.
    always_below_px : int
        Holes of fewer pixels are closed whatever their shape.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
    """
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if hierarchy is None:
        return mask
    pallors = []
    for contour, (_, _, _, parent) in zip(contours, hierarchy.reshape(-1, 4), strict=True):
        if parent < 0:
            continue
        area, perimeter = cv2.contourArea(contour), cv2.arcLength(contour, closed=True)
        is_round = 4 * np.pi * area >= _ROUND * perimeter**2
        is_within_cell = area < cv2.contourArea(contours[parent]) / 2
        if area < always_below_px or (is_round and is_within_cell):
            pallors.append(contour)
    filled = mask.copy()
    if pallors:
        cv2.drawContours(filled, pallors, -1, 1, cv2.FILLED)
    return filled
