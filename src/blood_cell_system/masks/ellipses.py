"""Cells of which a person marked nothing but the centre."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation, Origin, Sample
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, MaskClass, Taxonomy

_BORDER_PX = 2.0  # A box this near to the edge is cut off by it.
# Thinner half-axes would overflow when squared.
_THINNEST_PX = 1e-6


def whole_cell_box(cell: Annotation, shape: tuple[int, int]) -> Annotation:
    """Box of the whole cell, where the border of the image cuts it.

    A side that lies at the border is moved outwards until the box is square: what is hidden is not
    known, but cells are about as wide as high, and the inscribed ellipse of the cut box is not
    where the cell is.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` of the image in pixels.

    Returns
    -------
    Annotation
        The same box if it is not cut.

    Examples
    --------
    >>> from blood_cell_system.taxonomy import RBC
    >>> cut = Annotation(cell_type=RBC, box=Box(0, 40, 30, 100))
    >>> whole_cell_box(cut, (200, 200)).x_min
    -30.0
    """
    height, width = shape
    missing_x = max(0.0, cell.height - cell.width)
    missing_y = max(0.0, cell.width - cell.height)
    left, right = cell.x_min <= _BORDER_PX, cell.x_max >= width - _BORDER_PX
    top, bottom = cell.y_min <= _BORDER_PX, cell.y_max >= height - _BORDER_PX
    return replace(
        cell,
        box=Box(
            cell.x_min - missing_x * left / max(1, left + right),
            cell.y_min - missing_y * top / max(1, top + bottom),
            cell.x_max + missing_x * right / max(1, left + right),
            cell.y_max + missing_y * bottom / max(1, top + bottom),
        ),
    )


def clip_to_pixels(
    cell: Annotation, shape: tuple[int, int], *, margin: float = 0.0
) -> tuple[slice, slice]:
    """Rows and columns of the pixels that a box touches within the image.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` in pixels.
    margin : float
        Pixels around the box that are taken as well.

    Returns
    -------
    tuple of slice
        Rows and columns; empty where the box lies outside.
    """
    y_min = int(np.clip(np.floor(cell.y_min - margin), 0, shape[0]))
    x_min = int(np.clip(np.floor(cell.x_min - margin), 0, shape[1]))
    y_max = int(np.clip(np.ceil(cell.y_max + margin), y_min, shape[0]))
    x_max = int(np.clip(np.ceil(cell.x_max + margin), x_min, shape[1]))
    return slice(y_min, y_max), slice(x_min, x_max)


def ellipse_distance(cell: Annotation, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Squared distance of pixel centres from a box's centre, in half-axes of its ellipse.

    Parameters
    ----------
    cell : Annotation
        Of positive width and height.
    rows, columns : slice
        Pixels to look at.

    Returns
    -------
    ndarray of shape (rows, columns), dtype float32
        Below 1 inside the ellipse.
    """
    x_centre, y_centre = cell.centre
    y = (np.arange(rows.start, rows.stop) + 0.5 - y_centre) / max(cell.height / 2, _THINNEST_PX)
    x = (np.arange(columns.start, columns.stop) + 0.5 - x_centre) / max(
        cell.width / 2, _THINNEST_PX
    )
    return (y * y).astype(np.float32)[:, None] + (x * x).astype(np.float32)[None, :]


def nearest_ellipse(
    cells: Sequence[Annotation], shape: tuple[int, int], *, reach: float = 1.25
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Whose ellipse every pixel is nearest to.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` in pixels.
    reach : float
        Half-axes up to which a pixel counts as a cell's.

    Returns
    -------
    owner : ndarray of shape (height, width), dtype int32
        Index of the cell; -1 where none reaches.
    distance : ndarray of shape (height, width), dtype float32
        Squared distance in half-axes of the owner's ellipse; infinite where none reaches.
    """
    owner = np.full(shape, -1, dtype=np.int32)
    distance = np.full(shape, np.inf, dtype=np.float32)
    for index, cell in enumerate(cells):
        if cell.width <= 0 or cell.height <= 0:
            continue
        margin = (reach - 1) / 2 * max(cell.width, cell.height)
        rows, columns = clip_to_pixels(cell, shape, margin=margin)
        candidate = ellipse_distance(cell, rows, columns)
        is_nearer = (candidate < distance[rows, columns]) & (candidate <= reach * reach)
        owner[rows, columns][is_nearer] = index
        distance[rows, columns][is_nearer] = candidate[is_nearer]
    return owner, distance


def rasterize_ellipses(
    cells: Sequence[Annotation], shape: tuple[int, int], *, taxonomy: Taxonomy = BUILT_IN
) -> NDArray[np.uint8]:
    """Paint each box's inscribed ellipse with its class value; white cells lie over red ones.

    Parameters
    ----------
    cells : sequence of Annotation
        Boxes in pixels, 0-based and half-open; parts outside the image are cut off. Types
        without a channel, such as platelets, are background.
    shape : tuple of int
        ``(height, width)`` in pixels.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``; 0 is background.

    Notes
    -----
    A pixel belongs to the ellipse when its *centre* does.

    Examples
    --------
    >>> box = Annotation(cell_type="WBC", box=Box(1, 0, 4, 3))
    >>> rasterize_ellipses([box], (3, 5)).tolist()
    [[0, 2, 2, 2, 0], [0, 2, 2, 2, 0], [0, 2, 2, 2, 0]]
    """
    class_mask = np.zeros(shape, dtype=np.uint8)
    for cell_type in taxonomy.bottom_up:
        for cell in cells if cell_type.has_channel else ():
            if cell.cell_type != cell_type.name or cell.width <= 0 or cell.height <= 0:
                continue
            rows, columns = clip_to_pixels(cell, shape)
            is_inside = ellipse_distance(cell, rows, columns) <= 1.0
            class_mask[rows, columns][is_inside] = cell_type.mask_class
    return class_mask


_POINT_REACH: Final = 1.3
"""Of its usual size: a cell may be larger."""

_RED_CELL_SHARE: Final = 1 / 8
"""Diameter of a red cell where there is none to measure, of the image's shorter side."""


def median_red_diameter(
    boxes: Sequence[Annotation], shape: tuple[int, int], *, taxonomy: Taxonomy = BUILT_IN
) -> float:
    """Diameter of an image's red cells in pixels, by their boxes; a guess where there are none."""
    name = taxonomy.main_types[MaskClass.RBC].name
    red = [float(np.sqrt(box.width * box.height)) for box in boxes if box.cell_type == name]
    return float(np.median(red)) if red else _RED_CELL_SHARE * min(shape)


def point_boxes(
    sample: Sample, diameter_px: float, *, taxonomy: Taxonomy = BUILT_IN
) -> tuple[Annotation, ...]:
    """Boxes of a usual size around points; their size is a guess, and is marked as one."""
    boxes = []
    for cell in sample.cells or ():
        if cell.box is not None or cell.point is None:
            continue
        radius = taxonomy[cell.cell_type].sampling.usual_diameter * diameter_px / 2
        x, y = cell.point
        boxes.append(
            Annotation(
                cell_type=cell.cell_type,
                box=Box(x - radius, y - radius, x + radius, y + radius),
                origin=Origin.POINT,
            )
        )
    return tuple(boxes)


def leave_out_around_points(
    points: Sequence[Annotation],
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16] | None,
    *,
    taxonomy: Taxonomy = BUILT_IN,
) -> None:
    """Let the surroundings of points be not scored, in place, where they are no known cell's.

    Around a red cell's point, red cell is right already.
    """
    for cell in points:
        margin = (_POINT_REACH - 1) * cell.width / 2
        rows, columns = clip_to_pixels(cell, class_mask.shape, margin=margin)
        distance = ellipse_distance(cell, rows, columns)
        # Beyond the usual size only what is stained can be a part of it.
        inside = distance <= 1.0
        inside |= (distance <= _POINT_REACH**2) & (
            class_mask[rows, columns] != MaskClass.BACKGROUND
        )
        if label_image is not None:
            inside &= label_image[rows, columns] == 0
        if taxonomy[cell.cell_type].mask_class == MaskClass.RBC:
            inside &= class_mask[rows, columns] != MaskClass.RBC
        class_mask[rows, columns][inside] = NOT_SCORED
