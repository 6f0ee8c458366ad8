"""Cells that were found, measured in their label image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import CELL_TYPES, MASK_CLASS


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedCell:
    """One cell that was found.

    Parameters
    ----------
    label : int
        Value of its pixels in the label image.
    cell_type : str
    box : Annotation
        Around its pixels.
    whole_box : Annotation
        Around the cell where others lie over it as well, as people draw boxes; ``box`` for a cell
        that touches none.
    centroid : tuple of float
        Mean ``(x, y)`` of its pixels' middles.
    area_px : int
    equivalent_diameter_px : float
        Diameter of the disc of the same area.
    confidence : float
        0 to 1: mean probability of its class, times the height of its peak; ``SHAPE_ONLY`` stands
        in for the height where a cell was found by its shape alone.
    touches_border : bool
        Whether it ends at the image's border, so that its size is a lower bound.
    """

    label: int
    cell_type: str
    box: Annotation
    whole_box: Annotation
    centroid: tuple[float, float]
    area_px: int
    equivalent_diameter_px: float
    confidence: float
    touches_border: bool

    @property
    def visible_share(self) -> float:
        """Part of the cell that no other covers: its area against the ellipse in ``whole_box``.

        1 for a cell that touches none.
        """
        if self.whole_box == self.box:
            return 1.0
        whole = math.pi / 4 * self.whole_box.width * self.whole_box.height
        return min(1.0, self.area_px / whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparatedCells:
    """Every cell of an image.

    Parameters
    ----------
    label_image : ndarray of shape (height, width), dtype int32
        0 in no cell, 1..n in the cells.
    cells : tuple of DetectedCell
        Cell ``i`` has label ``i + 1``; from top to bottom.
    """

    label_image: NDArray[np.int32]
    cells: tuple[DetectedCell, ...]

    def count(self, cell_type: str) -> int:
        """How many cells of a type there are."""
        return sum(cell.cell_type == cell_type for cell in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestAreas:
    """Smallest areas of a cell, in pixels.

    Parameters
    ----------
    inside : float
    at_border : mapping of str to float
        Of what the image's border leaves of a cell.
    """

    inside: float
    at_border: Mapping[str, float]


def smallest_areas(
    labels: NDArray[np.int32],
    types: Sequence[str],
    *,
    min_area_px: int,
    min_border_share: Mapping[str, float],
) -> SmallestAreas:
    """Say from which size on pieces of an image are cells.

    Parameters
    ----------
    labels : ndarray of shape (height, width), dtype int32
    types : sequence of str
        Type of cell ``i + 1``.
    min_area_px : int
    min_border_share : mapping of str to float
        At the border, share of the median area of the cells of its type.
    """
    areas = np.bincount(labels.ravel(), minlength=len(types) + 1)[1:]
    at_border = {}
    for cell_type in CELL_TYPES:
        of_type = areas[[other == cell_type for other in types]]
        of_type = of_type[of_type >= min_area_px]
        usual = float(np.median(of_type)) if len(of_type) else 0.0
        at_border[cell_type] = max(min_area_px, min_border_share[cell_type] * usual)
    return SmallestAreas(inside=min_area_px, at_border=at_border)


def measured_cells(
    labels: NDArray[np.int32],
    types: list[str],
    heights: list[float],
    predicted: NDArray[np.float64],
    class_probabilities: NDArray[np.float32],
    smallest: SmallestAreas,
) -> SeparatedCells:
    """Measure labelled cells; those that are too small become background.

    Parameters
    ----------
    labels : ndarray of shape (height, width), dtype int32
        Changed in place.
    types : list of str
        Type of cell ``i + 1``.
    heights : list of float
        Height of each cell's peak.
    predicted : ndarray of shape (n, 4), dtype float64
        Predicted x_min, y_min, x_max, y_max of the first ``n`` cells.
    class_probabilities : ndarray of shape (height, width, 3), dtype float32
    smallest : SmallestAreas

    Returns
    -------
    SeparatedCells
    """
    image_height, image_width = labels.shape
    cells = []
    for index, crop in enumerate(ndimage.find_objects(labels, max_label=len(types))):
        if crop is None:
            continue
        is_cell = labels[crop] == index + 1
        area = int(np.count_nonzero(is_cell))
        rows, columns = crop
        touches_border = (
            rows.start == 0
            or columns.start == 0
            or rows.stop == image_height
            or columns.stop == image_width
        )
        if area < (smallest.at_border[types[index]] if touches_border else smallest.inside):
            labels[crop][is_cell] = 0
            continue
        moments = cv2.moments(is_cell.astype(np.uint8), binaryImage=True)
        probability = class_probabilities[crop][:, :, MASK_CLASS[types[index]]][is_cell].mean()
        box = Annotation(
            cell_type=types[index],
            box=Box(float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)),
            origin=Origin.PREDICTED,
        )
        cells.append(
            DetectedCell(
                label=index + 1,
                cell_type=types[index],
                box=box,
                whole_box=(
                    hull(box, predicted[index].tolist(), labels.shape)
                    if index < len(predicted) and _touches_another(labels, crop, index + 1)
                    else box
                ),
                centroid=(
                    columns.start + moments["m10"] / area + 0.5,
                    rows.start + moments["m01"] / area + 0.5,
                ),
                area_px=area,
                equivalent_diameter_px=float(np.sqrt(4 * area / np.pi)),
                confidence=float(probability) * heights[index],
                touches_border=touches_border,
            )
        )
    return in_reading_order(labels, cells, count=len(types))


def hull(box: Annotation, corners: Sequence[float], shape: tuple[int, ...]) -> Annotation:
    """Smallest box around a box and another one's ``x_min, y_min, x_max, y_max``.

    Parameters
    ----------
    box : Annotation
    corners : sequence of float
    shape : tuple of int
        ``(height, width)`` of the image, which the hull does not leave.
    """
    x_min, y_min, x_max, y_max = corners
    return replace(
        box,
        box=Box(
            max(min(box.x_min, x_min), 0.0),
            max(min(box.y_min, y_min), 0.0),
            min(max(box.x_max, x_max), float(shape[1])),
            min(max(box.y_max, y_max), float(shape[0])),
        ),
    )


def _touches_another(labels: NDArray[np.int32], crop: tuple[slice, slice], label: int) -> bool:
    rows, columns = crop
    around = labels[
        max(rows.start - 1, 0) : rows.stop + 1, max(columns.start - 1, 0) : columns.stop + 1
    ]
    others = ((around > 0) & (around != label)).astype(np.uint8)
    if not others.any():
        return False
    near = cv2.dilate((around == label).astype(np.uint8), np.ones((3, 3), np.uint8))
    return bool((near & others).any())


def in_reading_order(
    labels: NDArray[np.int32], cells: list[DetectedCell], *, count: int
) -> SeparatedCells:
    """Renumber cells from top to bottom, without gaps.

    Parameters
    ----------
    labels : ndarray of shape (height, width), dtype int32
    cells : list of DetectedCell
        Changed in place; pixels with the label of none of them become background.
    count : int
        The largest label.

    Returns
    -------
    SeparatedCells
    """
    cells.sort(key=lambda cell: (cell.box.y_min, cell.box.x_min, cell.label))
    table = np.zeros(count + 1, dtype=np.int32)
    for index, cell in enumerate(cells):
        table[cell.label] = index + 1
    numbered = tuple(replace(cell, label=index + 1) for index, cell in enumerate(cells))
    return SeparatedCells(label_image=table[labels], cells=numbered)
