"""From pixels to polygons with few corners that hold the very same pixels.

A boundary runs through the gates between neighbouring pixels, one inside and one outside. A line
that passes these gates in their order leaves the centre of every pixel on its side: from one gate
to the next there is no other centre. So the longest lines through the gates make a polygon that
holds exactly the pixels, and a person who corrects it in a tool has a few dozen corners to drag
instead of hundreds.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.datasets.outline import Outline, PixelOutline, PolygonOutline, Ring
from blood_cell_system.datasets.rings import simplified_ring

_POST: Final = 0.03
"""Gates end this far from the pixels' centres, so that numbers can be rounded."""

_DECIMALS: Final = 3

# Middles of the sides of a square between four pixels' centres, as (x, y) in half pixels.
_TOP, _RIGHT, _BOTTOM, _LEFT = (1, 0), (2, 1), (1, 2), (0, 1)
# From where to where the boundary runs, the inside on its right, by the corners of the square that
# are inside: 1 upper left, 2 upper right, 4 lower right, 8 lower left. Pixels that touch by their
# corners only are in one part.
_STEPS: Final = (
    (1, _TOP, _LEFT),
    (2, _RIGHT, _TOP),
    (3, _RIGHT, _LEFT),
    (4, _BOTTOM, _RIGHT),
    (5, _TOP, _RIGHT),
    (5, _BOTTOM, _LEFT),
    (6, _BOTTOM, _TOP),
    (7, _BOTTOM, _LEFT),
    (8, _LEFT, _BOTTOM),
    (9, _TOP, _BOTTOM),
    (10, _LEFT, _TOP),
    (10, _RIGHT, _BOTTOM),
    (11, _RIGHT, _BOTTOM),
    (12, _LEFT, _RIGHT),
    (13, _TOP, _RIGHT),
    (14, _LEFT, _TOP),
)


def polygon_of(outline: Outline, *, tolerance_px: float = 0.0) -> PolygonOutline:
    """Outline as polygons; one that is so already stays as it is.

    Parameters
    ----------
    outline : Outline
    tolerance_px : float
        0 for exactly the same pixels; above, how far a corner may be that is left out as well.

    Returns
    -------
    PolygonOutline
        Parts run clockwise on the screen, holes the other way round.
    """
    if isinstance(outline, PolygonOutline):
        return outline
    return PolygonOutline(
        rings=traced_rings(outline.pixels, offset=outline.offset, tolerance_px=tolerance_px)
    )


def pixels_of(outline: Outline, shape: tuple[int, int]) -> PixelOutline:
    """Outline as pixels of a picture of ``shape``, which cuts it off."""
    if isinstance(outline, PixelOutline):
        return outline
    rows, columns, inside = outline.window(shape)
    return PixelOutline.from_pixels(inside, offset=(columns.start, rows.start))


def traced_rings(
    pixels: NDArray[np.bool_],
    *,
    offset: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
    tolerance_px: float = 0.0,
) -> tuple[Ring, ...]:
    """Polygons around the pixels that are set.

    Parameters
    ----------
    pixels : ndarray of bool, shape (height, width)
    offset : tuple of int
        ``(x, y)`` of the first pixel in the picture.
    shape : tuple of int, optional
        ``(height, width)`` of the picture, whose border no polygon is to cross.
    tolerance_px : float
        As for :func:`polygon_of`.

    Returns
    -------
    tuple of ndarray of shape (n, 2), dtype float64
        Columns x and y in pixels, the middle of the first pixel of the picture at (0.5, 0.5).

    Examples
    --------
    >>> rings = traced_rings(np.array([[True, True]]))
    >>> PolygonOutline(rings=rings).window((1, 3))[2].tolist()
    [[True, True]]
    """
    padded = np.pad(pixels, 1)
    # Counted from the centre of the upper left pixel of the padding.
    origin = 0.5 - np.array(offset)
    border = (origin, origin + shape[::-1]) if shape else (-np.inf, np.inf)
    following = _boundary_steps(padded.astype(np.uint8))
    rings = []
    while following:
        first = next(iter(following))
        places = [first]
        while (place := following.pop(places[-1])) != first:
            places.append(place)
        ring = (_few_corners(np.array(places), padded, border) - origin).round(_DECIMALS)
        rings.append(simplified_ring(ring, tolerance_px=tolerance_px))
    return tuple(rings)


def _boundary_steps(padded: NDArray[np.uint8]) -> dict[tuple[int, int], tuple[int, int]]:
    """From every middle of two pixels between which the boundary runs to the next one."""
    code = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, 1:] + 8 * padded[1:, :-1]
    following: dict[tuple[int, int], tuple[int, int]] = {}
    for value, start, end in _STEPS:
        rows, columns = np.nonzero(code == value)
        places = np.stack([2 * columns, 2 * rows], axis=1)
        starts, ends = places + start, places + end
        following.update(zip(map(tuple, starts.tolist()), map(tuple, ends.tolist()), strict=True))
    return following


def _few_corners(
    places: NDArray[np.int64],
    padded: NDArray[np.bool_],
    border: tuple[NDArray[np.float64] | float, NDArray[np.float64] | float],
) -> NDArray[np.float64]:
    """Lead long straight lines through the gates whose middles are given in half pixels."""
    # The two pixels of a gate lie half a pixel off, in the direction in which x or y is odd.
    aside = places % 2
    before, after = (places - aside) // 2, (places + aside) // 2
    is_inside_before = padded[before[:, 1], before[:, 0]][:, None]
    inner = np.where(is_inside_before, before, after)
    to_outer = np.where(is_inside_before, after, before) - inner
    left = np.clip(inner + (1 - _POST) * to_outer, *border)
    right = inner + _POST * to_outer
    # The last gate is the first one again.
    left, right = (np.vstack([posts, posts[:1]]) for posts in (left, right))
    corners = [places[0] / 2]
    gate = 0
    while (found := _longest_line(corners[-1], corners[0], left[gate + 1 :], right[gate + 1 :]))[0]:
        gate += found[0]
        corners.append(found[1])
    return np.array(corners)


def _longest_line(
    start: NDArray[np.float64],
    goal: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
) -> tuple[int, NDArray[np.float64]]:
    """Find the last gate that a straight line reaches, and where in it to end.

    Parameters
    ----------
    start : ndarray of shape (2,)
        In the gate before the first.
    goal : ndarray of shape (2,)
        In the last gate.
    left, right : ndarray of shape (n, 2)
        Posts of the gates to come.

    Returns
    -------
    count : int
        Gates that are passed, 0 where a line reaches the goal itself.
    point : ndarray of shape (2,)
    """
    ahead = (left[0] + right[0]) / 2 - start
    # As y runs down, angles grow towards the right.
    least = np.maximum.accumulate(_angles_from(start, left, ahead))
    most = np.minimum.accumulate(_angles_from(start, right, ahead))
    is_closed = least > most
    count = int(np.argmax(is_closed)) if is_closed.any() else len(left)
    if count == len(left):
        to_goal = float(_angles_from(start, goal[None], ahead)[0])
        if count == 1 or least[-2] <= to_goal <= most[-2]:
            return 0, goal
        count -= 1
    turn = math.atan2(ahead[1], ahead[0]) + (least[count - 1] + most[count - 1]) / 2
    x, y = math.cos(turn), math.sin(turn)
    post, gate = left[count - 1], right[count - 1] - left[count - 1]
    (off_x, off_y), (gate_x, gate_y) = post - start, gate
    share = (off_x * y - off_y * x) / (gate_y * x - gate_x * y)
    return count, (post + min(max(share, 0.0), 1.0) * gate).round(_DECIMALS)


def _angles_from(
    origin: NDArray[np.float64], points: NDArray[np.float64], ahead: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Angles of points as seen from one of them, -π to π from the direction ahead."""
    x, y = (points - origin).T
    return np.asarray(np.arctan2(ahead[0] * y - ahead[1] * x, ahead[0] * x + ahead[1] * y))
