"""Images and outlines of the fields of a review page, on the disk until the page is written.

A page shows hundreds of fields at full size, which together would fill the memory of a long run.
"""

import base64
import math
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Polygon = list[tuple[float, float]]
"""Corners ``(x, y)`` in pixels, where the middle of the first pixel is (0.5, 0.5)."""

_QUALITY: Final = 82
"""JPEG's quality of 100: a smear takes about an eighth of a byte a pixel."""
_BLOCK_SIDE: Final = 768
"""Pixels a side of the largest block: a cell's tile needs one or two, decoded in some 10 ms."""
_CELL_DIAMETER_PX: Final = 80
"""Widest red cell, in pixels: parasites of a tenth of it are still seen."""


def encoded_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encode an RGB image for a page."""
    ordered = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedField:
    """A field as its page holds it.

    Parameters
    ----------
    width_px, height_px : int
        As the blocks show it: smaller than the image where cells are very large.
    block_px : int
        Side of a block; those at the right and the lower end are smaller.
    text : str
        Outlines, then the blocks row by row as JPEG: a line of base64 each.
    """

    width_px: int
    height_px: int
    block_px: int
    text: str

    @property
    def size(self) -> int:
        """Letters of the text."""
        return len(self.text)


def pack_field(
    image: NDArray[np.uint8], polygons: Sequence[Polygon], cell_diameter_px: float | None
) -> PackedField:
    """Pack an image with the outlines of its cells.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    polygons : sequence of list
        In pixels of the image; empty for a cell without pixels.
    cell_diameter_px : float or None
        Of a red cell; None where it is not known.
    """
    factor = min(1.0, _CELL_DIAMETER_PX / (cell_diameter_px or _CELL_DIAMETER_PX))
    if factor < 1:
        size = (max(1, round(side * factor)) for side in image.shape[1::-1])
        shrunk = cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA)
        image = np.asarray(shrunk, dtype=np.uint8)
    height, width = image.shape[:2]
    # Blocks of about one size: a sliver would cost as much as a block.
    block = math.ceil(max(width, height) / math.ceil(max(width, height) / _BLOCK_SIDE))
    parts = [encode_outlines(polygons), *(encoded_jpeg(one) for one in _blocks(image, block))]
    text = b"\n".join(base64.b64encode(part) for part in parts).decode("ascii")
    return PackedField(width_px=width, height_px=height, block_px=block, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledField:
    """A packed field on the disk."""

    width_px: int
    height_px: int
    block_px: int
    size: int
    _spool: "FieldSpool" = field(repr=False)
    _start: int

    @property
    def text(self) -> str:
        """The text of the packed field."""
        return self._spool.read(self._start, self.size)


class FieldSpool:
    """A nameless file in a folder; it goes with the last of its fields, also in a crash."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (open as long as this is)
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)

    def add(self, packed: PackedField) -> SpooledField:
        """Keep a field."""
        with self._lock:
            start = self._file.seek(0, 2)
            self._file.write(packed.text.encode("ascii"))
        return SpooledField(
            width_px=packed.width_px,
            height_px=packed.height_px,
            block_px=packed.block_px,
            size=packed.size,
            _spool=self,
            _start=start,
        )

    def read(self, start: int, size: int) -> str:
        """Give back a part of what was written."""
        with self._lock:
            self._file.seek(start)
            return self._file.read(size).decode("ascii")


def _blocks(image: NDArray[np.uint8], side: int) -> Iterator[NDArray[np.uint8]]:
    height, width = image.shape[:2]
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield image[top : top + side, left : left + side]


def encode_outlines(polygons: Sequence[Polygon]) -> bytes:
    """Pack outlines: for each its number of corners, then steps from corner to corner.

    A step is the change of x and of y in pixels; the first of an outline begins at the end of the
    one before. Numbers are of variable length: seven bits a byte, the sign in the lowest bit.

    Examples
    --------
    >>> list(encode_outlines([[(0.5, 0.5), (3.5, 0.5), (0.5, 80.5)]]))
    [3, 0, 0, 6, 0, 5, 160, 1]
    """
    packed = bytearray()
    x = y = 0
    for polygon in polygons:
        _append(packed, len(polygon))
        for corner in polygon:
            to_x, to_y = int(corner[0]), int(corner[1])
            for step in (to_x - x, to_y - y):
                _append(packed, 2 * step if step >= 0 else -2 * step - 1)
            x, y = to_x, to_y
    return bytes(packed)


def _append(packed: bytearray, number: int) -> None:
    while number > 127:
        packed.append(number & 127 | 128)
        number >>= 7
    packed.append(number)
