"""Files of slide scanners read with OpenSlide."""

from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import ImageReadError
from blood_cell_system.imaging.pixel_size import PixelSize
from blood_cell_system.imaging.scan import EXTRA, WHITE, Level, Scan, Window

_READ_PX: Final = 512
"""Side of the parts in which it reads, so that a fault costs one part."""


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
        return np.where(rgba[:, :, 3:] == 0, np.uint8(WHITE), rgba[:, :, :3])
