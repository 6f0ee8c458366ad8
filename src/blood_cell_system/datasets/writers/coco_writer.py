"""COCO JSON: a file for each split."""

from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from blood_cell_system.boxes import Box
from blood_cell_system.classes import CELL_TYPES
from blood_cell_system.datasets.marks import Mark
from blood_cell_system.datasets.outline import PixelOutline
from blood_cell_system.datasets.run_lengths import compress_counts, counts_of_mask
from blood_cell_system.datasets.sample import Sample
from blood_cell_system.datasets.writers.writer import (
    NOT_SCORED_LABEL,
    LabelledPicture,
    OutlineForm,
    WriteStyle,
    has_holes,
    pixels_to_write,
    rings_to_write,
    short,
    write_compact_json,
)

_LABELS: Final = (*map(str, CELL_TYPES), NOT_SCORED_LABEL)
_POINT_NAME: Final = "centre"


class CocoWriter:
    """Writes ``images/`` and ``annotations/instances_SPLIT.json``; without a split ``default``.

    Outlines are polygons where COCO's lists of polygons can say the same, else compressed run
    lengths. Cells of which only the centre is known have it as a key point. Regions that are not
    scored are crowds of the category ``ignore``.
    """

    def __init__(self, root: Path, style: WriteStyle) -> None:
        self._root = root
        self._style = style
        self._images: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._annotations: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def picture_folder(self, sample: Sample) -> Path:
        """Folder of all pictures."""
        del sample
        return self._root / "images"

    def add(self, picture: LabelledPicture) -> int:
        """Remember a picture's labels; COCO holds all of them."""
        split = str(picture.sample.split or "default")
        height, width = picture.sample.shape
        images, annotations = self._images[split], self._annotations[split]
        images.append(
            {
                "id": len(images) + 1,
                "file_name": picture.path.name,
                "height": height,
                "width": width,
                "license": 0,
            }
        )
        for mark in picture.marks:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": _LABELS.index(mark.label) + 1,
                    "iscrowd": int(not mark.is_definite),
                    **_place(mark, picture.sample.shape, self._style),
                }
            )
        return 0

    def finish(self) -> None:
        """Write a file for each split."""
        for split, images in self._images.items():
            annotations = self._annotations[split]
            has_regions = any(annotation["iscrowd"] for annotation in annotations)
            content = {
                "info": {"description": "cells of blood smears", "version": "1.0"},
                "licenses": [{"id": 0, "name": "", "url": ""}],
                "images": images,
                "annotations": annotations,
                "categories": [
                    {
                        "id": index,
                        "name": label,
                        "supercategory": "cell",
                        "keypoints": [_POINT_NAME],
                        "skeleton": [],
                    }
                    for index, label in enumerate(_LABELS, start=1)
                    if has_regions or label != NOT_SCORED_LABEL
                ],
            }
            write_compact_json(self._root / "annotations" / f"instances_{split}.json", content)


def _place(mark: Mark, shape: tuple[int, int], style: WriteStyle) -> dict[str, Any]:
    """Box, outline, area and key point of a mark, as COCO has them."""
    if mark.outline is None and mark.box is None:
        assert mark.point is not None
        x, y = mark.point
        return {
            "bbox": [],
            "segmentation": [],
            "area": 0,
            "keypoints": [short(x), short(y), 2],
            "num_keypoints": 1,
        }
    if mark.outline is None:
        assert mark.box is not None
        _, _, width, height = bbox = _bbox(mark.box)
        return {"bbox": bbox, "segmentation": [], "area": short(width * height)}
    pixels = pixels_to_write(mark.outline, shape)
    rings = rings_to_write(mark.outline, shape, style)
    is_polygons = style.outlines is OutlineForm.POLYGONS and mark.is_definite
    return {
        "bbox": _bbox(pixels.box),
        "area": int(pixels.pixels.sum()),
        "segmentation": [[short(number) for number in ring.ravel()] for ring in rings]
        if is_polygons and not has_holes(rings)
        else _run_lengths(pixels, shape),
    }


def _bbox(box: Box) -> list[float | int]:
    x_min, y_min, x_max, y_max = box
    return [short(x_min), short(y_min), short(x_max - x_min), short(y_max - y_min)]


def _run_lengths(outline: PixelOutline, shape: tuple[int, int]) -> dict[str, Any]:
    """Compressed run lengths down the columns of the whole picture."""
    height, width = shape
    (x, y), (rows, columns) = outline.offset, outline.size
    # Of the columns that the cell is in; all others are one run before and one behind.
    inner = np.zeros((columns, height), dtype=np.bool_)
    inner[:, y : y + rows] = outline.pixels.T
    counts = counts_of_mask(inner)
    counts[0] += x * height
    # Runs take turns, beginning outside: of an even number the last is inside.
    if len(counts) % 2 == 0:
        counts.append(0)
    counts[-1] += (width - x - columns) * height
    return {"size": [height, width], "counts": compress_counts(counts)}
