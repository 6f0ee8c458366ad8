"""The pointer in an eyepiece: soft, grey, straight, and in from the border of the field.

It lies out of focus, so that no edge gives it away, and hardly denser than cells. But it takes the
same share from red, green and blue light, which no stain does, and cells that it crosses leave its
pieces on one line.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.stain.optical_density import (
    StainSettings,
    fit_log_light,
    log_light_plane,
)

_SIDE_PX: Final = 320
"""Longer side of the image that is searched, whose pixels are the unit of all lengths: a pointer is
wide, and a small image has less noise."""
_LOGS: Final = np.log(np.maximum(np.arange(256, dtype=np.float32), 1))
"""Logarithm of every grey level."""
_LEAST_DENSITY: Final = 0.15
"""Optical density in each channel, at least."""
_MOST_COLOUR: Final = 0.06
"""Difference of the channels' densities, at most, with a part of the density besides."""
_COLOUR_PART: Final = 0.15
_MOST_GREY: Final = 0.05
"""Part of the field from which on grey is the colour of cells, or of the light."""
_LEAST_GREY: Final = 60
"""Grey pixels, at least."""
_LEAST_SEED: Final = 30
"""The same of a piece that gives the direction."""
_SEEDS: Final = 3
"""So many of the largest pieces are tried where all of the grey together does not give it."""
_ROUNDS: Final = 3
"""How often the line is fitted to what lies around the one before."""
_LEAST_LENGTH: Final = 0.2
"""Length of a pointer, at least, in longer sides of the image."""
_LEAST_ASPECT: Final = 5.0
"""The same over its width."""
_STEP_PX: Final = 2.0
"""Pieces of its middle line, in which there is grey or not."""
_GAP_PX: Final = 24.0
"""Cells that cross it leave no wider gap."""
_FILLED: Final = 0.6
"""Part of its middle line that is grey, at least; cells cross the rest."""
_OWN_SHARE: Final = 0.7
"""Part of all that is grey that lies in it, at least."""
_HALF_WIDTH: Final = 0.9
"""What is marked to each side of the middle line, in widths: its rims are soft."""
_BORDER_PX: Final = 50.0
"""How near to the border of the field it begins; cells may cross it there."""
_LEAST_WIDTH_PX: Final = 2.5
"""Narrower lines are scratches and hairs."""
_MOST_WIDTH_PX: Final = 18.0
"""Wider strips are no pointers."""


def find_pointer(image: NDArray[np.uint8], field: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """Find a soft grey pointer.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    field : ndarray of shape (height, width), dtype bool
        Where the slide can be seen.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8, or None
        1 on the pointer from its tip to the border, cells that it crosses included; None where
        there is none.
    """
    if max(field.shape) < _SIDE_PX:
        return None
    shrink = _SIDE_PX / max(field.shape)
    size = max(round(field.shape[1] * shrink), 1), max(round(field.shape[0] * shrink), 1)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    seen = cv2.resize(field.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    is_grey = _grey(small, seen > 0)
    if is_grey is None:
        return None
    lane = _lane_of(is_grey, seen)
    if lane is None:
        return None
    mark = np.zeros(is_grey.shape, np.uint8)
    cv2.fillConvexPoly(mark, np.rint(lane).astype(np.int32), 1)
    shape = field.shape[1], field.shape[0]
    return np.asarray(cv2.resize(mark, shape, interpolation=cv2.INTER_NEAREST))


def _grey(image: NDArray[np.uint8], seen: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """Where an image is darker than its slide in all channels alike; None where that is usual."""
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), StainSettings().blur_px))
    light = fit_log_light(smooth, field=seen).T
    red, green, blue = (
        log_light_plane(coefficients, *seen.shape) - np.take(_LOGS, channel)
        for coefficients, channel in zip(light, cv2.split(smooth), strict=True)
    )
    lowest = np.minimum(np.minimum(red, green), blue)
    colour = np.maximum(np.maximum(red, green), blue) - lowest
    is_grey = (lowest >= _LEAST_DENSITY) & (colour <= _MOST_COLOUR + _COLOUR_PART * lowest) & seen
    # The soft rims of cells are grey as well.
    is_grey = cv2.morphologyEx(is_grey.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if not _LEAST_GREY <= np.count_nonzero(is_grey) <= _MOST_GREY * np.count_nonzero(seen):
        return None
    return np.asarray(is_grey)


def _lane_of(is_grey: NDArray[np.uint8], seen: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Find the corners of the strip in which most of the grey lies, with one end at the border."""
    places = np.argwhere(is_grey)[:, ::-1].astype(np.float32)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_grey)
    piece = labels[is_grey > 0]
    largest = np.argsort(stats[1:, cv2.CC_STAT_AREA])[: -_SEEDS - 1 : -1] + 1
    for seed in (places, *(places[piece == one] for one in largest)):
        if len(seed) >= _LEAST_SEED and (lane := _lane_from(seed, places, seen)) is not None:
            return lane
    return None


def _lane_from(
    seed: NDArray[np.float32], grey: NDArray[np.float32], seen: NDArray[np.uint8]
) -> NDArray[np.float64] | None:
    """Find such a strip whose direction some of the grey gives."""
    chosen = seed
    for _ in range(_ROUNDS):
        line = cv2.fitLine(chosen, cv2.DIST_WELSCH, 0, 0.01, 0.01).ravel().astype(np.float64)
        along, middle = line[:2], line[2:]
        across = np.array([-along[1], along[0]])
        # Half of an even strip lies within a quarter of its width.
        width = 4 * float(np.median(np.abs((chosen - middle) @ across)))
        if not _LEAST_WIDTH_PX <= width <= _MOST_WIDTH_PX:
            return None
        chosen = grey[np.abs((grey - middle) @ across) <= width]
    run = _longest_run((chosen - middle) @ along)
    length = run.max() - run.min()
    if (
        len(run) < _OWN_SHARE * len(grey)
        or length < max(_LEAST_LENGTH * max(seen.shape), _LEAST_ASPECT * width)
        or len(np.unique(run // _STEP_PX)) < _FILLED * length / _STEP_PX
    ):
        return None
    places = [middle + run.min() * along, middle + run.max() * along]
    at_border = [
        _to_border(place, outwards, seen)
        for place, outwards in zip(places, (-along, along), strict=True)
    ]
    if (at_border[0] is None) == (at_border[1] is None):
        # Neither end is at the border, or both: a scratch, or a hair.
        return None
    start, end = (
        place if border is None else border for place, border in zip(places, at_border, strict=True)
    )
    aside = _HALF_WIDTH * width * across
    return np.array([start + aside, start - aside, end - aside, end + aside])


def _longest_run(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of places along a line the most that have no gap wider than a cell between them."""
    ordered = np.sort(at)
    cuts = np.flatnonzero(np.diff(ordered) > _GAP_PX) + 1
    return max(np.split(ordered, cuts), key=len)


def _to_border(
    end: NDArray[np.float64], outwards: NDArray[np.float64], seen: NDArray[np.uint8]
) -> NDArray[np.float64] | None:
    """Follow a line to where the field ends; None where that is far."""
    for step in np.arange(0.0, _BORDER_PX + 1):
        place = end + step * outwards
        column, row = np.rint(place).astype(int)
        is_inside = 0 <= row < seen.shape[0] and 0 <= column < seen.shape[1]
        if not is_inside or not seen[row, column]:
            return np.asarray(place)
    return None
