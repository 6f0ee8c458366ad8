"""The cells of an image at a given magnification, in bounded memory however large it is.

Large images are cut into overlapping tiles at two levels, both by :func:`tiles_of`. The network
runs tile by tile, and its outputs are put together. Cells are separated and measured in larger
tiles; a cell belongs to the tile that holds its centroid. Only the class mask and the label image
are as large as the image.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.pose import standard_pose
from blood_cell_system.analysis.trained_models import NetworkOutputs, Runtime, taxonomy_of
from blood_cell_system.cells.neighbours import crops_of
from blood_cell_system.cells.rescaling import enlarged_class_mask, rescale_cells, resize_labels
from blood_cell_system.cells.separation import (
    SeparationSettings,
    in_reading_order,
    most_likely_class,
    separate_cells,
)
from blood_cell_system.cells.table import Cells
from blood_cell_system.imaging.image_file import check_rgb
from blood_cell_system.model_metadata import HEAD_STRIDE, STRIDE
from blood_cell_system.settings import check_ranges, ranged
from blood_cell_system.taxonomy import NUM_CLASSES

_SAME_CELL: Final = 0.5
"""Part of a cell's pixels that are still free where it is not the cell of an earlier tile."""
_SLACK_PX: Final = 12
"""Two tiles see the centroid of a cell on their seam at slightly different places; in pixels that
the network sees."""
_SNAP: Final = 0.05
"""Change of the magnification, as a part of it, that keeps the network's grid where it is: less
than the estimate of the diameter is uncertain by. Of 60 images of BCCD saved as JPEG of quality 75
the red cells differ by 0.1 % on average, without it by 1.0 % (``benchmarks/invariance.py``)."""
GRID_PX: Final = 2 * STRIDE
"""Tiles begin at multiples of so many pixels that the network sees, and of whole pixels of the
image: each is then resampled as its part of the whole would be."""
_LEAST_MAGNIFICATION: Final = 0.5
"""An image that is made far smaller for the network still has its own pixels to be labelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSettings:
    """How large images are cut up; all sizes in pixels that the network sees.

    Parameters
    ----------
    network_whole_px : int
        Images of more pixels are run tile by tile: a network of 0.5 M parameters holds some
        150 bytes a pixel while it runs, and larger ones more.
    network_tile_px : int
        Side of a tile of the network, a multiple of ``STRIDE``.
    network_margin_px : int
        What such a tile sees beyond its own area, a multiple of ``STRIDE``. Where it is no less
        than the reach of the network's receptive field, tiles have no seams.
    whole_px : int
        Images of more pixels are separated tile by tile. Separation needs some 60 bytes a pixel.
    tile_px : int
        Side of a tile of the separation.
    margin_px : int
        What such a tile sees beyond its own area; more than the largest cell.

    Raises
    ------
    SettingsError
        A size is not positive, or one of the network's is no multiple of the stride.
    """

    network_whole_px: int = ranged(2_000_000, at_least=0)
    network_tile_px: int = ranged(1024, above=0, multiple_of=STRIDE)
    network_margin_px: int = ranged(128, at_least=0, multiple_of=STRIDE)
    whole_px: int = ranged(8_000_000, above=0)
    tile_px: int = ranged(2048, above=0)
    margin_px: int = ranged(320, above=0)

    def __post_init__(self) -> None:
        check_ranges(self)


Window = tuple[slice, slice]
"""Rows and columns of an image."""


def tiles_of(
    shape: tuple[int, ...], side: tuple[int, int], margin: tuple[int, int]
) -> Iterator[tuple[Window, Window]]:
    """Cut an image into tiles, from left to right and from top to bottom.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width, …)`` of the image.
    side, margin : tuple of int
        Height and width of a tile's own area, and what it sees beyond on each side.

    Yields
    ------
    tuple of Window
        The tile's own area, and what it sees.

    Examples
    --------
    >>> [(own[1], seen[1]) for own, seen in tiles_of((4, 10), (4, 6), (1, 1))]
    [(slice(0, 6, None), slice(0, 7, None)), (slice(6, 10, None), slice(5, 10, None))]
    """
    rows, columns = (
        [
            (
                slice(start, min(start + tile, length)),
                slice(max(start - edge, 0), min(start + tile + edge, length)),
            )
            for start in range(0, length, tile)
        ]
        for length, tile, edge in zip(shape, side, margin, strict=False)
    )
    for own_rows, seen_rows in rows:
        for own_columns, seen_columns in columns:
            yield (own_rows, own_columns), (seen_rows, seen_columns)


def _within(own: Window, seen: Window, step: int = 1) -> Window:
    """Place of a tile's own area in what it sees, ``step`` pixels taken as one."""
    rows, columns = (
        slice((a.start - b.start) // step, -(-(a.stop - b.start) // step))
        for a, b in zip(own, seen, strict=True)
    )
    return rows, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """What a network gives for one image, at the image's own size.

    Parameters
    ----------
    class_probabilities : ndarray of shape (height, width, 3), dtype float32
        In ``MaskClass`` order.
    centres : ndarray of shape (ceil(height / 4), ceil(width / 4), types), dtype float32, or None
        Heat maps in the order of the taxonomy; None for a model without an instance head.
    log_size : ndarray of shape (ceil(height / 4), ceil(width / 4), 2), dtype float32, or None
    """

    class_probabilities: NDArray[np.float32]
    centres: NDArray[np.float32] | None = None
    log_size: NDArray[np.float32] | None = None

    @property
    def class_mask(self) -> NDArray[np.uint8]:
        """The most likely class of each pixel; values of ``MaskClass``."""
        return most_likely_class(self.class_probabilities)

    def part(self, window: Window) -> "Segmentation":
        """Copy a part, which begins at multiples of the heads' stride; the rest can be freed."""
        small = _within(window, (slice(0, None), slice(0, None)), HEAD_STRIDE)
        return Segmentation(
            class_probabilities=self.class_probabilities[window].copy(),
            centres=None if self.centres is None else self.centres[small].copy(),
            log_size=None if self.log_size is None else self.log_size[small].copy(),
        )


def segment_image(
    runtime: Runtime, image: NDArray[np.uint8], tiles: TileSettings | None = None
) -> Segmentation:
    """Run a network on one image of any size.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Raises
    ------
    ImageReadError
        The array is no RGB image, or has no pixels.
    """
    check_rgb(image)
    tiles = tiles or TileSettings()
    if runtime.input_shape is not None:
        outputs = _in_tiles(runtime, image, *_tiles_of_fixed_size(runtime.input_shape))
    elif image.shape[0] * image.shape[1] > tiles.network_whole_px:
        side, margin = tiles.network_tile_px, tiles.network_margin_px
        outputs = _in_tiles(runtime, image, (side, side), (margin, margin))
    else:
        outputs = _run(runtime, image)
    return Segmentation(
        class_probabilities=outputs.class_probabilities[0],
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


def _in_tiles(
    runtime: Runtime, image: NDArray[np.uint8], side: tuple[int, int], margin: tuple[int, int]
) -> NetworkOutputs:
    """Run tile by tile; of each keep its own area."""
    height, width = image.shape[:2]
    small = -(-height // HEAD_STRIDE), -(-width // HEAD_STRIDE)
    classes = np.empty((1, height, width, NUM_CLASSES), dtype=np.float32)
    centres = np.empty((1, *small, len(taxonomy_of(runtime))), dtype=np.float32)
    log_size = np.empty((1, *small, 2), dtype=np.float32)
    has_heads = True
    for own, seen in tiles_of(image.shape, side, margin):
        outputs = _run(runtime, image[seen])
        classes[:, *own] = outputs.class_probabilities[:, *_within(own, seen)]
        if outputs.centres is None or outputs.log_size is None:
            has_heads = False
            continue
        # Tiles start at multiples of the stride, so that places of the maps coincide.
        into = _within(own, (slice(0, height), slice(0, width)), HEAD_STRIDE)
        taken = _within(own, seen, HEAD_STRIDE)
        centres[:, *into] = outputs.centres[:, *taken]
        log_size[:, *into] = outputs.log_size[:, *taken]
    return NetworkOutputs(
        class_probabilities=classes,
        centres=centres if has_heads else None,
        log_size=log_size if has_heads else None,
    )


def _tiles_of_fixed_size(shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sides and margins for a network that takes one size only."""
    margin = tuple(side // 8 // HEAD_STRIDE * HEAD_STRIDE for side in shape)
    tile = tuple(
        max((side - 2 * edge) // HEAD_STRIDE * HEAD_STRIDE, 1)
        for side, edge in zip(shape, margin, strict=True)
    )
    return (tile[0], tile[1]), (margin[0], margin[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCells:
    """The cells of an image in its own pixels.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``.
    has_heads : bool
        Whether the network has an instance head; without one cells are separated by shape, and
        there are no platelets.
    """

    class_mask: NDArray[np.uint8]
    cells: Cells
    has_heads: bool


def find_cells(
    runtime: Runtime,
    image: NDArray[np.uint8],
    *,
    magnification: float = 1.0,
    separation: SeparationSettings | None = None,
    tiles: TileSettings | None = None,
    keeps_pose: bool = False,
    inner: Window | None = None,
) -> FoundCells:
    """Find the cells of an image that a network sees resampled.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    magnification : float
        Pixels that the network sees for each pixel of the image.
    keeps_pose : bool
        Show the image to the network as it lies, not in its standard pose.
    inner : Window, optional
        For a tile, with the magnification of :func:`block_grid`: the part whose cells are given, in
        whole blocks or to the end of the image. The rest is there for the network alone, and the
        tile is not cut up.
    """
    if inner is not None:
        tiles = tiles or TileSettings()
        return _find_whole(
            runtime, image, magnification, separation, tiles, is_on_grid=True, inner=inner
        )
    if not keeps_pose:
        pose = standard_pose(image)
        found = find_cells(
            runtime,
            pose.apply(image),
            magnification=magnification,
            separation=separation,
            tiles=tiles,
            keeps_pose=True,
        )
        return replace(
            found, class_mask=pose.undo(found.class_mask), cells=pose.undo_cells(found.cells)
        )
    tiles = tiles or TileSettings()
    height, width = image.shape[:2]
    at_least = max(magnification, _LEAST_MAGNIFICATION)
    if height * width * at_least**2 <= tiles.whole_px:
        return _find_whole(runtime, image, magnification, separation, tiles)
    class_mask = np.zeros((height, width), dtype=np.uint8)
    labels = np.zeros((height, width), dtype=np.int32)
    parts: list[dict[str, NDArray[Any]]] = []
    count = 0
    has_heads = True
    block, magnification = block_grid(magnification)
    side = max(round(tiles.tile_px / at_least / block), 1) * block
    margin = -(-tiles.margin_px // GRID_PX) * block
    for own, seen in tiles_of(image.shape, (side, side), (margin, margin)):
        found = _find_whole(runtime, image[seen], magnification, separation, tiles, is_on_grid=True)
        has_heads = found.has_heads
        inner = _within(own, seen)
        class_mask[own] = found.class_mask[inner]
        slack = _SLACK_PX / magnification
        new = _adopt(found.cells, labels[seen], own=inner, slack=slack, first_label=count + 1)
        corner = seen[1].start, seen[0].start
        parts.append(_in_image(found.cells, new, corner, (height, width)))
        count += len(new)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    joined = Cells(label_image=labels, data=columns, taxonomy=taxonomy_of(runtime))
    cells = in_reading_order(joined)
    return FoundCells(class_mask=class_mask, cells=cells, has_heads=has_heads)


def block_grid(magnification: float) -> tuple[int, float]:
    """Give the grid on which an image is cut up: the side of its blocks, and the magnification.

    Parameters
    ----------
    magnification : float
        Pixels that the network sees for each pixel of the image; 1 stays 1, and others change by
        less than the estimate of the diameter is uncertain by.

    Returns
    -------
    block : int
        Pixels of the image that become ``GRID_PX`` for the network.
    magnification : float

    Examples
    --------
    >>> block_grid(1.0), block_grid(0.62)
    ((64, 1.0), (103, 0.6213592233009708))
    """
    block = max(round(GRID_PX / magnification), 1)
    return block, GRID_PX / block


def _find_whole(
    runtime: Runtime,
    image: NDArray[np.uint8],
    magnification: float,
    separation: SeparationSettings | None,
    tiles: TileSettings,
    *,
    is_on_grid: bool = False,
    inner: Window | None = None,
) -> FoundCells:
    shape = image.shape[0], image.shape[1]
    if is_on_grid:
        seen = resampled_on_grid(image, magnification)
    else:
        seen = _resampled(image, magnification)
    result = segment_image(runtime, seen, tiles)
    if inner is not None:
        shape = inner[0].stop - inner[0].start, inner[1].stop - inner[1].start
        rows, columns = (
            slice(round(part.start * magnification), round(part.stop * magnification))
            for part in inner
        )
        seen, result = seen[rows, columns], result.part((rows, columns))
    found = separate_cells(
        result.class_probabilities,
        result.centres,
        result.log_size,
        separation,
        taxonomy=taxonomy_of(runtime),
        image=seen,
    )
    if magnification < 1:
        class_mask = enlarged_class_mask(result.class_probabilities, shape)
        cells = rescale_cells(found, shape, class_mask=class_mask)
    else:
        class_mask = most_likely_class(result.class_probabilities)
        class_mask = np.asarray(resize_labels(class_mask, shape), dtype=np.uint8)
        cells = rescale_cells(found, shape)
    return FoundCells(class_mask=class_mask, cells=cells, has_heads=result.centres is not None)


def _resampled(image: NDArray[np.uint8], magnification: float) -> NDArray[np.uint8]:
    """Resample an image for the network, the longer side to a multiple of the stride if it is near.

    An estimate that is another by a hundredth then gives the same pixels, and the same cells.
    """
    height, width = image.shape[:2]
    if magnification != 1:
        longer = max(height, width)
        whole = STRIDE * round(longer * magnification / STRIDE) / longer
        if abs(whole / magnification - 1) <= _SNAP:
            magnification = whole
    size = max(round(width * magnification), 1), max(round(height * magnification), 1)
    if size == (width, height):
        return image
    return np.asarray(cv2.resize(image, size, interpolation=_kind(magnification)), dtype=np.uint8)


def resampled_on_grid(image: NDArray[np.uint8], magnification: float) -> NDArray[np.uint8]:
    """Resample by the factor itself, whatever the size: as a part of a larger image is."""
    if magnification == 1:
        return image
    if min(image.shape[:2]) * magnification < 1:
        return image[:1, :1]
    return np.asarray(
        cv2.resize(
            image, None, fx=magnification, fy=magnification, interpolation=_kind(magnification)
        )
    )


def _kind(magnification: float) -> int:
    """Say how to resample: when an image gets smaller, every pixel must have its share."""
    return cv2.INTER_AREA if magnification < 1 else cv2.INTER_LINEAR


def _adopt(
    found: Cells,
    labels: NDArray[np.int32],
    *,
    own: Window,
    slack: float,
    first_label: int,
) -> NDArray[np.intp]:
    """Paint the cells whose centroid is in the tile, but for those that another tile has had.

    ``labels`` is the part of the image's label image that the tile sees; changed in place. Returns
    the rows of the cells that were painted.
    """
    adopted: list[int] = []
    rows, columns = own
    x, y = found["centroid"].T
    is_own = (columns.start - slack <= x) & (x < columns.stop + slack)
    is_own &= (rows.start - slack <= y) & (y < rows.stop + slack)
    crops = crops_of(found.label_image, len(found))
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
