"""LabelMe JSON: a file beside each picture."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from blood_cell_system.atomic_files import write_json
from blood_cell_system.datasets.marks import Mark
from blood_cell_system.datasets.outline import PixelOutline
from blood_cell_system.datasets.sample import Sample
from blood_cell_system.datasets.writers.writer import (
    LabelledPicture,
    OutlineForm,
    WriteStyle,
    has_holes,
    pixels_to_write,
    rings_to_write,
    short_corners,
)

_VERSION: Final = "5.4.1"
"""LabelMe warns of files of another major version."""


class LabelMeWriter:
    """Writes ``NAME.json`` beside each picture; splits become folders.

    An outline in several parts is several polygons with one ``group_id``; one with a hole is a
    mask. Regions that are not scored are labelled ``ignore``.
    """

    def __init__(self, root: Path, style: WriteStyle) -> None:
        self._root = root
        self._style = style

    def picture_folder(self, sample: Sample) -> Path:
        """Folder of the split."""
        return self._root / str(sample.split or "")

    def add(self, picture: LabelledPicture) -> int:
        """Write a picture's labels; LabelMe holds all of them."""
        height, width = picture.sample.shape
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [
                shape
                for group, mark in enumerate(picture.marks, start=1)
                for shape in _shapes(mark, group, picture.sample.shape, self._style)
            ],
            "imagePath": picture.path.name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        write_json(picture.path.with_suffix(".json"), content)
        return 0

    def finish(self) -> None:
        """Nothing belongs to all pictures."""


def _shapes(
    mark: Mark, group: int, shape: tuple[int, int], style: WriteStyle
) -> Iterator[dict[str, Any]]:
    if mark.outline is None:
        if mark.box is not None:
            x_min, y_min, x_max, y_max = mark.box
            yield _shape(mark, "rectangle", [(x_min, y_min), (x_max, y_max)])
        elif mark.point is not None:
            yield _shape(mark, "point", [mark.point])
        return
    rings = rings_to_write(mark.outline, shape, style)
    if style.outlines is OutlineForm.MASKS or has_holes(rings):
        yield _mask(mark, pixels_to_write(mark.outline, shape))
        return
    for ring in rings:
        yield _shape(mark, "polygon", ring, group=group if len(rings) > 1 else None)


def _shape(mark: Mark, kind: str, points: Any, *, group: int | None = None) -> dict[str, Any]:
    return {
        "label": mark.label,
        "points": short_corners(points),
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }


def _mask(mark: Mark, outline: PixelOutline) -> dict[str, Any]:
    """Mask between its first and its last pixel, as a PNG in base64."""
    (x, y), (height, width) = outline.offset, outline.size
    _, data = cv2.imencode(".png", outline.pixels.astype(np.uint8) * 255)
    shape = _shape(mark, "mask", [(x, y), (x + width - 1, y + height - 1)])
    return shape | {"mask": base64.b64encode(data.tobytes()).decode("ascii")}
