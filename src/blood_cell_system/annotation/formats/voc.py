"""Pascal VOC: an XML file of boxes an image, as LabelImg, Roboflow and a clone of BCCD have them.

Format: https://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf, section 6. BCCD:
https://github.com/Shenggan/BCCD_Dataset (MIT licence).
"""

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from xml.etree.ElementTree import Element

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads
from blood_cell_system.annotation.label_map import is_doubtful
from blood_cell_system.annotation.reader import Reader, ReadingBuilder, ReadOptions
from blood_cell_system.annotation.sample import Annotation, Reading
from blood_cell_system.annotation.text_files import (
    declared_shape,
    errors_located_at,
    read_label_xml,
    shortened,
)
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError, DatasetError, MissingDataError
from blood_cell_system.taxonomy import BUILT_IN
from blood_cell_system.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class VocAnnotation:
    """An annotation file as it stands.

    Parameters
    ----------
    shape : tuple of int or None
        Declared ``(height, width)`` in pixels; None where the file does not say.
    objects : tuple of Annotation
        With the corners ``xmin, ymin, xmax, ymax`` as ``written``: 1-based, both included.
    filename : str
        Name of the image; empty where the file does not say.
    """

    shape: tuple[int, int] | None
    objects: tuple[Annotation, ...]
    filename: str = ""

    def cells(self, *, first_pixel: int = 1) -> list[Annotation]:
        """Objects with their boxes in our coordinates: 0-based and half-open.

        Parameters
        ----------
        first_pixel : {0, 1}
            What the file calls the first pixel. The format says 1, with both corners included;
            tools that count from 0 write the border after the last pixel.
        """
        return [
            replace(item, box=Box(x_min - first_pixel, y_min - first_pixel, x_max, y_max))
            for item in self.objects
            if item.written is not None
            for x_min, y_min, x_max, y_max in (Box(*item.written).sorted_corners(),)
        ]


def read_voc_annotation(path: Path) -> VocAnnotation:
    """Read one annotation file.

    Raises
    ------
    MissingDataError, AnnotationError
        The file is not there, not XML, cut off, or lacks a label or a corner of a box.
    """
    tree = read_label_xml(path)
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


def _read_object(path: Path, index: int, element: Element) -> Annotation:
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
    flags = {child.tag: child.text or "" for child in element}
    return Annotation(
        cell_type=label,
        written=(x_min, y_min, x_max, y_max),
        is_definite=not is_doubtful(flags),
    )


def _number(path: Path, where: str, name: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(
            f"{path}: {where} has {shortened(text or '')} as <{name}>; expected a number of "
            "pixels. Correct the file."
        )
    return value


def _declared_shape(path: Path, tree: Element) -> tuple[int, int] | None:
    size = tree.find("size")
    if size is None:
        return None
    with errors_located_at(f"{path}: <size>", expected="a height and a width"):
        return declared_shape(size.findtext("height"), size.findtext("width"))


BCCD_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        label: cell_type.name
        for label, cell_type in zip(("RBC", "WBC", "Platelets"), BUILT_IN, strict=True)
    }
)
"""Type of a cell by its label in the files."""


def read_voc_folder(root: Path, *, labels: Mapping[str, str | None] = BCCD_LABELS) -> Reading:
    """Read a clone of BCCD, or a folder like it, with the labels exactly as in a table.

    ::

        BCCD_Dataset/BCCD/                     the folder itself or the one above it
        ├── Annotations/BloodImage_00000.xml   boxes, 1-based, both corners included
        ├── JPEGImages/BloodImage_00000.jpg    same stem
        └── ImageSets/Main/{train,val,test}.txt    optional: the official split, a stem a line

    Parameters
    ----------
    root : Path
        The folder with ``Annotations/`` and ``JPEGImages/``, or the one above it.
    labels : mapping of str to str or None
        Label table; None leaves cells with that label out. Any other label is an error.

    Raises
    ------
    MissingDataError, DatasetError, AnnotationError
        As of :meth:`VocReader.read`, or it is no VOC folder.
    """
    options = ReadOptions(label_map=labels, has_all_labels=True, first_pixel=1)
    return VocReader().read(_find_voc_folder(Path(root)), options)


def _find_voc_folder(root: Path) -> Path:
    if not root.is_dir():
        raise MissingDataError(
            f"{root}: there is no such folder. Expected a Pascal VOC folder, for instance a clone "
            "of https://github.com/Shenggan/BCCD_Dataset; check --input."
        )
    folders = {path.parent for path in (*root.glob("Annotations"), *root.glob("*/Annotations"))}
    found = sorted(path for path in folders if (path / "JPEGImages").is_dir())
    if root in found:
        return root
    if len(found) != 1:
        what = (
            f"several VOC folders ({', '.join(path.name for path in found)})"
            if found
            else "no folders Annotations/ and JPEGImages/"
        )
        raise DatasetError(
            f"{root}: {what} here or one level below; expected one Pascal VOC folder. "
            "Give the folder that holds Annotations/ as --input; if the clone is incomplete, "
            "clone it again."
        )
    return found[0]


_ROOT: Final = re.compile(r"<annotation[\s>]")
_ELEMENT: Final = re.compile(r"<([A-Za-z_][\w:.-]*)")
_LOOKED_AT: Final = 20  # Files whose beginning is read to recognise the format.


@reads("voc", title="Pascal VOC", order=50)
class VocReader(Reader):
    """Boxes in the XML of Pascal VOC, of BCCD, LabelImg, Roboflow, and copies of Kaggle sets.

    ::

        BCCD/
        ├── Annotations/a.xml               anywhere in the folder, also beside the images
        ├── JPEGImages/a.jpg                of the same name, or as <filename> says
        └── ImageSets/Main/{train,val,test}.txt    optional; a folder train/, val/ or test/ does too

    Corners are 1-based and both included. Some tools count from 0: where a corner is 0 all are
    taken so, and a note says it. Usual names of cells are known, in any spelling.

    BCCD: https://github.com/Shenggan/BCCD_Dataset, MIT licence; labels RBC, WBC, Platelets.
    """

    missing = "no XML files; expected one for every image. Unpack the data set again."

    def files(self, listing: FolderListing) -> tuple[Path, ...]:
        """XML files but those of another root: damaged ones are listed."""
        firsts = {path: _ELEMENT.search(listing.head(path)) for path in listing.with_suffix(".xml")}
        return tuple(
            path
            for path, first in firsts.items()
            if first is None or first[1] == "annotation" or listing.is_named_as_image(path)
        )

    def recognise(self, listing: FolderListing) -> str | None:
        """Look for XML files of one image each."""
        files = self.files(listing)
        seen = [path for path in files[:_LOOKED_AT] if _ROOT.search(listing.head(path))]
        if not seen:
            return None
        return f"{len(files)} XML files of an image each, for instance {seen[0].name}"

    def builder(
        self, listing: FolderListing, files: Sequence[Path], options: ReadOptions
    ) -> ReadingBuilder:
        """Know BCCD by the name of its folder."""
        builder = super().builder(listing, files, options)
        if any(part.upper().startswith("BCCD") for part in listing.root.resolve().parts[-2:]):
            builder.source, builder.licence = "bccd", "MIT"
        return builder

    def read_files(self, files: Sequence[Path], builder: ReadingBuilder) -> None:
        """Read one file an image, and the lists of splits."""
        listing = builder.listing
        foreign = sorted(set(listing.with_suffix(".xml")) - set(files))
        if foreign:
            builder.note(
                f"{len(foreign)} XML files of another kind were passed over, for instance "
                f"{foreign[0]}."
            )
        annotations: dict[Path, VocAnnotation] = {}
        for path in files:
            with builder.listing_failures(path.stem, label_file=path):
                annotations[path] = read_voc_annotation(path)
        first_pixel = _first_pixel(annotations, builder)
        for path, annotation in annotations.items():
            with builder.listing_failures(annotation.filename or path.stem, label_file=path):
                builder.add(
                    _image_of(path, annotation, listing),
                    annotation.cells(first_pixel=first_pixel),
                    label_file=path,
                    size=annotation.shape or (None, None),
                )


def _image_of(path: Path, annotation: VocAnnotation, listing: FolderListing) -> Path:
    """Image of an annotation: of its own name, else of the name that stands in it."""
    own = path.relative_to(listing.root).with_suffix("").as_posix()
    with suppress(MissingDataError):
        return listing.image_named(own, beside=path.parent, where=str(path))
    named = annotation.filename or path.stem
    return listing.image_named(named, beside=path.parent, where=str(path))


def _first_pixel(annotations: dict[Path, VocAnnotation], builder: ReadingBuilder) -> int:
    if builder.options.first_pixel is not None:
        return builder.options.first_pixel
    at_zero = [
        path
        for path, annotation in annotations.items()
        if any(item.written and 0 in item.written[:2] for item in annotation.objects)
    ]
    if not at_zero:
        return 1
    builder.note(
        f"{counted(len(at_zero), 'file has', 'files have')} boxes that begin at 0, for instance "
        f"{at_zero[0]}: all boxes "
        "are taken to count pixels from 0, unlike Pascal VOC. If that is wrong, say "
        "--first-pixel 1."
    )
    return 0
