"""Network outputs in, single cells out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.cells.ellipses import label_by_nearest_ellipse
from blood_cell_system.cells.leftovers import Leftovers, place_leftovers
from blood_cell_system.cells.peaks import PeakSettings, find_peaks
from blood_cell_system.cells.watershed import fill_round_holes, separate_by_shape
from blood_cell_system.classes import CELL_TYPES, MASK_CLASS, CellClass, CellType
from blood_cell_system.segmenter_contract import TRAINING_DIAMETER_PX

SHAPE_ONLY: Final = 0.5
"""Factor on the confidence of a cell that no heat map knows of."""

_MASK_TYPES: Final = (CellType.RBC, CellType.WBC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparationSettings:
    """How foreground becomes cells.

    Parameters
    ----------
    peaks : PeakSettings
        When a maximum of a centre heat map is a cell.
    reach : mapping of CellType to float
        How far beyond its predicted ellipse a cell may reach; 1 is the ellipse's rim. The network
        is less sure of a white cell's size, and the space around is rarely another's.
    min_neck : mapping of CellType to float
        Where cells are told apart by shape alone: how much narrower than the smaller of two cells
        their neck is at least.
    min_area_px : int
        Anything smaller is a speck, not a cell, where red cells are ``TRAINING_DIAMETER_PX`` wide.
    min_area_share : float
        Nor is a piece without a peak that has less than this share of the median cell's area.
    """

    peaks: PeakSettings = field(default_factory=PeakSettings)
    reach: Mapping[CellType, float] = field(
        default_factory=lambda: MappingProxyType({CellType.RBC: 1.5, CellType.WBC: 3.0})
    )
    min_neck: Mapping[CellType, float] = field(
        default_factory=lambda: MappingProxyType({CellType.RBC: 0.15, CellType.WBC: 0.35})
    )
    min_area_px: int = 30
    min_area_share: float = 0.25

    def for_diameter(self, diameter_px: float) -> Self:
        """Give the same settings for pictures whose red cells are ``diameter_px`` wide.

        Examples
        --------
        >>> SeparationSettings(min_area_px=40).for_diameter(50).min_area_px
        10
        """
        ratio = diameter_px / TRAINING_DIAMETER_PX
        return replace(self, min_area_px=max(1, round(self.min_area_px * ratio**2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedCell:
    """One cell that was found.

    Parameters
    ----------
    label : int
        Value of its pixels in the label image.
    cell_type : CellType
    box : LabelledBox
        Around its pixels.
    whole_box : LabelledBox
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
        Whether it ends at the picture's border, so that its size is a lower bound.
    """

    label: int
    cell_type: CellType
    box: LabelledBox
    whole_box: LabelledBox
    centroid: tuple[float, float]
    area_px: int
    equivalent_diameter_px: float
    confidence: float
    touches_border: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparatedCells:
    """Every cell of a picture.

    Parameters
    ----------
    label_image : ndarray of shape (height, width), dtype int32
        0 in no cell, 1..n in the cells.
    cells : tuple of DetectedCell
        Cell ``i`` has label ``i + 1``; from top to bottom.
    """

    label_image: NDArray[np.int32]
    cells: tuple[DetectedCell, ...]

    def count(self, cell_type: CellType) -> int:
        """How many cells of a type there are."""
        return sum(cell.cell_type == cell_type for cell in self.cells)


def most_likely_class(class_probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Class mask of the largest probability; of equals the first in ``CellClass`` order.

    Parameters
    ----------
    class_probabilities : ndarray of shape (height, width, 3), dtype float32

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``.
    """
    # Three comparisons are ten times as fast as argmax over so short an axis.
    background, rbc, wbc = (class_probabilities[:, :, value] for value in CellClass)
    class_mask = (rbc > background).astype(np.uint8)
    class_mask[wbc > np.maximum(background, rbc)] = CellClass.WBC
    return class_mask


def separate_cells(
    class_probabilities: NDArray[np.float32],
    centres: NDArray[np.float32] | None,
    log_size: NDArray[np.float32] | None,
    settings: SeparationSettings | None = None,
) -> SeparatedCells:
    """Find the single cells in what a segmenter says of a picture.

    With heat maps: (1) their peaks, one a cell; (2) every pixel of class RBC or WBC goes to the
    nearest ellipse of its class within reach, platelets take their ellipse's background; (3) what
    is left over, or cut off from its cell, becomes a cell of its own where it is as large and as
    thick as one, else goes to the neighbour that it touches most, and belongs to no cell where it
    touches none. Without heat maps touching cells are cut apart by their shape (step 3 alone), and
    there are no platelets.

    Parameters
    ----------
    class_probabilities : ndarray of shape (height, width, 3), dtype float32
        In ``CellClass`` order.
    centres : ndarray of shape (ceil(height / 4), ceil(width / 4), 3), dtype float32, or None
        Centre heat maps in ``CELL_TYPES`` order.
    log_size : ndarray of shape (ceil(height / 4), ceil(width / 4), 2), dtype float32, or None
        ln(width_px / 64) and ln(height_px / 64).
    settings : SeparationSettings, optional

    Returns
    -------
    SeparatedCells
    """
    settings = settings or SeparationSettings()
    class_mask = most_likely_class(class_probabilities)
    for cell_type in _MASK_TYPES:
        is_class = (class_mask == MASK_CLASS[cell_type]).astype(np.uint8)
        filled = fill_round_holes(is_class, always_below_px=settings.min_area_px)
        class_mask[(filled > 0) & (class_mask == CellClass.BACKGROUND)] = MASK_CLASS[cell_type]
    if centres is None or log_size is None:
        labels = np.zeros(class_mask.shape, dtype=np.int32)
        types: list[CellType] = []
        heights: list[float] = []
        predicted = np.zeros((0, 4))
    else:
        peaks = find_peaks(centres, log_size, class_mask, settings.peaks)
        labels = label_by_nearest_ellipse(class_mask, peaks, reach=settings.reach)
        types = [CELL_TYPES[index] for index in peaks.type_index]
        heights = peaks.score.tolist()
        predicted = peaks.corners
    found = place_leftovers(
        class_mask,
        labels,
        types,
        separate=lambda mask, cell_type: separate_by_shape(
            mask, min_neck=settings.min_neck[cell_type]
        ),
        limits=Leftovers(min_area_px=settings.min_area_px, min_area_share=settings.min_area_share),
    )
    heights += [SHAPE_ONLY] * (len(found) - len(heights))
    return _measured(labels, found, heights, predicted, class_probabilities, settings.min_area_px)


def _measured(
    labels: NDArray[np.int32],
    types: list[CellType],
    heights: list[float],
    predicted: NDArray[np.float64],
    class_probabilities: NDArray[np.float32],
    min_area_px: int,
) -> SeparatedCells:
    image_height, image_width = labels.shape
    cells = []
    for index, crop in enumerate(ndimage.find_objects(labels, max_label=len(types))):
        if crop is None:
            continue
        is_cell = labels[crop] == index + 1
        area = int(np.count_nonzero(is_cell))
        if area < min_area_px:
            labels[crop][is_cell] = 0
            continue
        rows, columns = crop
        moments = cv2.moments(is_cell.astype(np.uint8), binaryImage=True)
        probability = class_probabilities[crop][:, :, MASK_CLASS[types[index]]][is_cell].mean()
        box = LabelledBox(
            cell_type=types[index],
            x_min=float(columns.start),
            y_min=float(rows.start),
            x_max=float(columns.stop),
            y_max=float(rows.stop),
            origin=BoxOrigin.PREDICTED,
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
                touches_border=rows.start == 0
                or columns.start == 0
                or rows.stop == image_height
                or columns.stop == image_width,
            )
        )
    return in_reading_order(labels, cells, count=len(types))


def hull(box: LabelledBox, corners: Sequence[float], shape: tuple[int, ...]) -> LabelledBox:
    """Smallest box around a box and another one's ``x_min, y_min, x_max, y_max``.

    Parameters
    ----------
    box : LabelledBox
    corners : sequence of float
    shape : tuple of int
        ``(height, width)`` of the picture, which the hull does not leave.
    """
    x_min, y_min, x_max, y_max = corners
    return replace(
        box,
        x_min=max(min(box.x_min, x_min), 0.0),
        y_min=max(min(box.y_min, y_min), 0.0),
        x_max=min(max(box.x_max, x_max), float(shape[1])),
        y_max=min(max(box.y_max, y_max), float(shape[0])),
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
