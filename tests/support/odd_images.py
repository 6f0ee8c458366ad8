"""Images that common writers do not write, byte by byte."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def png_bytes(
    rows: bytes, *, size: tuple[int, int], bit_depth: int, colour_type: int, exif: bytes = b""
) -> bytes:
    """Write a PNG of ``(height, width)`` from its rows, each led by the filter's byte 0."""
    height, width = size
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    chunks = [_png_chunk(b"IHDR", header)]
    if exif:
        chunks.append(_png_chunk(b"eXIf", exif))
    chunks += [_png_chunk(b"IDAT", zlib.compress(rows)), _png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff_bytes(
    pixels: NDArray[np.generic], *, orientation: int = 1, photometric: int | None = None
) -> bytes:
    """Write an uncompressed little-endian TIFF of one or more channels."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    # Bits and kind of every channel stand behind the pixels.
    bits_at = 8 + len(data)
    kinds_at = bits_at + 2 * channels
    entries_at = kinds_at + 2 * channels
    bits = pixels.dtype.itemsize * 8
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    if photometric is None:
        photometric = 2 if channels >= 3 else 1
    short, long = 3, 4
    entries = [
        (256, short, 1, width),
        (257, short, 1, height),
        (258, short, channels, bits if channels == 1 else bits_at),
        (259, short, 1, 1),
        (262, short, 1, photometric),
        (273, long, 1, 8),
        (274, short, 1, orientation),
        (277, short, 1, channels),
        (278, short, 1, height),
        (279, long, 1, len(data)),
        (339, short, channels, kind if channels == 1 else kinds_at),
    ]
    return b"".join(
        (
            struct.pack("<2sHI", b"II", 42, entries_at),
            data,
            struct.pack(f"<{channels}H", *[bits] * channels),
            struct.pack(f"<{channels}H", *[kind] * channels),
            struct.pack("<H", len(entries)),
            *(struct.pack("<HHII", *entry) for entry in entries),
            struct.pack("<I", 0),
        )
    )
