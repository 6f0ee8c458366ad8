"""LabelMe JSON: a file beside each image."""

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from blood_cell_system.annotation.clean import ellipse_outline
from blood_cell_system.annotation.format_registry import reads, writes
from blood_cell_system.annotation.label_map import is_doubtful
from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import Annotation, CellFacts
from blood_cell_system.annotation.text_files import errors_located_at, read_label_json
from blood_cell_system.annotation.writer import (
    LabelledImage,
    LabelWriter,
    OutlineForm,
    WriteStyle,
    has_holes,
    pixels_to_write,
    rings_to_write,
    short_corners,
)
from blood_cell_system.atomic_files import write_json
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError

# X-AnyLabeling writes rectangles with four corners, and turned ones as "rotation".
_POLYGON_KINDS: Final = frozenset(
    {"polygon", "rectangle", "oriented_rectangle", "rotation", "quadrilateral"}
)
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"


@reads("labelme", title="LabelMe JSON", order=20)
class LabelMeReader(Reader):
    """LabelMe JSON with polygons, rectangles, circles, points and masks.

    ::

        folder/
        ├── a.png
        └── a.json     imagePath names the image; a folder train/, val/ or test/ is its split

    Coordinates are 0-based. Polygons with the same label and the same ``group_id`` are one cell
    that something lies across. A shape with a ticked flag ``difficult``, ``ignore``, ``crowd``,
    ``unsure`` or ``uncertain`` is a region that is not scored, also where X-AnyLabeling says
    ``difficult``. Images within the JSON
    (``imageData``) are not read: keep the files beside it.

    Format: https://github.com/wkentaro/labelme (version 4 and 5). The licence is that of the
    images.
    """

    suffixes = (".json",)
    # Both, as a list of shapes can be long and images within the file even longer.
    signs = (re.compile(r'"shapes"\s*:'), re.compile(r'"imagePath"\s*:'))
    may_count_from_one = True
    seen = "{count} JSON files of LabelMe"
    missing = (
        "no JSON file with shapes and an imagePath; expected LabelMe's, one an image. Save the "
        "labels beside the images."
    )

    def read_files(self, files: Sequence[Path], builder: ReadingBuilder) -> None:
        """Read one file an image, also those that are damaged."""
        # Also files named as an image beside them: damaged ones must not pass for unlabelled.
        listing = builder.listing
        images = {path.with_suffix("") for path in listing.images()}
        beside = {path for path in listing.with_suffix(".json") if path.with_suffix("") in images}
        for path in sorted({*files, *beside}):
            _read_file(path, builder)


def _read_file(path: Path, builder: ReadingBuilder) -> None:
    with builder.listing_failures(path.stem, label_file=path):
        content = read_label_json(path)
        with errors_located_at(str(path), expected="an imagePath and a list of shapes"):
            reference = str(content["imagePath"] or path.stem)
            shapes = content["shapes"]
            if not isinstance(shapes, list):
                raise TypeError
        builder.add(
            reference,
            shapes,
            label_file=path,
            read_mark=_annotations,
            expected="a label, points, and a shape_type",
            size=(content.get("imageHeight"), content.get("imageWidth")),
        )


def _annotations(value: Mapping[str, Any], _: tuple[int, int]) -> Iterator[Annotation]:
    # X-AnyLabeling has "difficult" beside the flags, and attributes of its own.
    doubts = map(is_doubtful, (value, value.get("flags"), value.get("attributes")))
    points = [(float(x), float(y)) for x, y in value["points"]]
    group = value.get("group_id")
    yield Annotation(
        cell_type=str(value["label"]),
        is_definite=not any(doubts),
        facts=CellFacts.from_attributes(value.get("attributes")),
        part_of=None if group is None else int(group),
        **_place(value.get("shape_type") or "polygon", points, value),
    )


def _place(
    kind: str, points: Sequence[tuple[float, float]], value: Mapping[str, Any]
) -> dict[str, Any]:
    """Box, outline or point of a shape, as fields of a mark.

    Lines and shapes that are not known have no place: they are listed among what was dropped.
    """
    if kind == "rectangle" and len(points) == 2:
        # Drawn from any corner to the opposite one.
        return {"box": Box(*points[0], *points[1]).sorted_corners()}
    if kind in _POLYGON_KINDS and points:
        outline = PolygonOutline.from_points(points)
        is_box = kind != "polygon" and outline.is_upright_rectangle
        return {"box": outline.box} if is_box else {"outline": outline}
    if kind == "circle" and len(points) == 2:
        centre, rim = points
        radius = math.dist(centre, rim)
        return {"outline": ellipse_outline(centre, (radius, radius))}
    if kind == "point" and len(points) == 1:
        return {"point": points[0]}
    if kind == "mask":
        return {"outline": _mask_outline(points, str(value["mask"]))}
    return {}


def _mask_outline(points: Sequence[tuple[float, float]], text: str) -> PixelOutline:
    """Pixels of a mask, whose two corners are its first and its last pixel."""
    (left, top), (right, bottom) = points
    x, y = round(left), round(top)
    width, height = round(right) - x + 1, round(bottom) - y + 1
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise AnnotationError(
            f"the mask is not base64 ({error}); expected a PNG in it. Save the file again."
        ) from error
    # The size is looked at before the image is unpacked: a few bytes can hold gigabytes.
    size = (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    if not data.startswith(_PNG_START) or size != (width, height):
        found = f"{size[0]}×{size[1]} pixels" if data.startswith(_PNG_START) else "no PNG"
        raise AnnotationError(
            f"the mask is {found}, its corners are {width}×{height} pixels apart; expected a PNG "
            "of that size. Draw it again."
        )
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise AnnotationError("the mask's PNG is damaged. Draw it again.")
    return PixelOutline.from_pixels(pixels, offset=(x, y))


_VERSION: Final = "5.4.1"
"""LabelMe warns of files of another major version."""


@writes("labelme", next_step="run: labelme {output}")
class LabelMeWriter(LabelWriter):
    """Writes ``NAME.json`` beside each image; splits become folders.

    An outline in several parts is several polygons with one ``group_id``; one with a hole is a
    mask. Regions that are not scored are labelled ``ignore``. ``attributes`` of a shape have its
    condition, subtype, confidence and measures.
    """

    images = ""

    def add(self, image: LabelledImage) -> None:
        """Write an image's labels."""
        height, width = image.sample.shape
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [
                shape
                for group, annotation in enumerate(image.annotations, start=1)
                for shape in _shapes(annotation, group, image.sample.shape, self._style)
            ],
            "imagePath": image.path.name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        write_json(image.path.with_suffix(".json"), content)


def _shapes(
    annotation: Annotation, group: int, shape: tuple[int, int], style: WriteStyle
) -> Iterator[dict[str, Any]]:
    if annotation.outline is None:
        if annotation.box is not None:
            x_min, y_min, x_max, y_max = annotation.box
            yield _shape(annotation, "rectangle", [(x_min, y_min), (x_max, y_max)])
        elif annotation.point is not None:
            yield _shape(annotation, "point", [annotation.point])
        return
    rings = rings_to_write(annotation.outline, shape, style)
    if style.outlines is OutlineForm.MASKS or has_holes(rings):
        yield _mask(annotation, pixels_to_write(annotation.outline, shape))
        return
    for ring in rings:
        yield _shape(annotation, "polygon", ring, group=group if len(rings) > 1 else None)


def _shape(
    annotation: Annotation, kind: str, points: Any, *, group: int | None = None
) -> dict[str, Any]:
    return {
        "label": annotation.cell_type,
        "points": short_corners(points),
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
        # LabelMe keeps what it does not know; X-AnyLabeling shows it.
        **({"attributes": annotation.facts.to_attributes()} if annotation.facts else {}),
    }


def _mask(annotation: Annotation, outline: PixelOutline) -> dict[str, Any]:
    """Mask between its first and its last pixel, as a PNG in base64."""
    (x, y), (height, width) = outline.offset, outline.size
    _, data = cv2.imencode(".png", outline.pixels.astype(np.uint8) * 255)
    shape = _shape(annotation, "mask", [(x, y), (x + width - 1, y + height - 1)])
    return shape | {"mask": base64.b64encode(data.tobytes()).decode("ascii")}
