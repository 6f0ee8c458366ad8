"""Middle bands of cosine transforms, compared in all eight positions of a picture.

Turning and mirroring a picture only swap and negate the numbers of its transform, so that no
picture is transformed twice. Numbers that no position changes find the few pairs that are worth
comparing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

POSITIONS: Final = 8
"""Quarter turns and mirrorings of a picture."""


def position_parts(position: int) -> tuple[bool, int, int]:
    """Say whether a position swaps rows and columns, then mirrors up-down, then left-right.

    Examples
    --------
    >>> position_parts(0), position_parts(7)
    ((False, 0, 0), (True, 1, 1))
    """
    return position >= 4, position // 2 % 2, position % 2


def in_band(side: int, *, start: int) -> NDArray[np.float32]:
    """1 where row plus column is ``start`` or more: below lies the light, and not cells."""
    rows, columns = np.mgrid[:side, :side]
    return np.asarray(rows + columns >= start, dtype=np.float32)


def position_free(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers that are the same in all eight positions.

    Mirroring changes signs only, and turning swaps rows and columns: what stays is the size of
    each number and, of a swapped pair, sum and difference. They are no farther apart than the bands
    in their best position, so that a search among them loses no pair.

    Parameters
    ----------
    bands : ndarray of shape (n, side, side)

    Returns
    -------
    ndarray of shape (n, side * side)
    """
    side = bands.shape[-1]
    sizes = np.abs(bands)
    rows, columns = np.triu_indices(side, k=1)
    above, below = sizes[:, rows, columns], sizes[:, columns, rows]
    diagonal = sizes[:, range(side), range(side)]
    half = np.float32(np.sqrt(0.5))
    return np.concatenate([half * (above + below), half * np.abs(above - below), diagonal], axis=1)


def squared_distances(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Squared distance of every row to every row, as one product of matrices: |a|² + |b|² - 2ab.

    A search tree is of no use in this many dimensions.
    """
    squares = [np.einsum("ij,ij->i", points, points)[:, None] for points in (first, second)]
    ones = [np.ones_like(column) for column in squares]
    left = np.concatenate([-2 * first, squares[0], ones[0]], axis=1)
    right = np.concatenate([second, ones[1], squares[1]], axis=1)
    return np.asarray(left @ right.T)


def largest_squared_distance(correlation: float) -> float:
    """How far apart, squared, two vectors of length 1 with this correlation may be found.

    Examples
    --------
    >>> round(largest_squared_distance(0.5), 2)
    1.0
    """
    # Round-off must not lose a pair at the limit.
    return 2 - 2 * correlation + 1e-4


def best_positions(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    pairs: NDArray[np.intp],
    *,
    chunk: int = 20_000,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Correlate pairs of bands in the best of the eight positions.

    Parameters
    ----------
    first : ndarray of shape (n, side, side)
        Bands of length 1.
    second : ndarray of shape (k, side, side)
    pairs : ndarray of shape (m, 2)
        Which of ``first`` is compared with which of ``second``.
    chunk : int
        Pairs at a time, for memory's sake.

    Returns
    -------
    correlations : ndarray of shape (m,)
    positions : ndarray of shape (m,)
        Of ``second``, as of ``position_parts``.
    """
    best = np.full(len(pairs), -1.0)
    which = np.zeros(len(pairs), dtype=np.intp)
    rows, columns = np.mgrid[: first.shape[1], : first.shape[2]]
    for start in range(0, len(pairs), chunk):
        part = slice(start, start + chunk)
        ones, others = first[pairs[part, 0]], second[pairs[part, 1]]
        products = {False: ones * others, True: ones * others.transpose(0, 2, 1)}
        for position in range(POSITIONS):
            is_swapped, down, across = position_parts(position)
            sign = ((-1.0) ** (down * rows + across * columns)).astype(np.float32)
            values = np.einsum("nij,ij->n", products[is_swapped], sign)
            is_better = values > best[part]
            best[part][is_better] = values[is_better]
            which[part][is_better] = position
    return best, which
