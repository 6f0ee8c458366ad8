"""Outlines as polygons or pixels, and from pixels to polygons that hold the very same pixels.

A boundary runs through the gates between neighbouring pixels, one inside and one outside. A line
that passes these gates in their order leaves the centre of every pixel on its side: from one gate
to the next there is no other centre. So the longest lines through the gates make a polygon that
holds exactly the pixels, and a person who corrects it in a tool has a few dozen corners to drag
instead of hundreds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import Box

Ring = NDArray[np.float64]
"""Corners of a polygon, shape (n, 2), columns x and y in pixels; the last joins the first."""

Window = tuple[slice, slice, NDArray[np.bool_]]
"""Rows and columns of an image, and which pixels of that window are meant."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolygonOutline:
    """A region between polygons, by the even-odd rule: a ring within a ring is a hole.

    Parameters
    ----------
    rings : tuple of ndarray of shape (n, 2), dtype float64
        Columns x and y in pixels; the middle of the first pixel is (0.5, 0.5).
    """

    rings: tuple[Ring, ...]

    @classmethod
    def from_points(cls, *rings: Sequence[Sequence[float]] | Ring) -> Self:
        """Make an outline from corners in any form.

        Examples
        --------
        >>> PolygonOutline.from_points([(1, 1), (4, 1), (4, 3)]).box
        Box(x_min=1.0, y_min=1.0, x_max=4.0, y_max=3.0)
        """
        return cls(rings=tuple(np.array(ring, np.float64).reshape(-1, 2) for ring in rings))

    @property
    def box(self) -> Box:
        """Smallest box around all corners; of NaN where there are none."""
        corners = np.concatenate([*self.rings, np.empty((0, 2))])
        if not len(corners):
            return Box(*[float("nan")] * 4)
        return Box(*map(float, (*corners.min(axis=0), *corners.max(axis=0))))

    @property
    def is_upright_rectangle(self) -> bool:
        """Whether it is a box, corner by corner."""
        if len(self.rings) != 1 or len(self.rings[0]) != 4:
            return False
        x, y = self.rings[0].T
        return len(set(x)) == 2 and len(set(y)) == 2

    def window(self, shape: tuple[int, int]) -> Window:
        """Pixels within the region.

        Parameters
        ----------
        shape : tuple of int
            ``(height, width)`` of the image in pixels; what lies outside is cut off.

        Returns
        -------
        rows, columns : slice
        inside : ndarray of shape (rows, columns), dtype bool

        Notes
        -----
        A pixel belongs to the region when its *centre* does. Every edge changes the side of all
        pixels to the right of it, so that the sum along a row is odd inside.
        """
        box = self.box
        height, width = shape
        top = int(np.clip(np.floor(box.y_min), 0, height))
        bottom = int(np.clip(np.ceil(box.y_max), top, height))
        left = int(np.clip(np.floor(box.x_min), 0, width))
        right = int(np.clip(np.ceil(box.x_max), left, width))
        rows, columns = slice(top, bottom), slice(left, right)
        window = (bottom - top, right - left)
        crossings = np.zeros((window[0], window[1] + 1), np.int64)
        for ring in self.rings:
            start, end = ring, np.roll(ring, -1, axis=0)
            upper = np.minimum(start[:, 1], end[:, 1])
            lower = np.maximum(start[:, 1], end[:, 1])
            # Rows whose middle an edge passes, from its upper end on.
            first = np.clip(np.ceil(upper - 0.5), top, bottom).astype(np.int64)
            last = np.clip(np.ceil(lower - 0.5), top, bottom).astype(np.int64)
            counts = last - first
            edge = np.repeat(np.arange(len(ring)), counts)
            row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            row += first[edge]
            # Only edges that pass a row come here, so the height is never 0.
            share = (row + 0.5 - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
            x = start[edge, 0] + share * (end[edge, 0] - start[edge, 0])
            column = np.clip(np.ceil(x - 0.5) - left, 0, window[1]).astype(np.int64)
            np.add.at(crossings, (row - top, column), 1)
        inside = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
        return rows, columns, inside

    def __eq__(self, other: object) -> bool:
        """Whether the rings are the same, corner by corner."""
        return (
            isinstance(other, PolygonOutline)
            and len(self.rings) == len(other.rings)
            and all(map(np.array_equal, self.rings, other.rings))
        )

    def __hash__(self) -> int:
        """Equal outlines have equal hashes."""
        return hash(tuple(ring.tobytes() for ring in self.rings))


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelOutline:
    """A region given pixel by pixel.

    Made by :meth:`from_pixels`. Eight pixels share a byte: a large data set has millions.

    Parameters
    ----------
    packed : bytes
        Rows one after the other, as of ``numpy.packbits``.
    size : tuple of int
        ``(height, width)`` of the region's window in pixels.
    offset : tuple of int
        ``(x, y)`` of the window's upper left pixel in the image.
    """

    packed: bytes
    size: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def from_pixels(
        cls, pixels: NDArray[np.bool_] | NDArray[np.uint8], *, offset: tuple[int, int] = (0, 0)
    ) -> Self:
        """Make an outline from an image of it, cut down to what is set.

        Parameters
        ----------
        pixels : ndarray of shape (height, width)
            Not 0 within the cell.
        offset : tuple of int
            ``(x, y)`` of the first pixel in the image.
        """
        is_set = np.ascontiguousarray(pixels != 0)
        x, y, width, height = cv2.boundingRect(is_set.view(np.uint8))
        part = is_set[y : y + height, x : x + width]
        return cls(
            packed=np.packbits(part).tobytes(),
            size=(height, width),
            offset=(offset[0] + x, offset[1] + y),
        )

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """The window, shape ``size``: True within the cell."""
        height, width = self.size
        bits = np.unpackbits(np.frombuffer(self.packed, np.uint8), count=height * width)
        return bits.reshape(self.size).astype(bool)

    @property
    def box(self) -> Box:
        """Smallest box around all pixels."""
        (x, y), (height, width) = self.offset, self.size
        return Box(float(x), float(y), float(x + width), float(y + height))

    def window(self, shape: tuple[int, int]) -> Window:
        """Pixels within the region, as of :meth:`PolygonOutline.window`."""
        (x, y), (height, width) = self.offset, self.size
        top, bottom = (int(np.clip(value, 0, shape[0])) for value in (y, y + height))
        left, right = (int(np.clip(value, 0, shape[1])) for value in (x, x + width))
        inside = self.pixels[top - y : bottom - y, left - x : right - x]
        return slice(top, bottom), slice(left, right), inside


Outline = PolygonOutline | PixelOutline
"""Region of one cell, in either form."""


def simplified_ring(ring: Ring, *, tolerance_px: float) -> Ring:
    """Leave out corners of a closed polygon that lie close to the line between those that stay.

    By Douglas and Peucker, *Cartographica* 10(2), 1973.

    Parameters
    ----------
    ring : ndarray of shape (n, 2)
    tolerance_px : float
        How far a corner that is left out may lie from the new polygon.

    Returns
    -------
    ndarray of shape (m, 2)
        Some of the corners, at least three where there are three.
    """
    if tolerance_px <= 0 or len(ring) <= 3:
        return ring
    opposite = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    if opposite == 0:
        return ring
    # Here, not above: most outlines are written with all their corners.
    from skimage.measure import approximate_polygon

    closed = np.vstack([ring, ring[:1]])
    halves = closed[: opposite + 1], closed[opposite:]
    kept = np.vstack([approximate_polygon(half, tolerance_px)[:-1] for half in halves])
    return kept if len(kept) > 2 else ring[np.linspace(0, len(ring), 3, endpoint=False, dtype=int)]


def nesting_depths(rings: Sequence[Ring]) -> list[int]:
    """In how many of the other rings each lies: holes have odd depths.

    Examples
    --------
    >>> square = np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]])
    >>> nesting_depths([square, square / 3 + 3])
    [0, 1]
    """
    return [
        sum(is_inside(ring[0], other) for other in rings if other is not ring) for ring in rings
    ]


def is_inside(point: NDArray[np.float64], ring: Ring) -> bool:
    """Whether a point lies within a polygon, by the even-odd rule."""
    x, y = point
    start, end = ring, np.roll(ring, -1, axis=0)
    passes = (start[:, 1] > y) != (end[:, 1] > y)
    start, end = start[passes], end[passes]
    share = (y - start[:, 1]) / (end[:, 1] - start[:, 1])
    return bool((start[:, 0] + share * (end[:, 0] - start[:, 0]) > x).sum() % 2)


def joined_ring(rings: Sequence[Ring]) -> Ring:
    """One polygon with the pixels of many, joined by cuts without a width.

    For formats that have one polygon a cell. The cut runs there and back along the same line, so
    that every point is on the same side as before.

    Parameters
    ----------
    rings : sequence of ndarray of shape (n, 2)

    Returns
    -------
    ndarray of shape (m, 2)
    """
    joined = rings[0]
    for ring in rings[1:]:
        gaps = ((joined[:, None] - ring[None]) ** 2).sum(axis=2)
        here, there = np.unravel_index(int(gaps.argmin()), gaps.shape)
        detour = np.vstack([np.roll(ring, -there, axis=0), ring[there], joined[here]])
        joined = np.insert(joined, here + 1, detour, axis=0)
    return joined


_POST: Final = 0.03
"""Gates end this far from the pixels' centres, so that numbers can be rounded."""

_DECIMALS: Final = 3  # Of a pixel; finer than the distance that keeps centres on their side.

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
    """Outline as pixels of an image of ``shape``, which cuts it off."""
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
        ``(x, y)`` of the first pixel in the image.
    shape : tuple of int, optional
        ``(height, width)`` of the image, whose border no polygon is to cross.
    tolerance_px : float
        As for :func:`polygon_of`.

    Returns
    -------
    tuple of ndarray of shape (n, 2), dtype float64
        Columns x and y in pixels, the middle of the first pixel of the image at (0.5, 0.5).

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
