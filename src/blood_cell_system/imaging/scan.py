"""Images too large to decode whole: windows of the levels of a scan, read tile by tile.

Each format is a module of its own: ``tiff_scan.py``, ``openslide_scan.py``, ``zarr_scan.py``. What
cannot be decoded is a hole: white, and reported.
"""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
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
from blood_cell_system.imaging.image_file import read_image, usual_full_scale
from blood_cell_system.imaging.pixel_size import PixelSize, read_pixel_size
from blood_cell_system.input_files import kind_of_special
from blood_cell_system.wording import counted

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
_SAMPLED: Final = 64
"""Tiles of the smallest level whose values say how deep a camera's bits are."""
MOST_TILE_BYTES: Final = 400_000_000
"""A tile or strip of more bytes is refused: it is decoded whole."""
WHITE: Final = 255
"""What is beyond an image, or cannot be read."""
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


def levels_of(shapes: Sequence[tuple[int, int]]) -> list[Level]:
    """Give the levels of a pyramid whose images are of ``(height, width)``, the largest first."""
    whole = shapes[0][0] * shapes[0][1]
    return [Level(shape=one, downsample=(whole / (one[0] * one[1])) ** 0.5) for one in shapes]


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
        pixels = np.full((height, width, 3), WHITE, dtype=np.uint8)
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
        super().__init__(path, levels_of([image.shape[:2]]), pixel_size, page=None)
        self._image = image

    def _read_into(self, pixels: NDArray[np.uint8], corner: tuple[int, int], level: int) -> None:
        x, y = corner
        pixels[:] = self._image[y : y + pixels.shape[0], x : x + pixels.shape[1]]

    def close(self) -> None:
        """Do nothing: there is no file."""


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

    def _depth(self, values: Callable[[int, int], NDArray[Any] | None]) -> float:
        """Full scale of values of more than 8 bits: of all tiles alike, as of one camera.

        ``values`` are those of a tile of the smallest level, by row and column.
        """
        (rows, columns), (side_y, side_x) = self.levels[-1].shape, self._tiles[-1]
        places = list(product(range(-(-rows // side_y)), range(-(-columns // side_x))))
        sampled = (values(*place) for place in places[:: max(len(places) // _SAMPLED, 1)])
        largest = (float(one.max(initial=0)) for one in sampled if one is not None)
        return usual_full_scale(max(largest, default=0.0))

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


def check_page(path: Path, page: int, pages: int) -> None:
    """Refuse a page that a file has not.

    Raises
    ------
    ImageReadError
        It has fewer.
    """
    if not 0 <= page < pages:
        count = counted(pages, "page")
        raise ImageReadError(f"{path}: has {count}; received page {page + 1}. Choose one of these.")


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
        # Here, not above: the formats are built on this module.
        if suffix in ZARR_SUFFIXES:
            from blood_cell_system.imaging.zarr_scan import ZarrScan

            return ZarrScan(path, page)
        if suffix in OPENSLIDE_SUFFIXES:
            from blood_cell_system.imaging.openslide_scan import OpenSlideScan

            return OpenSlideScan(path)
        from blood_cell_system.imaging.tiff_scan import TiffScan

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
