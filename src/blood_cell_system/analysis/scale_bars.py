"""Scale bars that were burned into an image: found, and painted over.

A network takes the letters below a bar for cells. Only what a bar vouches for is painted over: a
straight bar of one colourless tone, black or white, along the image's rows, and the writing
beside it in the same tone.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_MAX_COLOUR: Final = 28
"""Largest difference between the channels of a colourless pixel, of 255; JPEG adds some."""
_BLACK: Final = 70
"""Brightness up to which a bar is black, of 255."""
_WHITE: Final = 245
"""Brightness from which a bar is white, of 255."""
_MIN_LENGTH_SHARE: Final = 0.03
"""Least length of a bar, in widths of the image."""
_MIN_ASPECT: Final = 6.0
"""Least length of a bar over its thickness."""
_MIN_FILL: Final = 0.6
"""Part of its box that a bar fills at least."""
_MAX_LENGTH_SHARE: Final = 0.6
"""Largest length of a bar, in widths of the image; a frame is longer."""
_MIN_LENGTH_PX: Final = 24
"""Least length of a bar, in pixels."""
_MAX_BULK: Final = 2.5
"""Area of what is connected to a bar, in areas of the bar: more is the rim of a dark body."""
_HALO_PX: Final = 5
"""Width that is painted over around bar and writing, in pixels: resampled ones have soft rims."""
_INPAINT_PX: Final = 5
"""Radius from which OpenCV takes the colours that it fills in, in pixels."""
_CONTEXT_PX: Final = 40
"""Width around bar and writing that is handed to the filling, in pixels."""


def find_scale_bar(image: NDArray[np.uint8], field: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """Find a scale bar with its writing.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    field : ndarray of shape (height, width), dtype bool
        As of ``survey.find_field``; what lies outside is ignored.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8, or None
        1 on bar and writing and close around them; None where there is no bar.
    """
    red, green, blue = cv2.split(image)
    highest = np.asarray(cv2.max(cv2.max(red, green), blue))
    lowest = np.asarray(cv2.min(cv2.min(red, green), blue))
    is_grey = (np.asarray(cv2.subtract(highest, lowest)) <= _MAX_COLOUR) & field
    tones = [is_grey & (highest <= _BLACK)]
    # On a slide that is itself white nothing white stands out.
    if np.percentile(lowest[::16, ::16], 90) < _WHITE - 10:
        tones.append(is_grey & (lowest >= _WHITE))
    for tone in tones:
        # Nothing to see, or a dark surround.
        if tone.any() and (found := _bar_and_writing(tone.view(np.uint8))) is not None:
            return found
    return None


def paint_over(image: NDArray[np.uint8], bar: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill a scale bar from what is around it.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    bar : ndarray of shape (height, width), dtype uint8
        As of ``find_scale_bar``.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
    """
    x, y, width, height = cv2.boundingRect(bar)
    crop = (
        slice(max(y - _CONTEXT_PX, 0), y + height + _CONTEXT_PX),
        slice(max(x - _CONTEXT_PX, 0), x + width + _CONTEXT_PX),
    )
    painted = image.copy()
    painted[crop] = cv2.inpaint(
        np.ascontiguousarray(image[crop]),
        np.ascontiguousarray(bar[crop]),
        _INPAINT_PX,
        cv2.INPAINT_TELEA,
    )
    return painted


def _bar_and_writing(tone: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    image_height, image_width = tone.shape
    shortest = max(round(_MIN_LENGTH_SHARE * image_width), _MIN_LENGTH_PX)
    # Ticks at its ends, and cells behind it, are no part of a straight run.
    runs = np.asarray(cv2.morphologyEx(tone, cv2.MORPH_OPEN, np.ones((1, shortest), np.uint8)))
    if not runs.any():
        return None
    count, _, stats, _ = cv2.connectedComponentsWithStats(runs)
    bars = [
        (int(width), int(left), int(top), int(height))
        for left, top, width, height, area in stats[1:count]
        if width >= _MIN_ASPECT * height
        and area >= _MIN_FILL * width * height
        and width <= _MAX_LENGTH_SHARE * image_width
    ]
    if not bars:
        return None
    length, left, top, thickness = max(bars)
    # Writing stands above, below or beside the bar, no further off than half the bar's length.
    reach = length // 2 + 1
    around = (
        slice(max(top - reach, 0), min(top + thickness + reach, image_height)),
        slice(max(left - reach, 0), min(left + length + reach, image_width)),
    )
    count, parts, stats, _ = cv2.connectedComponentsWithStats(tone[around])
    bar = parts[top - around[0].start, left + length // 2 - around[1].start]
    width, height, area = (
        stats[:, column].astype(np.int64)
        for column in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA)
    )
    # The straight rim of a dark body is no bar.
    if not bar or area[bar] > _MAX_BULK * length * thickness:
        return None
    is_part = (width <= 1.2 * length) & (height <= length / 2)
    is_part[0] = False
    found = np.zeros_like(tone)
    found[around] = is_part[parts]
    return np.asarray(cv2.dilate(found, np.ones((2 * _HALO_PX + 1,) * 2, np.uint8)))
