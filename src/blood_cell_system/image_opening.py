"""A picture's file opened, with one kind of error whatever is wrong with it."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError

from blood_cell_system.errors import ImageReadError, MissingDataError

MAX_PIXELS: Final = 100_000_000
"""Larger pictures are refused before they are decoded."""

# Pillow knows more, among them formats for which it starts other programs.
_FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "GIF", "PPM")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture's header; whatever goes wrong in the block is told as a fault of the file.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It is no picture, is cut off or damaged, or has more than ``MAX_PIXELS`` pixels.
    """
    try:
        if not path.is_file():
            raise MissingDataError(f"{path}: there is no such picture. Check the path.")
        with _without_pillow_warnings, Image.open(path, formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ImageReadError(
                    f"{path}: {width}×{height} pixels; at most {MAX_PIXELS:,} are read. "
                    "Cut the picture into fields first."
                )
            yield picture
    except (ImageReadError, MissingDataError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageReadError(
            f"{path}: too large to decode safely ({error}); at most {MAX_PIXELS:,} pixels are "
            "read. Cut the picture into fields first."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageReadError(
            f"{path}: not a picture in a known format; expected PNG, JPEG, TIFF, BMP or WebP of 8 "
            "or 16 bits a channel. Save it as one of these."
        ) from error
    except Exception as error:
        # Damaged bytes lead Pillow's readers to errors of almost any kind.
        raise ImageReadError(
            f"{path}: the picture is cut off or damaged ({error}). Copy it again from its source."
        ) from error


class _WithoutPillowWarnings:
    """Leave out what Pillow warns of: sizes by its own limit, and odd metadata.

    ``warnings.catch_warnings`` alone must not be entered by several threads at once: the last one
    out would put back the filters of another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._filters.__exit__(None, None, None)


_without_pillow_warnings: Final = _WithoutPillowWarnings()
