"""Damage of image files that decoders repair without a word."""

import io
import logging
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_logger = logging.getLogger(__name__)

_JPEG_START: Final = b"\xff\xd8"
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of TIFF's compressions those whose data can be checked.
_JPEG, _DEFLATE = 7, (8, 32946)
# The decoder's other messages are of what it cannot do, and others can.
_FAULTS: Final = ("Corrupt", "Premature", "Invalid", "Inconsistent", "Bogus", "Unsupported marker")


def damage_of(path: Path, data: bytes | None = None) -> str | None:
    """Say what is damaged in a file of which an image can be decoded all the same.

    JPEG files, and TIFF files with JPEG or Deflate in them, are checked. Other formats have check
    sums that their decoders compare, or nothing to check them by.

    Parameters
    ----------
    data : bytes, optional
        What the file holds, where it has been read.

    Returns
    -------
    str or None
        The decoder's words; None where nothing is wrong.
    """
    if data is None:
        with path.open("rb") as stream:
            start = stream.read(4)
        if not start.startswith((_JPEG_START, *_TIFF_STARTS)):
            return None
        data = path.read_bytes()
    if data.startswith(_JPEG_START):
        return _jpeg_damage(data)
    if data.startswith(_TIFF_STARTS):
        try:
            return next(_tiff_damage(data), None)
        except Exception as error:
            # Damaged bytes lead readers of TIFF to errors of almost any kind.
            return str(error)
    return None


def damage_words(words: str) -> str:
    """Say what damage means, and what to do.

    Parameters
    ----------
    words : str
        As :func:`damage_of` gives them.
    """
    return (
        f"The file is damaged ({words}): a part of the image is not as it was taken. Copy it again "
        "from its source, or leave it out."
    )


@cache
def log_damage(path: Path) -> None:
    """Warn of a damaged file, once."""
    if words := damage_of(path):
        _logger.warning("%s: %s", path, damage_words(words))


def _jpeg_damage(data: bytes) -> str | None:
    import simplejpeg

    try:
        # An eighth of the size: what is compressed is read whole, and little computed.
        simplejpeg.decode_jpeg(
            data, colorspace="GRAY", fastdct=True, min_height=1, min_width=1, min_factor=8
        )
    except ValueError as error:
        words = str(error)
        return words if words.startswith(_FAULTS) else None
    return None


def _tiff_damage(data: bytes) -> Iterator[str]:
    # Here, not above: only TIFF files need it.
    from tifffile import TiffFile

    with TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        if page.compression not in (_JPEG, *_DEFLATE):
            return
        tables = page.jpegtables or b""
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            segment = data[offset : offset + count]
            if page.compression == _JPEG:
                # Tables for all segments stand in a file of their own, between its two ends.
                words = _jpeg_damage(tables[:-2] + segment[2:] if tables else segment)
            else:
                words = _deflate_damage(segment)
            if words:
                yield words


def _deflate_damage(segment: bytes) -> str | None:
    try:
        zlib.decompress(segment)
    except zlib.error as error:
        return str(error)
    return None
