"""Shapes that tools draw, as outlines."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import Box
from blood_cell_system.datasets.marks import Mark
from blood_cell_system.datasets.outline import Outline, PixelOutline, PolygonOutline
from blood_cell_system.errors import AnnotationError

_MAX_SAGITTA_PX: Final = 0.05
"""How far the sides of a polygon may lie within the ellipse that it stands for."""

_LARGEST_PX: Final = 1e6


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
        A number is not finite, or larger than any picture.

    Examples
    --------
    >>> Box(*map(round, ellipse_outline((10, 8), (4, 2), degrees=90).box))
    Box(x_min=8, y_min=4, x_max=12, y_max=12)
    """
    if not all(abs(number) < _LARGEST_PX for number in (*centre, *radii, degrees)):
        raise AnnotationError(
            f"an ellipse at {tuple(centre)} with the half-axes {tuple(radii)}; expected numbers of "
            "pixels within the picture. Draw it again."
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


def shifted(mark: Mark, by: float) -> Mark:
    """Move a mark's numbers along both axes: some files call the first pixel 1.

    Pixels of a mask are counted from the picture's corner whatever the first is called, and stay.
    """
    if by == 0:
        return mark
    outline = mark.outline
    if isinstance(outline, PolygonOutline):
        outline = PolygonOutline(rings=tuple(ring + by for ring in outline.rings))
    return replace(
        mark,
        box=None if mark.box is None else Box(*(value + by for value in mark.box)),
        outline=outline,
        point=None if mark.point is None else (mark.point[0] + by, mark.point[1] + by),
    )


def united(parts: Sequence[Outline], shape: tuple[int, int]) -> Outline:
    """One outline of all that lies in any of several.

    Parameters
    ----------
    parts : sequence of Outline
        One at least.
    shape : tuple of int
        ``(height, width)`` of the picture in pixels.

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


def join_groups(
    marks: Iterable[tuple[Mark, int | None]], shape: tuple[int, int]
) -> tuple[list[Mark], int]:
    """Make one cell of outlines that have the same label and the same group.

    Tools have groups for cells that something lies across, so that they are seen in parts.

    Parameters
    ----------
    marks : iterable of tuple
        Each with the number of its group; None where it is in none.
    shape : tuple of int
        ``(height, width)`` of the picture in pixels.

    Returns
    -------
    marks : list of Mark
        In their order; a group stands where its first part does.
    joined : int
        Number of outlines that became part of an earlier one.
    """
    joined: list[Mark] = []
    parts: dict[tuple[str, int], tuple[int, list[Outline]]] = {}
    for mark, group in marks:
        if group is None or mark.outline is None:
            joined.append(mark)
            continue
        place, outlines = parts.setdefault((mark.label, group), (len(joined), []))
        outlines.append(mark.outline)
        if len(outlines) == 1:
            joined.append(mark)
    for place, outlines in parts.values():
        if len(outlines) > 1:
            joined[place] = replace(joined[place], outline=united(outlines, shape))
    return joined, sum(len(outlines) - 1 for _, outlines in parts.values())
