"""Checks of the boxes of one picture: their geometry, and whether the mask agrees."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import BoxOrigin, LabelledBox, corners_of, pairwise_box_iou
from blood_cell_system.classes import MASK_CLASS, NOT_SCORED, CellClass, CellType
from blood_cell_system.masks.verification.findings import Finding, Region, Severity

TINY_SIDE_PX = 3
DUPLICATE_IOU = 0.8
# A box may reach over the edge by this much: annotation programs round differently.
_EDGE_TOLERANCE_PX = 1.5
# A box says something about the mask only where the mask says something.
_SCORED_SHARE = 0.5
# An ellipse fills 0.79 of its box, and a white cell may cover most of a red one.
_CLASS_SHARE = 0.03

_DROPPED = "Correct the annotation; --fix leaves the box out."


def check_boxes(
    stem: str,
    boxes: Sequence[LabelledBox],
    image_shape: tuple[int, ...],
    class_mask: NDArray[np.uint8] | None,
) -> list[Finding]:
    """Check the boxes of a picture.

    Parameters
    ----------
    stem : str
    boxes : sequence of LabelledBox
    image_shape : tuple of int
        ``(height, width)``.
    class_mask : ndarray of shape (height, width), dtype uint8, or None
        None where it is unknown; of another size than the picture it is not compared.
    """
    height, width = image_shape
    broken, outside, over_edge, tiny = [], [], [], []
    sound: list[LabelledBox] = []
    for box in boxes:
        if not is_whole(box):
            broken.append(box)
        elif is_outside(box, image_shape):
            outside.append(box)
        elif min(box.width, box.height) <= TINY_SIDE_PX:
            tiny.append(box)
        else:
            sound.append(box)
            reach = max(-box.x_min, -box.y_min, box.x_max - width, box.y_max - height)
            # The size of a box around a person's point is a guess.
            if reach > _EDGE_TOLERANCE_PX and box.origin is not BoxOrigin.POINT:
                over_edge.append(box)
    found = [
        _finding(
            Severity.ERROR, "broken-box", "without area or inside out", _DROPPED, stem, broken
        ),
        _finding(Severity.ERROR, "box-outside", "outside the picture", _DROPPED, stem, outside),
        _finding(
            Severity.WARNING,
            "box-over-edge",
            "reaching over the edge of the picture",
            "Correct the annotation; --fix cuts the box at the edge.",
            stem,
            over_edge,
        ),
        _finding(
            Severity.WARNING, "tiny-box", f"of {TINY_SIDE_PX} px or less", _DROPPED, stem, tiny
        ),
        _finding(
            Severity.WARNING,
            "duplicate-box",
            f"of one type over another (IoU above {DUPLICATE_IOU})",
            "Remove one of the two; --fix leaves out exact repetitions.",
            stem,
            _doubled(sound),
        ),
    ]
    if class_mask is not None and class_mask.shape == (height, width):
        found += [
            _finding(
                Severity.WARNING,
                "box-without-mask",
                "where the mask has no pixel of that type",
                "Look at the overlay: box or mask is wrong, or they belong to different pictures.",
                stem,
                [box for box in sound if _disagrees(box, class_mask)],
            ),
            _white_cells_without_box(stem, sound, class_mask),
        ]
    return [finding for finding in found if finding is not None]


def is_whole(box: LabelledBox) -> bool:
    """Whether a box has finite corners and an area."""
    is_finite = all(map(math.isfinite, region_of(box)))
    return is_finite and box.width > 0 and box.height > 0


def is_outside(box: LabelledBox, image_shape: tuple[int, ...]) -> bool:
    """Whether a box has no point in common with the picture."""
    height, width = image_shape
    return box.x_min >= width or box.y_min >= height or box.x_max <= 0 or box.y_max <= 0


def _finding(
    severity: Severity,
    check: str,
    what: str,
    remedy: str,
    stem: str,
    boxes: Sequence[LabelledBox],
) -> Finding | None:
    if not boxes:
        return None
    first = boxes[0]
    corners = ", ".join(f"{v:g}" for v in (first.x_min, first.y_min, first.x_max, first.y_max))
    count = f"{len(boxes)} boxes" if len(boxes) > 1 else "a box"
    return Finding(
        severity=severity,
        check=check,
        message=f"{stem} has {count} {what}: {first.cell_type} [{corners}]"
        + (" and others" if len(boxes) > 1 else ""),
        remedy=remedy,
        stems=(stem,),
        regions=tuple(region_of(box) for box in boxes),
    )


def region_of(box: LabelledBox) -> Region:
    """Corners of a box as a finding holds them."""
    return (box.x_min, box.y_min, box.x_max, box.y_max)


def _doubled(boxes: Sequence[LabelledBox]) -> list[LabelledBox]:
    doubled = []
    for cell_type in CellType:
        same = [box for box in boxes if box.cell_type == cell_type]
        overlap = np.triu(pairwise_box_iou(corners_of(same), corners_of(same)), k=1)
        doubled += [same[index] for index in np.flatnonzero((overlap > DUPLICATE_IOU).any(axis=0))]
    return doubled


def _disagrees(box: LabelledBox, class_mask: NDArray[np.uint8]) -> bool:
    if box.cell_type == CellType.PLATELET:
        # Platelets are background in the mask, or lie on a red cell.
        return False
    left, top = max(0, round(box.x_min)), max(0, round(box.y_min))
    inside = class_mask[top : max(0, round(box.y_max)), left : max(0, round(box.x_max))]
    scored = np.count_nonzero(inside != NOT_SCORED)
    if inside.size == 0 or scored < _SCORED_SHARE * inside.size:
        return False
    wanted = MASK_CLASS[box.cell_type]
    return bool(np.count_nonzero(inside == wanted) < _CLASS_SHARE * scored)


def _white_cells_without_box(
    stem: str, boxes: Sequence[LabelledBox], class_mask: NDArray[np.uint8]
) -> Finding | None:
    """White cells of the mask that no box of any white cell touches.

    Those at the edge are passed over: many annotate no cell that the edge cuts.
    """
    height, width = class_mask.shape
    white = corners_of([box for box in boxes if box.cell_type == CellType.WBC])
    is_white = (class_mask == CellClass.WBC).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(is_white)
    # Row 0 is everything that is not white; the last column is the area.
    places = stats[1:, :4].astype(np.float64)
    places = places[places[:, 2:].min(axis=1) > TINY_SIDE_PX]
    places[:, 2:] += places[:, :2]
    is_cut = (places[:, :2] <= 0).any(axis=1) | (places[:, 2:] >= (width, height)).any(axis=1)
    places = places[~is_cut]
    strays = places[~(pairwise_box_iou(places, white) > 0).any(axis=1)]
    if len(strays) == 0:
        return None
    left, top, right, bottom = strays[0]
    return Finding(
        severity=Severity.WARNING,
        check="mask-without-box",
        message=f"{stem}: no box marks {len(strays)} of the white cells in the mask, one at "
        f"[{left:g}, {top:g}, {right:g}, {bottom:g}]",
        remedy="Look at the overlay: add the box, or correct the mask.",
        stems=(stem,),
        regions=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in strays),
    )
