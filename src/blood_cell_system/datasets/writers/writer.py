"""What writers of all formats share: how marks are put down, and where pictures go."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from blood_cell_system.atomic_files import write_text
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.marks import Mark
from blood_cell_system.datasets.outline import Outline, PixelOutline, PolygonOutline, Ring
from blood_cell_system.datasets.outline_tracing import pixels_of, traced_rings
from blood_cell_system.datasets.rings import nesting_depths, simplified_ring
from blood_cell_system.datasets.sample import Sample
from blood_cell_system.errors import SettingsError

NOT_SCORED_LABEL: Final = "ignore"
"""Label of regions that are not scored; every reader knows it."""

_DECIMALS: Final = 3


class OutlineForm(StrEnum):
    """How outlines are written."""

    POLYGONS = "polygons"
    """With few corners and exactly the same pixels; as a mask where there is a hole."""

    MASKS = "masks"
    """Pixel by pixel, in formats that have that."""

    BOXES = "boxes"
    """Left out: the boxes around cells alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStyle:
    """How labels are to be written.

    Parameters
    ----------
    outlines : OutlineForm
    tolerance_px : float
        How far polygons may be from the border of the pixels, so that they have fewer corners; 0
        for exactly the same pixels.

    Raises
    ------
    SettingsError
        The tolerance is negative or no number.
    """

    outlines: OutlineForm = OutlineForm.POLYGONS
    tolerance_px: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance_px < float("inf"):
            raise SettingsError(
                f"tolerance_px: received {self.tolerance_px}; expected a number of 0 or more."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """A picture that has its place among the written files, and what is known about it.

    Parameters
    ----------
    sample : Sample
    path : Path
        Of the copy.
    marks : tuple of Mark
    """

    sample: Sample
    path: Path
    marks: tuple[Mark, ...]


class LabelWriter(Protocol):
    """A writer of one format; made with the folder to write and the style."""

    def picture_folder(self, sample: Sample) -> Path:
        """Folder that a picture's copy goes to."""

    def add(self, picture: LabelledPicture) -> int:
        """Write a picture's labels, or remember them; return how many the format cannot hold."""

    def finish(self) -> None:
        """Write what belongs to all pictures."""


def marks_to_write(sample: Sample, style: WriteStyle) -> tuple[Mark, ...]:
    """Cells and regions of a sample as marks, in the way that the style asks for."""
    marks = []
    for cell in sample.cells or ():
        has_outline = cell.outline is not None and style.outlines is not OutlineForm.BOXES
        marks.append(
            Mark(
                label=str(cell.cell_type),
                box=cell.box,
                outline=cell.outline if has_outline else None,
                point=None if cell.box is not None else cell.point,
                origin=cell.origin,
            )
        )
    marks += [
        Mark(label=NOT_SCORED_LABEL, outline=region, is_definite=False)
        for region in sample.unscored
    ]
    return tuple(marks)


def rings_to_write(outline: Outline, shape: tuple[int, int], style: WriteStyle) -> tuple[Ring, ...]:
    """Polygons of an outline within the picture, with as many corners as the style asks for."""
    if isinstance(outline, PolygonOutline) and _is_within(outline.box, shape):
        return tuple(
            simplified_ring(ring, tolerance_px=style.tolerance_px) for ring in outline.rings
        )
    pixels = pixels_to_write(outline, shape)
    return traced_rings(
        pixels.pixels, offset=pixels.offset, shape=shape, tolerance_px=style.tolerance_px
    )


def _is_within(box: Box, shape: tuple[int, int]) -> bool:
    return box.x_min >= 0 and box.y_min >= 0 and box.x_max <= shape[1] and box.y_max <= shape[0]


def has_holes(rings: Sequence[Ring]) -> bool:
    """Whether one of several polygons lies within another."""
    return len(rings) > 1 and any(nesting_depths(rings))


def pixels_to_write(outline: Outline, shape: tuple[int, int]) -> PixelOutline:
    """Pixels of an outline that lie in the picture."""
    pixels = pixels_of(outline, shape)
    if _is_within(pixels.box, shape):
        return pixels
    rows, columns, inside = pixels.window(shape)
    return PixelOutline.from_pixels(inside, offset=(columns.start, rows.start))


def short(number: float) -> float | int:
    """Round to thousandths of a pixel, whole numbers without a point.

    Examples
    --------
    >>> short(12.0), short(0.12345)
    (12, 0.123)
    """
    rounded = round(float(number), _DECIMALS)
    return int(rounded) if rounded.is_integer() else rounded


def short_corners(corners: Iterable[Sequence[float]]) -> list[list[float | int]]:
    """Round all numbers of a polygon."""
    return [[short(x), short(y)] for x, y in corners]


def box_corners(box: Box) -> Ring:
    """Four corners of a box, clockwise on the screen."""
    x_min, y_min, x_max, y_max = box
    return np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)])


def write_compact_json(path: Path, value: object) -> None:
    """Write a JSON file without blanks, whole or not at all: outlines are long lists of numbers."""
    write_text(path, json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
