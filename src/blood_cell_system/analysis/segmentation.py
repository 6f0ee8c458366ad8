"""The cells of an image at a given magnification, in bounded memory however large it is.

Up to some million pixels an image is taken whole. Larger ones are cut into tiles that overlap by
more than a cell: in each tile the cells are found and measured on their own, and a cell belongs to
the tile that holds its middle. Only the class mask and the label image are as large as the image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.analysis.runtimes import NetworkOutputs, Runtime
from blood_cell_system.cells.rescaling import (
    enlarged_class_mask,
    rescale_cells,
    resize_labels,
)
from blood_cell_system.cells.separation import (
    SeparationSettings,
    in_reading_order,
    most_likely_class,
    separate_cells,
)
from blood_cell_system.cells.table import Cells
from blood_cell_system.errors import SettingsError
from blood_cell_system.imaging.image_file import check_rgb
from blood_cell_system.model_metadata import HEAD_STRIDE, STRIDE
from blood_cell_system.taxonomy import CELL_TYPES, NUM_CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSettings:
    """How large images are cut up.

    Parameters
    ----------
    max_whole_px : int
        Images of more pixels are run block by block: a network of 0.5 M parameters holds some
        150 bytes a pixel while it runs, and larger ones more.
    block_px : int
        Side of a block, a multiple of ``STRIDE``.
    margin_px : int
        What a block sees beyond its own area, a multiple of ``STRIDE``. Where it is no less than
        the reach of the network's receptive field, blocks have no seams.

    Raises
    ------
    SettingsError
        A side is no multiple of the stride, or not positive.
    """

    max_whole_px: int = 2_000_000
    block_px: int = 1024
    margin_px: int = 128

    def __post_init__(self) -> None:
        for name, value in (("block_px", self.block_px), ("margin_px", self.margin_px)):
            if value % STRIDE or value < 0 or self.block_px == 0:
                raise SettingsError(
                    f"{name}: received {value}; expected a positive multiple of {STRIDE}."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """What a network says of one image, at the image's own size.

    Parameters
    ----------
    class_probabilities : ndarray of shape (height, width, 3), dtype float32
        In ``MaskClass`` order.
    class_mask : ndarray of shape (height, width), dtype uint8
        The most likely class.
    centres : ndarray of shape (ceil(height / 4), ceil(width / 4), 3), dtype float32, or None
        Heat maps in ``CELL_TYPES`` order; None for a model without an instance head.
    log_size : ndarray of shape (ceil(height / 4), ceil(width / 4), 2), dtype float32, or None
    """

    class_probabilities: NDArray[np.float32]
    class_mask: NDArray[np.uint8]
    centres: NDArray[np.float32] | None = None
    log_size: NDArray[np.float32] | None = None


def segment_image(
    runtime: Runtime, image: NDArray[np.uint8], settings: BlockSettings | None = None
) -> Segmentation:
    """Run a network on one image of any size.

    Parameters
    ----------
    runtime : Runtime
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    settings : BlockSettings, optional

    Returns
    -------
    Segmentation

    Raises
    ------
    ImageReadError
        The array is no RGB image, or has no pixels.
    """
    check_rgb(image)
    settings = settings or BlockSettings()
    height, width = image.shape[:2]
    if runtime.input_shape is not None:
        outputs = _in_blocks(runtime, image, *_blocks_of_fixed_size(runtime.input_shape))
    elif height * width > settings.max_whole_px:
        side, margin = settings.block_px, settings.margin_px
        outputs = _in_blocks(runtime, image, (side, side), (margin, margin))
    else:
        outputs = _run(runtime, image)
    return Segmentation(
        class_probabilities=outputs.class_probabilities[0],
        class_mask=most_likely_class(outputs.class_probabilities[0]),
        centres=None if outputs.centres is None else outputs.centres[0],
        log_size=None if outputs.log_size is None else outputs.log_size[0],
    )


def _run(runtime: Runtime, image: NDArray[np.uint8]) -> NetworkOutputs:
    """Pad at the lower right by reflection, run, and cut the padding off."""
    height, width = image.shape[:2]
    if runtime.input_shape is None:
        padding = (-height % STRIDE, -width % STRIDE)
    else:
        padding = (runtime.input_shape[0] - height, runtime.input_shape[1] - width)
    padded = np.pad(image, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="reflect")
    outputs = runtime.predict(padded[None].astype(np.float32))
    rows, columns = -(-height // HEAD_STRIDE), -(-width // HEAD_STRIDE)
    return NetworkOutputs(
        class_probabilities=outputs.class_probabilities[:, :height, :width],
        centres=None if outputs.centres is None else outputs.centres[:, :rows, :columns],
        log_size=None if outputs.log_size is None else outputs.log_size[:, :rows, :columns],
    )


def _in_blocks(
    runtime: Runtime,
    image: NDArray[np.uint8],
    block: tuple[int, int],
    margin: tuple[int, int],
) -> NetworkOutputs:
    """Run block by block; of each keep what lies away from its cut edges."""
    height, width = image.shape[:2]
    small = -(-height // HEAD_STRIDE), -(-width // HEAD_STRIDE)
    classes = np.empty((1, height, width, NUM_CLASSES), dtype=np.float32)
    centres = np.empty((1, *small, len(CELL_TYPES)), dtype=np.float32)
    log_size = np.empty((1, *small, 2), dtype=np.float32)
    has_heads = True
    for rows, seen_rows in _block_spans(height, block[0], margin[0]):
        for columns, seen_columns in _block_spans(width, block[1], margin[1]):
            outputs = _run(runtime, image[seen_rows, seen_columns])
            start = rows.start - seen_rows.start, columns.start - seen_columns.start
            classes[:, rows, columns] = outputs.class_probabilities[
                :,
                start[0] : start[0] + rows.stop - rows.start,
                start[1] : start[1] + columns.stop - columns.start,
            ]
            if outputs.centres is None or outputs.log_size is None:
                has_heads = False
                continue
            # Blocks start at multiples of the stride, so that the maps' places fall together.
            into = _head_span(rows), _head_span(columns)
            taken = (
                slice(None),
                slice(start[0] // HEAD_STRIDE, start[0] // HEAD_STRIDE + _length(into[0])),
                slice(start[1] // HEAD_STRIDE, start[1] // HEAD_STRIDE + _length(into[1])),
            )
            centres[:, into[0], into[1]] = outputs.centres[taken]
            log_size[:, into[0], into[1]] = outputs.log_size[taken]
    return NetworkOutputs(
        class_probabilities=classes,
        centres=centres if has_heads else None,
        log_size=log_size if has_heads else None,
    )


def _block_spans(length: int, block: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of an axis, each with what it sees."""
    for start in range(0, length, block):
        stop = min(start + block, length)
        yield slice(start, stop), slice(max(start - margin, 0), min(stop + margin, length))


def _blocks_of_fixed_size(shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Blocks and margins of a network that takes one size only."""
    margin = tuple(side // 8 // HEAD_STRIDE * HEAD_STRIDE for side in shape)
    block = tuple(
        max((side - 2 * edge) // HEAD_STRIDE * HEAD_STRIDE, 1)
        for side, edge in zip(shape, margin, strict=True)
    )
    return (block[0], block[1]), (margin[0], margin[1])


def _head_span(pixels: slice) -> slice:
    return slice(pixels.start // HEAD_STRIDE, -(-pixels.stop // HEAD_STRIDE))


def _length(span: slice) -> int:
    return int(span.stop - span.start)


_SAME_CELL: Final = 0.5
# Two tiles see the middle of a cell on their seam in slightly different places.
_SLACK_PX: Final = 12
# An image that is made far smaller for the network still has its own pixels to be labelled.
_LEAST_MAGNIFICATION: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSettings:
    """How images too large to be separated at once are cut up; in pixels after resampling.

    Parameters
    ----------
    max_whole_px : int
        Larger images are cut. A pixel needs some 60 bytes while cells are told apart.
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
    """The cells of an image in its own pixels.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``.
    cells : Cells
    knows_platelets : bool
        Whether the network has an instance head; without one cells are told apart by shape.
    """

    class_mask: NDArray[np.uint8]
    cells: Cells
    knows_platelets: bool


def no_cells(shape: tuple[int, ...]) -> FoundCells:
    """Give what is found in an image of that ``(height, width)`` that shows nothing."""
    return FoundCells(
        class_mask=np.zeros(shape, dtype=np.uint8),
        cells=Cells.empty(shape),
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
    """Find the cells of an image that a network sees resampled.

    Parameters
    ----------
    runtime : Runtime
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    magnification : float
        Pixels that the network sees for each pixel of the image.
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
    parts: list[dict[str, NDArray[Any]]] = []
    count = 0
    knows_platelets = True
    for rows, seen_rows in _spans(height, magnification, tiles):
        for columns, seen_columns in _spans(width, magnification, tiles):
            seen = image[seen_rows, seen_columns]
            found = _find_whole(runtime, seen, magnification, blocks, separation)
            knows_platelets = found.knows_platelets
            own = _within(rows, seen_rows), _within(columns, seen_columns)
            class_mask[rows, columns] = found.class_mask[own]
            new = _adopt(
                found.cells,
                labels[seen_rows, seen_columns],
                own=own,
                slack=_SLACK_PX / magnification,
                first_label=count + 1,
            )
            corner = seen_columns.start, seen_rows.start
            parts.append(_in_image(found.cells, new, corner, (height, width)))
            count += len(new)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return FoundCells(
        class_mask=class_mask,
        cells=in_reading_order(Cells(label_image=labels, data=joined)),
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
        cells = rescale_cells(found, (height, width), class_mask=class_mask)
    else:
        class_mask = np.asarray(resize_labels(result.class_mask, (height, width)), dtype=np.uint8)
        cells = rescale_cells(found, (height, width))
    return FoundCells(
        class_mask=class_mask,
        cells=cells,
        knows_platelets=result.centres is not None,
    )


def _resampled(image: NDArray[np.uint8], magnification: float) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    size = max(round(width * magnification), 1), max(round(height * magnification), 1)
    if size == (width, height):
        return image
    # When an image gets smaller, every pixel must have its share.
    kind = cv2.INTER_AREA if magnification < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=kind), dtype=np.uint8)


def _spans(length: int, magnification: float, tiles: TileSettings) -> Iterator[tuple[slice, slice]]:
    """Tiles of an axis, each with what it sees, in the image's own pixels."""
    tile = max(round(tiles.tile_px / max(magnification, _LEAST_MAGNIFICATION)), 1)
    margin = max(round(tiles.margin_px / magnification), 1)
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        yield slice(start, stop), slice(max(start - margin, 0), min(stop + margin, length))


def _within(own: slice, seen: slice) -> slice:
    return slice(own.start - seen.start, own.stop - seen.start)


def _adopt(
    found: Cells,
    labels: NDArray[np.int32],
    *,
    own: tuple[slice, slice],
    slack: float,
    first_label: int,
) -> NDArray[np.intp]:
    """Paint the cells whose middle is in the tile, but for those that another tile has had.

    ``labels`` is the part of the image's label image that the tile sees; changed in place. Returns
    the rows of the cells that were painted.
    """
    adopted: list[int] = []
    rows, columns = own
    x, y = found["centroid"].T
    is_own = (columns.start - slack <= x) & (x < columns.stop + slack)
    is_own &= (rows.start - slack <= y) & (y < rows.stop + slack)
    crops = ndimage.find_objects(found.label_image, max_label=len(found))
    for row in np.flatnonzero(is_own):
        crop = crops[row]
        is_free = (found.label_image[crop] == row + 1) & (labels[crop] == 0)
        if np.count_nonzero(is_free) >= _SAME_CELL * found["area"][row]:
            labels[crop][is_free] = first_label + len(adopted)
            adopted.append(int(row))
    return np.array(adopted, dtype=np.intp)


def _in_image(
    cells: Cells, rows: NDArray[np.intp], corner: tuple[int, int], shape: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """Columns of some cells of a tile, whose corner is at (x, y), in the image."""
    columns = {name: cells[name][rows] for name in cells}
    for name in ("box", "whole_box"):
        columns[name] = columns[name] + (*corner, *corner)
    columns["centroid"] = columns["centroid"] + corner
    # Resampling may have taken the last row or column from a cell that ends at the border.
    x_min, y_min, x_max, y_max = columns["box"].T
    is_at_border = (x_min <= 1) | (y_min <= 1) | (x_max >= shape[1] - 1) | (y_max >= shape[0] - 1)
    columns["touches_border"] = columns["touches_border"] & is_at_border
    return columns
