"""Images too large to decode whole: windows of the levels of a scan, read tile by tile.

TIFF of any layout (tiles or strips, pyramids in every usual place, OME-TIFF, BigTIFF of both byte
orders) is read with tifffile, the formats of slide scanners with OpenSlide, and OME-Zarr in
``zarr_scan.py``.
What cannot be decoded is a hole: white, and reported.
"""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import ImageReadError, MissingDataError, system_words
from blood_cell_system.imaging.image_file import as_8_bit, read_image, usual_full_scale
from blood_cell_system.imaging.pixel_size import PixelSize, pixel_size_in_tags, read_pixel_size
from blood_cell_system.input_files import kind_of_special

TIFF_SUFFIXES: Final = frozenset({".tif", ".tiff", ".btf", ".tf8", ".tf2"})
TIFF_SCAN_SUFFIXES: Final = frozenset({".svs", ".ndpi", ".scn", ".bif", ".qptiff"})
"""Endings of TIFF files of slide scanners."""
OPENSLIDE_SUFFIXES: Final = frozenset({".mrxs", ".vms", ".vmu", ".czi", ".svslide"})
ZARR_SUFFIXES: Final = frozenset({".zarr"})
"""Endings of folders in OME-Zarr."""
SCAN_SUFFIXES: Final = TIFF_SCAN_SUFFIXES | OPENSLIDE_SUFFIXES | ZARR_SUFFIXES
"""Endings of what is always read window by window."""

_CACHE_BYTES: Final = 96 * 2**20
"""Decoded tiles of a scan that are kept: neighbouring windows overlap."""
_STRIP_ROWS: Final = 64
"""Rows of unpacked strips that are read at once."""
_READ_PX: Final = 512
"""Side of the parts in which OpenSlide reads, so that a fault costs one part."""
_SAMPLED: Final = 64
"""Tiles of a level whose values say how deep a camera's bits are."""
MOST_TILE_BYTES: Final = 400_000_000
"""A tile or strip of more bytes is refused: it is decoded whole."""
_SAME_SHAPE: Final = 0.02
"""How far the sides of a level may be from those of the image made smaller."""
_WHITE: Final = 255
EXTRA: Final = "pip install 'blood-cell-system[slides]'"

Window = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """An image of a pyramid.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` in pixels.
    downsample : float
        Pixels of level 0 for each of its pixels, along a side.
    """

    shape: tuple[int, int]
    downsample: float


class Scan(ABC):
    """An image of which windows are read.

    Parameters
    ----------
    path : Path
    levels : sequence of Level
        The first is the image itself, the others are smaller and smaller.
    pixel_size : PixelSize or None
        Of level 0, as the file states it.
    page : int or None
        Which of the file's images it is; None for one in memory.
    pages : int
        How many images the file has.
    """

    def __init__(
        self,
        path: Path,
        levels: Sequence[Level],
        pixel_size: PixelSize | None = None,
        *,
        page: int | None = 0,
        pages: int = 1,
    ) -> None:
        self.path, self.page, self.pages = path, page, pages
        self.levels = tuple(levels)
        self.pixel_size = pixel_size
        self._holes: set[tuple[int, Window]] = set()
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)`` of level 0."""
        return self.levels[0].shape

    def read(self, window: Window, level: int = 0) -> NDArray[np.uint8]:
        """Read a window of a level as RGB; what lies beyond the image or in a hole is white.

        Parameters
        ----------
        window : tuple of int
            Left, top, width and height in pixels of the level.

        Raises
        ------
        ImageReadError
            The file itself cannot be read.
        """
        left, top, width, height = window
        pixels = np.full((height, width, 3), _WHITE, dtype=np.uint8)
        rows, columns = self.levels[level].shape
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, columns), min(top + height, rows)
        if x0 < x1 and y0 < y1:
            self._read_into(pixels[y0 - top : y1 - top, x0 - left : x1 - left], (x0, y0), level)
        return pixels

    def note_holes(self, level: int, holes: Iterable[Window]) -> None:
        """Add parts of a level that another process could not decode."""
        with self._lock:
            self._holes |= {(level, hole) for hole in holes}

    @abstractmethod
    def _read_into(self, pixels: NDArray[np.uint8], corner: tuple[int, int], level: int) -> None:
        """Fill pixels of a level whose upper left corner is at (x, y)."""

    @abstractmethod
    def close(self) -> None:
        """Close the file; a scan that nobody holds any more does so itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the file itself, once: pixels are many.
        return _open_again, (self.path, self.page, self.path.stat().st_mtime_ns)

    def __del__(self) -> None:
        # Of a scan that could not be opened there is nothing to close.
        with suppress(AttributeError):
            self.close()

    def holes_in(self, window: Window, level: int = 0) -> tuple[Window, ...]:
        """Parts of the level that could not be decoded so far and reach into a window."""
        left, top, width, height = window
        return tuple(
            sorted(
                hole
                for at, hole in self._holes
                if at == level
                and hole[0] < left + width
                and left < hole[0] + hole[2]
                and hole[1] < top + height
                and top < hole[1] + hole[3]
            )
        )

    def level_for(self, downsample: float) -> int:
        """Give the smallest level that is made no smaller than that."""
        fits = [i for i, one in enumerate(self.levels) if one.downsample <= downsample * 1.01]
        return max(fits, key=lambda index: self.levels[index].downsample, default=0)

    def read_small(self, window: Window, shrink: float) -> NDArray[np.uint8]:
        """Read a window of level 0 made smaller, from the level that is nearest.

        Parameters
        ----------
        shrink : float
            Pixels of the outcome for each pixel of level 0, at most 1.
        """
        level = self.level_for(1 / shrink)
        by = self.levels[level].downsample
        left, top, width, height = (round(side / by) for side in window)
        pixels = self.read((left, top, max(width, 1), max(height, 1)), level)
        size = max(round(window[2] * shrink), 1), max(round(window[3] * shrink), 1)
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


class ArrayScan(Scan):
    """An image in memory."""

    def __init__(
        self, path: Path, image: NDArray[np.uint8], pixel_size: PixelSize | None = None
    ) -> None:
        shape = (image.shape[0], image.shape[1])
        super().__init__(path, [Level(shape=shape, downsample=1.0)], pixel_size, page=None)
        self._image = image

    def _read_into(self, pixels: NDArray[np.uint8], corner: tuple[int, int], level: int) -> None:
        x, y = corner
        pixels[:] = self._image[y : y + pixels.shape[0], x : x + pixels.shape[1]]

    def close(self) -> None:
        """Do nothing: there is no file."""


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


class TiledScan(Scan):
    """A scan that is decoded tile by tile; the last are kept, as neighbouring windows overlap.

    Parameters
    ----------
    tiles : sequence of (int, int)
        Height and width of a tile of each level.
    """

    def __init__(
        self,
        path: Path,
        levels: Sequence[Level],
        pixel_size: PixelSize | None,
        *,
        tiles: Sequence[tuple[int, int]],
        page: int,
        pages: int,
    ) -> None:
        super().__init__(path, levels, pixel_size, page=page, pages=pages)
        self._tiles = tuple(tiles)
        self._cache: OrderedDict[tuple[int, int, int], NDArray[np.uint8]] = OrderedDict()
        self._cached_bytes = 0

    @abstractmethod
    def _decoded(self, level: int, row: int, column: int) -> NDArray[np.uint8] | None:
        """Decode a tile as RGB, cut at the border of the level; None for one without pixels.

        A tile that cannot be decoded is noted as a hole.
        """

    def _window_of(self, level: int, row: int, column: int) -> Window:
        """Left, top, width and height of a tile, cut at the border of the level."""
        (rows, columns), (side_y, side_x) = self.levels[level].shape, self._tiles[level]
        left, top = column * side_x, row * side_y
        return left, top, min(side_x, columns - left), min(side_y, rows - top)

    def _read_into(self, pixels: NDArray[np.uint8], corner: tuple[int, int], level: int) -> None:
        x, y = corner
        height, width = pixels.shape[:2]
        side_y, side_x = self._tiles[level]
        down = range(y // side_y, -(-(y + height) // side_y))
        across = range(x // side_x, -(-(x + width) // side_x))
        for row, column in product(down, across):
            tile = self._tile(level, row, column)
            if tile is None:
                continue
            top, left = row * side_y, column * side_x
            y0, x0 = max(top, y), max(left, x)
            y1 = min(top + tile.shape[0], y + height)
            x1 = min(left + tile.shape[1], x + width)
            if y0 < y1 and x0 < x1:
                pixels[y0 - y : y1 - y, x0 - x : x1 - x] = tile[
                    y0 - top : y1 - top, x0 - left : x1 - left
                ]

    def _tile(self, level: int, row: int, column: int) -> NDArray[np.uint8] | None:
        key = (level, row, column)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        rgb = self._decoded(level, row, column)
        if rgb is None:
            return None
        with self._lock:
            self._cache[key] = rgb
            self._cached_bytes += rgb.nbytes
            while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return rgb


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
            height, width = self._levels[0].shape
            levels = [
                Level(shape=plane.shape, downsample=(height * width) ** 0.5
                      / (plane.shape[0] * plane.shape[1]) ** 0.5)
                for plane in self._levels
            ]  # fmt: skip
            tags = {tag.code: tag.value for tag in self._levels[0].page.tags}
            first = {tag.code: tag.value for tag in self._file.pages.first.tags}
            tiles = [_segment_sides(plane) for plane in self._levels]
            size = pixel_size_in_tags(first | tags)
            super().__init__(path, levels, size, tiles=tiles, page=page, pages=len(planes))
            self._full_scale = self._depth()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _depth(self) -> float | None:
        """Full scale of values of more than 8 bits: of all tiles alike, as of one camera."""
        page = self._levels[-1].page
        if page.dtype == np.uint8 or page.dtype == np.bool_:
            return None
        places = list(_segments(self._levels[-1]))
        step = max(len(places) // _SAMPLED, 1)
        sampled = [self._values(len(self._levels) - 1, 0, place) for place in places[::step]]
        largest = max((float(one.max(initial=0)) for one in sampled if one is not None), default=0)
        return usual_full_scale(largest)

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


def check_page(path: Path, page: int, pages: int) -> None:
    """Refuse a page that a file has not.

    Raises
    ------
    ImageReadError
        It has fewer.
    """
    if not 0 <= page < pages:
        count = "1 page" if pages == 1 else f"{pages} pages"
        raise ImageReadError(f"{path}: has {count}; received page {page + 1}. Choose one of these.")


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


def _segments(plane: _Plane) -> Iterator[tuple[int, int]]:
    side_y, side_x = _segment_sides(plane)
    return product(range(-(-plane.shape[0] // side_y)), range(-(-plane.shape[1] // side_x)))


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
        values = values.astype(np.uint8) * np.uint8(_WHITE)
    if page.photometric == _WHITE_IS_ZERO:
        bits = np.iinfo(values.dtype).max if full_scale is None else full_scale
        values = (bits - np.minimum(values, bits)).astype(values.dtype)
    if values.dtype != np.uint8:
        values = as_8_bit(values, full_scale=full_scale or 65535.0)
    samples = values.shape[2]
    if samples in (2, 4):
        opacity, values = values[:, :, -1:], values[:, :, :-1]
        if page.extrasamples and opacity.any():
            values = np.where(opacity == 0, np.uint8(_WHITE), values)
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    return np.ascontiguousarray(values)


class OpenSlideScan(Scan):
    """A file of a slide scanner, read with OpenSlide in parts, so that a fault costs one."""

    def __init__(self, path: Path) -> None:
        try:
            import openslide
        except ImportError as error:
            raise ImageReadError(
                f"{path}: a file of a slide scanner, which OpenSlide reads, and that is not "
                f"installed ({error}). Install it: {EXTRA}."
            ) from error
        self._openslide = openslide
        self._slide = openslide.OpenSlide(str(path))
        sizes = zip(self._slide.level_dimensions, self._slide.level_downsamples, strict=True)
        levels = [Level(shape=(h, w), downsample=float(by)) for (w, h), by in sizes]
        size = self._slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
        stated = None
        if size is not None and float(size) > 0:
            stated = PixelSize(um=float(size), origin="the scanner's description in the file")
        super().__init__(path, levels, stated)

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def _read_into(self, pixels: NDArray[np.uint8], corner: tuple[int, int], level: int) -> None:
        height, width = pixels.shape[:2]
        for top, left in product(range(0, height, _READ_PX), range(0, width, _READ_PX)):
            part = pixels[top : top + _READ_PX, left : left + _READ_PX]
            place = (corner[0] + left, corner[1] + top, part.shape[1], part.shape[0])
            try:
                part[:] = self._part(level, place)
            except MemoryError:
                raise
            except Exception:  # Of any kind that the libraries' readers raise for damaged bytes.
                self.note_holes(level, [place])

    def _part(self, level: int, window: Window) -> NDArray[np.uint8]:
        left, top, width, height = window
        by = self.levels[level].downsample
        at = round(left * by), round(top * by)
        try:
            rgba = np.asarray(self._slide.read_region(at, level, (width, height)))
        except self._openslide.OpenSlideError:
            # After an error it reads nothing more.
            with self._lock:
                self._slide = self._openslide.OpenSlide(str(self.path))
            raise
        return np.where(rgba[:, :, 3:] == 0, np.uint8(_WHITE), rgba[:, :, :3])


def tiff_pages(path: Path) -> int:
    """Count the images of a TIFF that are none of a pyramid's levels, labels or thumbnails."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        return sum(1 for _ in _planes_of(file))


def open_scan(path: Path, *, page: int = 0) -> Scan:
    """Open an image to read windows of it.

    Parameters
    ----------
    page : int
        Of a TIFF of several images, from 0 on.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It is of no known format, damaged, of a rare kind, in one piece too large, or needs a
        library that is not installed.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise MissingDataError(f"{path}: there is no such image. Check the path.")
    is_folder = suffix in ZARR_SUFFIXES and path.is_dir()
    if not is_folder and (kind := kind_of_special(path)):
        raise ImageReadError(f"{path}: {kind}, not an image. Replace it by an image, or remove it.")
    try:
        if suffix in ZARR_SUFFIXES:
            # Here, not above: it is built on this module.
            from blood_cell_system.imaging.zarr_scan import ZarrScan

            return ZarrScan(path, page)
        if suffix in OPENSLIDE_SUFFIXES:
            return OpenSlideScan(path)
        return TiffScan(path, page)
    except (ImageReadError, MemoryError):
        raise
    except OSError as error:
        raise ImageReadError(f"{path}: cannot be read: {system_words(error)}") from error
    except Exception as error:  # Damaged bytes lead readers to errors of almost any kind.
        raise ImageReadError(
            f"{path}: the image is cut off or damaged ({error}). Copy it again from its source."
        ) from error


@lru_cache(maxsize=1)
def _open_again(path: Path, page: int | None, changed_ns: int) -> Scan:
    """Open a scan in another process, once for all of its fields; None for one in memory."""
    return open_in_memory(path) if page is None else open_scan(path, page=page)


def open_in_memory(path: Path) -> ArrayScan:
    """Decode an image whole, as a scan of which windows are read.

    Raises
    ------
    MissingDataError, ImageReadError
        It cannot be read.
    """
    return ArrayScan(path, read_image(path), read_pixel_size(path))


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder, without holding them in memory."""
    digest = hashlib.sha256()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if not file.is_file():
            continue
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as stream:
            while part := stream.read(1 << 22):
                digest.update(part)
    return digest.hexdigest()
