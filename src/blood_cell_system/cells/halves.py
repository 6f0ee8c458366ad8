"""Halves of one cell joined: long cells have two peaks of the heat map, round ones sometimes."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.neighbours import crops_of

_MAX_AREA: Final = 1.3
"""Largest area of two halves together, in medians of the areas of whole red cells."""
_MIN_SOLIDITY: Final = 0.94
"""Area over that of the convex hull that two halves have together, at least."""
_MIN_CONTACT: Final = 0.85
"""Length of the line along which halves meet, at least, in widths of the whole: two cells that
touch have a neck there."""
_MIN_ALONE: Final = 3
"""Cells that touch no other from which these alone say how large a cell is."""


def pairs_of_halves(labels: NDArray[np.int32], is_candidate: NDArray[np.bool_]) -> list[list[int]]:
    """Find pairs of cells that together are as large and as convex as one, without a neck.

    Parameters
    ----------
    labels : ndarray of shape (height, width), dtype int32
    is_candidate : ndarray of shape (n,), dtype bool
        Whether cell ``i + 1`` is of a type whose halves are joined.

    Returns
    -------
    list of list of int
        Rows of two cells each; no cell is in two pairs.
    """
    areas = np.bincount(labels.ravel(), minlength=len(is_candidate) + 1)[1:]
    contacts = _contacts(labels)
    touching = np.zeros(len(areas), dtype=bool)
    touching[contacts[:, :2].astype(np.intp).ravel()] = True
    crops = crops_of(labels, len(areas))
    is_inner = np.array(
        [
            all(p.start > 0 and p.stop < n for p, n in zip(c, labels.shape, strict=True))
            for c in crops
        ],
        dtype=bool,
    )
    whole = is_candidate & (areas > 0) & is_inner
    alone = whole & ~touching
    measured = areas[alone if np.count_nonzero(alone) >= _MIN_ALONE else whole]
    if not len(measured):
        return []
    largest = _MAX_AREA * float(np.median(measured))
    found = []
    taken: set[int] = set()
    for first, second in np.unique(contacts[:, :2].astype(np.intp), axis=0):
        if not (is_candidate[first] and is_candidate[second]):
            continue
        if areas[first] + areas[second] > largest or {first, second} & taken:
            continue
        line = contacts[(contacts[:, 0] == first) & (contacts[:, 1] == second), 2:]
        (rows, columns), (more_rows, more_columns) = crops[first], crops[second]
        window = (
            slice(min(rows.start, more_rows.start), max(rows.stop, more_rows.stop)),
            slice(min(columns.start, more_columns.start), max(columns.stop, more_columns.stop)),
        )
        around = labels[window]
        if _is_one(((around == first + 1) | (around == second + 1)).astype(np.uint8), line):
            found.append([int(first), int(second)])
            taken |= {first, second}
    return found


def _contacts(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Pairs of neighbouring pixels of two cells: both rows, the lower first, x and y; (n, 4)."""
    found = []
    for step, near, far in (
        ((0, 1), labels[:, :-1], labels[:, 1:]),
        ((1, 0), labels[:-1], labels[1:]),
    ):
        y, x = np.nonzero((near != far) & (near > 0) & (far > 0))
        pair = np.sort(np.stack([labels[y, x], labels[y + step[0], x + step[1]]], axis=1), axis=1)
        found.append(np.hstack([pair - 1, x[:, None], y[:, None]]).astype(np.int32))
    return np.concatenate(found)


def _is_one(inside: NDArray[np.uint8], line: NDArray[np.int32]) -> bool:
    """Whether the pixels of two cells that meet along a line have the outline of one."""
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if len(contours) != 1:
        return False
    hull = cv2.convexHull(contours[0])
    if cv2.contourArea(contours[0]) < _MIN_SOLIDITY * cv2.contourArea(hull):
        return False
    length = max(cv2.minAreaRect(line)[1])
    width = min(cv2.minAreaRect(hull)[1])
    return bool(length >= _MIN_CONTACT * width)
