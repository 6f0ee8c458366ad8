"""Changing light, stain and sharpness of a picture; labels stay as they are."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.input_pipeline.augmentation import AugmentationSettings

# Optical density of every grey level; half a level keeps black finite.
_OPTICAL_DENSITY = -np.log((np.arange(256) + 0.5) / 255.5).astype(np.float32)


def augment_photometric(
    image: NDArray[np.uint8], generator: np.random.Generator, settings: AugmentationSettings
) -> NDArray[np.uint8]:
    """Change stain, light, sharpness, noise and compression, each by chance.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    generator : numpy.random.Generator
    settings : AugmentationSettings

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
    """
    pixels = image.astype(np.float32)
    if generator.random() < settings.stain_share:
        pixels = _with_other_stain(image, generator, settings)
    mean = float(pixels[::8, ::8].mean())
    contrast = generator.uniform(*settings.contrast_range)
    brightness = generator.uniform(*settings.brightness_range)
    # Contrast turns around the mean, brightness multiplies: one pass for both.
    pixels *= contrast * brightness
    pixels += mean * (1 - contrast) * brightness
    if generator.random() < settings.blur_share:
        sigma = generator.uniform(0.3, settings.largest_blur_px)
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma)
    if generator.random() < settings.noise_share:
        sigma = generator.uniform(0, settings.largest_noise)
        bank = _noise_bank()
        size = pixels.size
        start = int(generator.integers(0, max(1, bank.size - size)))
        noise = np.resize(bank[start : start + size], size).reshape(pixels.shape)
        pixels += np.float32(sigma) * noise
    result = cv2.convertScaleAbs(np.clip(pixels, 0, 255, out=pixels))
    if generator.random() < settings.jpeg_share:
        quality = int(generator.integers(*settings.jpeg_quality_range, endpoint=True))
        _, data = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])
        result = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(result, dtype=np.uint8)


def _with_other_stain(
    image: NDArray[np.uint8], generator: np.random.Generator, settings: AugmentationSettings
) -> NDArray[np.float32]:
    strength = generator.uniform(*settings.stain_strength_range)
    mixing = strength * (np.eye(3) + generator.normal(0, settings.stain_mixing, (3, 3)))
    offset = generator.uniform(-settings.stain_offset, settings.stain_offset, 3)
    # OpenCV applies the matrix and the offset to every pixel in one pass.
    affine = np.column_stack([mixing, offset]).astype(np.float32)
    density = cv2.transform(cv2.LUT(image, _OPTICAL_DENSITY), affine)
    return np.asarray(cv2.exp(-density) * np.float32(255.5) - np.float32(0.5))


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.float32]:
    """Normal noise to cut pieces from: drawing it anew takes longer than all the rest."""
    return np.random.default_rng(0).standard_normal(1 << 21, dtype=np.float32)
