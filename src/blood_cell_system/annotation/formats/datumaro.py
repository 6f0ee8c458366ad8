"""Datumaro JSON, which CVAT exports too: a file for each split."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from blood_cell_system.annotation.clean import ellipse_outline
from blood_cell_system.annotation.format_registry import reads
from blood_cell_system.annotation.formats.coco import run_length_outline
from blood_cell_system.annotation.label_map import is_doubtful
from blood_cell_system.annotation.outline import PolygonOutline
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.splits import split_of_folders, split_of_words
from blood_cell_system.annotation.text_files import errors_located_at, read_label_json
from blood_cell_system.boxes import Box


@reads("datumaro", title="Datumaro JSON", order=28)
class DatumaroReader(Reader):
    """Datumaro JSON with boxes, polygons, masks, ellipses and points.

    ::

        folder/
        ├── annotations/train.json       a split is read from the file's name
        └── images/train/a.png           anywhere; found by the path or the id of the item

    Coordinates are pixels, 0-based. A shape with an attribute ``difficult``, ``ignore``, ``crowd``,
    ``unsure`` or ``uncertain`` that is true is a region that is not scored.

    Format: https://openvinotoolkit.github.io/datumaro/. The licence is that of the images.
    """

    suffixes = (".json",)
    signs = (
        re.compile(r'"(?:items|categories|infos|dm_format_version)"\s*:\s*[\[{"]'),
        re.compile(r'"(?:label_id|dm_format_version)"|"label"\s*:\s*\{\s*"labels"'),
    )
    seen = "{count} JSON files with items of Datumaro"
    missing = (
        "no JSON file with items and categories; expected Datumaro's. Export the labels as "
        "Datumaro or COCO."
    )

    def read_file(self, path: Path, builder: ReadingBuilder) -> None:
        """Read the file of a split."""
        content = read_label_json(path)
        with errors_located_at(str(path), expected="a list of items, and the labels' names"):
            items = list(content["items"])
            labels = [str(label["name"]) for label in content["categories"]["label"]["labels"]]
        inner = path.relative_to(builder.listing.root)
        split = split_of_words(path.stem) or split_of_folders(inner)
        for index, item in enumerate(items, start=1):
            with errors_located_at(f"{path}: item {index}", expected="an id, and annotations"):
                image = item.get("image") or item.get("media") or {}
                name = str(image.get("path") or item["id"])
                marks = list(item.get("annotations") or ())
            builder.add(
                name,
                marks,
                label_file=path,
                read_mark=partial(_annotations, labels=labels),
                expected="a label_id of the list, and the shape's numbers",
                where=f"{path}: {name}",
                size=tuple(image.get("size") or (None, None)),
                split=split,
            )


def _annotations(
    mark: Mapping[str, Any], size: tuple[int, int], *, labels: Sequence[str]
) -> Iterator[Annotation]:
    number = int(mark["label_id"])
    yield Annotation(
        cell_type=labels[number] if number >= 0 else str(number),
        is_definite=not is_doubtful(mark.get("attributes")),
        **_place(mark, size),
    )


def _place(mark: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Box, outline or point of a shape, as fields of an annotation."""
    kind = mark["type"]
    if kind == "bbox":
        x, y, width, height = map(float, mark["bbox"])
        return {"box": Box(x, y, x + width, y + height)}
    if kind == "mask":
        return {"outline": run_length_outline(mark["rle"]["counts"], mark["rle"]["size"], size)}
    numbers = [float(number) for number in mark.get("points") or ()]
    if kind == "polygon":
        return {"outline": PolygonOutline.from_points(np.array(numbers))}
    if kind == "ellipse":
        x_min, y_min, x_max, y_max = numbers
        centre, radii = ((x_min + x_max) / 2, (y_min + y_max) / 2), (x_max - x_min, y_max - y_min)
        return {"outline": ellipse_outline(centre, [radius / 2 for radius in radii])}
    if kind == "points" and numbers:
        return {"point": (numbers[0], numbers[1])}
    # Without a place: it is listed among what was dropped.
    return {}
