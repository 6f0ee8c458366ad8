"""Nuclei: what of an image, or of one cell, is dark in red light, and its form."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.watershed import separate_by_shape
from blood_cell_system.stain.optical_density import GREEN, RED

LEAST_DENSITY: Final = 0.3
"""Optical density in red from which a pixel may belong to a nucleus."""
_MIN_LOBE_NECK: Final = 0.25
"""How much narrower than the smaller lobe a neck is at least where two lobes are told apart."""
_MIN_LOBE_SHARE: Final = 0.08
"""Of the nucleus's area: smaller parts are no lobes."""
_GREEN_PART: Final = 0.35
"""Part of the density in green that counts beside that in red, where stains are weak in red."""
_LEAST_CONTRAST: Final = 0.3
"""Of the nucleus's density: what is nearer to it all over is one body, nucleus or none."""
_FAINT: Final = 0.1
"""Density below which parts of it say nothing."""
_SMOOTHING: Final = 0.01
"""Standard deviation of the smoothing before the threshold, in diameters of the cell."""
_CLOSED: Final = 0.01
"""Radius of the gaps that are closed in a nucleus, in diameters of the cell."""
_SMALLEST_PART: Final = 0.05
"""Of the nucleus's area: smaller parts are granules."""

FORM: Final = ("share", "lobes", "solidity", "roundness", "parts", "contrast", "texture")
"""What :func:`nucleus_form` measures, in its order."""


def dark_nucleus(
    red_density: NDArray[np.float32],
    *,
    darkest: float,
    share: float,
    least: float,
) -> NDArray[np.uint8]:
    """Find the pixels of nuclei in an image.

    Parameters
    ----------
    red_density : ndarray of shape (height, width), dtype float32
        Optical density in red.
    darkest : float
        Density of the darkest pixels.
    share : float
        Part of it from which a pixel may belong to a nucleus.
    least : float
        Density from which one may, whatever the darkest.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        1 in nuclei, 0 elsewhere.
    """
    threshold = max(least, share * darkest)
    dark = (red_density > threshold).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))


def count_lobes(nucleus: NDArray[np.uint8]) -> int:
    """Count the lobes of a nucleus: its parts, and what is parted from them by a neck.

    Parameters
    ----------
    nucleus : ndarray of shape (height, width), dtype uint8
        1 in the nucleus, 0 elsewhere.
    """
    if not nucleus.any():
        return 0
    areas = np.bincount(separate_by_shape(nucleus, min_neck=_MIN_LOBE_NECK).ravel())[1:]
    return int(np.count_nonzero(areas >= _MIN_LOBE_SHARE * areas.sum()))


def nucleus_of_cell(density: NDArray[np.float32], own: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Find the nucleus of one cell by the cell's own two densities, whatever its stain.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density, natural logarithm, of red, green and blue.
    own : ndarray of shape (height, width), dtype bool
        The pixels of the cell.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        1 in the nucleus, 0 elsewhere.
    """
    dark = _darkness(_smooth(density, own))
    within = dark[own]
    if not len(within):
        return np.zeros(own.shape, np.uint8)
    scale = max(float(np.percentile(within, 99.5)), _FAINT)
    levels = np.clip(within * (255 / scale), 0, 255).astype(np.uint8)
    limit, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    is_dark = levels > limit
    low, high = (float(levels[part].mean()) if part.any() else 0.0 for part in (~is_dark, is_dark))
    if high - low < _LEAST_CONTRAST * high or not is_dark.any():
        is_dense = float(within.mean()) >= LEAST_DENSITY
        return own.astype(np.uint8) if is_dense else np.zeros(own.shape, np.uint8)
    nucleus = np.zeros(own.shape, np.uint8)
    nucleus[own] = is_dark
    nucleus = np.asarray(cv2.morphologyEx(nucleus, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(nucleus)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = [i for i in range(1, count) if areas[i] < _SMALLEST_PART * areas[1:].sum()]
    nucleus[np.isin(labels, small)] = 0
    side = 2 * round(_CLOSED * _diameter(own)) + 1
    gaps = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.morphologyEx(nucleus, cv2.MORPH_CLOSE, gaps) * own, dtype=np.uint8)


def nucleus_form(density: NDArray[np.float32], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure the form of a cell's nucleus, in numbers without unit.

    Parameters
    ----------
    density, own : ndarray
        As of :func:`nucleus_of_cell`.

    Returns
    -------
    ndarray of shape (7,)
        ``FORM``: share of the cell's area; lobes; its area as part of its convex hull and of the
        smallest circle around it; parts; how much fainter the rest of the cell is, and the spread
        of the density in red, as parts of its own density. NaN without a nucleus.
    """
    nucleus = nucleus_of_cell(density, own)
    area = np.count_nonzero(nucleus)
    if not area:
        return np.full(len(FORM), np.nan)
    outlines, _ = cv2.findContours(nucleus, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    rim = np.concatenate(outlines)
    hull = max(cv2.contourArea(cv2.convexHull(rim)), 1.0)
    _, radius = cv2.minEnclosingCircle(rim)
    smooth, is_rest = _smooth(density, own), own & (nucleus == 0)
    dark, red = _darkness(smooth), smooth[:, :, RED][nucleus > 0]
    rest = float(dark[is_rest].mean()) if is_rest.any() else 0.0
    return np.array(
        [
            area / np.count_nonzero(own),
            count_lobes(nucleus),
            area / hull,
            area / (math.pi * max(radius, 1.0) ** 2),
            len(outlines),
            1 - rest / max(float(dark[nucleus > 0].mean()), _FAINT),
            float(red.std()) / max(float(red.mean()), _FAINT),
        ]
    )


def _diameter(own: NDArray[np.bool_]) -> float:
    return 2 * math.sqrt(np.count_nonzero(own) / math.pi)


def _smooth(density: NDArray[np.float32], own: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Smooth the density within a cell; what lies around it does not blend in."""
    deviation = _SMOOTHING * _diameter(own)
    if deviation < 0.5:
        return density
    inside = own.astype(np.float32)
    summed = cv2.GaussianBlur(density * inside[:, :, None], (0, 0), deviation)
    weight = cv2.GaussianBlur(inside, (0, 0), deviation)
    return np.asarray(summed / np.maximum(weight, 1e-3)[:, :, None], dtype=np.float32)


def _darkness(density: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(density[:, :, RED] + np.float32(_GREEN_PART) * density[:, :, GREEN])
