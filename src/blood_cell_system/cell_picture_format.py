"""What a cell picture is: agreed on by those who make, read, train on and classify them.

A cell picture shows one cell in the middle of a square. The longer side of its outline is always as
long, so that its size tells neither the class nor the laboratory. Its colours are divided by the
light of the empty slide, so that the slide would be white. It is opaque within the outline, and
there alone: nothing of what lies around the cell reaches a network.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

CELL_SIDE_PX: Final = 130
"""Side of a cell picture."""

CELL_EXTENT_PX: Final = 100
"""Longer side of the box around a cell's outline in its picture."""


def on_white(cell_picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a picture on the white of an empty slide, as a network sees it.

    Parameters
    ----------
    cell_picture : ndarray of shape (..., height, width, 4), dtype uint8
        RGBA.

    Returns
    -------
    ndarray of shape (..., height, width, 3), dtype uint8
        RGB.

    Examples
    --------
    >>> on_white(np.array([[[90, 40, 80, 255], [90, 40, 80, 0]]], dtype=np.uint8)).tolist()
    [[[90, 40, 80], [255, 255, 255]]]
    """
    alpha = cell_picture[..., 3:].astype(np.uint16)
    # Rounded division by 255 without leaving the whole numbers.
    mixed = cell_picture[..., :3] * alpha + np.uint16(255) * (255 - alpha) + np.uint16(127)
    return np.asarray(mixed // np.uint16(255), dtype=np.uint8)
