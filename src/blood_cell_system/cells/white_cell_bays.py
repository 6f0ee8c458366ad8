"""White cells whole again, where the cytoplasm is as pale as the slide around it.

The lobes of a nucleus may then be all that a network sees, and the cell in between is lost: for the
counts that does no harm, but what is measured of the cell, or shown to a classifier, is a torn one.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.classes import CellClass, CellType

# Of the diameter of the disc of the same area: bays that are less than twice as wide are closed.
_CLOSING_SHARE: Final = 0.2
# What is thinner is the roughness of a rim.
_RIM_SHARE: Final = 0.03
# Of the area of the rest: a ring around more is no cell.
_LARGEST_HOLE_SHARE: Final = 1.0


def fill_white_cell_bays(
    labels: NDArray[np.int32], types: Sequence[CellType], class_mask: NDArray[np.uint8]
) -> None:
    """Close the bays and holes of white cells, in place.

    A bay is closed where the slide is seen in it and no other cell. A hole becomes part of the cell
    whatever it was taken for: no red cell lies within a white one.

    Parameters
    ----------
    labels : ndarray of shape (height, width), dtype int32
        Changed in place. A cell that lies in a hole of a white one may lose all its pixels.
    types : sequence of CellType
        Type of cell ``i + 1``.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``CellClass``.
    """
    crops = ndimage.find_objects(labels, max_label=len(types))
    for label, (cell_type, crop) in enumerate(zip(types, crops, strict=True), start=1):
        if cell_type is not CellType.WBC or crop is None:
            continue
        area = int(np.count_nonzero(labels[crop] == label))
        diameter = np.sqrt(4 * area / np.pi)
        radius = max(1, round(_CLOSING_SHARE * diameter))
        around = labels[crop]
        own = (around == label).astype(np.uint8)
        is_slide = (around == 0) & (class_mask[crop] == CellClass.BACKGROUND)
        bays = (_closed(own, radius) & is_slide).astype(np.uint8)
        bays = cv2.morphologyEx(bays, cv2.MORPH_OPEN, _disc(max(1, round(_RIM_SHARE * diameter))))
        whole = (own > 0) | (bays > 0)
        around[whole | _small_holes(whole, largest=_LARGEST_HOLE_SHARE * area)] = label


def _closed(mask: NDArray[np.uint8], radius: int) -> NDArray[np.bool_]:
    """Close a mask as if there was room around it; else it would run out to the window's edge."""
    room = 2 * radius
    wide = cv2.copyMakeBorder(mask, room, room, room, room, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.morphologyEx(wide, cv2.MORPH_CLOSE, _disc(radius)) > 0)[
        room:-room, room:-room
    ]


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def _small_holes(mask: NDArray[np.bool_], *, largest: float) -> NDArray[np.bool_]:
    """Holes of up to ``largest`` pixels."""
    holes = ndimage.binary_fill_holes(mask) & ~mask
    count, parts, stats, _ = cv2.connectedComponentsWithStats(holes.astype(np.uint8))
    is_small = stats[:, cv2.CC_STAT_AREA] <= largest
    is_small[0] = False
    return np.asarray(is_small[parts]) if count > 1 else holes
