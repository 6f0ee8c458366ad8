"""Laying one picture's view exactly on top of another's, and comparing their details."""

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.same_fields.bands import position_parts

Window = tuple[float, float, float, float]
"""How far in its sides are, as shares of the picture's sides: top, bottom, left, right."""

# Coarser than this is what the search has compared already.
_DETAIL_PX = 2.5
_MIN_OVERLAP = 0.5
_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)


def detail_correlation(
    first: NDArray[np.int8],
    second: NDArray[np.int8],
    *,
    part: Window,
    window: Window,
    position: int,
) -> float:
    """Compare the details of two views of what may be one field.

    Starting from the windows, an affine map is sought that lays one exactly onto the other
    (Evangelidis and Psarakis, *Parametric image alignment using enhanced correlation coefficient
    maximization*, TPAMI 2008). Pictures that agree in their coarse shape only have no such map, or
    differ after it.

    Parameters
    ----------
    first : ndarray of shape (side, side), dtype int8
    second : ndarray of shape (side, side), dtype int8
    part : tuple of float
        Window of ``first``, as it is given, that shows about what ``window`` of ``second`` shows.
    window : tuple of float
    position : int
        What brings ``first`` into the position of ``second``.

    Returns
    -------
    float
        -1 where there is no such map.
    """
    is_swapped, down, across = position_parts(position)
    turned = first.T if is_swapped else first
    turned = turned[:: -1 if down else 1, :: -1 if across else 1].astype(np.float32)
    target = second.astype(np.float32)
    start = _between(window, _turned(part, position), len(second))
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


def _turned(window: Window, position: int) -> Window:
    """Say where a window of a picture is when the picture is brought into a position."""
    is_swapped, down, across = position_parts(position)
    top, bottom, left, right = window
    if is_swapped:
        top, bottom, left, right = left, right, top, bottom
    if down:
        top, bottom = bottom, top
    if across:
        left, right = right, left
    return top, bottom, left, right


def _between(window: Window, part: Window, side: int) -> NDArray[np.float32]:
    """Map from the places of a window to those of another picture's part that is to cover it."""
    rows = []
    for before, after, other_before, other_after in (
        (window[2], window[3], part[2], part[3]),
        (window[0], window[1], part[0], part[1]),
    ):
        scale = (1 - other_before - other_after) / (1 - before - after)
        offset = other_before * side + (0.5 - before * side) * scale - 0.5
        rows.append((scale, offset))
    (wide, right), (high, down) = rows
    return np.array([[wide, 0, right], [0, high, down]], dtype=np.float32)
