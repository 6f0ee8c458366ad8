"""JPEG files that decoders repair without a word."""

import io

import numpy as np
from PIL import Image


def damaged_jpeg(pixels: np.ndarray, **options: object) -> bytes:
    """Encode an image, and lose the second half of its pixels, but not the file's end."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    data = buffer.getvalue()
    return data[: len(data) // 2] + b"\xff\xd9"
