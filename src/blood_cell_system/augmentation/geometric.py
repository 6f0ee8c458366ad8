"""Turning, mirroring, scaling and bending an image together with its masks and boxes.

Coordinates are continuous: pixel ``i`` covers ``[i, i + 1)`` and has its middle at ``i + 0.5``, as
in ``Annotation``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation, corners_of
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import NOT_SCORED

Value = TypeVar("Value", np.uint8, np.uint16)

# A cell of which less is in view is no longer one to find.
_SMALLEST_VISIBLE_SHARE: Final = 0.2
_SMALLEST_SIDE_PX: Final = 4.0  # Boxes of which less is left in the crop are left out.

# Points on a box's ellipse that are moved: the box around them is within 0.3 %.
_OUTLINE_POINTS: Final = 48
# A displacement of 5 px over 64 px bends little: so many rounds invert it to less than a pixel.
_INVERSION_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Geometry:
    """A map from the points of an image to those of an output.

    Parameters
    ----------
    matrix : ndarray of shape (2, 3), dtype float64
        The affine part: image ``(x, y, 1)`` to output ``(x, y)``, in pixels.
    displacement : ndarray of shape (height, width, 2), dtype float32, or None
        The elastic part, for every pixel of the output: output point ``p`` shows what the affine
        part alone would show at ``p + displacement[p]``.
    """

    matrix: NDArray[np.float64]
    displacement: NDArray[np.float32] | None = None


def sample_geometry(
    generator: np.random.Generator,
    settings: AugmentationSettings,
    *,
    centre: tuple[float, float],
    output_shape: tuple[int, int],
) -> Geometry:
    """Draw a geometry.

    Parameters
    ----------
    centre : tuple of float
        Point ``(x, y)`` of the image that comes to the middle of the output.
    output_shape : tuple of int
        ``(height, width)`` in pixels.
    """
    angle = sample_angle(generator, settings)
    is_flipped = generator.random() < settings.flip_share
    scale = math.exp(generator.uniform(*np.log(settings.scale_range)))
    linear = linear_map(angle, scale=scale, is_flipped=is_flipped)
    height, width = output_shape
    shift = np.array([width / 2, height / 2]) - linear @ centre
    displacement = None
    if generator.random() < settings.elastic_share:
        displacement = _sample_displacement(generator, settings, output_shape)
    return Geometry(matrix=np.column_stack([linear, shift]), displacement=displacement)


def sample_angle(generator: np.random.Generator, settings: AugmentationSettings) -> float:
    """Draw an angle in radians: any, or a multiple of a quarter turn."""
    if generator.random() < settings.any_angle_share:
        return generator.uniform(0, 2 * math.pi)
    return int(generator.integers(4)) * math.pi / 2


def linear_map(angle: float, *, scale: float, is_flipped: bool) -> NDArray[np.float64]:
    """Matrix (2, 2) that mirrors left and right, then turns and magnifies."""
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    if is_flipped:
        linear[:, 0] *= -1
    return linear


def _sample_displacement(
    generator: np.random.Generator, settings: AugmentationSettings, shape: tuple[int, int]
) -> NDArray[np.float32]:
    grid_shape = [math.ceil(side / settings.elastic_spacing_px) + 1 for side in shape]
    # Beyond three standard deviations the map could fold.
    grid = np.clip(generator.standard_normal((*grid_shape, 2), dtype=np.float32), -2.5, 2.5)
    grid *= generator.uniform(0, settings.elastic_px)
    return np.asarray(cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))


def warp(
    image: NDArray[np.uint8],
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16] | None,
    geometry: Geometry,
    output_shape: tuple[int, int],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16] | None]:
    """Move an image and its masks.

    Outside of the image the output has its mean colour, and nothing there is scored or labelled:
    a rotation invents no background. (A mirror image would make whole cells of those at the edge.)

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    class_mask : ndarray of shape (height, width), dtype uint8
    label_image : ndarray of shape (height, width), dtype uint16, or None
    output_shape : tuple of int
        ``(height, width)`` in pixels; that which the geometry was drawn for.

    Returns
    -------
    image : ndarray of shape (height, width, 3), dtype uint8
        Like the others of the output's shape.
    class_mask : ndarray of shape (height, width), dtype uint8
        Nearest values, so that there are no new ones but 255.
    label_image : ndarray of shape (height, width), dtype uint16, or None
    """
    backward = _inverted(geometry.matrix)
    sharp, sharp_backward = _reduced(image, geometry, backward, output_shape)
    # Every 16th pixel gives the same mean for a thousandth of the work.
    outside = tuple(image[::16, ::16].mean(axis=(0, 1)).tolist())
    warped = _sample(sharp, sharp_backward, geometry, output_shape, cv2.INTER_LINEAR, outside)
    nearest = (backward, geometry, output_shape, cv2.INTER_NEAREST)
    mask = _sample(class_mask, *nearest, (NOT_SCORED,))
    labels = None if label_image is None else _sample(label_image, *nearest, (0,))
    return warped, mask, labels


def _sample(
    source: NDArray[Value],
    backward: NDArray[np.float64],
    geometry: Geometry,
    shape: tuple[int, int],
    interpolation: int,
    outside: tuple[float, ...],
) -> NDArray[Value]:
    # OpenCV counts from the middle of the first pixel.
    matrix = backward.copy()
    matrix[:, 2] += backward[:, :2] @ (0.5, 0.5) - 0.5
    if geometry.displacement is None:
        return np.asarray(
            cv2.warpAffine(
                source,
                matrix,
                (shape[1], shape[0]),
                flags=interpolation | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=outside,
            )
        )
    places = cv2.transform(geometry.displacement + _pixel_grid(shape), matrix)
    return np.asarray(
        cv2.remap(
            source, places, None, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=outside
        )
    )


@lru_cache(maxsize=4)
def _pixel_grid(shape: tuple[int, int]) -> NDArray[np.float32]:
    rows, columns = np.indices(shape, dtype=np.float32)
    grid = np.dstack([columns, rows])
    grid.setflags(write=False)
    return grid


def _inverted(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _reduced(
    image: NDArray[np.uint8],
    geometry: Geometry,
    backward: NDArray[np.float64],
    shape: tuple[int, int],
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Halve the image as often as it gets smaller, so that nothing is sampled between pixels."""
    scale = math.sqrt(abs(np.linalg.det(geometry.matrix[:, :2])))
    step = 2 ** max(0, round(-math.log2(scale)))
    if step == 1:
        return image, backward
    height, width = shape
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    margin = 2 * step
    if geometry.displacement is not None:
        margin += math.ceil(float(np.abs(geometry.displacement).max()) / scale)
    seen = backward @ corners
    low = np.maximum(np.floor(seen.min(axis=1)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(seen.max(axis=1)).astype(int) + margin, image.shape[1::-1])
    # Whole steps only: up to a last column of the image is cut off, which reduced is none.
    counts = (high - low) // step
    if counts.min() < 1:
        return image, backward
    x_high, y_high = low + counts * step
    part = image[low[1] : y_high, low[0] : x_high]
    size = (int(counts[0]), int(counts[1]))
    reduced = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    placed = backward.copy()
    placed[:, 2] -= low
    return np.asarray(reduced), placed / step


def transform_boxes(
    cells: Sequence[Annotation], geometry: Geometry, shape: tuple[int, int]
) -> tuple[Annotation, ...]:
    """Move boxes as :func:`transform_cells`; those that are hardly in view are dropped."""
    return tuple(cell for cell in transform_cells(cells, geometry, shape) if cell is not None)


def transform_cells(
    cells: Sequence[Annotation], geometry: Geometry, shape: tuple[int, int]
) -> tuple[Annotation | None, ...]:
    """Move boxes, each with the ellipse in it: the box around a turned box would be too large.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` of the output in pixels.

    Returns
    -------
    tuple of Annotation or None
        Box around each moved ellipse, clipped to the output; None where hardly any of it is left.
    """
    if not cells:
        return ()
    corners = corners_of(cells)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    axes = (corners[:, 2:] - corners[:, :2]) / 2
    if geometry.displacement is None:
        # The ellipse {L·diag(axes)·u : |u| = 1} extends along an axis by the norm of that row.
        linear = geometry.matrix[:, :2]
        middles = centres @ linear.T + geometry.matrix[:, 2]
        extents = np.sqrt((axes**2) @ (linear**2).T)
        low, high = middles - extents, middles + extents
    else:
        turns = np.linspace(0, 2 * math.pi, _OUTLINE_POINTS, endpoint=False)
        circle = np.column_stack([np.cos(turns), np.sin(turns)])
        outlines = centres[:, None, :] + axes[:, None, :] * circle
        straight = outlines.reshape(-1, 2) @ geometry.matrix[:, :2].T + geometry.matrix[:, 2]
        moved = _bent(straight, geometry.displacement).reshape(outlines.shape)
        low, high = moved.min(axis=1), moved.max(axis=1)
    size = (shape[1], shape[0])
    whole_areas = np.prod(high - low, axis=1)
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    sides = high - low
    is_seen = np.all(sides >= _SMALLEST_SIDE_PX, axis=1)
    is_seen &= np.prod(sides, axis=1) >= _SMALLEST_VISIBLE_SHARE * whole_areas
    return tuple(
        replace(cell, box=Box(x_min, y_min, x_max, y_max)) if kept else None
        for cell, kept, (x_min, y_min), (x_max, y_max) in zip(
            cells, is_seen.tolist(), low.tolist(), high.tolist(), strict=True
        )
    )


def _bent(straight: NDArray[np.float64], displacement: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where points come to lie in the output with the elastic part, from the affine part's."""
    moved = straight
    limits = np.array([displacement.shape[1] - 1, displacement.shape[0] - 1])
    # The elastic part is given backwards: p + d(p) = straight; solved for p by iteration.
    for _ in range(_INVERSION_ROUNDS):
        places = np.clip(moved.astype(np.intp), 0, limits)
        moved = straight - displacement[places[:, 1], places[:, 0]]
    return moved
