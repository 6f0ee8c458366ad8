"""The guide's baseline: an ellipse in every box."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import MASK_CLASS, CellType
from blood_cell_system.masks.ellipses import clip_to_pixels, ellipse_distance

_PAINTING_ORDER = (CellType.RBC, CellType.WBC)


def rasterize_ellipses(cells: Sequence[LabelledBox], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Paint each box's inscribed ellipse with its class value; white cells lie over red ones.

    Parameters
    ----------
    cells : sequence of LabelledBox
        Boxes in pixels, 0-based and half-open; parts outside the image are cut off. Platelets are
        background, and boxes without an area are passed over.
    shape : tuple of int
        ``(height, width)`` in pixels.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``; 0 is background.

    Notes
    -----
    A pixel belongs to the ellipse when its *centre* does.

    Examples
    --------
    >>> box = LabelledBox(cell_type=CellType.WBC, x_min=1, y_min=0, x_max=4, y_max=3)
    >>> rasterize_ellipses([box], (3, 5)).tolist()
    [[0, 2, 2, 2, 0], [0, 2, 2, 2, 0], [0, 2, 2, 2, 0]]
    """
    class_mask = np.zeros(shape, dtype=np.uint8)
    for cell_type in _PAINTING_ORDER:
        for cell in cells:
            if cell.cell_type is not cell_type or cell.width <= 0 or cell.height <= 0:
                continue
            rows, columns = clip_to_pixels(cell, shape)
            is_inside = ellipse_distance(cell, rows, columns) <= 1.0
            class_mask[rows, columns][is_inside] = MASK_CLASS[cell_type]
    return class_mask
