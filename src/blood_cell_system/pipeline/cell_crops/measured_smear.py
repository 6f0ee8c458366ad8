"""A smear made ready for cutting: cleaned, its stain measured, and the outlines in given boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.marks import find_marks, paint_over
from blood_cell_system.analysis.survey import find_field
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.cells.cut_out import Piece
from blood_cell_system.cells.watershed import fill_round_holes, separate_by_shape
from blood_cell_system.masks.ellipses import clip_to_pixels, ellipse_distance
from blood_cell_system.masks.red_cells import (
    RedCellAppearance,
    appearance_of_red_cells,
    red_share_of,
)
from blood_cell_system.masks.white_cells import outline_white_cell
from blood_cell_system.stain.optical_density import (
    GREEN,
    StainSettings,
    foreground_threshold,
    optical_density,
)
from blood_cell_system.stain.slide_light import SlideLight, fit_slide_light

_BORDER_PX: Final = 2
"""What is nearer to the image's border may be cut off, in pixels."""
_CORE: Final = 0.7
"""Part of the box's ellipse, along its axes, in which the cell's own density is taken."""
_RIM_SHARE: Final = 0.45
"""The rim of a cell is where its density has fallen to this part of that of its centre."""
_PALE_SHARE: Final = 0.3
"""Within the convex hull this part is enough: parasites leave pale places at the rim."""
_MARGIN: Final = 0.3
"""Margin of the window around a box, in its longer sides."""
_MIN_NECK: Final = 0.12
"""How much narrower than the smaller cell a neck is at least where cells are parted."""
_BOX_SLACK: Final = 0.08
"""By how much a cell may reach beyond its box, in longer sides: boxes are drawn by hand."""
_LEAST_SHARE_IN_BOX: Final = 0.7
"""Part of the cell that lies in its box, at least."""
_MIN_FILL: Final = 0.12
"""Part of its box that a cell fills, at least; a thin sickle in a square box fills little."""
_SPECK_PX: Final = 20
"""Holes of fewer pixels are closed whatever their shape."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Smear:
    """An image made ready for cutting.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB without marks; outside the field of view like the empty slide.
    field : ndarray of shape (height, width), dtype bool
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density.
    threshold : float
        Green density from which on a pixel belongs to something stained.
    """

    image: NDArray[np.uint8]
    field: NDArray[np.bool_]
    light: SlideLight
    density: NDArray[np.float32]
    threshold: float

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> Self:
        """Clean an image, find its field of view and its light, and measure its stain."""
        field = find_field(image)
        marks = find_marks(image, field)
        clean = image if marks is None else paint_over(image, marks)
        light = fit_slide_light(clean, field=field)
        if not field.all():
            clean = np.where(field[:, :, None], clean, light.image())
        density = optical_density(clean)
        threshold = foreground_threshold(density, settings=StainSettings(), left_out=~field)
        return cls(image=clean, field=field, light=light, density=density, threshold=threshold)

    def window(self, rows: slice, columns: slice) -> "Smear":
        """Cut a part out, as a smear of its own."""
        part = np.ascontiguousarray(self.image[rows, columns])
        return Smear(
            image=part,
            field=self.field[rows, columns],
            light=fit_slide_light(part),
            density=self.density[rows, columns],
            threshold=self.threshold,
        )

    def foreground(self) -> NDArray[np.uint8]:
        """1 where something is stained, pallors of red cells included, 0 elsewhere."""
        stained = ((self.density[:, :, GREEN] > self.threshold) & self.field).astype(np.uint8)
        opened = cv2.morphologyEx(stained, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return fill_round_holes(np.asarray(opened), always_below_px=_SPECK_PX)

    def is_whole(self, box: Annotation) -> bool:
        """Whether a box keeps off the border of the image and of the field of view."""
        height, width = self.field.shape
        left, top, right, bottom = (
            int(side) for side in (box.x_min, box.y_min, np.ceil(box.x_max), np.ceil(box.y_max))
        )
        if min(left, top) < _BORDER_PX:
            return False
        if right > width - _BORDER_PX or bottom > height - _BORDER_PX:
            return False
        return bool(self.field[top:bottom, left:right].all())

    def red_cells(self, boxes: list[Annotation]) -> RedCellAppearance:
        """How red cells look, given where some cells are."""
        foreground = self.density[:, :, GREEN] > self.threshold
        return appearance_of_red_cells(self.density, foreground, red_share_of(self.density), boxes)

    def white_outline(self, box: Annotation, red_cells: RedCellAppearance) -> Piece | None:
        """Pixels of the white cell in a box; None where none is seen."""
        found = outline_white_cell(self.density, box, red_cells)
        if found is None:
            return None
        rows, columns, inside = found
        return _largest_part((columns.start, rows.start), inside, box)

    def blob_outline(self, box: Annotation, others: Sequence[Annotation] = ()) -> Piece | None:
        """Pixels of the red cell or platelet in a box; None where nothing there is stained.

        The rim is where the density has fallen to a share of that of the cell's own middle, so
        that dark and pale stains give the same outline. What touches is cut off at its neck or
        half way to the next cell, and nothing far from the box belongs to the cell.

        Parameters
        ----------
        others : sequence of Annotation
            Other cells, among them this one.
        """
        margin = _MARGIN * max(box.width, box.height)
        rows, columns = clip_to_pixels(box, self.field.shape, margin=margin)
        green = self.density[rows, columns, GREEN]
        distance = ellipse_distance(box, rows, columns)
        middle = green[distance < _CORE**2]
        if not len(middle):
            return None
        # The upper quarter: a thin cell fills little of its box, a pallor is hardly stained.
        dark = float(np.quantile(middle, 0.75))
        threshold = max(self.threshold, _RIM_SHARE * dark)
        is_own = np.ones(green.shape, dtype=bool)
        for other in others:
            if other is not box and _overlap(box, other, margin):
                is_own &= ellipse_distance(other, rows, columns) >= distance
        stained = ((green > threshold) & is_own).astype(np.uint8)
        stained = cv2.morphologyEx(stained, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        filled = fill_round_holes(np.asarray(stained), always_below_px=_SPECK_PX)
        parts = separate_by_shape(filled, min_neck=_MIN_NECK)
        inside = _most_contained(parts, is_in_box=_window_of(box, rows, columns, slack=0.0))
        if inside is None:
            return None
        # Parasites leave pale places at the rim, which are paler than the cell but no slide.
        is_free = is_own & ((parts == 0) | inside) & (green > _PALE_SHARE * dark)
        inside = inside | (_hull(inside) & is_free)
        slack = _BOX_SLACK * max(box.width, box.height)
        is_near = _window_of(box, rows, columns, slack=slack)
        return _largest_part((columns.start, rows.start), inside & is_near, box)


def _window_of(box: Annotation, rows: slice, columns: slice, *, slack: float) -> NDArray[np.bool_]:
    """Pixels of a window that lie in a box, or at most ``slack`` beyond."""
    y, x = np.arange(rows.start, rows.stop) + 0.5, np.arange(columns.start, columns.stop) + 0.5
    is_in_rows = (y >= box.y_min - slack) & (y <= box.y_max + slack)
    is_in_columns = (x >= box.x_min - slack) & (x <= box.x_max + slack)
    return is_in_rows[:, None] & is_in_columns[None, :]


def _most_contained(
    parts: NDArray[np.int32], *, is_in_box: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """Pixels of the cell that a box was drawn for: large, and nearly all of it in the box.

    Loose boxes hold pieces of neighbours, and their cell is not always in the middle.
    """
    areas = np.bincount(parts.ravel())
    within = np.bincount(parts[is_in_box], minlength=len(areas))
    within[0] = 0
    shares = within / np.maximum(areas, 1)
    best = int((within * shares**3).argmax())
    if shares[best] < _LEAST_SHARE_IN_BOX:
        return None
    return np.asarray(parts == best)


def _hull(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Convex hull of some pixels."""
    points = cv2.findNonZero(inside.view(np.uint8))
    hull = np.zeros(inside.shape, dtype=np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return hull.astype(bool)


def _overlap(box: Annotation, other: Annotation, margin: float) -> bool:
    """Whether two boxes of different cells come near each other."""
    return (
        other.x_min < box.x_max + margin
        and other.x_max > box.x_min - margin
        and other.y_min < box.y_max + margin
        and other.y_max > box.y_min - margin
    )


def _largest_part(
    corner: tuple[int, int], inside: NDArray[np.bool_], box: Annotation
) -> Piece | None:
    """Largest connected part, filled; None where it is far smaller than its box."""
    opened = cv2.morphologyEx(inside.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    filled = np.zeros(inside.shape, dtype=np.uint8)
    cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    if np.count_nonzero(filled) < _MIN_FILL * box.width * box.height:
        return None
    return corner, filled.astype(bool)
