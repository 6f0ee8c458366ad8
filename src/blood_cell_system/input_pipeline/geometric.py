"""Turning, flipping, scaling and bending a picture together with its labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import NOT_SCORED
from blood_cell_system.input_pipeline.augmentation import AugmentationSettings

# Knots a side of the coarse grid that an elastic displacement is interpolated from.
_ELASTIC_KNOTS = 5
# Below this magnification neighbouring pixels are averaged first, against aliasing.
_BLUR_BELOW_SCALE = 0.75
# A cell of which less is in view is no longer one to find.
_SMALLEST_VISIBLE_SHARE = 0.2
_SMALLEST_SIDE_PX = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where every pixel of the output comes from.

    Parameters
    ----------
    matrix : ndarray of shape (2, 3), dtype float64
        Takes a point ``(x, y, 1)`` of the output to its point in the source, both with integer
        coordinates at pixels' centres.
    displacement_px : ndarray of shape (height, width, 2), dtype float32, or None
        Added to that point, ``(x, y)`` in the source's pixels: the elastic deformation.
    """

    matrix: NDArray[np.float64]
    displacement_px: NDArray[np.float32] | None = None


def sample_geometry(
    generator: np.random.Generator,
    settings: AugmentationSettings,
    *,
    centre: tuple[float, float],
    output_shape: tuple[int, int],
) -> Geometry:
    """Draw a rotation by any angle, a flip, a magnification and perhaps an elastic deformation.

    Parameters
    ----------
    generator : numpy.random.Generator
    settings : AugmentationSettings
    centre : tuple of float
        Point ``(x, y)`` of the source, in pixels, that the output's middle shows.
    output_shape : tuple of int
        ``(height, width)`` in pixels.
    """
    angle = generator.uniform(0, 2 * np.pi)
    flip = -1.0 if generator.random() < 0.5 else 1.0
    scale = float(np.exp(generator.uniform(*np.log(settings.scale_range))))
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    turn = np.array([[flip * cosine, -sine], [flip * sine, cosine]])
    height, width = output_shape
    # Centres are in continuous coordinates, where pixel 0 reaches from 0 to 1.
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array(centre) - 0.5 - turn @ middle
    displacement = None
    if generator.random() < settings.elastic_share:
        coarse = generator.normal(0, settings.elastic_px / scale, (_ELASTIC_KNOTS,) * 2 + (2,))
        displacement = cv2.resize(
            coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
    return Geometry(matrix=np.column_stack([turn, shift]), displacement_px=displacement)


def warp(
    image: NDArray[np.uint8],
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16] | None,
    geometry: Geometry,
    output_shape: tuple[int, int],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16] | None]:
    """Show a picture and its labels through a geometry.

    Beyond the picture's border the image has its mean colour, and nothing there is scored or
    labelled: a rotation invents no background.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    class_mask : ndarray of shape (height, width), dtype uint8
    label_image : ndarray of shape (height, width), dtype uint16, or None
    geometry : Geometry
    output_shape : tuple of int
        ``(height, width)`` in pixels.

    Returns
    -------
    tuple
        Image, class mask and label image of ``output_shape``. Labels keep their numbers.
    """
    scale = 1 / np.sqrt(abs(np.linalg.det(geometry.matrix[:, :2])))
    if scale < _BLUR_BELOW_SCALE:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    outside = tuple(float(value) for value in image[::16, ::16].mean(axis=(0, 1)))
    # A mean over a grid of every 16th pixel is a thousandth of the work, to the same colour.
    maps = _maps(geometry, output_shape)

    def show(pixels: NDArray[np.generic], interpolation: int, value: tuple[float, ...]) -> object:
        return cv2.remap(
            pixels,
            *maps,
            interpolation,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=value,
        )

    labels = None if label_image is None else show(label_image, cv2.INTER_NEAREST, (0.0,))
    return (
        np.asarray(show(image, cv2.INTER_LINEAR, outside), dtype=np.uint8),
        np.asarray(show(class_mask, cv2.INTER_NEAREST, (float(NOT_SCORED),)), dtype=np.uint8),
        None if labels is None else np.asarray(labels, dtype=np.uint16),
    )


def _maps(
    geometry: Geometry, output_shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Source column and row of every output pixel."""
    height, width = output_shape
    matrix = geometry.matrix.astype(np.float32)
    columns = np.arange(width, dtype=np.float32)[None, :]
    rows = np.arange(height, dtype=np.float32)[:, None]
    map_x = matrix[0, 0] * columns + (matrix[0, 1] * rows + matrix[0, 2])
    map_y = matrix[1, 0] * columns + (matrix[1, 1] * rows + matrix[1, 2])
    if geometry.displacement_px is not None:
        map_x += geometry.displacement_px[:, :, 0]
        map_y += geometry.displacement_px[:, :, 1]
    return map_x, map_y


def transform_boxes(
    cells: Sequence[LabelledBox], geometry: Geometry, output_shape: tuple[int, int]
) -> tuple[LabelledBox, ...]:
    """Boxes of the cells as the output shows them.

    A cell is taken for the ellipse in its box, whose image under an affine map is an ellipse again;
    the new box is tight around it and cut off at the output's border. Cells that are hardly in view
    are left out.

    Parameters
    ----------
    cells : sequence of LabelledBox
        In pixels of the source.
    geometry : Geometry
    output_shape : tuple of int
        ``(height, width)`` in pixels.

    Returns
    -------
    tuple of LabelledBox
        In pixels of the output.
    """
    height, width = output_shape
    to_output = np.linalg.inv(geometry.matrix[:, :2])
    shown = []
    for cell in cells:
        source = np.array(cell.centre) - 0.5
        x, y = to_output @ (source - geometry.matrix[:, 2])
        if geometry.displacement_px is not None:
            column, row = int(np.clip(x, 0, width - 1)), int(np.clip(y, 0, height - 1))
            moved = source - geometry.displacement_px[row, column]
            x, y = to_output @ (moved - geometry.matrix[:, 2])
        half_axes = np.array([cell.width, cell.height]) / 2
        half_width, half_height = np.sqrt(((to_output * half_axes) ** 2).sum(axis=1))
        x_min, x_max = max(x + 0.5 - half_width, 0.0), min(x + 0.5 + half_width, float(width))
        y_min, y_max = max(y + 0.5 - half_height, 0.0), min(y + 0.5 + half_height, float(height))
        if min(x_max - x_min, y_max - y_min) < _SMALLEST_SIDE_PX:
            continue
        visible_share = (x_max - x_min) * (y_max - y_min) / (4 * half_width * half_height)
        if visible_share < _SMALLEST_VISIBLE_SHARE:
            continue
        shown.append(
            replace(
                cell, x_min=float(x_min), y_min=float(y_min), x_max=float(x_max), y_max=float(y_max)
            )
        )
    return tuple(shown)
