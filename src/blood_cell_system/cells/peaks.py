"""Which pixel belongs to which cell: the nearest ellipse's."""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.neighbours import close_pairs
from blood_cell_system.model_metadata import HEAD_STRIDE, SIZE_UNIT_PX
from blood_cell_system.taxonomy import Taxonomy

_SMALLEST_PX: Final = 3.0
"""Least side of a predicted box in pixels: a size head may give anything."""


MAX_BOX_IOU: Final = 0.65
"""Predicted boxes that overlap more are one cell, whatever their types. Chosen with the thresholds
of ``taxonomy.Detection``, on the validation images of BCCD with every cell boxed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPeaks:
    """Centres of cells with their predicted sizes; one entry a cell in every array.

    Parameters
    ----------
    type_index : ndarray of shape (n,), dtype intp
        Index in the taxonomy.
    centre : ndarray of shape (n, 2), dtype float64
        x and y in pixels.
    size : ndarray of shape (n, 2), dtype float64
        Width and height in pixels.
    score : ndarray of shape (n,), dtype float64
        Height of the peak, 0 to 1.
    """

    type_index: NDArray[np.intp]
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Only the chosen peaks, by index or by a mask."""
        return type(self)(
            type_index=self.type_index[chosen],
            centre=self.centre[chosen],
            size=self.size[chosen],
            score=self.score[chosen],
        )

    @property
    def corners(self) -> NDArray[np.float64]:
        """Boxes as x_min, y_min, x_max, y_max; shape (n, 4)."""
        return np.hstack([self.centre - self.size / 2, self.centre + self.size / 2])


def find_peaks(
    centres: NDArray[np.float32],
    log_size: NDArray[np.float32],
    class_mask: NDArray[np.uint8],
    taxonomy: Taxonomy,
) -> CellPeaks:
    """Peaks of the heat maps that stand for one cell each.

    Parameters
    ----------
    centres : ndarray of shape (ceil(height / 4), ceil(width / 4), types), dtype float32
        Heat maps in the order of the taxonomy; index (r, c) is the pixel centre x = 4 (c + 0.5),
        y = 4 (r + 0.5).
    log_size : ndarray of shape (ceil(height / 4), ceil(width / 4), 2), dtype float32
        ln(width_px / 64) and ln(height_px / 64) of the cell's box.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``.
    taxonomy : Taxonomy
        ``detection`` of its types says what a cell is.

    Returns
    -------
    CellPeaks
        In order of falling score.
    """
    candidates = _local_maxima(centres, log_size, class_mask.shape, taxonomy)
    candidates = candidates.take(np.argsort(-candidates.score, kind="stable"))
    candidates = candidates.take(_agrees_with_mask(candidates, class_mask, taxonomy))
    return candidates.take(_is_strongest(candidates, taxonomy))


def _local_maxima(
    centres: NDArray[np.float32],
    log_size: NDArray[np.float32],
    shape: tuple[int, ...],
    taxonomy: Taxonomy,
) -> CellPeaks:
    found: list[tuple[NDArray[np.float64], ...]] = []
    type_indices = []
    for type_index, cell_type in enumerate(taxonomy):
        heat = np.ascontiguousarray(centres[:, :, type_index])
        is_peak = (heat >= cv2.dilate(heat, np.ones((3, 3), np.uint8))) & (
            heat >= cell_type.detection.peak_threshold
        )
        # A plateau is one peak, in its middle: a saturated map must not give thousands.
        count, _, _, middles = cv2.connectedComponentsWithStats(is_peak.astype(np.uint8))
        rows, columns = np.rint(middles[1:count, ::-1]).astype(np.intp).T
        at = rows, columns
        offset = np.stack([_parabola_offset(heat, *at, 0, 1), _parabola_offset(heat, *at, 1, 0)], 1)
        centre = (np.stack([columns, rows], 1) + offset + 0.5) * HEAD_STRIDE
        size = np.exp(np.clip(log_size[at].astype(np.float64), -6, 6)) * SIZE_UNIT_PX
        size = np.clip(np.nan_to_num(size, nan=_SMALLEST_PX), _SMALLEST_PX, 2 * max(shape))
        found.append((np.clip(centre, 0, (shape[1], shape[0])), size, heat[at].astype(np.float64)))
        type_indices.append(np.full(len(rows), type_index, dtype=np.intp))
    centre, size, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return CellPeaks(type_index=np.concatenate(type_indices), centre=centre, size=size, score=score)


def _parabola_offset(
    heat: NDArray[np.float32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    row_step: int,
    column_step: int,
) -> NDArray[np.float64]:
    """Where between its neighbours a maximum is: exact for a Gaussian, as its log is a parabola."""
    last_row, last_column = heat.shape[0] - 1, heat.shape[1] - 1

    def log_heat(sign: int) -> NDArray[np.float64]:
        row = np.clip(rows + sign * row_step, 0, last_row)
        column = np.clip(columns + sign * column_step, 0, last_column)
        return np.log(np.maximum(heat[row, column].astype(np.float64), 1e-6))

    before, middle, after = log_heat(-1), log_heat(0), log_heat(1)
    curvature = 2 * middle - before - after
    offset = np.zeros_like(middle)
    np.divide((after - before) / 2, curvature, out=offset, where=curvature > 1e-6)
    return np.clip(offset, -0.5, 0.5)


def _agrees_with_mask(
    peaks: CellPeaks, class_mask: NDArray[np.uint8], taxonomy: Taxonomy
) -> NDArray[np.bool_]:
    """Whether enough of each predicted box has the class that the peak's type asks for."""
    height, width = class_mask.shape
    corners = np.rint(peaks.corners).astype(np.intp)
    x_min, x_max = np.clip(corners[:, [0, 2]], 0, width).T
    y_min, y_max = np.clip(corners[:, [1, 3]], 0, height).T
    area = np.maximum((x_max - x_min) * (y_max - y_min), 1)
    agrees = np.zeros(len(peaks), dtype=bool)
    for type_index, cell_type in enumerate(taxonomy):
        total = cv2.integral((class_mask == cell_type.mask_class).astype(np.uint8))
        inside = (
            total[y_max, x_max] - total[y_min, x_max] - total[y_max, x_min] + total[y_min, x_min]
        )
        is_type = peaks.type_index == type_index
        agrees |= is_type & (inside / area >= cell_type.detection.min_agreement)
    return agrees


def _is_strongest(peaks: CellPeaks, taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Keep of peaks that stand for one cell the strongest; peaks come in order of score."""
    is_kept = np.ones(len(peaks), dtype=bool)
    if len(peaks) < 2:
        return is_kept
    # Two peaks further apart than the largest cell's radius cannot meet either rule.
    widest = max(1.0, *(cell_type.detection.same_cell_within for cell_type in taxonomy))
    reach = widest * float(peaks.size.max()) / 2
    pairs = close_pairs(peaks.centre, reach)
    strong, weak = np.sort(pairs[_is_same_cell(peaks, pairs, taxonomy)], axis=1).T
    order = np.argsort(strong, kind="stable")
    strong, weak = strong[order], weak[order]
    starts = np.searchsorted(strong, np.arange(len(peaks) + 1))
    for index in np.unique(strong):
        if is_kept[index]:
            is_kept[weak[starts[index] : starts[index + 1]]] = False
    return is_kept


def _is_same_cell(
    peaks: CellPeaks, pairs: NDArray[np.intp], taxonomy: Taxonomy
) -> NDArray[np.bool_]:
    first, second = pairs.T
    area = peaks.size.prod(axis=1)
    larger = np.where(area[first] >= area[second], first, second)
    offset = (peaks.centre[first] - peaks.centre[second]) / (peaks.size[larger] / 2)
    limits = np.array([cell_type.detection.same_cell_within for cell_type in taxonomy])
    is_inside = np.hypot(offset[:, 0], offset[:, 1]) < limits[peaks.type_index[larger]]
    is_same_type = peaks.type_index[first] == peaks.type_index[second]
    corners = peaks.corners
    sides = np.minimum(corners[first, 2:], corners[second, 2:]) - np.maximum(
        corners[first, :2], corners[second, :2]
    )
    overlap = np.clip(sides, 0, None).prod(axis=1)
    iou = overlap / (area[first] + area[second] - overlap)
    result: NDArray[np.bool_] = (is_same_type & is_inside) | (iou > MAX_BOX_IOU)
    return result


def label_by_nearest_ellipse(
    class_mask: NDArray[np.uint8], peaks: CellPeaks, taxonomy: Taxonomy
) -> NDArray[np.int32]:
    """Give every pixel to the cell whose ellipse is nearest, among cells of the pixel's class.

    The distance to a cell is measured in its own semi-axes: 0 at the centre, 1 on the ellipse's
    rim, so that a large cell is not cut by a small neighbour.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``.
    taxonomy : Taxonomy
        ``reach`` of a type is the largest distance of a pixel from its cell.

    Returns
    -------
    ndarray of shape (height, width), dtype int32
        0 in no cell; ``i + 1`` in the cell of peak ``i``.
    """
    labels = np.zeros(class_mask.shape, dtype=np.int32)
    nearest = np.full(class_mask.shape, np.inf, dtype=np.float32)
    types = [taxonomy.cell_types[index] for index in peaks.type_index]
    for index, cell_type in enumerate(types):
        limit = cell_type.detection.reach
        rows, y_distance = _axis_distance(peaks, index, 1, limit, class_mask.shape[0])
        columns, x_distance = _axis_distance(peaks, index, 0, limit, class_mask.shape[1])
        crop = rows, columns
        distance = y_distance[:, None] + x_distance[None, :]
        is_mine = distance < np.minimum(nearest[crop], limit**2)
        is_mine &= class_mask[crop] == cell_type.mask_class
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
