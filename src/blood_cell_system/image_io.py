"""Pictures of any kind in, RGB arrays out."""

import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from blood_cell_system.atomic_files import replacing, write_bytes
from blood_cell_system.errors import ImageReadError, MissingDataError, OutputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture as 8-bit RGB, upright.

    EXIF rotation is applied. Transparent pixels are laid on white. Grayscale, palette and CMYK
    become RGB; 16-bit and float values are scaled to 8 bits (16-bit by 257 when the values use the
    upper range, else by their own largest value). Of an animation the first frame is taken.

    Parameters
    ----------
    path : Path

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It is no picture, is cut off or damaged, or has more than ``MAX_PIXELS`` pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"{path}: there is no such picture. Check the path.")
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures by its own limit; ours is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise ImageReadError(
                        f"{path}: {width}×{height} pixels; at most {MAX_PIXELS:,} are read. "
                        "Cut the picture into fields first."
                    )
                return _as_rgb(ImageOps.exif_transpose(picture))
    except Image.DecompressionBombError as error:
        raise ImageReadError(f"{path}: too large to decode safely ({error}).") from error
    except UnidentifiedImageError as error:
        raise ImageReadError(
            f"{path}: not a picture in a known format; expected PNG, JPEG, TIFF, BMP or WebP."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, ImageReadError):
            raise
        raise ImageReadError(
            f"{path}: the picture is cut off or damaged ({error}). Copy it again from its source."
        ) from error


def read_image_shape(path: Path) -> tuple[int, int]:
    """Read a picture's size from its header, as it is when upright.

    Returns
    -------
    tuple of int
        ``(height, width)`` in pixels, equal to that of what ``read_image`` gives.

    Raises
    ------
    ImageReadError
        The file is no picture, or cannot be opened.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageReadError(
            f"{path}: not a picture in a known format ({error}); expected PNG, JPEG, TIFF, BMP or "
            "WebP. Copy it again from its source."
        ) from error
    # Orientations 5 to 8 lie on their side.
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def _as_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.mode.startswith(("I", "F")):
        gray = _to_8_bit(np.asarray(picture))
        return np.repeat(gray[:, :, None], 3, axis=2)
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(picture.convert("RGB"))


def _to_8_bit(gray: NDArray[np.generic]) -> NDArray[np.uint8]:
    values = np.nan_to_num(gray.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    largest = values.max(initial=0.0)
    if largest <= 1.0 and gray.dtype.kind == "f":
        scale = 255.0
    elif largest <= 255:
        scale = 1.0
    elif largest > 4095:
        scale = 255.0 / max(65535.0, largest)
    else:
        # A 12-bit camera's values in a 16-bit file.
        scale = 255.0 / 4095.0
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def write_image(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a picture, whole or not at all; the suffix chooses the format.

    Parameters
    ----------
    path : Path
    pixels : ndarray of shape (height, width, 3), dtype uint8, or (height, width), uint8 or uint16
        RGB, or one channel.

    Raises
    ------
    OutputError
        The place cannot be written to, or the suffix is of no picture format.
    """
    path = Path(path)
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    # Level 1 is a sixth of the time of the default for a tenth more bytes.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1] if path.suffix.lower() == ".png" else []
    try:
        is_encoded, data = cv2.imencode(path.suffix, ordered, options)
    except cv2.error as error:
        raise OutputError(f"{path}: no picture format for {path.suffix!r}; use .png.") from error
    if not is_encoded:
        raise OutputError(f"{path}: the picture cannot be encoded as {path.suffix!r}; use .png.")
    write_bytes(path, data.tobytes())


def copy_file(source: Path, target: Path) -> None:
    """Copy a file byte for byte, whole or not at all."""
    with replacing(target) as temporary:
        temporary.write_bytes(source.read_bytes())


def read_label_image(path: Path) -> NDArray[np.uint16]:
    """Read a label picture as written by :func:`write_image`, without scaling its values.

    Returns
    -------
    ndarray of shape (height, width), dtype uint16
        0 is background, 1..n are cells.

    Raises
    ------
    ImageReadError
        It cannot be read, or has several channels.
    """
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.ndim != 2:
        raise ImageReadError(
            f"{path}: not a label picture; expected one channel of 8 or 16 bits. "
            "Prepare the folder again."
        )
    return np.asarray(labels, dtype=np.uint16)
