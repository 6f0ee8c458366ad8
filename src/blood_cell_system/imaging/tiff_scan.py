"""TIFF as a scan: tiles or strips, pyramids in every usual place, OME-TIFF, BigTIFF."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import ImageReadError
from blood_cell_system.imaging.image_file import as_8_bit
from blood_cell_system.imaging.pixel_size import pixel_size_in_tags
from blood_cell_system.imaging.scan import (
    EXTRA,
    MOST_TILE_BYTES,
    WHITE,
    TiledScan,
    check_page,
    levels_of,
)

_STRIP_ROWS: Final = 64
"""Rows of unpacked strips that are read at once."""
_SAME_SHAPE: Final = 0.02
"""How far the sides of a level may be from those of the image made smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plane:
    """Pages of a TIFF that are the channels of one image, mostly a single one."""

    pages: tuple[Any, ...]

    @property
    def page(self) -> Any:
        return self.pages[0].keyframe

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.page.imagelength), int(self.page.imagewidth)


class TiffScan(TiledScan):
    """A TIFF file; see :func:`open_scan`."""

    def __init__(self, path: Path, page: int = 0) -> None:
        from tifffile import TiffFile

        self._file: Any = TiffFile(path)
        try:
            planes = list(_planes_of(self._file))
            check_page(path, page, len(planes))
            self._levels = [_Plane(pages=tuple(pages)) for pages in planes[page]]
            for plane in self._levels:
                _check_plane(path, plane)
            tags = {tag.code: tag.value for tag in self._levels[0].page.tags}
            first = {tag.code: tag.value for tag in self._file.pages.first.tags}
            tiles = [_segment_sides(plane) for plane in self._levels]
            size = pixel_size_in_tags(first | tags)
            levels = levels_of([plane.shape for plane in self._levels])
            super().__init__(path, levels, size, tiles=tiles, page=page, pages=len(planes))
            self._full_scale = None
            if self._levels[-1].page.dtype not in (np.uint8, np.bool_):
                last = len(levels) - 1
                self._full_scale = self._depth(lambda *place: self._values(last, 0, place))
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _decoded(self, level: int, row: int, column: int) -> NDArray[np.uint8] | None:
        plane = self._levels[level]
        parts = [self._values(level, k, (row, column)) for k in range(_channels(plane))]
        channels = [one for one in parts if one is not None]
        if len(channels) < len(parts):
            return None
        values = channels[0] if len(channels) == 1 else np.dstack(channels)
        return _as_rgb(values, plane.page, self._full_scale)

    def _values(self, level: int, channel: int, place: tuple[int, int]) -> NDArray[Any] | None:
        """Decode a tile or strip of one channel, or of all that lie side by side."""
        window = self._window_of(level, *place)
        try:
            values = _decoded(self._file.filehandle, self._levels[level], channel, place)
        except MemoryError:
            raise
        except Exception:  # Damaged bytes lead decoders to errors of almost any kind.
            self.note_holes(level, [window])
            return None
        if values is None:
            return None
        return np.ascontiguousarray(values[: window[3], : window[2]])


def _planes_of(file: Any) -> Iterator[list[list[Any]]]:
    """Give the images of a TIFF: of each its levels, and of each level its pages.

    Labels, thumbnails and levels of another image are no images.
    """
    series = list(file.series)
    full = [one for one in series if not one.is_pyramidal or one.levels]
    base = max(full, key=lambda one: int(np.prod(one.shape)))
    is_scanner = file.is_svs or file.is_ndpi or file.is_scn or file.is_bif
    smaller = [one for one in series if one is not base and _is_level_of(one, base)]
    for one in [base] if is_scanner else series:
        if one in smaller:
            continue
        levels = list(one.levels)
        if one is base:
            levels += sorted(smaller, key=lambda part: -part.shape[0])
        axes, shape = one.axes, one.shape
        leading = [(axis, n) for axis, n in zip(axes, shape, strict=True) if axis not in "YXS"]
        names = [axis for axis, _ in leading]
        counts = [n for _, n in leading]
        has_channels = "C" in names
        others = [range(n) if axis != "C" else range(1) for axis, n in leading]
        for at in product(*others):
            planes = []
            for level in levels:
                pages = [page for page in level.pages if page is not None]
                if not names or len(pages) < int(np.prod(counts)):
                    planes.append(pages[:1])
                    continue
                channels = range(counts[names.index("C")]) if has_channels else range(1)
                chosen = []
                for channel in channels:
                    place = [
                        channel if axis == "C" else k for axis, k in zip(names, at, strict=True)
                    ]
                    chosen.append(pages[int(np.ravel_multi_index(place, counts))])
                planes.append(chosen)
            yield planes
            if not names or len(levels[0].pages) < int(np.prod(counts)):
                break


def _is_level_of(one: Any, base: Any) -> bool:
    """Whether a series is the image of another made smaller, as many programs write pyramids."""
    page, whole = one.pages[0], base.pages[0]
    if page is None or whole is None or one.axes != base.axes:
        return False
    ratios = [
        a / b
        for a, b in (
            (page.imagelength, whole.imagelength),
            (page.imagewidth, whole.imagewidth),
        )
    ]
    return bool(page.keyframe.is_reduced) and abs(ratios[0] / ratios[1] - 1) <= _SAME_SHAPE


def _check_plane(path: Path, plane: _Plane) -> None:
    page = plane.page

    def refused(found: str, expected: str) -> ImageReadError:
        return ImageReadError(
            f"{path}: a TIFF of a rare kind: {found}; expected {expected}. Save it as a tiled TIFF "
            "of 8 bits, RGB."
        )

    if page.dtype is None or page.dtype.kind not in "bu":
        raise refused(f"values of the type {page.dtype}", "8 or 16 bits without sign")
    samples = page.samplesperpixel * len(plane.pages)
    if samples not in (1, 2, 3, 4):
        raise refused(f"{samples} channels", "gray, or red, green and blue")
    if page.photometric not in (*_GRAYS, *_COLOURS, _PALETTE):
        raise refused(f"the colours {str(page.photometric.name).lower()!r}", "gray or RGB")
    orientation = page.tags.get(274)
    if orientation is not None and orientation.value not in (0, 1):
        raise refused("to be turned", "an upright one")
    sides = _segment_sides(plane)
    if sides[0] * sides[1] * samples * page.dtype.itemsize > MOST_TILE_BYTES:
        raise ImageReadError(
            f"{path}: {plane.shape[1]}×{plane.shape[0]} pixels in one piece; expected tiles, or "
            "strips of some rows, to be read window by window. Save it as a tiled TIFF."
        )
    from tifffile import TIFF

    try:
        TIFF.DECOMPRESSORS[page.compression]
    except KeyError as error:
        packing = str(page.compression.name).lower()
        raise ImageReadError(
            f"{path}: packed with {packing}; the library that unpacks it is not installed. "
            f"Install it: {EXTRA}."
        ) from error


_WHITE_IS_ZERO, _PALETTE = 0, 3
_GRAYS: Final = (_WHITE_IS_ZERO, 1)
_COLOURS: Final = (2, 6)
_PLANAR: Final = 2


def _channels(plane: _Plane) -> int:
    """How many pieces of a file make up a tile of an image."""
    page = plane.page
    if len(plane.pages) > 1:
        return len(plane.pages)
    return int(page.samplesperpixel) if page.planarconfig == _PLANAR else 1


def _is_unpacked(page: Any) -> bool:
    """Whether rows of a page lie one after the other in the file."""
    return bool(
        not page.is_tiled
        and page.compression == 1
        and page.bitspersample in (8, 16)
        and page.fillorder == 1
        and page.is_contiguous
    )


def _segment_sides(plane: _Plane) -> tuple[int, int]:
    """Height and width of a tile or strip."""
    page = plane.page
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    if _is_unpacked(page):
        return min(_STRIP_ROWS, plane.shape[0]), plane.shape[1]
    return min(int(page.rowsperstrip), plane.shape[0]), plane.shape[1]


def _decoded(file: Any, plane: _Plane, channel: int, place: tuple[int, int]) -> NDArray[Any] | None:
    """Read and decode a tile; None for one that the file leaves out, which is empty."""
    several = len(plane.pages) > 1
    page = plane.pages[channel] if several else plane.pages[0]
    key = plane.page
    row, column = place
    side_y, side_x = _segment_sides(plane)
    sample = 0 if several else channel
    is_planar = key.planarconfig == _PLANAR and key.samplesperpixel > 1
    if _is_unpacked(key):
        samples = 1 if is_planar else int(key.samplesperpixel)
        dtype = key.dtype.newbyteorder(key.parent.byteorder)
        row_bytes = side_x * samples * dtype.itemsize
        rows = min(side_y, plane.shape[0] - row * side_y)
        start = page.dataoffsets[0] + (sample * plane.shape[0] + row * side_y) * row_bytes
        data = _bytes_at(file, start, rows * row_bytes)
        values = np.frombuffer(data, dtype).reshape(rows, side_x, samples)
        return np.asarray(values.astype(key.dtype, copy=False))
    per_row = -(-plane.shape[1] // side_x)
    per_plane = -(-plane.shape[0] // side_y) * per_row
    index = (sample * per_plane if is_planar else 0) + row * per_row + column
    count = page.databytecounts[index]
    if count == 0:
        return None
    data = _bytes_at(file, page.dataoffsets[index], count)
    options = {}
    if key.compression in (6, 7, 34892, 33007):
        options = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
    segment, _, shape = key.decode(data, index, _fullsize=key.is_tiled, **options)
    if segment is None:
        return None
    return np.asarray(segment).reshape(-1, *segment.shape[-2:])[: shape[1] or None]


def _bytes_at(file: Any, offset: int, count: int) -> bytes:
    with file.lock:
        file.seek(offset)
        data: bytes = file.read(count)
    if len(data) < count:
        raise ValueError("the file is cut off")
    return data


def _as_rgb(values: NDArray[Any], page: Any, full_scale: float | None) -> NDArray[np.uint8]:
    """Turn values of shape (height, width, channels) into RGB of 8 bits."""
    if page.photometric == _PALETTE and page.colormap is not None:
        values = np.moveaxis(page.colormap, 0, 1)[values[:, :, 0]]
        full_scale = 65535.0
    elif page.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(WHITE)
    if page.photometric == _WHITE_IS_ZERO:
        bits = np.iinfo(values.dtype).max if full_scale is None else full_scale
        values = (bits - np.minimum(values, bits)).astype(values.dtype)
    if values.dtype != np.uint8:
        values = as_8_bit(values, full_scale=full_scale or 65535.0)
    samples = values.shape[2]
    if samples in (2, 4):
        opacity, values = values[:, :, -1:], values[:, :, :-1]
        if page.extrasamples and opacity.any():
            values = np.where(opacity == 0, np.uint8(WHITE), values)
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    return np.ascontiguousarray(values)
