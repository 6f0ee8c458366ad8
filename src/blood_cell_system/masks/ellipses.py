"""Geometry of the ellipses inscribed in boxes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox

_BORDER_PX = 2.0
# Thinner half-axes would overflow when squared.
_THINNEST_PX = 1e-6


def whole_cell_box(cell: LabelledBox, shape: tuple[int, int]) -> LabelledBox:
    """Box of the whole cell, where the border of the picture cuts it.

    A side that lies at the border is moved outwards until the box is square: what is hidden is not
    known, but cells are about as wide as high, and the inscribed ellipse of the cut box is not
    where the cell is.

    Parameters
    ----------
    cell : LabelledBox
    shape : tuple of int
        ``(height, width)`` of the picture in pixels.

    Returns
    -------
    LabelledBox
        The same box if it is not cut.

    Examples
    --------
    >>> from blood_cell_system.classes import CellType
    >>> cut = LabelledBox(cell_type=CellType.RBC, x_min=0, y_min=40, x_max=30, y_max=100)
    >>> whole_cell_box(cut, (200, 200)).x_min
    -30.0
    """
    height, width = shape
    missing_x = max(0.0, cell.height - cell.width)
    missing_y = max(0.0, cell.width - cell.height)
    left, right = cell.x_min <= _BORDER_PX, cell.x_max >= width - _BORDER_PX
    top, bottom = cell.y_min <= _BORDER_PX, cell.y_max >= height - _BORDER_PX
    return replace(
        cell,
        x_min=cell.x_min - missing_x * left / max(1, left + right),
        x_max=cell.x_max + missing_x * right / max(1, left + right),
        y_min=cell.y_min - missing_y * top / max(1, top + bottom),
        y_max=cell.y_max + missing_y * bottom / max(1, top + bottom),
    )


def clip_to_pixels(
    cell: LabelledBox, shape: tuple[int, int], *, margin: float = 0.0
) -> tuple[slice, slice]:
    """Rows and columns of the pixels that a box touches within the picture.

    Parameters
    ----------
    cell : LabelledBox
    shape : tuple of int
        ``(height, width)`` in pixels.
    margin : float
        Pixels around the box that are taken as well.

    Returns
    -------
    tuple of slice
        Rows and columns; empty where the box lies outside.
    """
    y_min = int(np.clip(np.floor(cell.y_min - margin), 0, shape[0]))
    x_min = int(np.clip(np.floor(cell.x_min - margin), 0, shape[1]))
    y_max = int(np.clip(np.ceil(cell.y_max + margin), y_min, shape[0]))
    x_max = int(np.clip(np.ceil(cell.x_max + margin), x_min, shape[1]))
    return slice(y_min, y_max), slice(x_min, x_max)


def ellipse_distance(cell: LabelledBox, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Squared distance of pixel centres from a box's centre, in half-axes of its ellipse.

    Parameters
    ----------
    cell : LabelledBox
        Of positive width and height.
    rows, columns : slice
        Pixels to look at.

    Returns
    -------
    ndarray of shape (rows, columns), dtype float32
        Below 1 inside the ellipse.
    """
    x_centre, y_centre = cell.centre
    y = (np.arange(rows.start, rows.stop) + 0.5 - y_centre) / max(cell.height / 2, _THINNEST_PX)
    x = (np.arange(columns.start, columns.stop) + 0.5 - x_centre) / max(
        cell.width / 2, _THINNEST_PX
    )
    return (y * y).astype(np.float32)[:, None] + (x * x).astype(np.float32)[None, :]


def nearest_ellipse(
    cells: Sequence[LabelledBox], shape: tuple[int, int], *, reach: float = 1.25
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Whose ellipse every pixel is nearest to.

    Parameters
    ----------
    cells : sequence of LabelledBox
    shape : tuple of int
        ``(height, width)`` in pixels.
    reach : float
        Half-axes up to which a pixel counts as a cell's.

    Returns
    -------
    owner : ndarray of shape (height, width), dtype int32
        Index of the cell; -1 where none reaches.
    distance : ndarray of shape (height, width), dtype float32
        Squared distance in half-axes of the owner's ellipse; infinite where none reaches.
    """
    owner = np.full(shape, -1, dtype=np.int32)
    distance = np.full(shape, np.inf, dtype=np.float32)
    for index, cell in enumerate(cells):
        if cell.width <= 0 or cell.height <= 0:
            continue
        margin = (reach - 1) / 2 * max(cell.width, cell.height)
        rows, columns = clip_to_pixels(cell, shape, margin=margin)
        candidate = ellipse_distance(cell, rows, columns)
        is_nearer = (candidate < distance[rows, columns]) & (candidate <= reach * reach)
        owner[rows, columns][is_nearer] = index
        distance[rows, columns][is_nearer] = candidate[is_nearer]
    return owner, distance
