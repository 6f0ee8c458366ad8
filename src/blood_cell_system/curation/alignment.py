"""Laying one picture's view exactly on top of another's, and comparing their details."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Window = tuple[float, float, float, float]
"""How far in its sides are, as shares of the picture's sides: top, bottom, left, right."""

POSITIONS: Final = 8
"""Quarter turns and mirrorings of a picture."""

# Coarser than this is what the search has compared already.
_DETAIL_PX = 2.5
_MIN_OVERLAP = 0.5
_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)


def position_parts(position: int) -> tuple[bool, int, int]:
    """Say whether a position swaps rows and columns, then mirrors up-down, then left-right.

    Examples
    --------
    >>> position_parts(0), position_parts(7)
    ((False, 0, 0), (True, 1, 1))
    """
    return position >= 4, position // 2 % 2, position % 2


def detail_correlation(
    whole: NDArray[np.int8], other: NDArray[np.int8], *, window: Window, position: int
) -> float:
    """Compare the details of two views of what may be one field.

    Starting from the window, an affine map is sought that lays one exactly onto the other
    (Evangelidis and Psarakis, *Parametric image alignment using enhanced correlation coefficient
    maximization*, TPAMI 2008). Pictures that agree in their coarse shape only have no such map, or
    differ after it.

    Parameters
    ----------
    whole : ndarray of shape (side, side), dtype int8
        Shows, in this position, about what the window of ``other`` shows.
    other : ndarray of shape (side, side), dtype int8
    window : tuple of float
    position : int

    Returns
    -------
    float
        -1 where there is no such map.
    """
    is_swapped, down, across = position_parts(position)
    turned = whole.T if is_swapped else whole
    turned = turned[:: -1 if down else 1, :: -1 if across else 1].astype(np.float32)
    target = other.astype(np.float32)
    start = _from_window(window, len(other))
    try:
        _, found = cv2.findTransformECC(target, turned, start, cv2.MOTION_AFFINE, _STEPS, None, 3)
    except cv2.error:
        # It says so when the two have nothing in common.
        return -1.0
    size = target.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(turned, found, size, flags=flags)
    is_covered = cv2.warpAffine(np.ones_like(turned), found, size, flags=flags)
    is_common = cv2.erode(is_covered, np.ones((5, 5), np.uint8)) > 0.99
    if is_common.mean() < _MIN_OVERLAP:
        return -1.0
    details = [
        (view - cv2.GaussianBlur(view, (0, 0), _DETAIL_PX))[is_common] for view in (moved, target)
    ]
    if min(float(detail.std()) for detail in details) == 0:
        return -1.0
    return float(np.corrcoef(*details)[0, 1])


def _from_window(window: Window, side: int) -> NDArray[np.float32]:
    """Map from the places of a picture to those of its window, drawn as large as the picture."""
    top, bottom, left, right = window
    wide, high = 1 / (1 - left - right), 1 / (1 - top - bottom)
    return np.array(
        [
            [wide, 0, (0.5 - left * side) * wide - 0.5],
            [0, high, (0.5 - top * side) * high - 0.5],
        ],
        dtype=np.float32,
    )
