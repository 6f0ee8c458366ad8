"""The cells of a picture at a given magnification, in bounded memory however large it is.

Up to some million pixels a picture is taken whole. Larger ones are cut into tiles that overlap by
more than a cell: in each tile the cells are found and measured on their own, and a cell belongs to
the tile that holds its middle. Only the class mask and the label image are as large as the picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.cells.rescaling import (
    enlarged_class_mask,
    rescale_cells,
    resize_labels,
)
from blood_cell_system.cells.separation import (
    DetectedCell,
    SeparatedCells,
    SeparationSettings,
    in_reading_order,
    separate_cells,
)
from blood_cell_system.errors import SettingsError
from blood_cell_system.inference.runtimes import Runtime
from blood_cell_system.inference.segmenter import BlockSettings, segment_image

_SAME_CELL: Final = 0.5
# Two tiles see the middle of a cell on their seam in slightly different places.
_SLACK_PX: Final = 12
# A picture that is made far smaller for the network still has its own pixels to be labelled.
_LEAST_MAGNIFICATION: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSettings:
    """How pictures too large to be separated at once are cut up; in pixels after resampling.

    Parameters
    ----------
    max_whole_px : int
        Larger pictures are cut. A pixel needs some 60 bytes while cells are told apart.
    tile_px : int
        Side of a tile.
    margin_px : int
        What a tile sees beyond its own area; more than the largest cell.

    Raises
    ------
    SettingsError
        A size is not positive.
    """

    max_whole_px: int = 8_000_000
    tile_px: int = 2048
    margin_px: int = 320

    def __post_init__(self) -> None:
        for name in ("max_whole_px", "tile_px", "margin_px"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"{name}: received {getattr(self, name)}; expected a number above 0."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCells:
    """The cells of a picture in its own pixels.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``.
    separated : SeparatedCells
    knows_platelets : bool
        Whether the network has an instance head; without one cells are told apart by shape.
    """

    class_mask: NDArray[np.uint8]
    separated: SeparatedCells
    knows_platelets: bool


def no_cells(shape: tuple[int, ...]) -> FoundCells:
    """Give what is found in a picture of that ``(height, width)`` that shows nothing."""
    return FoundCells(
        class_mask=np.zeros(shape, dtype=np.uint8),
        separated=SeparatedCells(label_image=np.zeros(shape, dtype=np.int32), cells=()),
        knows_platelets=True,
    )


def find_cells(
    runtime: Runtime,
    image: NDArray[np.uint8],
    *,
    magnification: float = 1.0,
    blocks: BlockSettings | None = None,
    separation: SeparationSettings | None = None,
    tiles: TileSettings | None = None,
) -> FoundCells:
    """Find the cells of a picture that a network sees resampled.

    Parameters
    ----------
    runtime : Runtime
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    magnification : float
        Pixels that the network sees for each pixel of the picture.
    blocks : BlockSettings, optional
    separation : SeparationSettings, optional
    tiles : TileSettings, optional

    Returns
    -------
    FoundCells
    """
    tiles = tiles or TileSettings()
    height, width = image.shape[:2]
    if height * width * max(magnification, _LEAST_MAGNIFICATION) ** 2 <= tiles.max_whole_px:
        return _find_whole(runtime, image, magnification, blocks, separation)
    class_mask = np.zeros((height, width), dtype=np.uint8)
    labels = np.zeros((height, width), dtype=np.int32)
    cells: list[DetectedCell] = []
    knows_platelets = True
    for rows, seen_rows in _spans(height, magnification, tiles):
        for columns, seen_columns in _spans(width, magnification, tiles):
            seen = image[seen_rows, seen_columns]
            found = _find_whole(runtime, seen, magnification, blocks, separation)
            knows_platelets = found.knows_platelets
            own = _within(rows, seen_rows), _within(columns, seen_columns)
            class_mask[rows, columns] = found.class_mask[own]
            new = _adopt(
                found.separated,
                labels[seen_rows, seen_columns],
                own=own,
                slack=_SLACK_PX / magnification,
                first_label=len(cells) + 1,
            )
            corner = seen_columns.start, seen_rows.start
            cells += [_in_picture(cell, corner, (height, width)) for cell in new]
    return FoundCells(
        class_mask=class_mask,
        separated=in_reading_order(labels, cells, count=len(cells)),
        knows_platelets=knows_platelets,
    )


def _find_whole(
    runtime: Runtime,
    image: NDArray[np.uint8],
    magnification: float,
    blocks: BlockSettings | None,
    separation: SeparationSettings | None,
) -> FoundCells:
    height, width = image.shape[:2]
    result = segment_image(runtime, _resampled(image, magnification), blocks)
    found = separate_cells(result.class_probabilities, result.centres, result.log_size, separation)
    if magnification < 1:
        class_mask = enlarged_class_mask(result.class_probabilities, (height, width))
        separated = rescale_cells(found, (height, width), class_mask=class_mask)
    else:
        class_mask = np.asarray(resize_labels(result.class_mask, (height, width)), dtype=np.uint8)
        separated = rescale_cells(found, (height, width))
    return FoundCells(
        class_mask=class_mask,
        separated=separated,
        knows_platelets=result.centres is not None,
    )


def _resampled(image: NDArray[np.uint8], magnification: float) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    size = max(round(width * magnification), 1), max(round(height * magnification), 1)
    if size == (width, height):
        return image
    # When a picture gets smaller, every pixel must have its share.
    kind = cv2.INTER_AREA if magnification < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=kind), dtype=np.uint8)


def _spans(length: int, magnification: float, tiles: TileSettings) -> Iterator[tuple[slice, slice]]:
    """Tiles of an axis, each with what it sees, in the picture's own pixels."""
    tile = max(round(tiles.tile_px / max(magnification, _LEAST_MAGNIFICATION)), 1)
    margin = max(round(tiles.margin_px / magnification), 1)
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        yield slice(start, stop), slice(max(start - margin, 0), min(stop + margin, length))


def _within(own: slice, seen: slice) -> slice:
    return slice(own.start - seen.start, own.stop - seen.start)


def _adopt(
    found: SeparatedCells,
    labels: NDArray[np.int32],
    *,
    own: tuple[slice, slice],
    slack: float,
    first_label: int,
) -> list[DetectedCell]:
    """Paint the cells whose middle is in the tile, but for those that another tile has had.

    ``labels`` is the part of the picture's label image that the tile sees; changed in place.
    """
    adopted: list[DetectedCell] = []
    rows, columns = own
    crops = ndimage.find_objects(found.label_image, max_label=len(found.cells))
    for cell, crop in zip(found.cells, crops, strict=True):
        x, y = cell.centroid
        is_own = (
            columns.start - slack <= x < columns.stop + slack
            and rows.start - slack <= y < rows.stop + slack
        )
        if not is_own:
            continue
        is_cell = found.label_image[crop] == cell.label
        is_free = is_cell & (labels[crop] == 0)
        if np.count_nonzero(is_free) < _SAME_CELL * cell.area_px:
            continue
        label = first_label + len(adopted)
        labels[crop][is_free] = label
        adopted.append(replace(cell, label=label))
    return adopted


def _in_picture(
    cell: DetectedCell, corner: tuple[int, int], shape: tuple[int, int]
) -> DetectedCell:
    """Move a cell from its tile, whose corner is at (x, y), into the picture."""
    x, y = corner
    box = _shifted(cell.box, x, y)
    # Resampling may have taken the last row or column from a cell that ends at the border.
    is_at_border = (
        box.x_min <= 1 or box.y_min <= 1 or box.x_max >= shape[1] - 1 or box.y_max >= shape[0] - 1
    )
    return replace(
        cell,
        box=box,
        whole_box=_shifted(cell.whole_box, x, y),
        centroid=(cell.centroid[0] + x, cell.centroid[1] + y),
        touches_border=cell.touches_border and is_at_border,
    )


def _shifted(box: LabelledBox, x: float, y: float) -> LabelledBox:
    return replace(
        box, x_min=box.x_min + x, y_min=box.y_min + y, x_max=box.x_max + x, y_max=box.y_max + y
    )
