"""Nearly equal images, also turned, mirrored, scaled, recompressed or of another brightness.

A fingerprint is the middle band of the cosine transform of a small, evenly bright version of the
image. Turning and mirroring an image only swap and negate the numbers of its transform, so that no
image is transformed twice to compare all eight positions. Numbers that no position changes find the
few pairs that are worth comparing.

Measured: different fields of BCCD (364) stay below 0.5, of a malaria set (230) and a leukaemia set
(800) below 0.7; images of single cells (1,599), which all hold one disc in the middle, below
0.84. The pairs above that of BCCD (1), the malaria (3) and the leukaemia set (5 of 7), and 32
from 0.81 up of a sickle-cell set (320, small cells in a round dark frame), were looked at: each
shows one field twice. Fields that overlap in part only are left to ``field_alignment``.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

POSITIONS: Final = 8
"""Quarter turns and mirrorings of an image."""


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


WORK_SIDE: Final = 128
"""Images are looked at this large."""

# Even light makes an image of nothing this even: standard deviation of the relative brightness.
BLANK_CONTRAST: Final = 0.004

_SURROUNDINGS_PX = WORK_SIDE / 16


def small_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make an image as small as it is looked at: (128, 128, 3)."""
    small = cv2.resize(image, (WORK_SIDE, WORK_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def visible_field(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 inside the field of view: the dark surround of an eyepiece is the same in every image.

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
    is_visible = (~is_surround[labels]).astype(np.uint8)
    shrunk = cv2.erode(is_visible, np.ones((7, 7), dtype=np.uint8))
    return np.asarray(shrunk, dtype=np.float32)


def surroundings(
    values: NDArray[np.float32], is_visible: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean of the lit places around each: what the light alone would give there.

    Parameters
    ----------
    values : ndarray of shape (128, 128) or (128, 128, channels), dtype float32
        0 where it is not lit.
    is_visible : ndarray of shape (128, 128), dtype float32
    """
    weight = cv2.GaussianBlur(is_visible, (0, 0), _SURROUNDINGS_PX) + 1e-3
    blurred = cv2.GaussianBlur(values, (0, 0), _SURROUNDINGS_PX)
    return np.asarray(blurred / weight.reshape(weight.shape + (1,) * (values.ndim - 2)))


# From which two fingerprints are of nearly the same image.
NEAR_DUPLICATE_CORRELATION: Final = 0.86

_SIDE = 32  # Pixels of a fingerprint.
_BAND_END = 16  # Highest frequency of a fingerprint, in waves a side.
_IN_BAND = in_band(_BAND_END, start=3)
_BLOCK = 1024  # Fingerprints that are compared at a time.


def fingerprint(image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Describe what an image shows, coarsely.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    ndarray of shape (16, 16), dtype float32, or None
        Of length 1; None when the image shows nothing.
    """
    gray = cv2.cvtColor(small_square(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    is_visible = visible_field(gray)
    around = surroundings(gray * is_visible, is_visible)
    relative = is_visible * np.clip((gray - around) / (around + 8), -0.5, 0.5)
    if relative.std() < BLANK_CONTRAST:
        return None
    coarse = cv2.resize(relative, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    band = cv2.dct(coarse)[:_BAND_END, :_BAND_END] * _IN_BAND
    length = float(np.linalg.norm(band))
    if length < 1e-6:
        return None
    return np.asarray(band / length, dtype=np.float32)


MAX_HASH_BITS: Final = 24
"""Bits of 256 in which the hashes of one field differ, at most. Saved again as JPEG of quality 75
to 50, made smaller or lighter, fields of six collections differ in 18 of them, of Uganda in 37; 280
different fields in 63 or more, but for pairs that show one place of a slide (8, 29)."""


def field_hash(image: NDArray[np.uint8]) -> str | None:
    """Signs of an image's fingerprint: 64 hexadecimal digits, of nearly equal images nearly equal.

    Source: Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions*, 2010.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    str or None
        None when the image shows nothing.
    """
    found = fingerprint(image)
    return None if found is None else np.packbits(found > 0).tobytes().hex()


def pairs_of_like_hashes(hashes: Sequence[str | None]) -> NDArray[np.intp]:
    """Find the pairs of hashes that differ in ``MAX_HASH_BITS`` at most.

    Returns
    -------
    ndarray of shape (m, 2), dtype intp
        Indices, the smaller first; without those of None.
    """
    known = np.array([i for i, value in enumerate(hashes) if value is not None], dtype=np.intp)
    pairs = [np.empty((0, 2), dtype=np.intp)]
    packed = np.frombuffer(bytes.fromhex("".join(filter(None, hashes))), np.uint8)
    signs = 2 * np.unpackbits(packed).reshape(-1, _BAND_END**2).astype(np.float32) - 1
    for start in range(0, len(known), _BLOCK):
        # A product of signs is the number of equal bits less that of different ones.
        products = signs[start : start + _BLOCK] @ signs.T
        first, second = np.nonzero(products >= signs.shape[1] - 2 * MAX_HASH_BITS)
        pairs.append(np.stack([first + start, second], axis=1)[first + start < second])
    return np.asarray(known[np.concatenate(pairs)])


def similar_pairs(
    fingerprints: NDArray[np.float32], *, at_least: float = NEAR_DUPLICATE_CORRELATION
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find pairs of images that show nearly the same in some of the eight positions.

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
    candidates = _candidates(position_free(fingerprints), largest_squared_distance(at_least))
    correlations, _ = best_positions(fingerprints, fingerprints, candidates)
    is_similar = correlations >= at_least
    pairs, correlations = candidates[is_similar], correlations[is_similar]
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], correlations[order]


def _candidates(points: NDArray[np.float32], limit: float) -> NDArray[np.intp]:
    """Pairs of points whose squared distance is at most ``limit``; ten thousand take a second."""
    found = [np.empty((0, 2), dtype=np.intp)]
    for start in range(0, len(points), _BLOCK):
        distances = squared_distances(points[start : start + _BLOCK], points[start:])
        first, second = np.nonzero(distances <= limit)
        is_ordered = first < second
        found.append(np.stack([first[is_ordered], second[is_ordered]], axis=1) + start)
    return np.concatenate(found)
