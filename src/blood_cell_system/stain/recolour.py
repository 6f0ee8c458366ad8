"""Giving a crop the stain, light and camera of a laboratory that nobody has images of.

Random changes of all colours alike keep what one laboratory's stain always does, for instance that
red cells let red light through. A network that relies on it takes the dark red cells of another
laboratory for nuclei. Here the class mask says where red cells and nuclei are, so that each can be
given a colour of its own:

1. Optical density above the crop's own slide.
2. Its colour of red cells and its colour of nuclei: two vectors of three densities.
3. Two new vectors, drawn from wide ranges in which nuclei stay what they are for every
   Romanowsky stain: denser in red light than the red cells beside them.
4. The linear map that carries the old pair to the new one and changes nothing else.
5. Light of another colour through the slide.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.stain.optical_density import DENSITY_OF_LEVEL, GREEN, RED
from blood_cell_system.taxonomy import MaskClass

_MIN_PIXELS: Final = 60
"""Pixels of slide or of cells from which their median colour is known."""

_RED_CELL_GREEN: Final = (0.15, 1.35)
"""Optical density of red cells in green light, in smears of six collections, with a margin."""

_NUCLEUS_GREEN: Final = (0.6, 1.9)
"""The same of nuclei."""

_RED_CELL_RED_SHARE: Final = (0.05, 0.95)
"""Density of red cells in red light as a share of that in green, in the same smears."""

_RED_CELL_BLUE_SHARE: Final = (0.15, 1.0)
"""The same in blue light."""

_NUCLEUS_RED_SHARE: Final = (0.45, 1.0)
"""The same of nuclei in red light."""

_NUCLEUS_BLUE_SHARE: Final = (0.0, 0.65)
"""The same of nuclei in blue light."""

_NUCLEUS_LEAD: Final = (0.25, 0.8)
"""How much denser in red light a nucleus is than the red cells."""

_LIGHT: Final = (0.6, 1.0)
"""Brightness of the new slide, 1 for white."""

_TINT: Final = 0.1
"""Standard deviation of the logarithm of each channel's light: a camera's white balance."""

_LARGEST_GAIN: Final = 5.0
"""Factor on a density, at most: beyond it, noise and JPEG blocks would be all that is seen."""


def recolour(
    image: NDArray[np.uint8], class_mask: NDArray[np.uint8], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Give an image another stain and another light.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``, or 255.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        The image itself where it shows too little slide or no cells.
    """
    is_slide = class_mask == MaskClass.BACKGROUND
    is_red = class_mask == MaskClass.RBC
    is_white = class_mask == MaskClass.WBC
    if is_slide.sum() < _MIN_PIXELS or is_red.sum() + is_white.sum() < _MIN_PIXELS:
        return image
    density = cv2.LUT(image, DENSITY_OF_LEVEL)
    slide = np.median(density[is_slide], axis=0)
    new_red_cell, new_nucleus = _new_colours(generator)
    known = []
    if is_red.sum() >= _MIN_PIXELS:
        known.append((np.median(density[is_red], axis=0) - slide, new_red_cell))
    if is_white.sum() >= _MIN_PIXELS:
        # The denser half of the white cells, in red light: that is their nuclei.
        found = density[is_white]
        dense = found[found[:, RED] >= np.median(found[:, RED])]
        known.append((np.median(dense, axis=0) - slide, new_nucleus))
    if not known:
        return image
    old, new = (np.stack(colours, axis=1) for colours in zip(*known, strict=True))
    mixing = _mixing(np.maximum(old, 0.02), new)
    light = generator.uniform(*_LIGHT) * np.exp(generator.normal(0, _TINT, 3))
    new_slide = -np.log(np.clip(light, 0.25, 1.0))
    # exp(-(M (d - slide) + new slide)) in one pass.
    shift = new_slide - mixing @ slide
    exponent = np.column_stack([-mixing, np.log(255) - shift]).astype(np.float32)
    recoloured = np.asarray(cv2.exp(np.minimum(cv2.transform(density, exponent), 6.0)))
    return np.asarray(np.clip(recoloured, 0, 255) + 0.5, dtype=np.uint8)


def _new_colours(
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colours of red cells and of nuclei under a stain that might be."""
    green = np.exp(generator.uniform(*np.log(_RED_CELL_GREEN)))
    red_cell = green * np.array(
        [generator.uniform(*_RED_CELL_RED_SHARE), 1.0, generator.uniform(*_RED_CELL_BLUE_SHARE)]
    )
    green = max(generator.uniform(*_NUCLEUS_GREEN), 1.1 * red_cell[GREEN])
    nucleus = green * np.array(
        [generator.uniform(*_NUCLEUS_RED_SHARE), 1.0, generator.uniform(*_NUCLEUS_BLUE_SHARE)]
    )
    nucleus[RED] = max(nucleus[RED], red_cell[RED] + generator.uniform(*_NUCLEUS_LEAD))
    return red_cell, nucleus


def _mixing(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix that carries old colours, (3, n), to new ones; what stands upright on them stays.

    Its entries are of limited size: colours nearly alike cannot be drawn apart at any cost.
    """
    ridge = 1e-3 * float((old**2).sum())
    inverse = np.linalg.inv(old.T @ old + ridge * np.eye(old.shape[1])) @ old.T
    change = (new - old) @ inverse
    largest = float(np.abs(change).max())
    return np.asarray(np.eye(3) + change * min(1.0, _LARGEST_GAIN / max(largest, 1e-9)))
