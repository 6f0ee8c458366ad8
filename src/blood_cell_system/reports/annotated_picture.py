"""A picture with the outlines of its cells, and a box around those that want a look."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.drawing.overlay import draw_boxes, draw_overlay
from blood_cell_system.drawing.text import text_strip
from blood_cell_system.inference.analysis import PictureAnalysis
from blood_cell_system.reports.diagnostic import CellFlag, ReportedCell

Colour = tuple[int, int, int]

ABNORMAL_COLOUR: Final[Colour] = (255, 0, 170)
UNSURE_COLOUR: Final[Colour] = (235, 165, 0)
NONE_COLOUR: Final[Colour] = (70, 70, 70)

_ORDER: Final = (NONE_COLOUR, UNSURE_COLOUR, ABNORMAL_COLOUR)
_WHITE: Final[Colour] = (255, 255, 255)
_SMALLEST_FONT_PX: Final = 9
_LETTER_SHARE: Final = 0.62
_OVERHANG: Final = 1.3


def annotated_picture(
    analysis: PictureAnalysis, cells: Sequence[ReportedCell]
) -> NDArray[np.uint8]:
    """Draw outlines; box and name what a classifier finds not healthy, not sure, or no such cell.

    Parameters
    ----------
    analysis : PictureAnalysis
    cells : sequence of ReportedCell
        Of the same picture.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB; the same as of :func:`draw_overlay` where no cell was classified.
    """
    found = analysis.separated
    drawn = draw_overlay(
        analysis.image,
        analysis.class_mask,
        label_image=found.label_image,
        cell_types=[cell.cell_type for cell in found.cells],
    )
    marks = [(cell, mark) for cell in cells if (mark := _mark_of(cell)) is not None]
    # What matters most is drawn last, over the others.
    marks.sort(key=lambda marked: _ORDER.index(marked[1][0]))
    for colour in _ORDER:
        boxes = [cell.bbox for cell, mark in marks if mark[0] == colour]
        if boxes:
            drawn = draw_boxes(drawn, np.array(boxes, dtype=np.float64), colour=colour)
    for cell, (colour, name) in marks:
        _write_name(drawn, cell, name, colour)
    return drawn


def _mark_of(cell: ReportedCell) -> tuple[Colour, str] | None:
    if not cell.probabilities:
        return None
    if CellFlag.NONE_OF_THESE in cell.flags:
        return NONE_COLOUR, "?"
    if cell.is_abnormal:
        # "malaria_RBC" is long, and the outline's colour tells the cell's type.
        name = cell.condition.partition("_")[0]
        return ABNORMAL_COLOUR, f"{name}?" if cell.is_uncertain else name
    return (UNSURE_COLOUR, "?") if cell.is_uncertain else None


def _write_name(picture: NDArray[np.uint8], cell: ReportedCell, name: str, colour: Colour) -> None:
    """Write a name at a box's upper left corner, in place, as far as the picture reaches.

    Of a name that is wider than its cell only the first letter is written: it would hide others.
    """
    x_min, y_min, x_max, y_max = cell.bbox
    font_size = max(_SMALLEST_FONT_PX, min(x_max - x_min, y_max - y_min) // 6)
    width = _width_px(name, font_size)
    if width > _OVERHANG * (x_max - x_min):
        name = name[0] + ("?" if name.endswith("?") and len(name) > 1 else "")
        width = _width_px(name, font_size)
    strip = text_strip(name, width, font_size=font_size, colour=_WHITE, background=colour)
    top, left = max(y_min, 0), max(x_min, 0)
    room = picture[top : top + strip.shape[0], left : left + strip.shape[1]]
    room[:] = strip[: room.shape[0], : room.shape[1]]


def _width_px(name: str, font_size: int) -> int:
    return round(len(name) * font_size * _LETTER_SHARE) + max(4, font_size // 2) + 2
