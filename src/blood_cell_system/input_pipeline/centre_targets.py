"""What the instance head learns: where cells have their centres and how large they are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.classes import CELL_TYPES, MASK_CLASS, NOT_SCORED, CellType
from blood_cell_system.segmenter_contract import HEAD_STRIDE, SIZE_UNIT_PX

# Standard deviation of a centre's Gaussian as a share of the cell's width and height. A white
# cell's middle is harder to agree on; a platelet is only a few places wide.
_SIGMA_SHARE: Final = {CellType.RBC: 0.12, CellType.WBC: 0.14, CellType.PLATELET: 0.2}
_SMALLEST_SIGMA: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreTargets:
    """Targets of the instance head for one crop; maps have a quarter of the crop's sides.

    Parameters
    ----------
    heat_map : ndarray of shape (height / 4, width / 4, 3), dtype float32
        By ``CELL_TYPES``: exactly 1 at a cell's centre, a Gaussian around it.
    heat_weight : ndarray of the same shape
        0 where nobody knows whether there is a centre, else 1.
    log_size : ndarray of shape (height / 4, width / 4, 2), dtype float32
        ln(width / 64 px) and ln(height / 64 px) of the cell whose centre is near.
    size_weight : ndarray of shape (height / 4, width / 4), dtype float32
    """

    heat_map: NDArray[np.float32]
    heat_weight: NDArray[np.float32]
    log_size: NDArray[np.float32]
    size_weight: NDArray[np.float32]


def centre_targets(
    cells: Sequence[LabelledBox] | None,
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.integer] | None = None,
    *,
    unmarked_types: Collection[CellType] = (),
) -> CentreTargets:
    """Make the instance head's targets.

    A known centre always counts. Elsewhere "no centre" is only taught where it is known: not where
    pixels are not scored, not for a class whose pixels belong to no known cell, and not for a type
    that nobody marked.

    Parameters
    ----------
    cells : sequence of LabelledBox or None
        Boxes in the crop's pixels, centres inside it; None when nobody has said where cells are,
        which gives no weight to anything.
    class_mask : ndarray of shape (height, width), dtype uint8
        Sides are multiples of 4.
    label_image : ndarray of shape (height, width), optional
        0 where a pixel belongs to no known cell.
    unmarked_types : collection of CellType
        Types that may be there without a box.

    Returns
    -------
    CentreTargets
    """
    height, width = class_mask.shape[0] // HEAD_STRIDE, class_mask.shape[1] // HEAD_STRIDE
    shape = (height, width, len(CELL_TYPES))
    heat_map = np.zeros(shape, np.float32)
    log_size = np.zeros((height, width, 2), np.float32)
    size_weight = np.zeros((height, width), np.float32)
    if cells is None:
        return CentreTargets(
            heat_map=heat_map,
            heat_weight=np.zeros(shape, np.float32),
            log_size=log_size,
            size_weight=size_weight,
        )
    for cell in cells:
        _draw_cell(cell, heat_map, log_size, size_weight)
    is_known = _share(class_mask == NOT_SCORED) < 0.5
    heat_weight = np.repeat(is_known[:, :, None], len(CELL_TYPES), axis=2).astype(np.float32)
    if label_image is not None:
        for channel, cell_type in enumerate(CELL_TYPES):
            # Platelets are background in the class mask: their absence is known wherever that is.
            if cell_type != CellType.PLATELET:
                is_orphan = (class_mask == MASK_CLASS[cell_type]) & (label_image == 0)
                heat_weight[:, :, channel] *= _share(is_orphan) < 0.5
    for cell_type in unmarked_types:
        heat_weight[:, :, CELL_TYPES.index(cell_type)] = 0
    return CentreTargets(
        heat_map=heat_map,
        heat_weight=np.maximum(heat_weight, heat_map > 0.1),
        log_size=log_size,
        size_weight=size_weight,
    )


def _share(is_set: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Share of set pixels under every place of the map."""
    size = (is_set.shape[1] // HEAD_STRIDE, is_set.shape[0] // HEAD_STRIDE)
    return np.asarray(cv2.resize(is_set.astype(np.float32), size, interpolation=cv2.INTER_AREA))


def _draw_cell(
    cell: LabelledBox,
    heat_map: NDArray[np.float32],
    log_size: NDArray[np.float32],
    size_weight: NDArray[np.float32],
) -> None:
    height, width, _ = heat_map.shape
    x_px, y_px = cell.centre
    column, row = int(x_px // HEAD_STRIDE), int(y_px // HEAD_STRIDE)
    if not (0 <= row < height and 0 <= column < width) or min(cell.width, cell.height) <= 0:
        return
    share = _SIGMA_SHARE[cell.cell_type]
    sigma_x = max(share * cell.width / HEAD_STRIDE, _SMALLEST_SIGMA)
    sigma_y = max(share * cell.height / HEAD_STRIDE, _SMALLEST_SIGMA)
    rows = slice(max(0, row - int(3 * sigma_y)), min(height, row + int(3 * sigma_y) + 1))
    columns = slice(max(0, column - int(3 * sigma_x)), min(width, column + int(3 * sigma_x) + 1))
    # Around the middle of the centre's own place, so that the peak is exactly 1.
    gauss_y = np.exp(-0.5 * ((np.arange(rows.start, rows.stop) - row) / sigma_y) ** 2)
    gauss_x = np.exp(-0.5 * ((np.arange(columns.start, columns.stop) - column) / sigma_x) ** 2)
    gauss = (gauss_y[:, None] * gauss_x[None, :]).astype(np.float32)
    channel = heat_map[rows, columns, CELL_TYPES.index(cell.cell_type)]
    np.maximum(channel, gauss, out=channel)
    if cell.origin is BoxOrigin.POINT:
        # Its size is a guess.
        return
    # The nearest cell's size wins where two are close.
    is_nearest = (gauss > 0.5) & (gauss > size_weight[rows, columns])
    size_weight[rows, columns][is_nearest] = gauss[is_nearest]
    log_size[rows, columns][is_nearest] = np.log(
        np.array([cell.width, cell.height], np.float32) / SIZE_UNIT_PX
    )
