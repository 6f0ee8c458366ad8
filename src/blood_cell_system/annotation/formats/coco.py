"""COCO JSON: a file for each split."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from blood_cell_system.annotation.clean import united
from blood_cell_system.annotation.format_registry import reads, writes
from blood_cell_system.annotation.label_map import is_doubtful
from blood_cell_system.annotation.outline import Outline, PixelOutline, PolygonOutline
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.run_lengths import (
    compress_counts,
    counts_of_mask,
    decompress_counts,
    mask_of_counts,
)
from blood_cell_system.annotation.sample import Annotation, CellFacts
from blood_cell_system.annotation.splits import split_of_folders, split_of_words
from blood_cell_system.annotation.text_files import (
    errors_located_at,
    read_label_json,
    shortened,
)
from blood_cell_system.annotation.writer import (
    NOT_SCORED_LABEL,
    LabelledImage,
    LabelWriter,
    OutlineForm,
    WriteStyle,
    has_holes,
    pixels_to_write,
    rings_to_write,
    short,
    write_compact_json,
)
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError, DatasetError

_KEYS: Final = ("images", "annotations", "categories")
_FEWEST_CORNERS: Final = 3  # Different ones, of an outline.


@reads("coco", title="COCO JSON", order=10)
class CocoReader(Reader):
    """COCO JSON with boxes, polygons and run lengths.

    ::

        folder/
        ├── annotations/instances_train.json    anywhere; a split is read from the file's name
        └── images/a.png                        anywhere; found by the file_name in the JSON

    Coordinates are 0-based; ``bbox`` is ``[x, y, width, height]``. An outline (``segmentation``: a
    list of polygons, or run lengths as numbers or compressed) is taken rather than the box. Marks
    with ``iscrowd`` are regions that are not scored. Classes are the names of ``categories``. Of a
    mark without an outline and a box the first key point is the cell's centre.

    Format: https://cocodataset.org/#format-data. The licence is that of the images.
    """

    suffixes = (".json",)
    # Any of the three may come first, and be longer than what is looked at.
    signs = (
        re.compile(r'"(?:images|annotations|categories)"\s*:\s*\[\s*[{\]]'),
        re.compile(r'"(?:file_name|category_id|supercategory|iscrowd)"\s*:'),
    )
    may_count_from_one = True
    seen = "{count} JSON with COCO's lists of images, annotations and categories"
    missing = (
        f"no JSON file with the lists {', '.join(_KEYS)}; expected COCO JSON. Export the labels as "
        "COCO."
    )

    def is_signed(self, head: str) -> bool:
        """Whether a file has the lists, and is none of a prepared folder."""
        return '"format_version"' not in head and super().is_signed(head)

    def read_file(self, path: Path, builder: ReadingBuilder) -> None:
        """Read the file of a split."""
        content = read_label_json(path)
        if not isinstance(content, dict) or not all(
            isinstance(content.get(k), list) for k in _KEYS
        ):
            raise DatasetError(
                f"{path}: expected an object with the lists {', '.join(_KEYS)}. Export it again as "
                "COCO instances."
            )
        with errors_located_at(f"{path}: categories", expected="an id and a name for each"):
            categories = [
                (_id(category["id"]), str(category["name"])) for category in content["categories"]
            ]
        with errors_located_at(f"{path}: images", expected="an id and a file_name for each"):
            identities = [_id(image["id"]) for image in content["images"]]
        _refuse_twice(path, "category", [identity for identity, _ in categories])
        _refuse_twice(path, "image", identities)
        labels = dict(categories)
        annotations: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for index, annotation in enumerate(content["annotations"], start=1):
            with errors_located_at(
                f"{path}: annotation {index}", expected="an object with image_id"
            ):
                annotations[_id(annotation["image_id"])].append(annotation)
        inner = path.relative_to(builder.listing.root)
        split = split_of_words(path.stem) or split_of_folders(inner)
        for index, (image, identity) in enumerate(
            zip(content["images"], identities, strict=True), start=1
        ):
            with errors_located_at(
                f"{path}: image {index}", expected="an object with id and file_name"
            ):
                name = str(image["file_name"])
            builder.add(
                name,
                annotations[identity],
                label_file=path,
                read_mark=partial(_cells, labels=labels),
                expected="a category_id of the list, and a segmentation or a bbox",
                where=f"{path}: {name}",
                size=(image.get("height"), image.get("width")),
                split=split,
            )
        for identity in sorted(annotations.keys() - set(identities)):
            builder.fail(
                str(identity),
                f"{path}: {len(annotations[identity])} annotations belong to the image id "
                f"{shortened(identity)}, which is not among the images. Add the image, or remove "
                "them.",
            )


def _id(value: Any) -> str:
    """Identity by its value: some programs write 7, others "7" or 7.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _refuse_twice(path: Path, what: str, identities: Sequence[str]) -> None:
    twice = [identity for identity, count in Counter(identities).items() if count > 1]
    if twice:
        raise AnnotationError(
            f"{path}: the {what} id {twice[0]} is used {identities.count(twice[0])} times "
            f"({len(twice)} ids more than once); expected a different id for each, or else nothing "
            "says whose an annotation is. Were files merged? Merge them again with new ids, or "
            "keep them apart in the same folder."
        )


def _cells(
    annotation: Mapping[str, Any], shape: tuple[int, int], *, labels: Mapping[str, str]
) -> Iterator[Annotation]:
    category = _id(annotation["category_id"])
    if category not in labels:
        raise AnnotationError(
            f"the category id {shortened(category)} is not among the categories; expected one of "
            f"{', '.join(labels)}. Add the category, or correct the id."
        )
    box = None
    if annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        box = Box(x, y, x + width, y + height)
    outline = _outline(annotation.get("segmentation"), shape, has_box=box is not None)
    yield Annotation(
        cell_type=labels[category],
        box=box,
        outline=outline,
        point=_point(annotation.get("keypoints")) if outline is None and box is None else None,
        is_definite=not (is_doubtful(annotation) or is_doubtful(annotation.get("attributes"))),
        facts=CellFacts.from_attributes(annotation.get("attributes")),
    )


def _point(keypoints: Any) -> tuple[float, float] | None:
    """First key point: the centre of a cell of which no more is known."""
    if not keypoints:
        return None
    x, y, _ = keypoints[:3]
    return float(x), float(y)


def _outline(segmentation: Any, shape: tuple[int, int], *, has_box: bool) -> Outline | None:
    """Outline of a mark; None where there is none, or a box says more than what is there."""
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return run_length_outline(segmentation["counts"], segmentation["size"], shape)
    if all(isinstance(number, int | float) for number in segmentation):
        # One polygon without the list around it.
        segmentation = [segmentation]
    rings = [_corners(numbers) for numbers in segmentation]
    if has_box:
        # Programs that know boxes only write [[]], or the box once more as two corners.
        rings = [ring for ring in rings if len(set(ring)) >= _FEWEST_CORNERS]
    if not rings:
        return None
    return united([PolygonOutline.from_points(ring) for ring in rings], shape)


def _corners(numbers: Sequence[float]) -> list[tuple[float, float]]:
    if len(numbers) % 2:
        raise AnnotationError(
            f"a polygon of {len(numbers)} numbers; expected pairs of x and y. Export it again."
        )
    values = [float(number) for number in numbers]
    return list(zip(values[0::2], values[1::2], strict=True))


def run_length_outline(counts: Any, size: Sequence[int], shape: tuple[int, int]) -> PixelOutline:
    """Outline of COCO's run lengths, as numbers or compressed, in an image of that shape.

    Raises
    ------
    AnnotationError
        They are of an image of another size, or damaged.
    """
    height, width = map(int, size)
    if (height, width) != shape:
        raise AnnotationError(
            f"the run lengths are of (height, width) {(height, width)}, the image of {shape}; "
            "expected the same. Export the masks again."
        )
    if isinstance(counts, str):
        counts = decompress_counts(counts)
    columns, first_column = mask_of_counts(counts, (width, height))
    return PixelOutline.from_pixels(columns.T, offset=(first_column, 0))


_POINT_NAME: Final = "centre"


@writes("coco", next_step="import annotations/ into the tool of your choice")
class CocoWriter(LabelWriter):
    """Writes ``images/`` and ``annotations/instances_SPLIT.json``; without a split ``default``.

    Outlines are polygons where COCO's lists of polygons can say the same, else compressed run
    lengths. Cells of which only the centre is known have it as a key point. Regions that are not
    scored are crowds of the category ``ignore``. ``attributes`` have condition, subtype, confidence
    and measures of a cell.
    """

    def __init__(self, root: Path, style: WriteStyle) -> None:
        super().__init__(root, style)
        self._images: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._annotations: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def add(self, image: LabelledImage) -> None:
        """Remember an image's labels."""
        split = str(image.sample.split or "default")
        height, width = image.sample.shape
        images, annotations = self._images[split], self._annotations[split]
        images.append(
            {
                "id": len(images) + 1,
                "file_name": image.path.name,
                "height": height,
                "width": width,
                "license": 0,
            }
        )
        for cell in image.annotations:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": self._style.labels.index(cell.cell_type) + 1,
                    "iscrowd": int(not cell.is_definite),
                    **_place(cell, image.sample.shape, self._style),
                    **({"attributes": cell.facts.to_attributes()} if cell.facts else {}),
                }
            )

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
                    for index, label in enumerate(self._style.labels, start=1)
                    if has_regions or label != NOT_SCORED_LABEL
                ],
            }
            write_compact_json(self._root / "annotations" / f"instances_{split}.json", content)


def _place(cell: Annotation, shape: tuple[int, int], style: WriteStyle) -> dict[str, Any]:
    """Box, outline, area and key point of a mark, as COCO has them."""
    if cell.outline is None and cell.box is None:
        assert cell.point is not None
        x, y = cell.point
        return {
            "bbox": [],
            "segmentation": [],
            "area": 0,
            "keypoints": [short(x), short(y), 2],
            "num_keypoints": 1,
        }
    if cell.outline is None:
        assert cell.box is not None
        _, _, width, height = bbox = _bbox(cell.box)
        return {"bbox": bbox, "segmentation": [], "area": short(width * height)}
    pixels = pixels_to_write(cell.outline, shape)
    rings = rings_to_write(cell.outline, shape, style)
    is_polygons = style.outlines is OutlineForm.POLYGONS and cell.is_definite
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
    """Compressed run lengths down the columns of the whole image."""
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
