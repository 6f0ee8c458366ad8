"""Images of any kind in, RGB arrays out."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from blood_cell_system.atomic_files import write_bytes
from blood_cell_system.errors import (
    ImageReadError,
    MissingDataError,
    OutputError,
    is_memory_full,
    system_words,
)
from blood_cell_system.imaging.damage import log_damage
from blood_cell_system.input_files import kind_of_special, read_bytes

MAX_PIXELS: Final = 100_000_000
"""Larger images are refused before they are decoded."""

# Pillow knows more, among them formats for which it starts other programs.
_FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "GIF", "PPM")


@contextmanager
def opened(path: Path, data: bytes | None = None) -> Iterator[Image.Image]:
    """Open an image's header; whatever goes wrong in the block is told as a fault of the file.

    Parameters
    ----------
    data : bytes, optional
        What the file holds, where it has been read: the file itself is then left alone.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It is no image, is cut off or damaged, or has more than ``MAX_PIXELS`` pixels.
    """
    try:
        if data is None and (kind := kind_of_special(path)):
            if path.is_dir():
                raise MissingDataError(f"{path}: there is no such image; it is a folder.")
            raise ImageReadError(
                f"{path}: {kind}, not an image. Replace it by an image, or remove it."
            )
        if data is None and not path.exists():
            raise MissingDataError(f"{path}: there is no such image. Check the path.")
        if (path.stat().st_size if data is None else len(data)) == 0:
            raise ImageReadError(
                f"{path}: the file is empty (0 bytes). Copy it again from its source, or, where a "
                "cloud holds it, have it downloaded first."
            )
        with _without_pillow_warnings, _open(path, data) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageReadError(
                    f"{path}: {width}×{height} pixels; at most {MAX_PIXELS:,} are read. "
                    "Cut the image into fields first."
                )
            yield image
    except (ImageReadError, MissingDataError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageReadError(
            f"{path}: too large to decode safely ({error}); at most {MAX_PIXELS:,} pixels are "
            "read. Cut the image into fields first."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageReadError(
            f"{path}: not an image in a known format; expected PNG, JPEG, TIFF, BMP or WebP of 8 "
            "or 16 bits a channel. Save it as one of these."
        ) from error
    except Exception as error:
        if is_memory_full(error):
            raise MemoryError from error
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageReadError(f"{path}: cannot be read: {system_words(error)}") from error
        # Damaged bytes lead Pillow's readers to errors of almost any kind.
        raise ImageReadError(
            f"{path}: the image is cut off or damaged ({error}). Copy it again from its source."
        ) from error


def _open(path: Path, data: bytes | None) -> Image.Image:
    file = path if data is None else io.BytesIO(data)
    if data is None:
        with path.open("rb") as stream:
            start = stream.read(len(_BIG_ENDIAN_BIGTIFF))
    else:
        start = data[: len(_BIG_ENDIAN_BIGTIFF)]
    if start == _BIG_ENDIAN_BIGTIFF:
        # Pillow takes the second byte of the version for the whole.
        return _read_tiff(path, file)
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        if start not in _TIFF_STARTS:
            raise
    else:
        if not isinstance(image, TiffImageFile) or not _is_misread(image, start):
            return image
        image.close()
    return _read_tiff(path, path if data is None else io.BytesIO(data))


def _is_misread(image: TiffImageFile, start: bytes) -> bool:
    """Whether Pillow, or OpenCV in its place, would read other values than stand in a TIFF."""
    tags = image.tag_v2
    bits, kind = max(tags.get(_BITS, (1,))), max(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))
    samples = int(tags.get(_SAMPLES, 1))
    has_alpha = bool(set(tags.get(_EXTRA_SAMPLES, ())) & set(_ALPHA))
    return (
        # The bytes of a plane are taken for pixels, and the pixels for colours.
        (tags.get(_PLANAR_CONFIGURATION) == _PLANAR and samples > 1 and bits > _BITS_OF_PILLOW)
        or (kind == _SIGNED and bits < _BITS_OF_MODE_I)
        or (kind == _UNSIGNED and bits == _BITS_OF_MODE_I)
        # The bytes of what is compressed are not put in order.
        or (start.startswith(b"MM") and bits == _BITS_OF_MODE_I)
        # All but the first channels are passed over.
        or samples > _MOST_SAMPLES
        or (samples == _TWO and not has_alpha)
    )


def _read_tiff(path: Path, file: Path | io.BytesIO) -> Image.Image:
    """Read the first page of a TIFF that Pillow cannot read, or reads wrongly.

    Whole numbers of one channel are kept as they are; other values become 8 bits.
    """
    from tifffile import TiffFile

    def refused(found: str, expected: str) -> ImageReadError:
        return ImageReadError(
            f"{path}: a TIFF of a rare kind: {found}; expected {expected}. Save it as PNG, or as a "
            "TIFF of 8 or 16 bits without compression."
        )

    with TiffFile(file) as tiff:
        page: Any = tiff.pages.first
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise ImageReadError(
                f"{path}: {page.imagewidth}×{page.imagelength} pixels; at most {MAX_PIXELS:,} are "
                "read. Cut the image into fields first."
            )
        try:
            values = page.asarray()
        except (KeyError, ValueError) as error:
            if not any(word in str(error) for word in ("imagecodecs", "not supported")):
                raise
            packing = str(page.compression.name).lower()
            raise refused(f"{page.dtype} values packed with {packing}", "unpacked ones") from error
        if page.planarconfig == _PLANAR and values.ndim == _COLOUR_NDIM:
            values = np.moveaxis(values, 0, 2)
        orientation = page.tags.get(ExifTags.Base.Orientation)
        if orientation is not None and orientation.value not in (0, 1):
            raise refused("to be turned", "an upright one")
        photometric, extra = page.photometric, tuple(page.extrasamples)
        colours = page.colormap
    if values.dtype.kind not in "buif":
        raise refused(f"values of the type {values.dtype}", "brightness")
    if values.dtype.kind == "i" and values.min(initial=0) < 0:
        raise refused("values below 0", "brightness from 0 on")
    if photometric == _PALETTE and colours is not None:
        values = np.moveaxis(colours, 0, 1)[values]
    elif photometric == _WHITE_IS_ZERO and values.dtype.kind == "u":
        values = np.iinfo(values.dtype).max - values
    elif photometric not in (_BLACK_IS_ZERO, _RGB):
        found = "white is 0" if photometric == _WHITE_IS_ZERO else str(photometric.name).lower()
        raise refused(f"{values.dtype} values in the colours {found!r}", "gray or RGB")
    samples = values.shape[2] if values.ndim == _COLOUR_NDIM else 1
    if samples not in (1, 3, 4) or values.ndim > _COLOUR_NDIM:
        raise refused(f"{samples} channels", "gray, or red, green and blue")
    return _as_pillow_image(values, has_alpha=bool(set(extra) & set(_ALPHA)))


def _as_pillow_image(values: NDArray[Any], *, has_alpha: bool) -> Image.Image:
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))
    if values.ndim == _COLOUR_NDIM:
        values = values if has_alpha else values[:, :, :3]
        rgb = values
        if values.dtype != np.uint8:
            rgb = _to_8_bit(values, full_scale=_full_scale(values.dtype))
        image = Image.fromarray(np.ascontiguousarray(rgb))
    elif values.dtype in (np.uint8, np.uint16):
        image = Image.fromarray(values)
    elif values.dtype.kind in "iu" and values.max(initial=0) <= np.iinfo(np.int32).max:
        image = Image.fromarray(values.astype(np.int32))
        image.info[_FULL_SCALE] = _full_scale(values.dtype)
    else:
        image = Image.fromarray(_to_8_bit(values))
    image.format = "TIFF"
    return image


def _full_scale(dtype: np.dtype[Any]) -> float | None:
    """Largest value of a signed type of few bits; None where the values themselves tell."""
    return float(np.iinfo(dtype).max) if dtype in (np.int8, np.int16) else None


_BIG_ENDIAN_BIGTIFF: Final = b"MM\x00\x2b"
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0")
# Tags and values of TIFF 6.0.
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR_CONFIGURATION = 258, 262, 277, 284
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = 0, 1, 2, 3
_PLANAR: Final = 2
_ALPHA: Final = (1, 2)
_UNSIGNED, _SIGNED = 1, 2
_BITS_OF_PILLOW: Final = 8  # A channel of colours.
_BITS_OF_MODE_I: Final = 32
_MOST_SAMPLES: Final = 4  # Red, green, blue and opacity, or four inks.
_TWO: Final = 2
_COLOUR_NDIM: Final = 3  # Rows, columns and channels.
_FULL_SCALE: Final = "full_scale"  # In an image's info: the largest value that its type holds.


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


_BIT_DEPTHS: Final = (8, 10, 12, 14, 16)
"""Bits a channel of microscope cameras: an image has the least of them that holds its values."""


def as_rgb(image: Image.Image, path: Path, data: bytes | None = None) -> NDArray[np.uint8]:
    """Turn an opened image upright and into 8-bit RGB, transparency laid on white.

    Parameters
    ----------
    path : Path
        Of its file, which is read again where Pillow would cut off bits.
    data : bytes, optional
        What the file holds, where it has been read.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8

    Raises
    ------
    ValueError
        OpenCV cannot decode what Pillow can.
    Exception
        Of any kind that Pillow's readers raise for damaged bytes.
    """
    if image.mode in {"RGB", "RGBA"} and has_16_bits_a_channel(image):
        return _deep_colours_as_rgb(image, path.read_bytes() if data is None else data)
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        values = np.asarray(upright)
        if isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            # Pillow turns 8 bits into black on white, but not more.
            if not upright.mode.startswith("I;16"):
                raise ImageReadError(
                    f"{path}: a TIFF of a rare kind: white is 0, in more than 16 bits; expected "
                    "black as 0. Save it as PNG."
                )
            values = np.iinfo(np.uint16).max - values
        gray = _to_8_bit(values, full_scale=image.info.get(_FULL_SCALE))
        return np.repeat(gray[:, :, None], 3, axis=2)
    if upright.mode in {"RGBA", "LA", "PA"} or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        values = np.array(rgba)
        if not values[:, :, 3].any():
            # Programs that do not know of transparency leave zeros in it.
            return values[:, :, :3].copy()
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.array(upright.convert("RGB"))


def has_16_bits_a_channel(image: Image.Image) -> bool:
    """Whether an opened image of colours has more than Pillow keeps of it."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _deep_colours_as_rgb(image: Image.Image, data: bytes) -> NDArray[np.uint8]:
    # Pillow keeps the upper 8 of 16 bits a colour: a 12-bit camera's images would be almost
    # black. OpenCV keeps all, but fills up what is cut off without a word; Pillow tells.
    image.load()
    has_alpha = image.mode == "RGBA"
    # Both ways turn the image upright, except a PNG with an alpha channel.
    how = cv2.IMREAD_UNCHANGED if has_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    values = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    if values is None:
        raise ValueError("OpenCV cannot decode it")
    rgb = _to_8_bit(values[:, :, 2::-1])
    if not has_alpha or not values[:, :, 3].any():
        return rgb
    opacity = values[:, :, 3:] / 65535.0
    on_white: NDArray[np.float64] = rgb * opacity + 255 * (1 - opacity)
    return np.rint(on_white).astype(np.uint8)


def _to_8_bit(
    intensities: NDArray[np.generic], *, full_scale: float | None = None
) -> NDArray[np.uint8]:
    values = np.nan_to_num(intensities.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(values.max(initial=0.0))
    if largest <= 1.0 and intensities.dtype.kind == "f":
        return as_8_bit(values, full_scale=1.0)
    found = usual_full_scale(largest)
    return as_8_bit(values, full_scale=min(found, full_scale or found))


def usual_full_scale(largest: float) -> float:
    """Largest value of the least usual depth that holds a value; itself beyond all of them.

    Examples
    --------
    >>> usual_full_scale(3000.0)
    4095.0
    """
    depths = (2.0**bits - 1 for bits in _BIT_DEPTHS)
    return next((depth for depth in depths if largest <= depth), largest)


def as_8_bit(intensities: NDArray[Any], *, full_scale: float) -> NDArray[np.uint8]:
    """Scale brightness to 0..255; what is more than the full scale is 255."""
    values = intensities * (255.0 / full_scale)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


IMAGE_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".tif", ".tiff", ".webp"}
)

# A telephone's JPEG may hold a preview as well, which is no other image.
_FORMATS_WITH_PAGES: Final = frozenset({"TIFF", "GIF", "WEBP", "PNG"})

# 16 bits are "I" in older versions of Pillow. A palette's indices are labels as well.
_LABEL_MODES: Final = frozenset({"1", "L", "P", "I", "I;16", "I;16B", "I;16L"})

_TIFF_SIZE: Final = (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength)

# Of a drawn image in half the time of OpenCV's level 1 and a tenth fewer bytes; of masks in a
# third of the time and half the bytes: their rows are like the rows above.
_QUICK_PNG: Final = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_UP,
)


def read_image(path: Path, *, data: bytes | None = None) -> NDArray[np.uint8]:
    """Read an image as 8-bit RGB, upright.

    EXIF rotation is applied. Transparent pixels are laid on white, unless all are transparent.
    Grayscale, palette and CMYK become RGB. Values of more than 8 bits are scaled by the smallest
    usual depth (8, 10, 12, 14 or 16 bits) that holds the largest of them, as cameras of 12 bits
    save in 16; float values by 1 when none is larger. Of an animation the first frame is taken, of
    several pages the first. Damage that decoders repair is logged as a warning, once a file.

    Parameters
    ----------
    data : bytes, optional
        What the file holds, where it has been read: whoever needs its hash as well reads it once,
        and asks :func:`imaging.damage.damage_of` as well.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It is no image, is cut off or damaged, or has more than ``MAX_PIXELS`` pixels.
    """
    path = Path(path)
    with opened(path, data) as image:
        rgb = as_rgb(image, path, data)
        if data is None:
            log_damage(path)
        return rgb


def read_rgba(path: Path) -> NDArray[np.uint8]:
    """Read an image as 8-bit RGBA, upright, with the colours below transparent pixels.

    As :func:`read_image`, but that transparency is kept in place of laying it on white.

    Returns
    -------
    ndarray of shape (height, width, 4), dtype uint8
        Opaque, 255 in the last channel, where the image has no transparency.

    Raises
    ------
    MissingDataError, ImageReadError
        As of :func:`read_image`.
    """
    path = Path(path)
    with opened(path) as image:
        is_deep = has_16_bits_a_channel(image)
        if not is_deep and (image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info):
            rgba = np.array(ImageOps.exif_transpose(image).convert("RGBA"))
            if not rgba[:, :, 3].any():
                rgba[:, :, 3] = 255
            return rgba
        rgb = as_rgb(image, path)
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, dtype=np.uint8)])


def read_image_shape(path: Path) -> tuple[int, int]:
    """Read an image's size from its header, as it is when upright.

    Returns
    -------
    tuple of int
        ``(height, width)`` in pixels, equal to that of what ``read_image`` gives.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It is no image, or has more than ``MAX_PIXELS`` pixels.
    """
    with opened(Path(path)) as image:
        width, height = image.size
        if isinstance(image, TiffImageFile):
            # Some versions of Pillow have turned the size of a TIFF already, others have not.
            width, height = (image.tag_v2[tag] for tag in _TIFF_SIZE)
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    # Orientations 5 to 8 lie on their side.
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def count_pages(path: Path, *, data: bytes | None = None) -> int:
    """Count the images in a file: pages of a TIFF, frames of an animation.

    Smaller copies of a page, which scanners put into a TIFF beside it, do not count.

    Parameters
    ----------
    data : bytes, optional
        What the file holds, where it has been read.

    Returns
    -------
    int
        1 for most files.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It is no image, or has more than ``MAX_PIXELS`` pixels.
    """
    with opened(Path(path), data) as image:
        if image.format not in _FORMATS_WITH_PAGES:
            return 1
        if image.format != "TIFF":
            return int(getattr(image, "n_frames", 1))
        # Here, not above: only TIFF files need it.
        from tifffile import TiffFile

        with TiffFile(path if data is None else io.BytesIO(data)) as file:
            return 1 + sum(not page.is_reduced for page in list(file.pages)[1:])


def is_turned(path: Path) -> bool:
    """Whether an image's EXIF data say that it is to be turned or mirrored; not all programs do.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It is no image, or has more than ``MAX_PIXELS`` pixels.
    """
    with opened(Path(path)) as image:
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1))


def check_rgb(image: NDArray[np.generic]) -> None:
    """Refuse an array that is no image as :func:`read_image` gives it.

    Raises
    ------
    ImageReadError
        It is not of shape (height, width, 3) and dtype uint8, or has no pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ImageReadError(
            "Image: expected an array of shape (height, width, 3) and dtype uint8 with a pixel "
            f"at least. Received: shape {image.shape}, dtype {image.dtype}. Read it with "
            "read_image."
        )


def write_image(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write an image, whole or not at all; the suffix chooses the format.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3 or 4), uint8, or (height, width), uint8 or uint16
        RGB, RGBA, or one channel.

    Raises
    ------
    OutputError
        The place cannot be written to, or the suffix is of no image format.
    """
    path = Path(path)
    ordered = pixels
    if pixels.ndim == 3:
        has_alpha = pixels.shape[2] == 4
        ordered = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if has_alpha else cv2.COLOR_RGB2BGR)
    options = _QUICK_PNG if path.suffix.lower() == ".png" else ()
    try:
        is_encoded, data = cv2.imencode(path.suffix, ordered, list(options))
    except cv2.error as error:
        raise OutputError(f"{path}: no image format for {path.suffix!r}; use .png.") from error
    if not is_encoded:
        raise OutputError(f"{path}: the image cannot be encoded as {path.suffix!r}; use .png.")
    write_bytes(path, data.tobytes())


def copy_file(source: Path, target: Path) -> None:
    """Copy a file byte for byte, whole or not at all.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It cannot be read.
    OutputError
        The target cannot be written.
    """
    write_bytes(target, read_file_bytes(source))


def read_file_bytes(path: Path) -> bytes:
    """Read a file as it is.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It cannot be read.
    """
    return read_bytes(path, error=ImageReadError)


def read_label_image(path: Path) -> NDArray[np.uint16]:
    """Read a label image as written by :func:`write_image`, without scaling its values.

    Returns
    -------
    ndarray of shape (height, width), dtype uint16
        0 is background, 1..n are cells.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It cannot be read, or is not one channel of 8 or 16 bits.
    """
    with opened(Path(path)) as image:
        labels = np.asarray(image)
        if image.mode not in _LABEL_MODES or labels.min() < 0 or labels.max() > 65535:
            raise ImageReadError(
                f"{path}: not a label image; expected one channel of 8 or 16 bits. "
                "Prepare the folder again."
            )
        return labels.astype(np.uint16)
