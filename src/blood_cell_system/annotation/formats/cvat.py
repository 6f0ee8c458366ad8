"""CVAT XML for images, version 1.1: one file for all images."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from blood_cell_system.annotation.clean import ellipse_outline, turned_box
from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads, writes
from blood_cell_system.annotation.label_map import is_doubtful
from blood_cell_system.annotation.outline import Outline, PixelOutline, PolygonOutline
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.run_lengths import counts_of_mask, mask_of_counts
from blood_cell_system.annotation.sample import Annotation, CellFacts, Origin
from blood_cell_system.annotation.splits import split_of_words
from blood_cell_system.annotation.text_files import read_label_xml
from blood_cell_system.annotation.writer import (
    LabelledImage,
    LabelWriter,
    OutlineForm,
    WriteStyle,
    pixels_to_write,
    rings_to_write,
    short,
    short_corners,
)
from blood_cell_system.atomic_files import write_text
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError

_SHAPES: Final = ("box", "polygon", "ellipse", "mask", "points")
# Shapes of the tool that say nothing about a cell's place, or too little.
_OTHER_SHAPES: Final = ("polyline", "cuboid", "skeleton")


@reads("cvat", title="CVAT XML for images 1.1", order=40)
class CvatReader(Reader):
    """CVAT XML 1.1 with boxes, polygons, ellipses, masks and points.

    ::

        folder/
        ├── annotations.xml     <image name="a.png" width="640" height="480" subset="Train">
        └── images/a.png        anywhere; found by the name in the XML

    Coordinates are 0-based. Polygons of one group with the same label are one cell that something
    lies across. A shape with an attribute ``difficult``, ``ignore``, ``crowd``, ``unsure`` or
    ``uncertain`` that is true is a region that is not scored. Exports "for video" are refused.

    Format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/. The licence is
    that of the images.
    """

    suffixes = (".xml",)
    signs = (re.compile(r"<annotations[\s>]"),)
    may_count_from_one = True
    missing = (
        "no XML file with <annotations>; expected annotations.xml of CVAT. Export the task as "
        '"CVAT for images 1.1".'
    )

    def recognise(self, listing: FolderListing) -> str | None:
        """Name the files."""
        files = self.files(listing)
        return f"{', '.join(path.name for path in files[:3])} is XML of CVAT" if files else None

    def read_file(self, path: Path, builder: ReadingBuilder) -> None:
        """Read a file of many images."""
        tree = read_label_xml(path)
        if tree.find("track") is not None:
            raise AnnotationError(
                f"{path}: has tracks, as videos have; expected <image> elements. Export the task "
                'as "CVAT for images 1.1".'
            )
        for image in tree.iterfind("image"):
            name = image.get("name") or ""
            builder.add(
                name,
                [element for element in image if element.tag in (*_SHAPES, *_OTHER_SHAPES)],
                label_file=path,
                read_mark=_annotations,
                expected="a label and the shape's numbers",
                where=f"{path}: {name}",
                size=(image.get("height"), image.get("width")),
                split=split_of_words(image.get("subset", "")),
            )


def _annotations(element: Element, shape: tuple[int, int]) -> Iterator[Annotation]:
    attributes = {
        attribute.get("name", ""): attribute.text or ""
        for attribute in element.iterfind("attribute")
    }
    for place in _places(element, shape):
        yield Annotation(
            cell_type=element.attrib["label"],
            is_definite=not is_doubtful(attributes),
            facts=CellFacts.from_attributes(attributes),
            part_of=int(element.get("group_id") or 0) or None,
            **place,
        )


def _places(element: Element, shape: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Boxes, outlines or points of a shape, as fields of marks."""
    degrees = float(element.get("rotation") or 0)
    if element.tag == "box":
        box = Box(*(float(element.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr")))
        yield {"outline": turned_box(box, degrees)} if degrees else {"box": box}
    elif element.tag == "polygon":
        yield {"outline": PolygonOutline.from_points(_points(element))}
    elif element.tag == "ellipse":
        centre = float(element.attrib["cx"]), float(element.attrib["cy"])
        radii = float(element.attrib["rx"]), float(element.attrib["ry"])
        yield {"outline": ellipse_outline(centre, radii, degrees=degrees)}
    elif element.tag == "mask":
        yield {"outline": _mask_outline(element, shape)}
    elif element.tag == "points":
        yield from ({"point": point} for point in _points(element))
    else:
        # Without a place: it is listed among what was dropped.
        yield {}


def _points(element: Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in element.attrib["points"].split(";") if pair.strip())
    return [(float(x), float(y)) for x, y in pairs]


def _mask_outline(element: Element, shape: tuple[int, int]) -> Outline:
    left, top, width, height = (
        int(float(element.attrib[name])) for name in ("left", "top", "width", "height")
    )
    if width > shape[1] or height > shape[0]:
        raise AnnotationError(
            f"a mask of (height, width) {(height, width)} in an image of {shape}; expected one "
            "that fits. Export the masks again."
        )
    counts = [int(count) for count in element.attrib["rle"].split(",")]
    rows, first_row = mask_of_counts(counts, (height, width))
    return PixelOutline.from_pixels(rows, offset=(left, top + first_row))


@writes("cvat", next_step='make a task of images/, then upload annotations.xml as "CVAT 1.1"')
class CvatWriter(LabelWriter):
    """Writes ``images/`` and ``annotations.xml``; splits are the subsets of a project.

    Outlines in one part are polygons, all others masks. Regions that are not scored are labelled
    ``ignore``. Attributes of a shape have its condition, subtype, confidence and measures.
    """

    def __init__(self, root: Path, style: WriteStyle) -> None:
        super().__init__(root, style)
        self._images: list[Element] = []
        self._attributes: dict[str, None] = {}

    def add(self, labelled: LabelledImage) -> None:
        """Remember an image's labels."""
        height, width = labelled.sample.shape
        image = Element("image", id=str(len(self._images)), name=labelled.path.name)
        if labelled.sample.split is not None:
            image.set("subset", str(labelled.sample.split))
        image.set("width", str(width))
        image.set("height", str(height))
        for annotation in labelled.annotations:
            shape = _shape(annotation, labelled.sample.shape, self._style)
            known = annotation.facts.to_attributes() if annotation.facts else {}
            for name, value in known.items():
                SubElement(shape, "attribute", name=name).text = str(value)
            self._attributes |= dict.fromkeys(known)
            image.append(shape)
        self._images.append(image)

    def finish(self) -> None:
        """Write the file."""
        root = Element("annotations")
        SubElement(root, "version").text = "1.1"
        task = SubElement(SubElement(root, "meta"), "task")
        SubElement(task, "name").text = "blood smears"
        SubElement(task, "size").text = str(len(self._images))
        SubElement(task, "mode").text = "annotation"
        labels = SubElement(task, "labels")
        for name in self._style.labels:
            label = SubElement(labels, "label")
            SubElement(label, "name").text = name
            SubElement(label, "color").text = "#{:02x}{:02x}{:02x}".format(
                *self._style.colour(name)
            )
            SubElement(label, "type").text = "any"
            attributes = SubElement(label, "attributes")
            # CVAT takes only attributes that its labels declare.
            for attribute in self._attributes:
                declared = SubElement(attributes, "attribute")
                SubElement(declared, "name").text = attribute
                SubElement(declared, "mutable").text = "False"
                SubElement(declared, "input_type").text = "text"
                SubElement(declared, "default_value")
                SubElement(declared, "values")
        root.extend(self._images)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        write_text(
            self._root / "annotations.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'
        )


def _shape(annotation: Annotation, shape: tuple[int, int], style: WriteStyle) -> Element:
    numbers: dict[str, str]
    if annotation.outline is not None:
        rings = rings_to_write(annotation.outline, shape, style)
        if style.outlines is OutlineForm.POLYGONS and len(rings) == 1:
            kind, numbers = "polygon", {"points": _points_text(rings[0])}
        else:
            kind, numbers = "mask", _mask(pixels_to_write(annotation.outline, shape))
    elif annotation.box is not None:
        kind = "box"
        numbers = {
            name: str(short(value))
            for name, value in zip(("xtl", "ytl", "xbr", "ybr"), annotation.box, strict=True)
        }
    else:
        assert annotation.point is not None
        kind, numbers = "points", {"points": _points_text([annotation.point])}
    is_by_program = annotation.origin in (Origin.PREDICTED, Origin.STAIN)
    return Element(
        kind,
        {
            "label": annotation.cell_type,
            "source": "auto" if is_by_program else "manual",
            "occluded": "0",
            **numbers,
            "z_order": "0",
        },
    )


def _points_text(corners: Iterable[Sequence[float]]) -> str:
    return ";".join(f"{x},{y}" for x, y in short_corners(corners))


def _mask(outline: PixelOutline) -> dict[str, str]:
    (x, y), (height, width) = outline.offset, outline.size
    return {
        "rle": ", ".join(map(str, counts_of_mask(outline.pixels))),
        "left": str(x),
        "top": str(y),
        "width": str(width),
        "height": str(height),
    }
