"""What a picture file's values are in 8-bit RGB, whatever its mode and depth."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_BIT_DEPTHS: Final = (8, 10, 12, 14, 16)


def as_rgb(picture: Image.Image, path: Path) -> NDArray[np.uint8]:
    """Turn an opened picture upright and into 8-bit RGB, transparency laid on white.

    Parameters
    ----------
    picture : PIL.Image.Image
    path : Path
        Of its file, which is read again where Pillow would cut off bits.

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
    if picture.mode in {"RGB", "RGBA"} and has_16_bits_a_channel(picture):
        return _deep_colours_as_rgb(picture, path)
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        return np.repeat(_to_8_bit(np.asarray(upright))[:, :, None], 3, axis=2)
    if upright.mode in {"RGBA", "LA", "PA"} or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.array(upright.convert("RGB"))


def has_16_bits_a_channel(picture: Image.Image) -> bool:
    """Whether an opened picture of colours has more than Pillow keeps of it."""
    return any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))


def _deep_colours_as_rgb(picture: Image.Image, path: Path) -> NDArray[np.uint8]:
    # Pillow keeps the upper 8 of 16 bits a colour: a 12-bit camera's pictures would be almost
    # black. OpenCV keeps all, but fills up what is cut off without a word; Pillow tells.
    picture.load()
    has_alpha = picture.mode == "RGBA"
    # Both ways turn the picture upright, except a PNG with an alpha channel.
    how = cv2.IMREAD_UNCHANGED if has_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), how)
    if values is None:
        raise ValueError("OpenCV cannot decode it")
    rgb = _to_8_bit(values[:, :, 2::-1])
    if not has_alpha:
        return rgb
    opacity = values[:, :, 3:] / 65535.0
    on_white: NDArray[np.float64] = rgb * opacity + 255 * (1 - opacity)
    return np.rint(on_white).astype(np.uint8)


def _to_8_bit(intensities: NDArray[np.generic]) -> NDArray[np.uint8]:
    values = np.nan_to_num(intensities.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    largest = values.max(initial=0.0)
    if largest <= 1.0 and intensities.dtype.kind == "f":
        full_scale = 1.0
    else:
        depths = (2.0**bits - 1 for bits in _BIT_DEPTHS)
        full_scale = next((depth for depth in depths if largest <= depth), largest)
    return np.clip(np.rint(values * (255.0 / full_scale)), 0, 255).astype(np.uint8)
