"""Outlines, patches of pixels around them, smooth unions of discs, and noise to texture them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]

ANGLES: Final = 720
"""Directions in which an outline's radius is stored: half a degree, a third of a pixel at most."""

FINE_NOISE_PX: Final = 14.0
"""Blobs up to this width are blurred noise; a coarse grid is faster for wider ones."""

_THETA: Final = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A star-shaped outline around a centre.

    Parameters
    ----------
    x, y : float
        Centre in pixels; the first pixel's centre is at 0.5.
    radii_px : ndarray of shape (720,), dtype float32
        Distance from the centre to the outline, by direction.
    """

    x: float
    y: float
    radii_px: FloatMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """The pixels of the image around an outline.

    Parameters
    ----------
    rows, columns : slice
        Where the patch lies in the image.
    x, y : ndarray of shape (height, width), dtype float32
        Offset of each pixel's centre from the outline's, in pixels.
    relative_radius : ndarray of shape (height, width), dtype float32
        0 at the centre, 1 on the outline.
    depth_px : ndarray of shape (height, width), dtype float32
        Way along the radius to the outline, in pixels; negative outside.
    """

    rows: slice
    columns: slice
    x: FloatMap
    y: FloatMap
    relative_radius: FloatMap
    depth_px: FloatMap

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Whether a pixel's centre lies in the outline: the truth that labels are made of."""
        return self.relative_radius <= 1

    @property
    def coverage(self) -> FloatMap:
        """Share of each pixel that the cell covers, a half on the outline."""
        return ramp(self.depth_px)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns, to index an image with."""
        return self.rows, self.columns


def ramp(depth_px: FloatMap, width_px: float = 1.4) -> FloatMap:
    """Coverage across an edge: 0 outside, a half on it, 1 inside."""
    covered: FloatMap = np.clip(depth_px * np.float32(1 / width_px) + np.float32(0.5), 0, 1)
    return covered


def smooth_step(values: FloatMap, start: float, end: float) -> FloatMap:
    """Cubic step from 0 at ``start`` to 1 at ``end``."""
    t = np.clip((values - np.float32(start)) * np.float32(1 / (end - start)), 0, 1)
    risen: FloatMap = t * t * (3 - 2 * t)
    return risen


def make_outline(
    generator: np.random.Generator,
    *,
    centre: tuple[float, float],
    radius_px: float,
    elongation: float = 1.0,
    direction: float = 0.0,
    waviness: float = 0.02,
    spikes: int = 0,
    spike_height: float = 0.0,
    tail: float = 0.0,
) -> Outline:
    """Make the outline of a cell.

    Parameters
    ----------
    centre : tuple of float
        ``(x, y)`` in pixels.
    radius_px : float
        Radius of the circle that the outline is made from.
    elongation : float
        Long axis over short axis; the area stays.
    direction : float
        Of the long axis and the tail, in radians.
    waviness : float
        Size of the random deviations, as a share of the radius.
    spikes : int
        Number of a crenated cell's bumps.
    spike_height, tail : float
        Height of the bumps, and length of a teardrop's tail, as shares of the radius.
    """
    turned = _THETA - direction
    stretch = np.sqrt(elongation)
    radii = 1 / np.hypot(np.cos(turned) / stretch, np.sin(turned) * stretch)
    orders = np.arange(2, 8)
    sizes = generator.normal(0, waviness, orders.size) / (orders - 1.0) ** 1.3
    phases = generator.uniform(0, 2 * np.pi, orders.size)
    radii *= 1 + sizes @ np.cos(orders[:, None] * _THETA + phases[:, None])
    if spikes:
        beat = np.cos(spikes * _THETA + generator.uniform(0, 6) + 0.4 * np.sin(2 * _THETA))
        radii *= 1 + spike_height * (np.clip(beat, 0, 1) ** 1.5 - 0.3)
    if tail:
        away = np.angle(np.exp(1j * turned))
        radii *= 1 + tail * np.exp(-((away / 0.28) ** 2)) - 0.12 * tail
    return Outline(x=centre[0], y=centre[1], radii_px=(radius_px * radii).astype(np.float32))


def pressed_against(outline: Outline, *, direction: float, distance_px: float) -> Outline:
    """Flatten an outline where a neighbour presses against it.

    Parameters
    ----------
    direction : float
        Of the neighbour, in radians.
    distance_px : float
        From the outline's centre to the line where both meet.

    Returns
    -------
    Outline
        Nowhere beyond the line by more than the rounding of its corners.
    """
    towards = np.cos(_THETA - direction)
    limit = np.where(towards > 0.1, distance_px / np.maximum(towards, 0.1), np.inf)
    cut = np.minimum(outline.radii_px, limit)
    # Corners of membranes are round: a circular blur over some ten degrees.
    kernel = np.hanning(41)
    wrapped = np.concatenate([cut[-20:], cut, cut[:20]])
    rounded = np.convolve(wrapped, kernel / kernel.sum(), mode="valid")
    return replace(outline, radii_px=rounded.astype(np.float32))


def make_patch(outline: Outline, shape: tuple[int, int]) -> Patch | None:
    """Measure the pixels around an outline, as far as they lie in the image.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` of the image in pixels.

    Returns
    -------
    Patch or None
        None when no part of the outline's surroundings is in the image.
    """
    reach = float(outline.radii_px.max()) + 2
    top, bottom = _clip(outline.y - reach, outline.y + reach, shape[0])
    left, right = _clip(outline.x - reach, outline.x + reach, shape[1])
    if top >= bottom or left >= right:
        return None
    y_line = np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - outline.y)
    x_line = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - outline.x)
    x = np.repeat(x_line[None, :], bottom - top, axis=0)
    y = np.repeat(y_line[:, None], right - left, axis=1)
    distance, theta = cv2.cartToPolar(x, y)
    # cartToPolar may round a hair's breadth below a full turn up to it.
    radii = outline.radii_px[(theta * np.float32(ANGLES / (2 * np.pi))).astype(np.int32) % ANGLES]
    return Patch(
        rows=slice(top, bottom),
        columns=slice(left, right),
        x=x,
        y=y,
        relative_radius=distance / radii,
        depth_px=radii - distance,
    )


def _clip(low: float, high: float, size: int) -> tuple[int, int]:
    return max(0, int(np.floor(low))), min(size, int(np.ceil(high)))


def depth_in_discs(
    patch: Patch, discs: Sequence[tuple[float, float, float]], *, softness_px: float
) -> FloatMap:
    """Depth below the surface of discs that flow into each other.

    Parameters
    ----------
    discs : sequence of tuple
        Of each ``(x, y, radius)``, in pixels from the patch's outline's centre.
    softness_px : float
        How far from a notch between two discs it is filled.

    Returns
    -------
    ndarray of shape (height, width), dtype float32
        Pixels; negative outside.

    Notes
    -----
    The exponential smooth maximum of the single depths (R. Quílez, "smooth minimum").
    """
    total = np.zeros_like(patch.x)
    scale = np.float32(1 / softness_px)
    for x, y, radius in discs:
        depth = np.float32(radius) - cv2.magnitude(patch.x - np.float32(x), patch.y - np.float32(y))
        total += np.exp(np.clip(depth * scale, -40, 40))
    return np.log(np.maximum(total, np.float32(1e-18))) * np.float32(softness_px)


def smooth_noise(
    generator: np.random.Generator, shape: tuple[int, ...], *, scale_px: float
) -> FloatMap:
    """Noise whose blobs are about ``scale_px`` wide, of mean 0 and standard deviation near 1."""
    height, width = shape
    scale_px = max(scale_px, 1.0)
    if scale_px <= FINE_NOISE_PX:
        sigma = scale_px / 2.5
        white = generator.standard_normal((height, width), dtype=np.float32)
        # A Gaussian blur leaves 1 / (2 σ √π) of white noise's standard deviation.
        blurred: FloatMap = cv2.GaussianBlur(white, (0, 0), sigma)
        return blurred * np.float32(max(1.0, 2 * sigma * np.sqrt(np.pi)))
    coarse_shape = (int(height / scale_px) + 3, int(width / scale_px) + 3)
    coarse = generator.standard_normal(coarse_shape, dtype=np.float32)
    size = (int(coarse_shape[1] * scale_px) + 1, int(coarse_shape[0] * scale_px) + 1)
    fine: FloatMap = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    return fine[:height, :width] * np.float32(1.35)
