"""Nearly equal pictures, also turned, mirrored, scaled, recompressed or of another brightness.

A fingerprint is the middle band of the cosine transform of a small, evenly lit version of the
picture.

Measured: different fields of BCCD (364) stay below 0.5, of a malaria set (230) and a leukaemia set
(800) below 0.7; pictures of single cells (1,599), which all hold one disc in the middle, below
0.84. The pairs above that of BCCD (1), the malaria (3) and the leukaemia set (5 of 7), and 32
from 0.81 up of a sickle-cell set (320, small cells in a round dark frame), were looked at: each
shows one field twice. Fields that overlap in part only are left to ``field_views``.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.same_fields.bands import (
    best_positions,
    in_band,
    largest_squared_distance,
    position_free,
    squared_distances,
)
from blood_cell_system.same_fields.lit_field import (
    BLANK_CONTRAST,
    lit_field,
    small_square,
    surroundings,
)

NEAR_DUPLICATE_CORRELATION: Final = 0.86

_SIDE = 32
_BAND_END = 16
_IN_BAND = in_band(_BAND_END, start=3)
_BLOCK = 1024


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
    gray = cv2.cvtColor(small_square(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    is_lit = lit_field(gray)
    around = surroundings(gray * is_lit, is_lit)
    relative = is_lit * np.clip((gray - around) / (around + 8), -0.5, 0.5)
    if relative.std() < BLANK_CONTRAST:
        return None
    coarse = cv2.resize(relative, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    band = cv2.dct(coarse)[:_BAND_END, :_BAND_END] * _IN_BAND
    length = float(np.linalg.norm(band))
    if length < 1e-6:
        return None
    return np.asarray(band / length, dtype=np.float32)


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
