"""A picture of any size through a network that wants multiples of its stride."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.separation import most_likely_class
from blood_cell_system.classes import CELL_TYPES, NUM_CLASSES
from blood_cell_system.errors import SettingsError
from blood_cell_system.image_io import check_rgb
from blood_cell_system.inference.runtimes import NetworkOutputs, Runtime
from blood_cell_system.segmenter_contract import HEAD_STRIDE, STRIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSettings:
    """How large pictures are cut up.

    Parameters
    ----------
    max_whole_px : int
        Pictures of more pixels are run block by block: a network of 0.5 M parameters holds some
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
    """What a network says of one picture, at the picture's own size.

    Parameters
    ----------
    class_probabilities : ndarray of shape (height, width, 3), dtype float32
        In ``CellClass`` order.
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
    """Run a network on one picture of any size.

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
        The array is no RGB picture, or has no pixels.
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
    for rows, seen_rows in _spans(height, block[0], margin[0]):
        for columns, seen_columns in _spans(width, block[1], margin[1]):
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


def _spans(length: int, block: int, margin: int) -> Iterator[tuple[slice, slice]]:
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
