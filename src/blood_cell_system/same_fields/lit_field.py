"""The lit field of view of a picture that was taken through an eyepiece."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

WORK_SIDE: Final = 128
"""Pictures are looked at this large."""

# Even light makes a picture of nothing this even: standard deviation of the relative brightness.
BLANK_CONTRAST: Final = 0.004

_SURROUNDINGS_PX = WORK_SIDE / 16


def small_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make a picture as small as it is looked at: (128, 128, 3)."""
    small = cv2.resize(image, (WORK_SIDE, WORK_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def lit_field(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 inside the field of view: the dark surround of an eyepiece is the same in every picture.

    Parameters
    ----------
    gray : ndarray of shape (128, 128), dtype float32
    """
    is_dark = (gray < 0.4 * np.quantile(gray, 0.9)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_dark)
    right = stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH]
    bottom = stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT]
    touches = (stats[:, :2] == 0).any(axis=1) | (right == WORK_SIDE) | (bottom == WORK_SIDE)
    is_surround = touches & (stats[:, cv2.CC_STAT_AREA] > 0.005 * gray.size)
    is_surround[0] = False
    is_lit = (~is_surround[labels]).astype(np.uint8)
    shrunk = cv2.erode(is_lit, np.ones((7, 7), dtype=np.uint8))
    return np.asarray(shrunk, dtype=np.float32)


def surroundings(values: NDArray[np.float32], is_lit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the lit places around each: what the light alone would give there.

    Parameters
    ----------
    values : ndarray of shape (128, 128) or (128, 128, channels), dtype float32
        0 where it is not lit.
    is_lit : ndarray of shape (128, 128), dtype float32
    """
    weight = cv2.GaussianBlur(is_lit, (0, 0), _SURROUNDINGS_PX) + 1e-3
    blurred = cv2.GaussianBlur(values, (0, 0), _SURROUNDINGS_PX)
    return np.asarray(blurred / weight.reshape(weight.shape + (1,) * (values.ndim - 2)))
