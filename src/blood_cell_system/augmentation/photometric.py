"""Changing light, stain and sharpness of an image; labels stay as they are."""

import math
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.stain.optical_density import DENSITY_OF_LEVEL

# Normal numbers that are drawn once and then cut from: at random.
_NOISE_COUNT: Final = 1 << 21
_SHARPEST_BLUR_PX: Final = 0.3  # Standard deviation; less changes no pixel by a gray value.


def augment_photometric(
    image: NDArray[np.uint8], generator: np.random.Generator, settings: AugmentationSettings
) -> NDArray[np.uint8]:
    """Change an image as another lab's stain, lamp and camera would.

    In the order of nature: the stain, then light and contrast, the lens's blur, the sensor's noise,
    the file's JPEG.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
    """
    brightness = generator.uniform(*settings.brightness_range)
    contrast = generator.uniform(*settings.contrast_range)
    varied = _vary_stain(image, generator, settings, gain=contrast * brightness)
    # Contrast is around the mean, which brightness has moved as well.
    offset = float(np.mean(cv2.mean(varied)[:3])) * (1 / contrast - 1)
    if generator.random() < settings.blur_share:
        sigma = generator.uniform(_SHARPEST_BLUR_PX, settings.largest_blur_px)
        size = 2 * math.ceil(2.5 * sigma) + 1
        varied = cv2.GaussianBlur(varied, (size, size), sigma)
    noise_level = 0.0
    if generator.random() < settings.noise_share:
        noise_level = generator.uniform(0, settings.largest_noise)
    noise = _noise(image.shape, generator)
    finished: NDArray[np.uint8] = cv2.addWeighted(
        varied, 1.0, noise, noise_level, offset, dtype=cv2.CV_8U
    )
    if generator.random() < settings.jpeg_share:
        quality = generator.integers(*settings.jpeg_quality_range, endpoint=True)
        return _through_jpeg(finished, int(quality))
    return finished


def _vary_stain(
    image: NDArray[np.uint8],
    generator: np.random.Generator,
    settings: AugmentationSettings,
    *,
    gain: float,
) -> NDArray[np.float32]:
    """``gain`` times the image, in many cases with OD·(I + N)·strength + offset for its OD."""
    if generator.random() >= settings.stain_share:
        return np.asarray(cv2.LUT(image, np.arange(256, dtype=np.float32) * np.float32(gain)))
    mixing = np.eye(3) + generator.normal(0, settings.stain_mixing, (3, 3))
    mixing *= generator.uniform(*settings.stain_strength_range)
    shift = generator.uniform(-settings.stain_offset, settings.stain_offset, 3)
    # The gain as a summand of the exponent saves a pass over the image.
    exponent = np.column_stack([-mixing, math.log(255 * gain) - shift]).astype(np.float32)
    return np.asarray(cv2.exp(cv2.transform(cv2.LUT(image, DENSITY_OF_LEVEL), exponent)))


def _noise(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
    """Numbers of mean 0 and standard deviation 1."""
    count = math.prod(shape)
    if 2 * count > _NOISE_COUNT:
        return generator.standard_normal(shape, dtype=np.float32)
    # Drawing a million normal numbers takes longer than all the rest; a random piece of a long row
    # of them is as good, since no two crops get the same.
    start = generator.integers(_NOISE_COUNT - count)
    return _noise_row()[start : start + count].reshape(shape)


@lru_cache(maxsize=1)
def _noise_row() -> NDArray[np.float32]:
    row = np.random.default_rng(0).standard_normal(_NOISE_COUNT, dtype=np.float32)
    row.setflags(write=False)
    return row


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
