"""Class masks from the stain, separated by the boxes.

1. Optical density, and a threshold on it: where any cell is.
2. Size and colour of this image's red cells (``red_cells``).
3. An outline in every white cell's box; it wins over everything (``white_cells``).
4. The pale middles of red cells are filled, the gaps between cells are not (``fill_pallor``).
5. Foreground in a red cell's box, or of a red cell's colour, is red cell; foreground in a
   platelet's box is background. Whatever is in doubt is not scored: holes that may be pallor,
   threads and bits too small for a cell, and white cells without a box (``white_cells``).
6. The class mask is split into cells by the nearest ellipse.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.masks.ellipses import (
    clip_to_pixels,
    ellipse_distance,
    nearest_ellipse,
    whole_cell_box,
)
from blood_cell_system.masks.red_cells import (
    RedCellAppearance,
    appearance_of_red_cells,
    red_share_of,
    unboxed_red_cells,
)
from blood_cell_system.masks.white_cells import around_unboxed_nuclei, outline_white_cell
from blood_cell_system.stain.optical_density import (
    GREEN,
    RED,
    StainSettings,
    foreground_threshold,
    optical_density,
)
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, RBC, WBC, MaskClass, Taxonomy

_SPECK_SHARE = 0.02  # Of a cell's area: smaller holes are filled wherever they are.
_MIDDLE = 0.75  # Half-axes within which a hole is pallor.
_MIN_ROUNDNESS = 0.65  # 4π area / perimeter² of a hole that is pallor by its shape.
_MIN_SOLIDITY = 0.88  # Area to hull; the gaps between round cells have hollow sides.
_BROKEN_RING = 0.9  # Share of a box above which a cell has no gap to close.
_GAP_SHARE = 0.12  # Of the box's shorter side: wider gaps stay open.
# Holes of at least this share of a cell have a shape that distinguishes pallor from gaps.
_SHAPELESS_SHARE = 0.12
# The pallor of ghost cells: its area in those of the largest usual pallor, and its solidity.
_GHOST_SHARE = 1.5
_GHOST_SOLIDITY = 0.92  # Area to hull of the pallor of ghost cells.
_PALE = 0.6  # Of an ellipse: where less is stained, the cell is pale.
_PALE_THRESHOLD = 0.6  # Of the usual threshold, for pale cells.


def fill_pallor(
    foreground: NDArray[np.bool_],
    cells: Sequence[Annotation],
    *,
    cell_area_px: float,
    max_share: float,
) -> NDArray[np.bool_]:
    """Fill the holes that lie in cells.

    A hole in the middle of a boxed red cell is its pallor. A hole in no box is taken for one when
    it is round: the gaps between round cells are triangles with hollow sides.

    Parameters
    ----------
    foreground : ndarray of shape (height, width), dtype bool
    cell_area_px : float
        Area of a typical red cell.
    max_share : float
        Largest hole in no box that is filled, as part of a cell's area; in the middle of a box it
        may be twice as large.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
    """
    shape = foreground.shape
    red_cells = [
        whole_cell_box(cell, shape)
        for cell in cells
        if cell.cell_type == RBC and cell.width > 0 and cell.height > 0
    ]
    filled = foreground.copy()
    for cell in red_cells:
        _close_broken_ring(filled, cell)
    owner, distance = nearest_ellipse(red_cells, shape, reach=1.0)
    count, labels, stats, middles = cv2.connectedComponentsWithStats(
        (~filled).view(np.uint8), connectivity=4
    )
    for label in range(1, count):
        x, y, width, height, area = stats[label]
        if area > 2 * max_share * cell_area_px:
            continue
        column, row = np.rint(middles[label]).astype(int)
        in_cell = distance[row, column] < _MIDDLE**2
        if in_cell:
            cell = red_cells[owner[row, column]]
            limit = 2 * max_share * np.pi / 4 * max(cell.width * cell.height, cell_area_px / 2)
        elif x == 0 or y == 0 or x + width == shape[1] or y + height == shape[0]:
            continue
        else:
            limit = max_share * cell_area_px
        if area > limit:
            continue
        window = np.s_[y : y + height, x : x + width]
        hole = labels[window] == label
        if in_cell or area < _SPECK_SHARE * cell_area_px or _is_round(hole):
            filled[window][hole] = True
    return filled


def doubtful_holes(
    foreground: NDArray[np.bool_], *, cell_area_px: float, max_share: float
) -> NDArray[np.bool_]:
    """Holes that were not filled, but may be pallor rather than a gap between cells.

    Parameters
    ----------
    foreground : ndarray of shape (height, width), dtype bool
        As of ``fill_pallor``.
    cell_area_px : float
        Area of a typical red cell.
    max_share : float
        Largest pallor of a usual cell, as part of its area.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        Holes too small to have a shape of their own, larger ones without any hollow side, as ghost
        cells have them, and small ones that one side of the image cuts.
    """
    shape = foreground.shape
    doubtful = np.zeros(shape, dtype=bool)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (~foreground).view(np.uint8), connectivity=4
    )
    for label in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[label])
        if area > _GHOST_SHARE * max_share * cell_area_px:
            continue
        window = np.s_[y : y + height, x : x + width]
        hole = labels[window] == label
        sides_cut = (x == 0) + (y == 0) + (x + width == shape[1]) + (y + height == shape[0])
        if sides_cut:
            is_pallor_like = sides_cut == 1 and area < max_share * cell_area_px
            is_doubtful = is_pallor_like and _solidity(hole) > _MIN_SOLIDITY
        else:
            is_small = area < _SHAPELESS_SHARE * cell_area_px
            is_doubtful = is_small or _solidity(hole) > _GHOST_SOLIDITY
        if is_doubtful:
            doubtful[window][hole] = True
    return doubtful


def pale_cells(
    green_density: NDArray[np.float32],
    foreground: NDArray[np.bool_],
    red_cells: Sequence[Annotation],
    *,
    threshold: float,
) -> NDArray[np.bool_]:
    """Pixels of boxed cells that are too pale for the image's threshold.

    Only where a person has seen a cell, and most of it is missing, a lower threshold is tried.

    Parameters
    ----------
    green_density : ndarray of shape (height, width), dtype float32
    foreground : ndarray of shape (height, width), dtype bool
    threshold : float
        The one that the foreground was found with.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
    """
    pale = np.zeros(foreground.shape, dtype=bool)
    kernel = np.ones((3, 3), np.uint8)
    for cell in red_cells:
        rows, columns = clip_to_pixels(cell, foreground.shape)
        inside = ellipse_distance(cell, rows, columns) <= 1.0
        seen = np.count_nonzero(foreground[rows, columns] & inside)
        if seen >= _PALE * np.count_nonzero(inside):
            continue
        candidate = (green_density[rows, columns] > _PALE_THRESHOLD * threshold) & inside
        opened = cv2.morphologyEx(candidate.view(np.uint8), cv2.MORPH_OPEN, kernel)
        pale[rows, columns] |= opened.astype(bool)
    return pale


def _close_broken_ring(foreground: NDArray[np.bool_], cell: Annotation) -> None:
    """Close gaps in the ring of a pale cell, within its ellipse, in place."""
    rows, columns = clip_to_pixels(cell, foreground.shape)
    inside = ellipse_distance(cell, rows, columns) <= 1.0
    visible = foreground[rows, columns] & inside
    size = int(np.count_nonzero(inside))
    if size == 0 or not 0.2 < np.count_nonzero(visible) / size < _BROKEN_RING:
        return
    gap = 2 * int(_GAP_SHARE * min(cell.width, cell.height) / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    padded = np.pad(visible.view(np.uint8), gap)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[gap:-gap, gap:-gap]
    foreground[rows, columns] |= closed.astype(bool) & inside


def _outer_contour(hole: NDArray[np.bool_]) -> NDArray[np.int32]:
    contours, _ = cv2.findContours(hole.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(contours, key=len))


def _is_round(hole: NDArray[np.bool_]) -> bool:
    contour = _outer_contour(hole)
    area = max(1.0, cv2.contourArea(contour))
    perimeter = max(1.0, cv2.arcLength(cv2.approxPolyDP(contour, 0.8, True), True))  # noqa: FBT003
    return 4 * np.pi * area / perimeter**2 > _MIN_ROUNDNESS and _solidity(hole) > _MIN_SOLIDITY


def _solidity(hole: NDArray[np.bool_]) -> float:
    """Area as part of the hull's: small with hollow sides, as the gaps between round cells have."""
    contour = _outer_contour(hole)
    hull = max(1.0, cv2.contourArea(cv2.convexHull(contour)))
    return max(1.0, cv2.contourArea(contour)) / hull


_MIN_SIDE_PX = 2.0  # Narrower boxes hold no cell.
# Half-axes up to which a box claims what it surrounds.
_CLAIMED = 1.1
_CLAIMED_WITHOUT_CHANNEL = 1.15  # As _CLAIMED, for cells without a channel.
# Of a typical red cell's area: less is dirt, or the granules of a burst white cell.
_SMALLEST_CELL_SHARE = 0.12
# Of its diameter: bridges and fringes are thinner, rings are not.
_THREAD_SHARE = 0.12
# How far the red share of red cells may lie above their median. It spreads widely where cells are
# pale, but from the upper bound on stain is purple in every image.
_LEAST_SHARE_RANGE = 0.06
_MOST_SHARE_RANGE = 0.13  # Red share above the median from which on stain is purple everywhere.


@dataclass(frozen=True, slots=True, kw_only=True)
class StainMask:
    """What the stain and the boxes say together.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``, and 255 where not scored.
    label_image : ndarray of shape (height, width), dtype uint16
        0 background and cells without a box; pixels of ``cells[i]`` have the value ``i + 1``.
    cells : tuple of Annotation
        The given boxes in their order, then the red cells that only the stain shows.
    red_cell_diameter_px : float
        Of a typical red cell of this image.
    """

    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16]
    cells: tuple[Annotation, ...]
    red_cell_diameter_px: float


def stain_class_mask(
    image: NDArray[np.uint8],
    cells: Sequence[Annotation],
    settings: StainSettings | None = None,
    *,
    taxonomy: Taxonomy = BUILT_IN,
) -> StainMask:
    """Make the class mask of an image from its stain and the boxes of its cells.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    cells : sequence of Annotation
        In pixels; not necessarily all cells of the image.
    taxonomy : Taxonomy
        Says which channel a cell's type has: the stain does not distinguish more than that.
    """
    channels = taxonomy.mask_classes
    by_channel = [
        replace(cell, cell_type=_TYPE_OF_CHANNEL[channels[cell.cell_type]]) for cell in cells
    ]
    result = _stain_class_mask(image, by_channel, settings or StainSettings())
    red = taxonomy.main_types[MaskClass.RBC].name
    found = (replace(cell, cell_type=red) for cell in result.cells[len(cells) :])
    return replace(result, cells=(*cells, *found))


_WITHOUT_CHANNEL: Final = ""
_TYPE_OF_CHANNEL: Final = {
    MaskClass.RBC: RBC,
    MaskClass.WBC: WBC,
    MaskClass.BACKGROUND: _WITHOUT_CHANNEL,
}


def _stain_class_mask(
    image: NDArray[np.uint8], cells: Sequence[Annotation], settings: StainSettings
) -> StainMask:
    """Make the mask of cells that are red, white, or have no channel."""
    shape = (image.shape[0], image.shape[1])
    density = optical_density(image, settings=settings)
    in_white_box = np.zeros(shape, dtype=bool)
    for cell in cells:
        if cell.cell_type == WBC:
            in_white_box[clip_to_pixels(cell, shape)] = True
    threshold = foreground_threshold(density, settings=settings, left_out=in_white_box)
    visible = density[:, :, GREEN] > threshold
    red_share = red_share_of(density)
    appearance = appearance_of_red_cells(density, visible, red_share, cells)
    usable = [
        (index, whole_cell_box(cell, shape))
        for index, cell in enumerate(cells)
        if min(cell.width, cell.height) >= _MIN_SIDE_PX
    ]

    white_owner = _white_cells(density, usable, appearance, shape)
    is_white = white_owner >= 0
    foreground = _clean(visible, appearance) | is_white
    foreground |= pale_cells(
        density[:, :, GREEN],
        foreground,
        [cell for _, cell in usable if cell.cell_type == RBC],
        threshold=threshold,
    )
    pallor = {"cell_area_px": appearance.area_px, "max_share": settings.max_pallor_share}
    foreground = fill_pallor(foreground, cells, **pallor)
    class_mask = np.where(foreground, np.uint8(MaskClass.RBC), np.uint8(MaskClass.BACKGROUND))
    class_mask[is_white] = MaskClass.WBC

    red_owner, red_distance = _owners(usable, RBC, shape)
    platelet_owner, platelet_distance = _owners(usable, _WITHOUT_CHANNEL, shape)
    in_red_box = (red_distance < _CLAIMED**2) & ~is_white
    looks_red = _looks_red(density, red_share, appearance)
    is_platelet = (
        foreground
        & ~is_white
        & (platelet_distance < _CLAIMED_WITHOUT_CHANNEL**2)
        & ((platelet_distance < red_distance) | ~in_red_box)
        & ~(looks_red & in_red_box)
    )
    class_mask[is_platelet] = MaskClass.BACKGROUND
    class_mask[is_platelet & in_red_box] = NOT_SCORED
    doubtful = foreground & ~looks_red & ~in_red_box & ~is_white & ~is_platelet
    class_mask[doubtful] = NOT_SCORED
    class_mask[doubtful_holes(foreground, **pallor)] = NOT_SCORED
    unboxed = around_unboxed_nuclei(
        density,
        red_share,
        appearance,
        foreground=foreground,
        in_red_box=in_red_box,
        is_white=is_white,
    )
    class_mask[unboxed] = NOT_SCORED
    _leave_out_threads(class_mask, in_red_box, appearance)
    _leave_out_bits(class_mask, in_red_box, appearance)

    is_red = (class_mask == MaskClass.RBC) & ~is_platelet
    label_image = np.zeros(shape, dtype=np.uint16)
    is_owned = is_red & (red_distance < _CLAIMED**2)
    label_image[is_owned] = red_owner[is_owned] + 1
    label_image[is_white] = white_owner[is_white] + 1
    label_image[is_platelet] = platelet_owner[is_platelet] + 1

    found = unboxed_red_cells(is_red, red_distance < _CLAIMED**2, appearance)
    for offset, (_, window, pixels) in enumerate(found):
        label_image[window][pixels] = len(cells) + offset + 1
    _leave_out_rims(class_mask, is_platelet, settings)
    return StainMask(
        class_mask=class_mask,
        label_image=label_image,
        cells=(*cells, *(cell for cell, _, _ in found)),
        red_cell_diameter_px=appearance.diameter_px,
    )


def _white_cells(
    density: NDArray[np.float32],
    usable: Sequence[tuple[int, Annotation]],
    appearance: RedCellAppearance,
    shape: tuple[int, int],
) -> NDArray[np.int32]:
    """Index of the white cell that a pixel belongs to, -1 elsewhere."""
    owner, _ = _owners(usable, WBC, shape)
    white = np.full(shape, -1, dtype=np.int32)
    for index, cell in usable:
        if cell.cell_type != WBC:
            continue
        outline = outline_white_cell(density, cell, appearance)
        if outline is None:
            continue
        rows, columns, inside = outline
        window = white[rows, columns]
        window[inside & ((window < 0) | (owner[rows, columns] == index))] = index
    return white


def _owners(
    usable: Sequence[tuple[int, Annotation]], cell_type: str, shape: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    chosen = [(index, cell) for index, cell in usable if cell.cell_type == cell_type]
    nearest, distance = nearest_ellipse([cell for _, cell in chosen], shape)
    indices = np.array([index for index, _ in chosen] + [-1], dtype=np.int32)
    return indices[nearest], distance


def _clean(visible: NDArray[np.bool_], appearance: RedCellAppearance) -> NDArray[np.bool_]:
    """Without specks and hairs, and without pinholes."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    cleaned = cv2.morphologyEx(visible.view(np.uint8), cv2.MORPH_OPEN, kernel)
    cleaned = cv2.morphologyEx(cleaned, cv2.MORPH_CLOSE, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cleaned, connectivity=8)
    is_kept = stats[:, cv2.CC_STAT_AREA] >= 0.01 * appearance.area_px
    is_kept[0] = False
    return np.asarray(is_kept[labels])


def _looks_red(
    density: NDArray[np.float32], red_share: NDArray[np.float32], appearance: RedCellAppearance
) -> NDArray[np.bool_]:
    """Whether a pixel has the colour of this image's red cells."""
    limit = appearance.red_share + np.clip(
        4 * appearance.red_share_spread, _LEAST_SHARE_RANGE, _MOST_SHARE_RANGE
    )
    is_dark = density[:, :, RED] > appearance.nucleus_density
    near_nucleus = cv2.dilate(is_dark.view(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    return np.asarray((red_share < limit) & ~near_nucleus)


def _leave_out_threads(
    class_mask: NDArray[np.uint8], in_red_box: NDArray[np.bool_], appearance: RedCellAppearance
) -> None:
    """Mark what is too thin for a cell and in no box as not scored, in place."""
    width = 2 * round(_THREAD_SHARE * appearance.diameter_px / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    covered = (class_mask != MaskClass.BACKGROUND).view(np.uint8)
    is_solid = cv2.morphologyEx(covered, cv2.MORPH_OPEN, kernel) > 0
    class_mask[(class_mask == MaskClass.RBC) & ~is_solid & ~in_red_box] = NOT_SCORED


def _leave_out_bits(
    class_mask: NDArray[np.uint8], in_red_box: NDArray[np.bool_], appearance: RedCellAppearance
) -> None:
    """Mark bits of red that are too small for a cell and in no box as not scored, in place."""
    is_red = class_mask == MaskClass.RBC
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_red.view(np.uint8), connectivity=4)
    is_bit = stats[:, cv2.CC_STAT_AREA] < _SMALLEST_CELL_SHARE * appearance.area_px
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
