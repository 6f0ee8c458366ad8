"""Which annotations can be used, and shapes that tools draw as outlines."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.label_map import DROP, LabelReader
from blood_cell_system.annotation.outline import Outline, PixelOutline, PolygonOutline, Ring
from blood_cell_system.annotation.sample import Annotation, DroppedCell
from blood_cell_system.boxes import Box, pairwise_box_iou
from blood_cell_system.errors import AnnotationError

TINY_SIDE_PX: Final = 3
"""Boxes with a side of this or less are slips of the mouse: two of BCCD's have one pixel."""

DUPLICATE_IOU: Final = 0.8
"""Boxes of one type that overlap by more mark the same cell twice."""


@dataclass(slots=True, kw_only=True)
class CleanAnnotations:
    """The annotations of one image: those that can be used, and the others.

    Parameters
    ----------
    unscored : list of Outline
        Regions that are not definite, or whose label is left out.
    crossing : int
        Number of polygons that cross themselves; they are filled by the even-odd rule.
    """

    cells: list[Annotation] = field(default_factory=list)
    unscored: list[Outline] = field(default_factory=list)
    dropped: list[DroppedCell] = field(default_factory=list)
    crossing: int = 0


def clean_annotations(
    annotations: Iterable[Annotation],
    *,
    file: str,
    where: str,
    shape: tuple[int, int],
    labels: LabelReader,
) -> CleanAnnotations:
    """Separate the annotations that can be used from those that cannot.

    Dropped are outlines of less than three corners, whatever lies outside of the image or is
    tiny, and the second annotation of a cell. Boxes with swapped corners are sorted. Of two of
    one cell an outline is kept rather than a box, and a box rather than a point. What leaves the
    image is cut off.

    Parameters
    ----------
    annotations : iterable of Annotation
        In the order of the file.
    file : str
        Label file relative to the data set's folder, for the list of what was dropped.
    where : str
        Label file, for messages.
    shape : tuple of int
        ``(height, width)`` of the image in pixels.
    labels : LabelReader
        Remembers labels that are not known.
    """
    found = CleanAnnotations()
    kept: dict[int, Annotation] = {}
    for index, annotation in enumerate(annotations, start=1):
        cell_type = labels.type_of(annotation.cell_type, where=f"{where}: object {index}")
        if cell_type == DROP:
            continue
        annotation, reason = _usable(annotation, shape)
        if reason is None and (cell_type is None or not annotation.is_definite):
            found.unscored += _region(annotation)
            continue
        if cell_type is None:
            continue
        cell = replace(annotation, cell_type=cell_type, written=None, part_of=None)
        twin = None if reason else _twin(cell, kept)
        if twin and _precision(cell) > _precision(kept[twin[0]]):
            earlier, _ = twin
            del kept[earlier]
            found.dropped.append(
                DroppedCell(
                    file=file, object_index=earlier, reason=f"same {cell_type} as object {index}"
                )
            )
        elif twin:
            reason = twin[1]
        if reason:
            found.dropped.append(DroppedCell(file=file, object_index=index, reason=reason))
            continue
        kept[index] = cell
        if isinstance(cell.outline, PolygonOutline):
            found.crossing += any(crosses_itself(ring) for ring in cell.outline.rings)
    found.cells = list(kept.values())
    found.dropped.sort(key=lambda dropped: dropped.object_index)
    return found


def clip_box(box: Box, shape: tuple[int, int]) -> Box:
    """Cut a box down to the image; inside out where nothing is left."""
    height, width = shape
    return Box(
        float(max(box.x_min, 0)),
        float(max(box.y_min, 0)),
        float(min(box.x_max, width)),
        float(min(box.y_max, height)),
    )


def crosses_itself(ring: Ring) -> bool:
    """Whether two edges of a polygon cross each other.

    Examples
    --------
    >>> bow = np.array([(0, 0), (2, 2), (2, 0), (0, 2)], dtype=float)
    >>> crosses_itself(bow), crosses_itself(bow[[0, 2, 1, 3]])
    (True, False)
    """
    start, end = ring, np.roll(ring, -1, axis=0)
    side_of_start = _side(start[:, None], end[:, None], start[None, :])
    side_of_end = _side(start[:, None], end[:, None], end[None, :])
    is_parted = side_of_start * side_of_end < 0
    return bool((is_parted & is_parted.T).any())


def _side(
    start: NDArray[np.float64], end: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """On which side of a line points lie: -1, 0 or 1."""
    along, towards = end - start, points - start
    return np.asarray(np.sign(along[..., 0] * towards[..., 1] - along[..., 1] * towards[..., 0]))


def _usable(annotation: Annotation, shape: tuple[int, int]) -> tuple[Annotation, str | None]:
    """Cut an annotation down to the image, and say what is wrong with it."""
    if annotation.outline is not None:
        return _usable_outline(annotation, annotation.outline, shape)
    if annotation.box is not None:
        box = annotation.box.sorted_corners()
        clipped = clip_box(box, shape)
        return replace(annotation, box=clipped), _flaw(
            annotation.written or box, box, clipped, shape
        )
    if annotation.point is None:
        return annotation, "neither box nor outline nor point"
    x, y = annotation.point
    if not (0 <= x < shape[1] and 0 <= y < shape[0]):
        return annotation, f"outside the image: point ({x:g}, {y:g})"
    return annotation, None


def _usable_outline(
    annotation: Annotation, outline: Outline, shape: tuple[int, int]
) -> tuple[Annotation, str | None]:
    if isinstance(outline, PolygonOutline):
        rings = tuple(ring for ring in outline.rings if len(np.unique(ring, axis=0)) >= 3)
        if not rings:
            corners = max((len(np.unique(ring, axis=0)) for ring in outline.rings), default=0)
            return annotation, f"no outline: {corners} different corners, expected 3 or more"
        if not all(np.isfinite(ring).all() for ring in rings):
            return annotation, "no outline: a corner is not a number"
        outline = replace(outline, rings=rings)
    elif 0 in outline.size:
        return annotation, "no outline: the mask is empty"
    box = clip_box(outline.box, shape)
    reason = _flaw(outline.box, outline.box, box, shape)
    if reason is None and not outline.window(shape)[2].any():
        reason = "no outline: it holds no pixel of the image"
    return replace(annotation, outline=outline, box=box, point=None), reason


FAR_OUTSIDE: Final = 0.5
"""How far beyond the image a cell may reach, as a share of the image's side: cells at the border
reach out a little, boxes in other units by far."""


def _flaw(written: tuple[float, ...], box: Box, clipped: Box, shape: tuple[int, int]) -> str | None:
    x_min, y_min, x_max, y_max = written
    place = f"({x_min:g}, {y_min:g}) to ({x_max:g}, {y_max:g})"
    if not np.isfinite(box).all():
        return f"no numbers: {place}"
    width, height = clipped.x_max - clipped.x_min, clipped.y_max - clipped.y_min
    if width <= 0 or height <= 0:
        return f"outside the image: {place}"
    if min(width, height) <= TINY_SIDE_PX:
        return f"too small for a cell: {width:g}×{height:g} px in the image"
    far_x, far_y = FAR_OUTSIDE * shape[1], FAR_OUTSIDE * shape[0]
    beyond_x = max(clipped.x_min - box.x_min, box.x_max - clipped.x_max)
    beyond_y = max(clipped.y_min - box.y_min, box.y_max - clipped.y_max)
    if beyond_x > far_x or beyond_y > far_y:
        return f"far outside the image: {place}"
    return None


def _region(annotation: Annotation) -> list[Outline]:
    if annotation.outline is not None:
        return [annotation.outline]
    if annotation.box is None:
        return []
    x_min, y_min, x_max, y_max = annotation.box
    corners = [(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)]
    return [PolygonOutline.from_points(corners)]


def _precision(cell: Annotation) -> int:
    return 2 if cell.outline is not None else int(cell.box is not None)


def _twin(cell: Annotation, kept: dict[int, Annotation]) -> tuple[int, str] | None:
    """Index of an earlier annotation of the same cell, and how that is known."""
    alike = {
        index: other.box
        for index, other in kept.items()
        if other.cell_type == cell.cell_type and other.box is not None
    }
    if cell.box is None:
        if cell.point is not None:
            x, y = cell.point
            for index, box in alike.items():
                if box.x_min <= x < box.x_max and box.y_min <= y < box.y_max:
                    return index, f"same {cell.cell_type} as object {index}: it lies in its box"
        return None
    for index, other in kept.items():
        if other.cell_type == cell.cell_type and other.box is None and other.point is not None:
            x, y = other.point
            if cell.box.x_min <= x < cell.box.x_max and cell.box.y_min <= y < cell.box.y_max:
                return index, ""
    if not alike:
        return None
    overlaps = pairwise_box_iou(np.array([cell.box]), np.array(list(alike.values())))[0]
    best = int(overlaps.argmax())
    if overlaps[best] <= DUPLICATE_IOU:
        return None
    index = list(alike)[best]
    return index, f"same {cell.cell_type} as object {index}: IoU {overlaps[best]:.2f}"


_MAX_SAGITTA_PX: Final = 0.05
"""How far the sides of a polygon may lie within the ellipse that it stands for."""

_LARGEST_PX: Final = 1e6  # Larger than any image that can be read.


def ellipse_outline(
    centre: Sequence[float], radii: Sequence[float], *, degrees: float = 0.0
) -> PolygonOutline:
    """Ellipse as a polygon that differs from it by a twentieth of a pixel at most.

    Parameters
    ----------
    centre : sequence of float
        ``(x, y)`` in pixels.
    radii : sequence of float
        Half-axes in pixels, before it is turned.
    degrees : float
        Turned clockwise on the screen.

    Raises
    ------
    AnnotationError
        A number is not finite, or larger than any image.

    Examples
    --------
    >>> Box(*map(round, ellipse_outline((10, 8), (4, 2), degrees=90).box))
    Box(x_min=8, y_min=4, x_max=12, y_max=12)
    """
    if not all(abs(number) < _LARGEST_PX for number in (*centre, *radii, degrees)):
        raise AnnotationError(
            f"an ellipse at {tuple(centre)} with the half-axes {tuple(radii)}; expected numbers of "
            "pixels within the image. Draw it again."
        )
    largest = max(*map(abs, radii), 2 * _MAX_SAGITTA_PX)
    # A chord over the angle 2a lies r (1 - cos a) within the circle; a multiple of 4 has corners
    # at the ends of the axes.
    count = 4 * math.ceil(math.pi / math.acos(1 - _MAX_SAGITTA_PX / largest) / 4)
    angles = np.arange(count) * (2 * math.pi / count)
    corners = np.stack([radii[0] * np.cos(angles), radii[1] * np.sin(angles)], axis=1)
    return PolygonOutline(rings=(_turned(corners, degrees) + np.asarray(centre),))


def turned_box(box: Box, degrees: float) -> PolygonOutline:
    """Box turned clockwise about its middle, as a polygon."""
    half = np.array([box.x_max - box.x_min, box.y_max - box.y_min]) / 2
    middle = np.array([box.x_min + box.x_max, box.y_min + box.y_max]) / 2
    corners = half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    return PolygonOutline(rings=(_turned(corners, degrees) + middle,))


def _turned(corners: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Rows are points; y runs down, so that this turns clockwise.
    return np.asarray(corners @ np.array([[cosine, sine], [-sine, cosine]]))


def shifted(annotation: Annotation, by: float) -> Annotation:
    """Move an annotation's numbers along both axes: some files call the first pixel 1.

    Pixels of a mask are counted from the image's corner whatever the first is called, and stay.
    """
    if by == 0:
        return annotation
    outline = annotation.outline
    if isinstance(outline, PolygonOutline):
        outline = PolygonOutline(rings=tuple(ring + by for ring in outline.rings))
    return replace(
        annotation,
        box=None if annotation.box is None else Box(*(value + by for value in annotation.box)),
        outline=outline,
        point=None
        if annotation.point is None
        else (annotation.point[0] + by, annotation.point[1] + by),
    )


def united(parts: Sequence[Outline], shape: tuple[int, int]) -> Outline:
    """One outline of all that lies in any of several.

    Parameters
    ----------
    parts : sequence of Outline
        One at least.
    shape : tuple of int
        ``(height, width)`` of the image in pixels.

    Returns
    -------
    Outline
        Polygons as they are where they lie apart, else pixels.
    """
    if len(parts) == 1:
        return parts[0]
    polygons = [part for part in parts if isinstance(part, PolygonOutline) and part.rings]
    if len(polygons) == len(parts) and _are_apart([part.box for part in polygons]):
        return PolygonOutline(rings=tuple(ring for part in polygons for ring in part.rings))
    inside = np.zeros(shape, dtype=bool)
    for part in parts:
        rows, columns, window = part.window(shape)
        inside[rows, columns] |= window
    return PixelOutline.from_pixels(inside)


def _are_apart(boxes: Sequence[Box]) -> bool:
    return not any(
        first.x_min < second.x_max
        and second.x_min < first.x_max
        and first.y_min < second.y_max
        and second.y_min < first.y_max
        for position, first in enumerate(boxes)
        for second in boxes[:position]
    )


def joined_parts(
    annotations: Iterable[Annotation], shape: tuple[int, int]
) -> tuple[list[Annotation], int]:
    """Make one cell of the outlines of each label and number (``part_of``).

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` of the image in pixels.

    Returns
    -------
    annotations : list of Annotation
        In their order; a cell stands where its first part does.
    joined : int
        Number of outlines that became part of an earlier one.
    """
    cells: list[Annotation] = []
    parts: dict[tuple[str, int], tuple[int, list[Outline]]] = {}
    for annotation in annotations:
        outline = annotation.outline
        if annotation.part_of is not None and outline and np.isfinite(outline.box).all():
            key = annotation.cell_type, annotation.part_of
            place, outlines = parts.setdefault(key, (len(cells), []))
            outlines.append(outline)
            if len(outlines) > 1:
                continue
        cells.append(annotation)
    for place, outlines in parts.values():
        cells[place] = replace(cells[place], outline=united(outlines, shape))
    return cells, sum(len(outlines) - 1 for _, outlines in parts.values())
