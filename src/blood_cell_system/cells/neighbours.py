"""Points near each other and where labels are, in NumPy alone.

SciPy has all of it, but importing its trees, graphs and filters takes longer than the work of a
whole image, and every ``bloodcells analyze`` would pay for it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Crop = tuple[slice, slice]
"""Rows and columns."""


def crops_of(labels: NDArray[np.integer], count: int, *, runs: "Runs | None" = None) -> list[Crop]:
    """Rows and columns around each label, like ``scipy.ndimage.find_objects``.

    Parameters
    ----------
    labels : ndarray of shape (height, width), integer
        0 in no cell, 1..``count`` in the cells.
    runs : Runs, optional
        Of the labels, where they are known.

    Returns
    -------
    list of (slice, slice)
        Empty for a label without pixels.

    Examples
    --------
    >>> crops_of(np.array([[0, 1, 1], [0, 0, 1]]), 1)
    [(slice(0, 2, None), slice(1, 3, None))]
    """
    height, width = labels.shape
    runs = runs or runs_of(labels)
    top, left = np.full(count + 1, height), np.full(count + 1, width)
    bottom, right = np.zeros((2, count + 1), dtype=np.intp)
    np.minimum.at(top, runs.labels, runs.rows)
    np.maximum.at(bottom, runs.labels, runs.rows + 1)
    np.minimum.at(left, runs.labels, runs.starts)
    np.maximum.at(right, runs.labels, runs.stops)
    sides = np.stack([top, bottom, left, right], axis=1)[1:]
    sides[bottom[1:] == 0] = 0
    return [(slice(*side[:2]), slice(*side[2:])) for side in sides.tolist()]


class Runs(NamedTuple):
    """Stretches of one label within a row, from left to right and from top to bottom."""

    labels: NDArray[np.integer]
    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    stops: NDArray[np.intp]


def runs_of(labels: NDArray[np.integer]) -> Runs:
    """Cut the rows of a label image into runs: far fewer than pixels. Background is left out.

    Examples
    --------
    >>> [part.tolist() for part in runs_of(np.array([[0, 1, 1], [0, 0, 2]]))]
    [[1, 2], [0, 1], [1, 2], [3, 3]]
    """
    height, width = labels.shape
    is_edge = np.ones((height, width + 1), dtype=np.bool_)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=is_edge[:, 1:-1])
    rows, columns = np.divmod(np.flatnonzero(is_edge), width + 1)
    # An edge begins a run, but for the last one of each row; the run ends at the next edge.
    begins = np.flatnonzero(columns < width)
    of_run = labels[rows[begins], columns[begins]]
    begins = begins[of_run > 0]
    return Runs(of_run[of_run > 0], rows[begins], columns[begins], columns[begins + 1])


def close_pairs(points: NDArray[np.number], reach: float) -> NDArray[np.intp]:
    """Pairs of points that are at most ``reach`` apart.

    Parameters
    ----------
    points : ndarray of shape (n, 2)

    Returns
    -------
    ndarray of shape (m, 2), dtype intp
        The smaller index first.

    Examples
    --------
    >>> close_pairs(np.array([[5.0, 0.0], [0.0, 0.0], [4.0, 1.0]]), 2.0).tolist()
    [[0, 2]]
    """
    order = np.argsort(points[:, 0], kind="stable")
    x, y = np.ascontiguousarray(points[order].T)
    pairs = [np.zeros((0, 2), dtype=np.intp)]
    # Each point with the next one, with the one after it, until all of those are too far.
    for step in range(1, len(points)):
        across, down = x[step:] - x[:-step], y[step:] - y[:-step]
        if across.min() > reach:
            break
        near = np.flatnonzero(across**2 + down**2 <= reach**2)
        pairs.append(np.stack([order[near], order[near + step]], axis=1))
    return np.sort(np.concatenate(pairs), axis=1)


def connected_groups(count: int, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give each group of things that pairs connect a number, in the order of their first members.

    Parameters
    ----------
    count : int
        How many things there are.
    pairs : ndarray of shape (m, 2), dtype intp

    Returns
    -------
    ndarray of shape (count,), dtype intp
        Group of each thing, from 0.

    Examples
    --------
    >>> connected_groups(5, np.array([[1, 3], [3, 4]])).tolist()
    [0, 1, 2, 1, 1]
    """
    first, second = pairs.T
    smallest = np.arange(count)
    while True:
        before = smallest.copy()
        np.minimum.at(smallest, first, before[second])
        np.minimum.at(smallest, second, before[first])
        smallest = smallest[smallest]
        if np.array_equal(smallest, before):
            return np.unique(smallest, return_inverse=True)[1]
