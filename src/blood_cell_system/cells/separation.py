"""Network outputs in, single cells out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.detected_cells import (
    DetectedCell,
    SeparatedCells,
    hull,
    in_reading_order,
    measured_cells,
    smallest_areas,
)
from blood_cell_system.cells.ellipses import label_by_nearest_ellipse
from blood_cell_system.cells.leftovers import Leftovers, place_leftovers
from blood_cell_system.cells.peaks import PeakSettings, find_peaks
from blood_cell_system.cells.watershed import fill_round_holes, separate_by_shape
from blood_cell_system.cells.white_cell_bays import fill_white_cell_bays
from blood_cell_system.classes import CELL_TYPES, MASK_CLASS, CellClass, CellType
from blood_cell_system.segmenter_contract import TRAINING_DIAMETER_PX

__all__ = [
    "SHAPE_ONLY",
    "DetectedCell",
    "SeparatedCells",
    "SeparationSettings",
    "hull",
    "in_reading_order",
    "most_likely_class",
    "separate_cells",
]

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
    min_border_share : mapping of CellType to float
        Nor is what the border leaves of a cell, when it is less than this share of the median area
        of its type: nobody could tell what cell it was. Most small things at a border are bits of
        larger ones, not platelets.
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
    min_border_share: Mapping[CellType, float] = field(
        default_factory=lambda: MappingProxyType(
            {CellType.RBC: 0.15, CellType.WBC: 0.15, CellType.PLATELET: 0.4}
        )
    )

    def for_diameter(self, diameter_px: float) -> Self:
        """Give the same settings for pictures whose red cells are ``diameter_px`` wide.

        Examples
        --------
        >>> SeparationSettings(min_area_px=40).for_diameter(50).min_area_px
        10
        """
        ratio = diameter_px / TRAINING_DIAMETER_PX
        return replace(self, min_area_px=max(1, round(self.min_area_px * ratio**2)))


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
    touches none; (4) bays and holes of white cells are closed. Without heat maps touching cells are
    cut apart by their shape (steps 3 and 4 alone), and there are no platelets.

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
    fill_white_cell_bays(labels, found, class_mask)
    heights += [SHAPE_ONLY] * (len(found) - len(heights))
    smallest = smallest_areas(
        labels,
        found,
        min_area_px=settings.min_area_px,
        min_border_share=settings.min_border_share,
    )
    return measured_cells(labels, found, heights, predicted, class_probabilities, smallest)
