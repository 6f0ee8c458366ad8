"""Nearly equal pictures, also turned, mirrored, scaled, recompressed or of another brightness.

A fingerprint is the middle band of the cosine transform of a small, evenly lit version of the
picture. Turning and mirroring only swap and negate its numbers, so that all eight positions of a
picture are compared without transforming it again, and numbers that no position changes find the
few pairs that are worth comparing.

Measured: different fields of BCCD (364) stay below 0.5, of a malaria set (230) and a leukaemia set
(800) below 0.7; pictures of single cells (1,599), which all hold one disc in the middle, below
0.84. The pairs above that of BCCD (1), the malaria (3) and the leukaemia set (5 of 7), and 32
from 0.81 up of a sickle-cell set (320, small cells in a round dark frame), were looked at: each
shows one field twice. Fields that overlap in part only are not found.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

NEAR_DUPLICATE_CORRELATION: Final = 0.86

_WORK_SIDE = 128
_SIDE = 32
_BAND_END = 16
# Below this sum of frequencies lies the light's unevenness, not the cells.
_BAND_START = 3
_ROWS, _COLUMNS = np.mgrid[:_BAND_END, :_BAND_END]
_IN_BAND = (_ROWS + _COLUMNS) >= _BAND_START

# Even light makes a picture of nothing this even: standard deviation of the relative brightness.
_BLANK_CONTRAST = 0.004


def fingerprint(image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Describe what a picture shows, coarsely.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    ndarray of shape (16, 16), dtype float32, or None
        Of length 1; None when the picture shows nothing.
    """
    small = cv2.resize(image, (_WORK_SIDE, _WORK_SIDE), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    is_lit = lit_field(gray)
    sigma = _WORK_SIDE / 16
    weight = cv2.GaussianBlur(is_lit, (0, 0), sigma) + 1e-3
    around = cv2.GaussianBlur(gray * is_lit, (0, 0), sigma) / weight
    relative = is_lit * np.clip((gray - around) / (around + 8), -0.5, 0.5)
    if relative.std() < _BLANK_CONTRAST:
        return None
    coarse = cv2.resize(relative, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    band = cv2.dct(coarse)[:_BAND_END, :_BAND_END] * _IN_BAND
    length = float(np.linalg.norm(band))
    if length < 1e-6:
        return None
    return np.asarray(band / length, dtype=np.float32)


def lit_field(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 inside the field of view: the dark surround of an eyepiece is the same in every picture."""
    is_dark = (gray < 0.4 * np.quantile(gray, 0.9)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_dark)
    right = stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH]
    bottom = stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT]
    touches = (stats[:, :2] == 0).any(axis=1) | (right == _WORK_SIDE) | (bottom == _WORK_SIDE)
    is_surround = touches & (stats[:, cv2.CC_STAT_AREA] > 0.005 * gray.size)
    is_surround[0] = False
    is_lit = (~is_surround[labels]).astype(np.uint8)
    shrunk = cv2.erode(is_lit, np.ones((7, 7), dtype=np.uint8))
    return np.asarray(shrunk, dtype=np.float32)


def similar_pairs(
    fingerprints: NDArray[np.float32], *, at_least: float = NEAR_DUPLICATE_CORRELATION
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find pairs of pictures that show nearly the same in some of the eight positions.

    Parameters
    ----------
    fingerprints : ndarray of shape (n, 16, 16)
    at_least : float
        Correlation from which a pair is similar.

    Returns
    -------
    pairs : ndarray of shape (m, 2)
        Indices, the smaller first, ordered.
    correlations : ndarray of shape (m,)
    """
    if len(fingerprints) < 2:
        return np.empty((0, 2), dtype=np.intp), np.empty(0)
    # Two vectors of length 1 with this correlation are that far apart; numbers that no position
    # changes are not farther apart than the vectors in their best position, so no pair is lost.
    candidates = _pairs_within(_position_free(fingerprints), np.sqrt(2 - 2 * at_least))
    correlations = _best_correlations(fingerprints, candidates)
    is_similar = correlations >= at_least
    pairs, correlations = candidates[is_similar], correlations[is_similar]
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], correlations[order]


def _position_free(fingerprints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers that are the same in all eight positions, not farther apart than their originals.

    Mirroring changes signs only, and turning swaps rows and columns: what stays is the size of
    each number and, of a swapped pair, sum and difference.
    """
    sizes = np.abs(fingerprints)
    rows, columns = np.triu_indices(_BAND_END, k=1)
    above, below = sizes[:, rows, columns], sizes[:, columns, rows]
    diagonal = sizes[:, range(_BAND_END), range(_BAND_END)]
    half = np.float32(np.sqrt(0.5))
    return np.concatenate([half * (above + below), half * np.abs(above - below), diagonal], axis=1)


def _pairs_within(
    points: NDArray[np.float32], radius: float, block: int = 1024
) -> NDArray[np.intp]:
    """Pairs of points at most ``radius`` apart.

    Products of matrix blocks: ten thousand pictures take a second, where a search tree, which is
    of no use in this many dimensions, takes a minute.
    """
    squares = np.einsum("ij,ij->i", points, points)
    found = [np.empty((0, 2), dtype=np.intp)]
    # Round-off must not lose a pair at the limit.
    limit = np.float32(radius**2 + 1e-5)
    for start in range(0, len(points), block):
        rows = slice(start, start + block)
        distances = (
            squares[rows, None] + squares[None, start:] - 2 * points[rows] @ points[start:].T
        )
        first, second = np.nonzero(distances <= limit)
        is_ordered = first < second
        found.append(np.stack([first[is_ordered], second[is_ordered]], axis=1) + start)
    return np.concatenate(found)


def _best_correlations(
    fingerprints: NDArray[np.float32], pairs: NDArray[np.intp], chunk: int = 20_000
) -> NDArray[np.float64]:
    best = np.full(len(pairs), -1.0)
    signs = [
        ((-1.0) ** (down * _ROWS + across * _COLUMNS)).astype(np.float32)
        for down in (0, 1)
        for across in (0, 1)
    ]
    for start in range(0, len(pairs), chunk):
        part = slice(start, start + chunk)
        first, second = fingerprints[pairs[part, 0]], fingerprints[pairs[part, 1]]
        for other in (second, second.transpose(0, 2, 1)):
            product = first * other
            for sign in signs:
                best[part] = np.maximum(best[part], np.einsum("nij,ij->n", product, sign))
    return best
