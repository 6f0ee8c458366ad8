"""CVAT XML for images, version 1.1: one file for all pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from blood_cell_system.atomic_files import write_text
from blood_cell_system.boxes import BoxOrigin
from blood_cell_system.classes import CELL_TYPES
from blood_cell_system.datasets.marks import Mark
from blood_cell_system.datasets.outline import PixelOutline
from blood_cell_system.datasets.run_lengths import counts_of_mask
from blood_cell_system.datasets.sample import Sample
from blood_cell_system.datasets.writers.colours import label_colour
from blood_cell_system.datasets.writers.writer import (
    NOT_SCORED_LABEL,
    LabelledPicture,
    OutlineForm,
    WriteStyle,
    pixels_to_write,
    rings_to_write,
    short,
    short_corners,
)

_LABELS: Final = (*map(str, CELL_TYPES), NOT_SCORED_LABEL)


class CvatWriter:
    """Writes ``images/`` and ``annotations.xml``; splits are the subsets of a project.

    Outlines in one part are polygons, all others masks. Regions that are not scored are labelled
    ``ignore``.
    """

    def __init__(self, root: Path, style: WriteStyle) -> None:
        self._root = root
        self._style = style
        self._images: list[Element] = []

    def picture_folder(self, sample: Sample) -> Path:
        """Folder of all pictures."""
        del sample
        return self._root / "images"

    def add(self, picture: LabelledPicture) -> int:
        """Remember a picture's labels; CVAT holds all of them."""
        height, width = picture.sample.shape
        image = Element("image", id=str(len(self._images)), name=picture.path.name)
        if picture.sample.split is not None:
            image.set("subset", str(picture.sample.split))
        image.set("width", str(width))
        image.set("height", str(height))
        for mark in picture.marks:
            image.append(_shape(mark, picture.sample.shape, self._style))
        self._images.append(image)
        return 0

    def finish(self) -> None:
        """Write the file."""
        root = Element("annotations")
        SubElement(root, "version").text = "1.1"
        task = SubElement(SubElement(root, "meta"), "task")
        SubElement(task, "name").text = "blood smears"
        SubElement(task, "size").text = str(len(self._images))
        SubElement(task, "mode").text = "annotation"
        labels = SubElement(task, "labels")
        for name in _LABELS:
            label = SubElement(labels, "label")
            SubElement(label, "name").text = name
            SubElement(label, "color").text = "#{:02x}{:02x}{:02x}".format(*label_colour(name))
            SubElement(label, "type").text = "any"
            SubElement(label, "attributes")
        root.extend(self._images)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        write_text(
            self._root / "annotations.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'
        )


def _shape(mark: Mark, shape: tuple[int, int], style: WriteStyle) -> Element:
    numbers: dict[str, str]
    if mark.outline is not None:
        rings = rings_to_write(mark.outline, shape, style)
        if style.outlines is OutlineForm.POLYGONS and len(rings) == 1:
            kind, numbers = "polygon", {"points": _points(rings[0])}
        else:
            kind, numbers = "mask", _mask(pixels_to_write(mark.outline, shape))
    elif mark.box is not None:
        kind = "box"
        numbers = {
            name: str(short(value))
            for name, value in zip(("xtl", "ytl", "xbr", "ybr"), mark.box, strict=True)
        }
    else:
        assert mark.point is not None
        kind, numbers = "points", {"points": _points([mark.point])}
    is_by_program = mark.origin in (BoxOrigin.PREDICTED, BoxOrigin.STAIN)
    return Element(
        kind,
        {
            "label": mark.label,
            "source": "auto" if is_by_program else "manual",
            "occluded": "0",
            **numbers,
            "z_order": "0",
        },
    )


def _points(corners: Iterable[Sequence[float]]) -> str:
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
