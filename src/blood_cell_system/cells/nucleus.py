"""Nuclei: what of a cell is dark in red light."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.watershed import separate_by_shape

LEAST_DENSITY: Final = 0.3
"""Optical density in red from which a pixel may belong to a nucleus."""
_SHARE_OF_DARKEST: Final = 0.45
"""The same as part of the darkest pixels' density."""
_MIN_LOBE_NECK: Final = 0.25
"""How much narrower than the smaller lobe a neck is at least where two lobes are told apart."""
_MIN_LOBE_SHARE: Final = 0.08
"""Of the nucleus's area: smaller parts are no lobes."""


def dark_nucleus(
    red_density: NDArray[np.float32],
    *,
    darkest: float,
    share: float = _SHARE_OF_DARKEST,
    least: float = LEAST_DENSITY,
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
