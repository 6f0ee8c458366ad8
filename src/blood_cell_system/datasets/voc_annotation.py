"""Annotation files of Pascal VOC, read without trust.

Format: https://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf, section 6.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from blood_cell_system.boxes import Box
from blood_cell_system.datasets.label_text import decode_label_text
from blood_cell_system.datasets.marks import Mark
from blood_cell_system.errors import AnnotationError


@dataclass(frozen=True, slots=True, kw_only=True)
class VocObject:
    """One ``<object>`` as it stands in the file.

    Parameters
    ----------
    label : str
    corners : tuple of float
        ``xmin, ymin, xmax, ymax`` in pixels, 1-based, both corners included.
    """

    label: str
    corners: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VocAnnotation:
    """An annotation file as it stands.

    Parameters
    ----------
    shape : tuple of int or None
        Declared ``(height, width)`` in pixels; None where the file does not say.
    objects : tuple of VocObject
    filename : str
        Name of the picture; empty where the file does not say.
    """

    shape: tuple[int, int] | None
    objects: tuple[VocObject, ...]
    filename: str = ""


def read_voc_annotation(path: Path) -> VocAnnotation:
    """Read one annotation file.

    Entities and document type definitions are refused: a few bytes of them can fill the memory.

    Raises
    ------
    AnnotationError
        The file is not XML, is cut off, or lacks a label or a corner of a box.
    """
    try:
        data = path.read_bytes()
        # Of other encodings the XML itself speaks; of UTF-16 not all programs let it.
        text = decode_label_text(path, data) if b"\0" in data else data
        tree = ElementTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise AnnotationError(
            f"{path}: declares entities or a document type ({type(error).__name__}), which "
            "annotations never need and which can be an attack; expected plain VOC XML. "
            "Do not use this file unless you know where it comes from."
        ) from error
    # Expat raises the last two for encodings that it does not know.
    except (ParseError, LookupError, ValueError) as error:
        raise AnnotationError(
            f"{path}: not XML, or cut off ({error}); expected a VOC <annotation>. "
            "Copy it again from its source."
        ) from error
    except OSError as error:
        raise AnnotationError(
            f"{path}: cannot be read ({error.strerror or error}). Check the file's permissions."
        ) from error
    if tree.tag != "annotation":
        raise AnnotationError(
            f"{path}: the outermost element is <{tree.tag}>; expected <annotation>. "
            "Export the boxes as Pascal VOC."
        )
    objects = tuple(
        _read_object(path, index, element)
        for index, element in enumerate(tree.iterfind("object"), start=1)
    )
    return VocAnnotation(
        shape=_declared_shape(path, tree),
        objects=objects,
        filename=(tree.findtext("filename") or "").strip(),
    )


def marks_of(annotation: VocAnnotation, *, first_pixel: int = 1) -> list[Mark]:
    """Objects of a file in our coordinates: 0-based and half-open.

    Parameters
    ----------
    annotation : VocAnnotation
    first_pixel : {0, 1}
        What the file calls the first pixel. The format says 1, with both corners included; tools
        that count from 0 write the border after the last pixel.
    """
    return [
        Mark(
            label=item.label,
            box=Box(
                item.corners[0] - first_pixel,
                item.corners[1] - first_pixel,
                item.corners[2],
                item.corners[3],
            ),
            written=item.corners,
        )
        for item in annotation.objects
    ]


def _read_object(path: Path, index: int, element: Element) -> VocObject:
    label = (element.findtext("name") or "").strip()
    if not label:
        raise AnnotationError(
            f"{path}: object {index} has no <name>; expected its label. Add it, or remove the "
            "object."
        )
    box = element.find("bndbox")
    if box is None:
        raise AnnotationError(
            f"{path}: object {index} ({label}) has no <bndbox>; expected its box. Add it, or "
            "remove the object."
        )
    x_min, y_min, x_max, y_max = (
        _number(path, f"object {index} ({label})", name, box.findtext(name))
        for name in ("xmin", "ymin", "xmax", "ymax")
    )
    return VocObject(label=label, corners=(x_min, y_min, x_max, y_max))


def _number(path: Path, where: str, name: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(
            f"{path}: {where} has {text!r} as <{name}>; expected a number of pixels. "
            "Correct the file."
        )
    return value


def _declared_shape(path: Path, tree: Element) -> tuple[int, int] | None:
    size = tree.find("size")
    if size is None:
        return None
    width = int(_number(path, "<size>", "width", size.findtext("width")))
    height = int(_number(path, "<size>", "height", size.findtext("height")))
    # Some tools write 0 × 0 where they do not know.
    return (height, width) if height > 0 and width > 0 else None
