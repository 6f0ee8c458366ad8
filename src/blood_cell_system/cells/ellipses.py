"""Which pixel belongs to which cell: the nearest ellipse's."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.peaks import CellPeaks
from blood_cell_system.classes import CELL_TYPES, MASK_CLASS, CellType


def label_by_nearest_ellipse(
    class_mask: NDArray[np.uint8], peaks: CellPeaks, *, reach: Mapping[CellType, float]
) -> NDArray[np.int32]:
    """Give every pixel to the cell whose ellipse is nearest, among cells of the pixel's class.

    The distance to a cell is measured in its own semi-axes: 0 at the centre, 1 on the ellipse's
    rim, so that a large cell is not cut by a small neighbour.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``.
    peaks : CellPeaks
    reach : mapping of CellType to float
        Largest distance of a pixel from its cell; 1 for a type that is not named.

    Returns
    -------
    ndarray of shape (height, width), dtype int32
        0 in no cell; ``i + 1`` in the cell of peak ``i``.
    """
    labels = np.zeros(class_mask.shape, dtype=np.int32)
    nearest = np.full(class_mask.shape, np.inf, dtype=np.float32)
    types = [CELL_TYPES[index] for index in peaks.type_index]
    for index, cell_type in enumerate(types):
        limit = reach.get(cell_type, 1.0)
        rows, y_distance = _axis_distance(peaks, index, 1, limit, class_mask.shape[0])
        columns, x_distance = _axis_distance(peaks, index, 0, limit, class_mask.shape[1])
        crop = rows, columns
        distance = y_distance[:, None] + x_distance[None, :]
        is_mine = distance < np.minimum(nearest[crop], limit**2)
        is_mine &= class_mask[crop] == MASK_CLASS[cell_type]
        np.copyto(nearest[crop], distance, where=is_mine)
        np.copyto(labels[crop], index + 1, where=is_mine)
    return labels


def _axis_distance(
    peaks: CellPeaks, index: int, axis: int, limit: float, length: int
) -> tuple[slice, NDArray[np.float32]]:
    """Pixels of one axis within a peak's reach, and their squared distances in semi-axes."""
    middle, semi_axis = peaks.centre[index, axis], peaks.size[index, axis] / 2
    first = int(np.clip(np.floor(middle - limit * semi_axis), 0, length))
    last = int(np.clip(np.ceil(middle + limit * semi_axis), first, length))
    distance = (np.arange(first, last) + 0.5 - middle) / semi_axis
    return slice(first, last), np.square(distance).astype(np.float32)
