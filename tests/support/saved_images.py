"""Small images in files of every kind."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image
from support.odd_images import png_bytes

RNG = np.random.default_rng(0)

PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)

GRAY = PIXELS[:, :, 0]

WHITE = [255, 255, 255]


def saved(path: Path, pixels: np.ndarray | Image.Image, **options) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def deep_png(
    path: Path, values: np.ndarray, *, colour_type: int, orientation: int | None = None
) -> Path:
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    exif = b""
    if orientation is not None:
        exif = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 274, 3, 1, orientation, 0, 0)
    data = png_bytes(rows, size=(height, width), bit_depth=16, colour_type=colour_type, exif=exif)
    return written(path, data)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What the EXIF standard says about each orientation."""
    return {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
        8: np.rot90,
    }[orientation](pixels)
