"""Boxes of an annotation file that can be used, and why the others cannot."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blood_cell_system.boxes import LabelledBox, corners_of, pairwise_box_iou
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.voc_annotation import VocAnnotation
from blood_cell_system.errors import AnnotationError

TINY_SIDE_PX: Final = 3
"""Boxes with a side of this or less are slips of the mouse: two of BCCD's have one pixel."""

DUPLICATE_IOU: Final = 0.8
"""Boxes of one type that overlap by more mark the same cell twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedBox:
    """A box that was left out.

    Parameters
    ----------
    file : str
        Annotation file, relative to the data set's folder.
    object_index : int
        Position of the box in that file; the first is 1.
    reason : str
    """

    file: str
    object_index: int
    reason: str


def clean_cells(
    annotation: VocAnnotation,
    path: Path,
    shape: tuple[int, int],
    labels: Mapping[str, CellType | None],
) -> tuple[tuple[LabelledBox, ...], list[DroppedBox]]:
    """Part the boxes that can be used from those that cannot.

    Dropped are boxes that are inside out, outside of the picture, tiny, or around a cell that an
    earlier box of its type is around already. Boxes that leave the picture are clipped.

    Parameters
    ----------
    annotation : VocAnnotation
    path : Path
        Where it was read, for messages.
    shape : tuple of int
        ``(height, width)`` of the picture in pixels.
    labels : mapping of str to CellType or None
        Label table; None leaves cells with that label out.

    Returns
    -------
    cells : tuple of LabelledBox
        0-based and half-open.
    dropped : list of DroppedBox

    Raises
    ------
    AnnotationError
        A label is not in the table.
    """
    file = f"{path.parent.name}/{path.name}"
    kept: dict[int, LabelledBox] = {}
    dropped: list[DroppedBox] = []
    for index, item in enumerate(annotation.objects, start=1):
        if item.label not in labels:
            raise AnnotationError(
                f"{path}: object {index} is labelled {item.label!r}; expected "
                f"{', '.join(labels)}. Add it to the label table, as None to leave it out."
            )
        cell_type = labels[item.label]
        if cell_type is None:
            continue
        box = _clipped_box(cell_type, item.corners, shape)
        reason = _flaw(item.corners, box) or _duplicate(box, kept)
        if reason:
            dropped.append(DroppedBox(file=file, object_index=index, reason=reason))
        else:
            kept[index] = box
    return tuple(kept.values()), dropped


def _clipped_box(
    cell_type: CellType, corners: tuple[float, float, float, float], shape: tuple[int, int]
) -> LabelledBox:
    x_min, y_min, x_max, y_max = corners
    height, width = shape
    return LabelledBox(
        cell_type=cell_type,
        x_min=max(x_min - 1, 0),
        y_min=max(y_min - 1, 0),
        x_max=min(x_max, width),
        y_max=min(y_max, height),
    )


def _flaw(corners: tuple[float, float, float, float], clipped: LabelledBox) -> str | None:
    x_min, y_min, x_max, y_max = corners
    if x_max < x_min or y_max < y_min:
        return f"inside out: ({x_min:g}, {y_min:g}) to ({x_max:g}, {y_max:g})"
    if clipped.width <= 0 or clipped.height <= 0:
        return f"outside the picture: ({x_min:g}, {y_min:g}) to ({x_max:g}, {y_max:g})"
    if min(clipped.width, clipped.height) <= TINY_SIDE_PX:
        return f"too small for a cell: {clipped.width:g}×{clipped.height:g} px in the picture"
    return None


def _duplicate(box: LabelledBox, kept: Mapping[int, LabelledBox]) -> str | None:
    alike = {index: other for index, other in kept.items() if other.cell_type == box.cell_type}
    if not alike:
        return None
    overlaps = pairwise_box_iou(corners_of([box]), corners_of(list(alike.values())))[0]
    best = int(overlaps.argmax())
    if overlaps[best] <= DUPLICATE_IOU:
        return None
    return f"same {box.cell_type} as object {list(alike)[best]}: IoU {overlaps[best]:.2f}"
