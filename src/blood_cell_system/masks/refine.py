"""Class masks from the stain, told apart by the boxes.

1. ``stain``: optical density, and a threshold on it: where any cell is.
2. ``red_cells``: size and colour of this picture's red cells.
3. ``white_cells``: an outline in every white cell's box; it wins over everything.
4. ``pallor``: the pale middles of red cells are filled, the gaps between cells are not.
5. Foreground in a red cell's box, or of a red cell's colour, is red cell; foreground in a
   platelet's box is background. Whatever is in doubt is not scored: holes that may be pallor,
   threads and bits too small for a cell, and (``unboxed_white_cells``) white cells without a box.
6. The class mask is split into cells by the nearest ellipse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import NOT_SCORED, CellClass, CellType
from blood_cell_system.masks.ellipses import clip_to_pixels, nearest_ellipse, whole_cell_box
from blood_cell_system.masks.pallor import doubtful_holes, fill_pallor, pale_cells
from blood_cell_system.masks.red_cells import (
    RedCellLook,
    look_of_red_cells,
    red_share_of,
    unboxed_red_cells,
)
from blood_cell_system.masks.stain import (
    GREEN,
    RED,
    StainSettings,
    foreground_threshold,
    optical_density,
)
from blood_cell_system.masks.unboxed_white_cells import around_unboxed_nuclei
from blood_cell_system.masks.white_cells import outline_white_cell

_MIN_SIDE_PX = 2.0
# Half-axes up to which a box claims what it surrounds.
_CLAIMED = 1.1
_PLATELET_CLAIMED = 1.15
# Of a typical red cell's area: less is dirt, or the granules of a burst white cell.
_SMALLEST_CELL_SHARE = 0.12
# Of its diameter: bridges and fringes are thinner, rings are not.
_THREAD_SHARE = 0.12
# How far the red share of red cells may lie above their median. It spreads widely where cells are
# pale, but from the upper bound on stain is purple in every picture.
_LEAST_SHARE_RANGE = 0.06
_MOST_SHARE_RANGE = 0.13


@dataclass(frozen=True, slots=True, kw_only=True)
class StainMask:
    """What the stain and the boxes say together.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``, and 255 where not scored.
    label_image : ndarray of shape (height, width), dtype uint16
        0 background and cells without a box; pixels of ``cells[i]`` have the value ``i + 1``.
    cells : tuple of LabelledBox
        The given boxes in their order, then the red cells that only the stain shows.
    red_cell_diameter_px : float
        Of a typical red cell of this picture.
    """

    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16]
    cells: tuple[LabelledBox, ...]
    red_cell_diameter_px: float


def stain_class_mask(
    image: NDArray[np.uint8],
    cells: Sequence[LabelledBox],
    settings: StainSettings | None = None,
) -> StainMask:
    """Make the class mask of a picture from its stain and the boxes of its cells.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    cells : sequence of LabelledBox
        In pixels; not necessarily all cells of the picture.
    settings : StainSettings, optional

    Returns
    -------
    StainMask
    """
    settings = settings or StainSettings()
    shape = (image.shape[0], image.shape[1])
    density = optical_density(image, settings=settings)
    in_white_box = np.zeros(shape, dtype=bool)
    for cell in cells:
        if cell.cell_type is CellType.WBC:
            in_white_box[clip_to_pixels(cell, shape)] = True
    threshold = foreground_threshold(density, settings=settings, left_out=in_white_box)
    visible = density[:, :, GREEN] > threshold
    red_share = red_share_of(density)
    look = look_of_red_cells(density, visible, red_share, cells)
    usable = [
        (index, whole_cell_box(cell, shape))
        for index, cell in enumerate(cells)
        if min(cell.width, cell.height) >= _MIN_SIDE_PX
    ]

    white_owner = _white_cells(density, usable, look, shape)
    is_white = white_owner >= 0
    foreground = _clean(visible, look) | is_white
    foreground |= pale_cells(
        density[:, :, GREEN],
        foreground,
        [cell for _, cell in usable if cell.cell_type is CellType.RBC],
        threshold=threshold,
    )
    foreground = fill_pallor(
        foreground,
        cells,
        cell_area_px=look.area_px,
        max_share=settings.max_pallor_share,
    )
    class_mask = np.where(foreground, np.uint8(CellClass.RBC), np.uint8(CellClass.BACKGROUND))
    class_mask[is_white] = CellClass.WBC

    red_owner, red_distance = _owners(usable, CellType.RBC, shape)
    platelet_owner, platelet_distance = _owners(usable, CellType.PLATELET, shape)
    in_red_box = (red_distance < _CLAIMED**2) & ~is_white
    looks_red = _looks_red(density, red_share, look)
    is_platelet = (
        foreground
        & ~is_white
        & (platelet_distance < _PLATELET_CLAIMED**2)
        & ((platelet_distance < red_distance) | ~in_red_box)
        & ~(looks_red & in_red_box)
    )
    class_mask[is_platelet] = CellClass.BACKGROUND
    class_mask[is_platelet & in_red_box] = NOT_SCORED
    doubtful = foreground & ~looks_red & ~in_red_box & ~is_white & ~is_platelet
    class_mask[doubtful] = NOT_SCORED
    class_mask[
        doubtful_holes(foreground, cell_area_px=look.area_px, max_share=settings.max_pallor_share)
    ] = NOT_SCORED
    class_mask[
        around_unboxed_nuclei(
            density,
            red_share,
            look,
            foreground=foreground,
            in_red_box=in_red_box,
            is_white=is_white,
        )
    ] = NOT_SCORED
    _leave_out_threads(class_mask, in_red_box, look)
    _leave_out_bits(class_mask, in_red_box, look)

    is_red = (class_mask == CellClass.RBC) & ~is_platelet
    label_image = np.zeros(shape, dtype=np.uint16)
    is_owned = is_red & (red_distance < _CLAIMED**2)
    label_image[is_owned] = red_owner[is_owned] + 1
    label_image[is_white] = white_owner[is_white] + 1
    label_image[is_platelet] = platelet_owner[is_platelet] + 1

    found = unboxed_red_cells(is_red, red_distance < _CLAIMED**2, look)
    for offset, (_, window, pixels) in enumerate(found):
        label_image[window][pixels] = len(cells) + offset + 1
    _leave_out_rims(class_mask, is_platelet, settings)
    return StainMask(
        class_mask=class_mask,
        label_image=label_image,
        cells=(*cells, *(cell for cell, _, _ in found)),
        red_cell_diameter_px=look.diameter_px,
    )


def _white_cells(
    density: NDArray[np.float32],
    usable: Sequence[tuple[int, LabelledBox]],
    look: RedCellLook,
    shape: tuple[int, int],
) -> NDArray[np.int32]:
    """Index of the white cell that a pixel belongs to, -1 elsewhere."""
    owner, _ = _owners(usable, CellType.WBC, shape)
    white = np.full(shape, -1, dtype=np.int32)
    for index, cell in usable:
        if cell.cell_type is not CellType.WBC:
            continue
        outline = outline_white_cell(density, cell, look)
        if outline is None:
            continue
        rows, columns, inside = outline
        window = white[rows, columns]
        window[inside & ((window < 0) | (owner[rows, columns] == index))] = index
    return white


def _owners(
    usable: Sequence[tuple[int, LabelledBox]], cell_type: CellType, shape: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    chosen = [(index, cell) for index, cell in usable if cell.cell_type is cell_type]
    nearest, distance = nearest_ellipse([cell for _, cell in chosen], shape)
    indices = np.array([index for index, _ in chosen] + [-1], dtype=np.int32)
    return indices[nearest], distance


def _clean(visible: NDArray[np.bool_], look: RedCellLook) -> NDArray[np.bool_]:
    """Without specks and hairs, and without pinholes."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    cleaned = cv2.morphologyEx(visible.view(np.uint8), cv2.MORPH_OPEN, kernel)
    cleaned = cv2.morphologyEx(cleaned, cv2.MORPH_CLOSE, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cleaned, connectivity=8)
    is_kept = stats[:, cv2.CC_STAT_AREA] >= 0.01 * look.area_px
    is_kept[0] = False
    return np.asarray(is_kept[labels])


def _looks_red(
    density: NDArray[np.float32], red_share: NDArray[np.float32], look: RedCellLook
) -> NDArray[np.bool_]:
    """Whether a pixel has the colour of this picture's red cells."""
    limit = look.red_share + np.clip(
        4 * look.red_share_spread, _LEAST_SHARE_RANGE, _MOST_SHARE_RANGE
    )
    is_dark = density[:, :, RED] > look.nucleus_density
    near_nucleus = cv2.dilate(is_dark.view(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    return np.asarray((red_share < limit) & ~near_nucleus)


def _leave_out_threads(
    class_mask: NDArray[np.uint8], in_red_box: NDArray[np.bool_], look: RedCellLook
) -> None:
    """Mark what is too thin for a cell and in no box as not scored, in place."""
    width = 2 * round(_THREAD_SHARE * look.diameter_px / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    covered = (class_mask != CellClass.BACKGROUND).view(np.uint8)
    is_solid = cv2.morphologyEx(covered, cv2.MORPH_OPEN, kernel) > 0
    class_mask[(class_mask == CellClass.RBC) & ~is_solid & ~in_red_box] = NOT_SCORED


def _leave_out_bits(
    class_mask: NDArray[np.uint8], in_red_box: NDArray[np.bool_], look: RedCellLook
) -> None:
    """Mark bits of red that are too small for a cell and in no box as not scored, in place."""
    is_red = class_mask == CellClass.RBC
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_red.view(np.uint8), connectivity=4)
    is_bit = stats[:, cv2.CC_STAT_AREA] < _SMALLEST_CELL_SHARE * look.area_px
    # The border shows small parts of whole cells.
    height, width = class_mask.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    is_bit &= (left > 0) & (left + stats[:, cv2.CC_STAT_WIDTH] < width)
    is_bit &= (top > 0) & (top + stats[:, cv2.CC_STAT_HEIGHT] < height)
    is_bit[labels[in_red_box]] = False
    is_bit[0] = False
    class_mask[is_bit[labels]] = NOT_SCORED


def _leave_out_rims(
    class_mask: NDArray[np.uint8], is_platelet: NDArray[np.bool_], settings: StainSettings
) -> None:
    """Mark the band along every boundary as not scored, in place."""
    if settings.rim_px <= 0:
        return
    size = 2 * round(settings.rim_px) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (size, size))
    for mask in (class_mask, is_platelet.view(np.uint8)):
        class_mask[cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel) > 0] = NOT_SCORED
