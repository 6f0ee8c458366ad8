"""From dye to picture: light, lens, sensor, file.

Light is absorbed by the law of Beer and Lambert, channel by channel: the optical densities of all
that lies in its way add, so that cells that overlap look darker.
"""

import cv2
import numpy as np

from blood_cell_system.datasets.synthetic.settings import SmearSettings, Stain
from blood_cell_system.datasets.synthetic.shapes import FloatMap, smooth_noise


def vary_stain(stain: Stain, generator: np.random.Generator) -> tuple[FloatMap, FloatMap]:
    """Let a stain differ from smear to smear, as times and buffers do.

    Returns
    -------
    glass : ndarray of shape (3,), dtype float32
        RGB of the empty field.
    absorption : ndarray of shape (5, 3), dtype float32
        Optical density of each dye at amount 1.
    """
    absorption = stain.absorption()
    strength = generator.normal(1, 0.1, (len(absorption), 1)).clip(0.75, 1.3)
    mixing = np.eye(3) + generator.normal(0, 0.03, (3, 3))
    glass = np.array(stain.glass) * generator.uniform(0.94, 1.03)
    glass += generator.normal(0, 3.0, 3)
    return (
        np.clip(glass, 0, 253).astype(np.float32),
        ((absorption * strength) @ mixing).astype(np.float32),
    )


def light_field(shape: tuple[int, int], generator: np.random.Generator) -> FloatMap:
    """Uneven light: a hot spot off the middle, darker corners, a slant, a tint that drifts.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float32
        Around 1.
    """
    height, width = shape
    size = max(shape)
    y = (np.arange(height, dtype=np.float32)[:, None] - height / 2) / size
    x = (np.arange(width, dtype=np.float32)[None, :] - width / 2) / size
    spot_x, spot_y = generator.normal(0, 0.12, 2)
    darkening = generator.uniform(0.02, 0.3)
    slant_x, slant_y = generator.normal(0, 0.03, 2)
    light = 1 - darkening * ((x - spot_x) ** 2 + (y - spot_y) ** 2) + slant_x * x + slant_y * y
    tint = generator.normal(0, 0.02, (2, 3))
    return np.stack(
        [light * (1 + tint[0, c] * x + tint[1, c] * y) for c in range(3)], axis=2
    ).astype(np.float32)


def photograph(
    density: FloatMap,
    glass: FloatMap,
    generator: np.random.Generator,
    settings: SmearSettings,
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Send light through a smear and keep what the camera makes of it.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density in red, green and blue.
    glass : ndarray of shape (3,), dtype float32
        RGB of the empty field.
    generator : numpy.random.Generator
    settings : SmearSettings

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    height, width = density.shape[:2]
    diameter = settings.cell_diameter_px
    plasma = smooth_noise(generator, (height, width), scale_px=1.5 * diameter)
    light = cv2.exp(-density - np.float32(0.008) * plasma[:, :, None])
    blur_px = max(0.5, generator.uniform(*settings.defocus) * diameter)
    light = cv2.GaussianBlur(light, (0, 0), blur_px)
    # Refraction at the edges: a thin bright line outside, a dark one inside.
    halo_px = max(1.0, 0.02 * diameter)
    fringe = np.float32(generator.uniform(0.1, 0.6))
    light += fringe * (light - cv2.GaussianBlur(light, (0, 0), halo_px))
    light *= light_field((height, width), generator) * glass
    light = _shift_colours(light, generator)
    light += _sensor_noise(light.shape, generator, generator.uniform(*settings.noise))
    pixels = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    lowest, highest = settings.jpeg_quality
    return _through_jpeg(pixels, int(generator.integers(lowest, highest + 1)))


def _shift_colours(light: FloatMap, generator: np.random.Generator) -> FloatMap:
    """Chromatic aberration: red and blue are a little larger or smaller than green."""
    height, width = light.shape[:2]
    channels = list(cv2.split(light))
    for channel, sign in ((0, 1), (2, -1)):
        zoom = 1 + sign * generator.normal(0, 0.0012)
        shift = generator.normal(0, 0.25, 2)
        matrix = np.array(
            [
                [zoom, 0, (1 - zoom) * width / 2 + shift[0]],
                [0, zoom, (1 - zoom) * height / 2 + shift[1]],
            ]
        )
        channels[channel] = cv2.warpAffine(
            channels[channel],
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    merged: FloatMap = cv2.merge(channels)
    return merged


def _sensor_noise(shape: tuple[int, ...], generator: np.random.Generator, sigma: float) -> FloatMap:
    """Noise that neighbouring pixels share in part, as a camera's colour filter leaves it."""
    white = generator.standard_normal(shape, dtype=np.float32)
    # A blur of 0.6 px leaves 0.48 of the standard deviation.
    shared: FloatMap = cv2.GaussianBlur(white, (0, 0), 0.6)
    return shared * np.float32(sigma / 0.48)


def _through_jpeg(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], quality: int
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )[1]
    decoded = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return np.asarray(decoded)
