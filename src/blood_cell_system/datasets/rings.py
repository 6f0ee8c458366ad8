"""Closed polygons: fewer corners, which lies in which, and many joined to one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.datasets.outline import Ring


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
    closed = np.vstack([ring, ring[:1]])
    is_kept = np.zeros(len(closed), dtype=bool)
    is_kept[[0, opposite, -1]] = True
    spans = [(0, opposite), (opposite, len(ring))]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        distances = _distances_to_segment(closed[first + 1 : last], closed[first], closed[last])
        farthest = int(np.argmax(distances))
        if distances[farthest] > tolerance_px:
            middle = first + 1 + farthest
            is_kept[middle] = True
            spans += [(first, middle), (middle, last)]
    kept = closed[:-1][is_kept[:-1]]
    return kept if len(kept) > 2 else ring[np.linspace(0, len(ring), 3, endpoint=False, dtype=int)]


def _distances_to_segment(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    along = end - start
    length_squared = float(along @ along)
    if length_squared == 0:
        return np.asarray(np.hypot(*(points - start).T))
    share = np.clip((points - start) @ along / length_squared, 0, 1)
    return np.asarray(np.hypot(*(points - start - share[:, None] * along).T))


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
