"""Foreground that no peak accounts for: missed cells, stray pieces, specks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.classes import MASK_CLASS, CellType

_MASK_TYPES: Final = (CellType.RBC, CellType.WBC)
_MIN_THICKNESS: Final = 0.4
_BORDER_ALLOWANCE: Final = 0.4

Separate = Callable[[NDArray[np.uint8], CellType], NDArray[np.int32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """When a piece is large enough to be a cell.

    Parameters
    ----------
    min_area_px : int
    min_area_share : float
        Share of the median area of the cells of its type.
    """

    min_area_px: int
    min_area_share: float


def place_leftovers(
    class_mask: NDArray[np.uint8],
    labels: NDArray[np.int32],
    types: list[CellType],
    *,
    separate: Separate,
    limits: Leftovers,
) -> list[CellType]:
    """Make cells of what is left over where it is one; give the rest to neighbours.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``.
    labels : ndarray of shape (height, width), dtype int32
        Cells so far; changed in place.
    types : list of CellType
        Type of cell ``i + 1``.
    separate : callable
        Cuts a mask of one class into labelled cells.
    limits : Leftovers

    Returns
    -------
    list of CellType
        Types of all cells, the new ones last.
    """
    types, peak_count = list(types), len(types)
    _release_islands(labels, len(types))
    known = np.bincount(labels.ravel(), minlength=len(types) + 1)[1:]
    known_areas = {
        cell_type: known[[other == cell_type for other in types]] for cell_type in _MASK_TYPES
    }
    pieces = {
        cell_type: separate(
            ((class_mask == MASK_CLASS[cell_type]) & (labels == 0)).astype(np.uint8), cell_type
        )
        for cell_type in _MASK_TYPES
    }
    piece_areas = {
        cell_type: np.bincount(labelled.ravel())[1:] for cell_type, labelled in pieces.items()
    }
    scraps: list[tuple[tuple[slice, slice], NDArray[np.bool_]]] = []
    for cell_type, labelled in pieces.items():
        typical_area = _typical_area(cell_type, known_areas, piece_areas, limits.min_area_px)
        min_radius = _MIN_THICKNESS * np.sqrt(typical_area / np.pi)
        for index, crop in enumerate(ndimage.find_objects(labelled)):
            is_piece = labelled[crop] == index + 1
            # Of a cell at the picture's border only a slice may be seen.
            share = _BORDER_ALLOWANCE if _touches_border(crop, labels.shape) else 1.0
            min_area = max(limits.min_area_px, share * limits.min_area_share * typical_area)
            # A crescent beside a cell is that cell's rim; alone it may be a sickle cell.
            if piece_areas[cell_type][index] >= min_area and (
                _inner_radius(is_piece) >= share * min_radius
                or not (_touched(labels, crop, is_piece) <= peak_count).any()
            ):
                types.append(cell_type)
                labels[crop][is_piece] = len(types)
            else:
                scraps.append((crop, is_piece))
    for crop, is_piece in scraps:
        _give_to_neighbour(labels, crop, is_piece)
    return types


def _typical_area(
    cell_type: CellType,
    known: dict[CellType, NDArray[np.int64]],
    pieces: dict[CellType, NDArray[np.int64]],
    min_area_px: int,
) -> float:
    """Median area of the cells of a type, by the best evidence that the picture has."""

    def median(*areas: NDArray[np.int64]) -> float:
        joined = np.concatenate(areas)
        joined = joined[joined >= min_area_px]
        return float(np.median(joined)) if len(joined) else 0.0

    # Without a cell of the type that is sure, its pieces may all be specks; other cells then say
    # how large a cell is.
    return median(known[cell_type]) or max(
        median(pieces[cell_type]), median(*known.values(), *pieces.values())
    )


def _release_islands(labels: NDArray[np.int32], count: int) -> None:
    """Of every cell keep the largest connected part; the others are left over."""
    for index, crop in enumerate(ndimage.find_objects(labels, max_label=count)):
        if crop is None:
            continue
        is_cell = (labels[crop] == index + 1).astype(np.uint8)
        part_count, parts, stats, _ = cv2.connectedComponentsWithStats(is_cell)
        if part_count > 2:
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            labels[crop][(parts > 0) & (parts != largest)] = 0


def _touches_border(crop: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    return any(
        part.start == 0 or part.stop == length for part, length in zip(crop, shape, strict=True)
    )


def _inner_radius(is_piece: NDArray[np.bool_]) -> float:
    """Radius of the largest disc that fits into a piece, in pixels."""
    padded = cv2.copyMakeBorder(is_piece.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5).max())


def _give_to_neighbour(
    labels: NDArray[np.int32], crop: tuple[slice, slice], is_piece: NDArray[np.bool_]
) -> None:
    """Give a piece to the cell that it touches most, if it touches one."""
    touched = _touched(labels, crop, is_piece)
    if touched.size:
        values, contacts = np.unique(touched, return_counts=True)
        labels[crop][is_piece] = values[contacts.argmax()]


def _touched(
    labels: NDArray[np.int32], crop: tuple[slice, slice], is_piece: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Labels of the cells' pixels around a piece."""
    rows, columns = crop
    top, left = max(rows.start - 1, 0), max(columns.start - 1, 0)
    around = labels[top : rows.stop + 1, left : columns.stop + 1]
    padded = np.zeros(around.shape, dtype=np.uint8)
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    padded[inside] = is_piece
    is_rim = (cv2.dilate(padded, np.ones((3, 3), np.uint8)) > 0) & (around > 0)
    touched: NDArray[np.int32] = around[is_rim]
    return touched
