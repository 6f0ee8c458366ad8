"""The same field of a smear in two images: also cut, turned, mirrored, scaled and recoloured.

Collections on the net resell each other's images, changed so that no hash is the same. A *view*
is what of an image such changes leave: the amount of stain on 64 × 64 places, in even light,
whatever its colour. A cut-out is compared with windows of the other image: each of the four sides
may be up to a tenth farther in. Where the stage was moved a little between two images, it is a
corner of the one that is a window of the other. The cosine transform of a window is a product of
matrices, so that all 81 windows of an image take no longer than resampling one would.

Images of one cell in the middle all agree in that, so that a pair that agrees coarsely is laid
exactly on top of one another, and must then agree in its details as well.

Measured by ``benchmarks/duplicates.py``, which plants copies of each kind.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.datasets.duplicates.field_features import (
    BLANK_CONTRAST,
    WORK_SIDE,
    best_positions,
    in_band,
    largest_squared_distance,
    position_free,
    position_parts,
    small_square,
    squared_distances,
    surroundings,
    visible_field,
)

Window = tuple[float, float, float, float]
"""How far in its sides are, as shares of the image's sides: top, bottom, left, right."""

# Coarser than this is what the search has compared already.
_DETAIL_PX = 2.5
_MIN_OVERLAP = 0.5  # Of the area: where less is in both, no correlation is sure.
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
    maximization*, TPAMI 2008). Images that agree in their coarse shape only have no such map, or
    differ after it.

    Parameters
    ----------
    first : ndarray of shape (side, side), dtype int8
    second : ndarray of shape (side, side), dtype int8
    part : tuple of float
        Window of ``first``, as it is given, that shows about what ``window`` of ``second`` shows.
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
    """Say where a window of an image is when the image is brought into a position."""
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
    """Map from the places of a window to those of another image's part that is to cover it."""
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


COARSE_CORRELATION: Final = 0.83
"""From which a pair is looked at closely: different fields of BCCD stay below 0.7."""

SAME_DETAIL_CORRELATION: Final = 0.75
"""From which it is the same field: true pairs have 0.92 or more."""

_SIDE = 64  # Pixels of a view.
_BAND_END = 12  # Highest frequency of a view, in waves a side.
_IN_BAND = in_band(_BAND_END, start=2)
_INSETS = (0.0, 0.05, 0.1)  # How far in the sides of the compared windows are, as shares.
_INTERVALS = tuple(product(_INSETS, _INSETS))
_WINDOWS = tuple((*rows, *columns) for rows, columns in product(_INTERVALS, _INTERVALS))
# What is looked for among the windows of others: the whole image, and its corners.
_CORNERS = tuple((*rows, *columns) for rows, columns in product(((0.0, 0.1), (0.1, 0.0)), repeat=2))
_PARTS = tuple(map(_WINDOWS.index, ((0.0, 0.0, 0.0, 0.0), *_CORNERS)))
_MOST_DISTANCES = 8_000_000  # Distances that are held at a time: 64 MB.
_UNITS = 40.0  # Steps of a view of unit length: 8 bits a value.


def field_view(image: NDArray[np.uint8]) -> NDArray[np.int8] | None:
    """Describe where in an image there is how much stain, whatever its colour.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    ndarray of shape (64, 64), dtype int8, or None
        None when the image shows nothing.
    """
    small = small_square(image)
    is_visible = visible_field(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32))
    density = -np.log((small.astype(np.float32) + 8) / 264) * is_visible[:, :, None]
    relative = (density - surroundings(density, is_visible)) * is_visible[:, :, None]
    # The direction of most of the stain, which turns with the colours.
    colours = relative.reshape(-1, 3)
    direction = np.linalg.eigh(colours.T @ colours)[1][:, -1]
    if direction.sum() < 0:
        direction = -direction
    amount = (colours @ direction).reshape(WORK_SIDE, WORK_SIDE)
    spread = float(amount.std())
    if spread < BLANK_CONTRAST:
        return None
    coarse = cv2.resize(
        np.clip(amount / spread, -3, 3), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA
    )
    return np.asarray(np.rint(coarse * _UNITS), dtype=np.int8)


def same_field_pairs(
    views: Sequence[NDArray[np.int8]],
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find pairs of images of which one shows the other's field, or most of it.

    Parameters
    ----------
    views : sequence of ndarray of shape (64, 64)

    Returns
    -------
    pairs : ndarray of shape (m, 2)
        Indices, the smaller first, ordered.
    correlations : ndarray of shape (m,)
        Of their details, when one lies on top of the other.
    """
    found = {}
    for (first, second), candidate in sorted(_candidates(views).items()):
        value = detail_correlation(
            views[candidate.other],
            views[candidate.owner],
            part=candidate.part,
            window=candidate.window,
            position=candidate.position,
        )
        if value >= SAME_DETAIL_CORRELATION:
            found[first, second] = value
    return (
        np.array(list(found), dtype=np.intp).reshape(-1, 2),
        np.array(list(found.values()), dtype=np.float64),
    )


class _Candidate(NamedTuple):
    """A part of one image may be a window of another (``owner``)."""

    correlation: float
    owner: int
    other: int
    window: Window
    part: Window
    position: int


def _candidates(views: Sequence[NDArray[np.int8]]) -> dict[tuple[int, int], _Candidate]:
    """Find the best candidate of every pair of images that agree coarsely."""
    found: dict[tuple[int, int], _Candidate] = {}
    count = len(views)
    if count < 2:
        return found
    parts = np.concatenate([_windows(view)[list(_PARTS)] for view in views])
    points = position_free(parts)
    limit = largest_squared_distance(COARSE_CORRELATION)
    block = max(1, _MOST_DISTANCES // (len(_WINDOWS) * len(parts)))
    for start in range(0, count, block):
        windows = np.concatenate([_windows(view) for view in views[start : start + block]])
        squares = squared_distances(position_free(windows), points)
        # Of a flat array the few that are near are found ten times as fast.
        near = np.stack(np.divmod(np.flatnonzero(squares <= limit), len(parts)), axis=1)
        is_other = start + near[:, 0] // len(_WINDOWS) != near[:, 1] // len(_PARTS)
        near = near[is_other]
        values, positions = best_positions(windows, parts, near)
        for at in np.nonzero(values >= COARSE_CORRELATION)[0]:
            owner, window = divmod(int(near[at, 0]), len(_WINDOWS))
            other, part = divmod(int(near[at, 1]), len(_PARTS))
            candidate = _Candidate(
                correlation=float(values[at]),
                owner=start + owner,
                other=other,
                window=_WINDOWS[window],
                part=_WINDOWS[_PARTS[part]],
                position=int(positions[at]),
            )
            pair = (min(candidate.owner, other), max(candidate.owner, other))
            if pair not in found or found[pair].correlation < candidate.correlation:
                found[pair] = candidate
    return found


def _cosines() -> NDArray[np.float32]:
    """Cosine transform of every interval of a side: (intervals x band, side)."""
    places = (np.arange(_SIDE) + 0.5) / _SIDE
    frequencies = np.arange(_BAND_END)
    parts = []
    for before, after in _INTERVALS:
        within = (places - before) / (1 - before - after)
        # A place that the interval's end goes through belongs to it in part.
        width = _SIDE * (1 - before - after)
        share = np.clip(0.5 + width * np.minimum(within, 1 - within), 0, 1)
        parts.append(share * np.cos(np.pi * frequencies[:, None] * within))
    scale = np.where(frequencies == 0, np.sqrt(0.5), 1.0)[:, None]
    return np.concatenate([scale * part for part in parts]).astype(np.float32)


_COSINES = _cosines()


def _windows(view: NDArray[np.int8]) -> NDArray[np.float32]:
    """Middle band of the cosine transform of every window, of length 1: (81, 12, 12)."""
    count = len(_INTERVALS)
    all_pairs = (_COSINES @ view.astype(np.float32) @ _COSINES.T).reshape(
        count, _BAND_END, count, _BAND_END
    )
    bands = all_pairs.transpose(0, 2, 1, 3).reshape(-1, _BAND_END, _BAND_END) * _IN_BAND
    lengths = np.linalg.norm(bands, axis=(1, 2), keepdims=True)
    return np.asarray(bands / np.maximum(lengths, 1e-6), dtype=np.float32)
