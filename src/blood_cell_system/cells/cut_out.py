"""The image of one cell, as classifiers see it: cut from a smear by its outline.

See ``cell_image_format`` for what a cell image is. Those of a smear come from its outlines;
``cells/single_cell.py`` makes them from images that show little more than a cell.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.cells.watershed import disc
from blood_cell_system.errors import CellImageError
from blood_cell_system.model_metadata import CELL_EXTENT_PX, CELL_SIDE_PX
from blood_cell_system.stain.slide_light import SlideLight
from blood_cell_system.taxonomy import WBC

MIN_EXTENT_PX: Final = 6
"""A cell that is shorter in its image shows nothing."""

_RIM_PX: Final = 2
"""Width of the rim in a cell image. The stain's outline runs where the cell has half faded; the
rim belongs to the cell."""

_BLACK: Final = 12
"""Brightness of 255 up to which a pixel is black; JPEG does not keep it at 0."""
_BLACK_BORDER_SHARE: Final = 0.6
"""Part of the border that is black where a cell was cut out on black; the cell may touch it."""

Piece = tuple[tuple[int, int], NDArray[np.bool_]]
"""``(x, y)`` of a window's first pixel, and the pixels of a cell in the window."""


def is_black(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels of an RGB image are as black as what a cell was cut out on."""
    return np.asarray(image.max(axis=2) <= _BLACK)


def along_border(image: NDArray[Any]) -> NDArray[Any]:
    """Pixels along the border."""
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def is_cut_out_on_black(image: NDArray[np.uint8]) -> bool:
    """Whether the border of an RGB image is black, as where a cell was cut out on black."""
    border = along_border(image)[None]
    return bool(is_black(border).mean() >= _BLACK_BORDER_SHARE)


def touches_border(piece: Piece, shape: tuple[int, ...]) -> bool:
    """Whether a cell ends at the border of an image of ``(height, width)``."""
    (left, top), outline = piece
    x, y, width, height = cv2.boundingRect(outline.view(np.uint8))
    return bool(
        left + x == 0
        or top + y == 0
        or left + x + width == shape[1]
        or top + y + height == shape[0]
    )


def box_around(pixels: NDArray[np.bool_], *, margin: float) -> Annotation:
    """Box around a white cell's pixels; half of the margin, in longer sides, on each side."""
    x, y, width, height = cv2.boundingRect(pixels.view(np.uint8))
    reach = margin * max(width, height) / 2
    return Annotation(
        cell_type=WBC,
        box=Box(
            max(x - reach, 0.0),
            max(y - reach, 0.0),
            min(x + width + reach, float(pixels.shape[1])),
            min(y + height + reach, float(pixels.shape[0])),
        ),
    )


def cell_image(
    image: NDArray[np.uint8],
    outline: NDArray[np.bool_],
    *,
    corner: tuple[int, int] = (0, 0),
    light: SlideLight,
) -> NDArray[np.uint8]:
    """Make the image of a cell.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB image of a smear.
    outline : ndarray of shape (rows, columns), dtype bool
        Pixels of the cell in a window of the image.
    corner : tuple of int
        ``(x, y)`` of the window's first pixel in the image.
    light : SlideLight
        Of the empty slide in the image.

    Returns
    -------
    ndarray of shape (130, 130, 4), dtype uint8
        RGBA. Opaque in the cell and in a thin rim around it. What is beyond keeps its colours below
        transparency, for networks that see the surround; outside the smear it is white.

    Raises
    ------
    CellImageError
        The outline is empty, or shorter than ``MIN_EXTENT_PX``.
    """
    x, y, width, height = cv2.boundingRect(outline.view(np.uint8))
    extent = max(width, height)
    if extent < MIN_EXTENT_PX:
        raise CellImageError(
            f"Cell at x {corner[0] + x}, y {corner[1] + y}: {width}×{height} px; expected "
            f"{MIN_EXTENT_PX} px or more on its longer side. Use an image of higher magnification."
        )
    scale = CELL_EXTENT_PX / extent
    middle = x + width / 2, y + height / 2
    colours = _sample(image, (middle[0] + corner[0], middle[1] + corner[1]), scale)
    alpha = _sample(outline.view(np.uint8) * np.uint8(255), middle, scale)
    _, inside = cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)
    opaque = cv2.dilate(inside, disc(_RIM_PX))
    slide = light.at(middle[0] + corner[0], middle[1] + corner[1])
    divided = cv2.multiply(colours, (*(255.0 / slide).tolist(), 1.0), dtype=cv2.CV_8U)
    return np.asarray(cv2.merge([*cv2.split(divided), opaque]))


def cell_images(
    image: NDArray[np.uint8],
    label_image: NDArray[np.integer],
    places: Iterable[tuple[int, Sequence[float]]],
    *,
    light: SlideLight,
) -> list[NDArray[np.uint8] | None]:
    """Make the images of many cells of one smear.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    label_image : ndarray of int, shape (height, width)
    places : iterable of tuple
        Label of each cell, and ``(x_min, y_min, x_max, y_max)`` of a box around its pixels.

    Returns
    -------
    list of ndarray or None
        As of :func:`cell_image`; None for a cell that is too small to show anything.
    """
    height, width = label_image.shape
    images: list[NDArray[np.uint8] | None] = []
    for label, (x_min, y_min, x_max, y_max) in places:
        left, top = max(int(x_min) - 1, 0), max(int(y_min) - 1, 0)
        right, bottom = min(int(x_max) + 2, width), min(int(y_max) + 2, height)
        outline = label_image[top:bottom, left:right] == label
        try:
            images.append(cell_image(image, outline, corner=(left, top), light=light))
        except CellImageError:
            images.append(None)
    return images


def _sample(
    source: NDArray[np.uint8], middle: tuple[float, float], scale: float
) -> NDArray[np.uint8]:
    """Cut a square around a point, enlarged or made smaller by ``scale``.

    Where it gets much smaller, pixels are averaged first, so that each has its share.
    """
    reach = CELL_SIDE_PX / 2 / scale + 2
    step = max(1, round(1 / scale))
    left, top = (max(int(place - reach) // step * step, 0) for place in middle)
    right = min(int(middle[0] + reach) + step, source.shape[1])
    bottom = min(int(middle[1] + reach) + step, source.shape[0])
    part = source[top:bottom, left:right]
    if step > 1 and min(part.shape[:2]) >= step:
        size = part.shape[1] // step, part.shape[0] // step
        part = part[: size[1] * step, : size[0] * step]
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    else:
        step = 1
    zoom = scale * step
    # OpenCV puts the middle of the first pixel at 0, and the boxes at 0.5.
    shift_x = CELL_SIDE_PX / 2 - 0.5 - zoom * ((middle[0] - left) / step - 0.5)
    shift_y = CELL_SIDE_PX / 2 - 0.5 - zoom * ((middle[1] - top) / step - 0.5)
    matrix = np.array([[zoom, 0, shift_x], [0, zoom, shift_y]])
    white = (255, 255, 255) if source.ndim == 3 else (0,)
    return np.asarray(
        cv2.warpAffine(
            part,
            matrix,
            (CELL_SIDE_PX, CELL_SIDE_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=white,
        )
    )
