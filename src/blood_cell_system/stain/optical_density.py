"""What the stain shows: optical density above the empty slide, and where it says that a cell is.

1. The empty slide between the cells is bright. A smooth surface (a quadratic a channel) through its
   pixels is the light that would arrive without cells.
2. Optical density, ``-ln(image / light)``, is proportional to the amount of dye, and does not
   depend on uneven light or the camera's white balance.
3. A threshold on the density parts cells from the slide.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

RED, GREEN, BLUE = range(3)
"""Channels of an image and of its optical density."""

DENSITY_OF_LEVEL: Final = -np.log(np.maximum(np.arange(256), 1) / 255).astype(np.float32)
"""Optical density of every gray level, as of white light; black would be infinitely dense."""

_FIT_PIXELS: Final = 6_000
"""Pixels that the light is fitted to, about: a thousand for each of the surface's coefficients."""

_FIT_ROUNDS: Final = 6
"""Rounds of fitting and leaving out what is no slide: a constant, a plane, then a quadratic."""

_FIRST_TOLERANCE: Final = 0.06
"""Distance from the light, in optical density, up to which a pixel may be slide; red cells have 0.1
to 0.3."""

_SPREADS: Final = 2.5
"""The same in standard deviations of the slide's noise: 99 % of a normal distribution's pixels."""

_LOGS: Final = np.asarray(cv2.log(np.maximum(np.arange(256, dtype=np.float32), 1))).ravel()
"""Logarithm of every gray level: of 256 values a table knows it, eight times as fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StainSettings:
    """How masks are made from the stain.

    Parameters
    ----------
    blur_px : float
        Standard deviation of the Gaussian that takes away the camera's and JPEG's noise.
    otsu_share : float
        Part of Otsu's threshold that is used: the rim of a cell is paler than half of its middle.
    otsu_cap : float
        Density above which Otsu sees all pixels alike; nuclei would draw the threshold up.
    min_threshold, max_threshold : float
        Bounds of the threshold, in optical density.
    max_pallor_share : float
        Largest hole that is filled, as part of a red cell's area.
    rim_px : float
        Half-width of the band along a boundary that is not scored.
    """

    blur_px: float = 1.3
    otsu_share: float = 0.5
    otsu_cap: float = 0.45
    min_threshold: float = 0.045
    max_threshold: float = 0.14
    max_pallor_share: float = 0.3
    rim_px: float = 1.0


def optical_density(
    image: NDArray[np.uint8], *, settings: StainSettings | None = None
) -> NDArray[np.float32]:
    """Density of the stain above the empty slide.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float32
        ``-ln(image / light)`` a channel: about 0 on the empty slide, 0.1 to 0.3 in the green of
        red cells, above 0.5 in the red of nuclei. Negative where it is brighter than the slide.
    """
    settings = settings or StainSettings()
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), settings.blur_px))
    height, width = smooth.shape[:2]
    density = np.empty((3, height, width), dtype=np.float32)
    light = fit_log_light(smooth).T
    for plane, pixels, coefficients in zip(density, cv2.split(smooth), light, strict=True):
        np.subtract(log_light_plane(coefficients, height, width), cv2.LUT(pixels, _LOGS), out=plane)
    # Each channel's pixels are neighbours in memory: nearly all that follows takes one channel.
    return np.moveaxis(density, 0, -1)


def fit_log_light(
    smooth: NDArray[np.uint8], *, field: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Fit the logarithm of the light to the pixels of the empty slide.

    The fit begins with one level, taken from the brightest mode of green, and then adds the slope
    and the curvature, each time to the pixels that lie near the surface found so far.

    Parameters
    ----------
    smooth : ndarray of shape (height, width, 3), dtype uint8
        A smoothed image, RGB.
    field : ndarray of shape (height, width), dtype bool, optional
        Where the slide can be seen at all; everywhere by default.

    Returns
    -------
    ndarray of shape (6, 3), dtype float64
        Coefficients of ``quadratic_terms`` for each channel; a constant alone where the pixels of
        the slide are too few for more.
    """
    height, width = smooth.shape[:2]
    step = max(1, int(np.sqrt(height * width / _FIT_PIXELS)))
    middles = (slice(step // 2, None, step),) * 2
    values = _LOGS[smooth[middles].reshape(-1, 3)].astype(np.float64)
    design = quadratic_terms(*_axes(height, width, step=step)).reshape(-1, 6).astype(np.float64)
    if field is not None and (is_seen := field[middles].ravel()).any():
        design, values = design[is_seen], values[is_seen]

    level = _slide_level(values[:, GREEN])
    residual = values[:, GREEN] - level
    tolerance = _FIRST_TOLERANCE
    coefficients = np.zeros((6, 3))
    for round_index in range(_FIT_ROUNDS):
        is_slide = np.abs(residual) < tolerance
        if is_slide.sum() < 3 * len(coefficients):
            break
        order = (1, 3, 6)[min(round_index, 2)]
        coefficients[:] = 0
        coefficients[:order] = _ridge(design[is_slide, :order], values[is_slide])
        residual = values[:, GREEN] - design @ coefficients[:, GREEN]
        # Pale cells lie just below the slide; above it there is nothing but noise.
        brighter = residual[(residual > 0) & (residual < _FIRST_TOLERANCE)]
        spread = 1.4826 * float(np.median(brighter)) if len(brighter) else 0.0
        tolerance = min(max(_SPREADS * spread, 0.015), _FIRST_TOLERANCE)
    else:
        return coefficients
    bright = values[np.abs(values[:, GREEN] - level) < 0.08]
    coefficients[:] = 0
    coefficients[0] = np.median(bright, axis=0) if len(bright) else values.max(axis=0)
    return coefficients


def median_density(densities: NDArray[np.floating]) -> float:
    """Median of some densities, the same as NumPy's in a fifth of the time.

    Parameters
    ----------
    densities : ndarray of shape (n,), floating
        At least one, all of them finite.

    Examples
    --------
    >>> median_density(np.array([0.5, 0.25, 0.75, 1.0], dtype=np.float32))
    0.625
    """
    middle = len(densities) // 2
    # NumPy asks for both middles at once, and for the end: only a single place is found quickly.
    parted = np.partition(densities, middle)
    if len(densities) % 2:
        return float(parted[middle])
    return float((parted[:middle].max() + parted[middle]) / 2)


def log_light_plane(
    coefficients: NDArray[np.float64], height: int, width: int
) -> NDArray[np.float32]:
    """Logarithm of the light of one channel at every pixel.

    Parameters
    ----------
    coefficients : ndarray of shape (6,)
        Of one channel, as of ``fit_log_light``.

    Returns
    -------
    ndarray of shape (height, width), dtype float32
    """
    constant, by_x, by_y, by_xx, by_xy, by_yy = coefficients.astype(np.float32)
    x, y = _axes(height, width)
    of_x = constant + by_x * x + by_xx * x * x, by_y + by_xy * x, np.full_like(x, by_yy)
    surface: NDArray[np.float32] = np.stack([np.ones_like(y), y, y * y], axis=1) @ np.stack(of_x)
    return _held(surface, constant)


def log_light_at(
    coefficients: NDArray[np.float64], terms: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Logarithm of the light at places of the image.

    Parameters
    ----------
    coefficients : ndarray of shape (6, 3)
        As of ``fit_log_light``.
    terms : ndarray of shape (..., 6), dtype float32
        As of ``quadratic_terms``.

    Returns
    -------
    ndarray of shape (..., 3), dtype float32
    """
    return _held(terms @ coefficients.astype(np.float32), coefficients[0].astype(np.float32))


def _held(surface: NDArray[np.float32], middle: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where no slide is near, the surface is a guess: it must not run away there."""
    return np.clip(surface, middle - np.float32(0.35), middle + np.float32(0.25), out=surface)


def _slide_level(log_green: NDArray[np.float64]) -> float:
    """Brightest mode of the histogram that holds a fair part of the pixels."""
    counts, edges = np.histogram(log_green, bins=np.arange(0.0, 5.62, 0.02))
    smooth = np.convolve(counts, (0.25, 0.5, 0.25), mode="same")
    is_peak = (smooth >= np.roll(smooth, 1)) & (smooth >= np.roll(smooth, -1))
    is_large = smooth >= 0.25 * smooth.max()
    index = int(np.flatnonzero(is_peak & is_large)[-1])
    return float(edges[index] + 0.01)


def _axes(
    height: int, width: int, *, step: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give x and y of pixels from -1 to 1 across an image; of every ``step`` the middle one."""
    x, y = (
        np.linspace(-1, 1, length, dtype=np.float32)[step // 2 :: step]
        for length in (width, height)
    )
    return x, y


def quadratic_terms(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """1, x, y, x², xy, y² of all places in some columns and rows.

    Parameters
    ----------
    x, y : ndarray of shape (columns,) and (rows,), dtype float32
        From -1 to 1 across the image.

    Returns
    -------
    ndarray of shape (rows, columns, 6), dtype float32
    """
    across, down = np.meshgrid(x, y)
    one = np.ones_like(across)
    return np.stack([one, across, down, across**2, across * down, down**2], axis=-1)


def _ridge(design: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares, with slope and curvature held back where the pixels do not show them."""
    weight = 1e-3 * len(design) * np.eye(design.shape[1])
    weight[0, 0] = 0.0
    return np.asarray(np.linalg.solve(design.T @ design + weight, design.T @ values))


def foreground_threshold(
    density: NDArray[np.float32],
    *,
    settings: StainSettings,
    left_out: NDArray[np.bool_] | None = None,
) -> float:
    """Green density from which on a pixel belongs to a cell.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        As of ``optical_density``.
    left_out : ndarray of shape (height, width), dtype bool, optional
        Pixels that have no say: white cells are so dark that pale red cells would seem empty.

    Returns
    -------
    float
        Otsu's threshold of the capped density, times ``otsu_share``, within the bounds.
    """
    green = density[:, :, GREEN]
    if left_out is not None and not left_out.all():
        green = green[~left_out][:, None]
    scaled = np.clip(green * (255.0 / settings.otsu_cap), 0, 255).astype(np.uint8)
    otsu, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    share = otsu / 255.0 * settings.otsu_cap * settings.otsu_share
    return float(np.clip(share, settings.min_threshold, settings.max_threshold))
