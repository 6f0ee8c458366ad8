"""YOLO: a text file for each picture, with boxes or outlines as fractions of its sides."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from blood_cell_system.boxes import Box
from blood_cell_system.datasets.folder_listing import FolderListing
from blood_cell_system.datasets.label_text import read_label_text
from blood_cell_system.datasets.marks import Mark
from blood_cell_system.datasets.outline import PolygonOutline
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.datasets.reader import ReadingBuilder, ReadOptions
from blood_cell_system.datasets.sample import Reading
from blood_cell_system.datasets.split_names import split_of_folders, split_of_words
from blood_cell_system.datasets.yolo_names import find_names_file, read_names
from blood_cell_system.errors import AnnotationError, BloodCellError, DatasetError
from blood_cell_system.image_io import IMAGE_SUFFIXES, read_image_shape

_LINE: Final = re.compile(r"^\s*\d+(?:\.0*)?(?:\s+[-+.\deE]+){4,}\s*$")
_LABEL_FOLDERS: Final = ("labels", "labels_with_ids")
# Outlines may leave the picture a little; pixels in the place of fractions leave it by far.
_FRACTIONS: Final = (-0.5, 1.5)
_BOX_NUMBERS: Final = (4, 5)


class YoloReader:
    """YOLO text files with boxes or outlines, of Ultralytics, Roboflow, Darknet or CVAT.

    ::

        folder/
        ├── data.yaml                 names: [RBC, WBC]     or classes.txt, obj.names: a name a line
        ├── images/train/a.png        the folder train, val, valid or test is the split; so are
        └── labels/train/a.txt        lists train.txt, val.txt, test.txt of pictures

    A line is ``class x y width height`` (the middle of the box), or ``class x1 y1 x2 y2 x3 y3 …``
    (an outline); all are fractions of the picture's sides. A confidence at the end is passed over.
    An empty file says that there are no cells. Without names classes are called 0, 1, …: say with
    ``--label-map 0=RBC,1=WBC`` what they are.

    Format: https://docs.ultralytics.com/datasets/segment/. The licence is that of the pictures.
    """

    name = "yolo"
    title = "YOLO text files"

    def recognise(self, listing: FolderListing) -> str | None:
        """Look for text files of class numbers and fractions that are named as pictures are."""
        files = list(_label_files(listing))
        numbers = sum(_has_numbers(listing, path) for path in files[:20])
        if not numbers and not (files and find_names_file(listing)):
            return None
        return f"{len(files)} text files named as pictures are, with class numbers and fractions"

    def read(self, root: Path, options: ReadOptions) -> Reading:
        """Read the folder, as :class:`Reader` says."""
        listing = FolderListing.of(root)
        files = list(_label_files(listing))
        if not files:
            raise DatasetError(
                f"{root}: no text files named as pictures are; expected YOLO's labels/a.txt for "
                "images/a.png. Export the labels again, or name the format with --format."
            )
        builder = ReadingBuilder(listing, self, options=options)
        names_file = find_names_file(listing)
        names = {} if names_file is None else read_names(names_file)
        if names_file is not None:
            builder.used(names_file)
        splits = _listed_splits(listing)
        for path in files:
            _read_file(path, builder, names, splits)
        return builder.finish()


def _label_files(listing: FolderListing) -> Iterator[Path]:
    """Text files in folders named labels, or named as a picture is."""
    stems = {picture.stem for picture in listing.pictures()}
    names_file = find_names_file(listing)
    for path in listing.with_suffix(".txt"):
        folders = {folder.casefold() for folder in path.relative_to(listing.root).parent.parts}
        is_label = path.stem in stems or not folders.isdisjoint(_LABEL_FOLDERS)
        if is_label and path != names_file:
            yield path


def _has_numbers(listing: FolderListing, path: Path) -> bool:
    lines = [line for line in listing.head(path).splitlines() if line.strip()]
    return bool(lines) and bool(_LINE.match(lines[0]))


def _listed_splits(listing: FolderListing) -> dict[str, Split]:
    """Read the splits of pictures, by name, from lists such as train.txt of Darknet."""
    splits: dict[str, Split] = {}
    for path in listing.with_suffix(".txt"):
        split = split_of_words(path.stem)
        lines = listing.head(path).split() if split is not None else []
        if split is None or not lines or Path(lines[0]).suffix.lower() not in IMAGE_SUFFIXES:
            continue
        for line in read_label_text(path).splitlines():
            splits[re.split(r"[\\/]", line.strip())[-1]] = split
    return splits


def _read_file(
    path: Path, builder: ReadingBuilder, names: Mapping[int, str], splits: Mapping[str, Split]
) -> None:
    inner = path.relative_to(builder.listing.root)
    folders = ["images" if part.casefold() in _LABEL_FOLDERS else part for part in inner.parts[:-1]]
    reference = "/".join((*folders, path.stem))
    try:
        picture = builder.listing.picture_named(reference, beside=path.parent, where=str(path))
        height, width = read_image_shape(picture)
        marks = [
            _mark(line, names, (height, width), where=f"{path}: line {number}")
            for number, line in enumerate(read_label_text(path).splitlines(), start=1)
            if line.strip()
        ]
    except BloodCellError as error:
        builder.fail_named(reference, error, label_file=path)
        return
    split = splits.get(picture.name) or split_of_folders(inner)
    builder.add(picture, marks, label_file=path, split=split)


def _mark(line: str, names: Mapping[int, str], shape: tuple[int, int], *, where: str) -> Mark:
    words = line.split()
    try:
        number = int(float(words[0]))
        values = np.array([float(word) for word in words[1:]])
    except (OverflowError, ValueError):
        number, values = -1, np.zeros(0)
    if number < 0 or len(values) < min(_BOX_NUMBERS):
        raise AnnotationError(
            f"{where}: {line.strip()[:60]!r} is no label; expected a class number and four "
            "fractions, or the corners of an outline. Correct the line, or remove it."
        )
    is_box = len(values) in _BOX_NUMBERS
    # An odd number left over is a confidence.
    places = values[:4] if is_box else values[: len(values) // 2 * 2]
    if not ((places >= _FRACTIONS[0]) & (places <= _FRACTIONS[1])).all():
        raise AnnotationError(
            f"{where}: {line.strip()[:60]!r} goes far beyond the picture; expected fractions of "
            "its sides, from 0 to 1. Divide x and widths by the picture's width, y and heights by "
            "its height."
        )
    label = names.get(number, str(number))
    corners = places.reshape(-1, 2) * (shape[1], shape[0])
    if not is_box:
        return Mark(label=label, outline=PolygonOutline(rings=(corners,)))
    middle, half = corners[0], corners[1] / 2
    return Mark(label=label, box=Box(*map(float, (*(middle - half), *(middle + half)))))
