"""Cells of which a person marked nothing but the centre."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.classes import NOT_SCORED, CellClass, CellType
from blood_cell_system.datasets.sample import Sample
from blood_cell_system.masks.ellipses import clip_to_pixels, ellipse_distance

_POINT_DIAMETERS: Final = {CellType.RBC: 1.0, CellType.WBC: 1.7, CellType.PLATELET: 0.35}
"""Of a cell of which only the centre is known, in diameters of a red cell."""

_POINT_REACH: Final = 1.3
"""Of its usual size: a cell may be larger."""

_RED_CELL_SHARE: Final = 1 / 8
"""Diameter of a red cell where there is none to measure, of the picture's shorter side."""


def median_red_diameter(boxes: Sequence[LabelledBox], shape: tuple[int, int]) -> float:
    """Diameter of a picture's red cells in pixels, by their boxes; a guess where there are none."""
    red = [float(np.sqrt(box.width * box.height)) for box in boxes if box.cell_type is CellType.RBC]
    return float(np.median(red)) if red else _RED_CELL_SHARE * min(shape)


def point_boxes(sample: Sample, diameter_px: float) -> tuple[LabelledBox, ...]:
    """Boxes of a usual size around points; their size is a guess, and is marked as one."""
    boxes = []
    for cell in sample.cells or ():
        if cell.box is not None or cell.point is None:
            continue
        radius = _POINT_DIAMETERS[cell.cell_type] * diameter_px / 2
        x, y = cell.point
        boxes.append(
            LabelledBox(
                cell_type=cell.cell_type,
                x_min=x - radius,
                y_min=y - radius,
                x_max=x + radius,
                y_max=y + radius,
                origin=BoxOrigin.POINT,
            )
        )
    return tuple(boxes)


def leave_out_around_points(
    points: Sequence[LabelledBox],
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16] | None,
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
            class_mask[rows, columns] != CellClass.BACKGROUND
        )
        if label_image is not None:
            inside &= label_image[rows, columns] == 0
        if cell.cell_type is CellType.RBC:
            inside &= class_mask[rows, columns] != CellClass.RBC
        class_mask[rows, columns][inside] = NOT_SCORED
