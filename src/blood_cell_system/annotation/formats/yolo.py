"""YOLO text files, one for each image, and the names of the classes from whichever file has them.

Of ``data.yaml`` of Ultralytics and Roboflow the key ``names`` is read, a list or a table, and
nothing else.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads, writes
from blood_cell_system.annotation.outline import PolygonOutline, joined_ring
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import Annotation, Sample
from blood_cell_system.annotation.splits import Split
from blood_cell_system.annotation.text_files import read_label_text
from blood_cell_system.annotation.writer import (
    LabelledImage,
    LabelWriter,
    WriteStyle,
    rings_to_write,
)
from blood_cell_system.atomic_files import write_text
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError
from blood_cell_system.wording import counted

_NAME_LISTS: Final = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt")
_KEY: Final = re.compile(r"^names\s*:", re.MULTILINE)
# The key with its value: lines up to the next key of the file.
_NAMES: Final = re.compile(r"^names\s*:.*(?:\n(?!\w+\s*:).*)*", re.MULTILINE)


def _names_files(listing: FolderListing) -> tuple[Path, ...]:
    """Files that name the classes: each data.yaml, then the plain lists."""
    tables = [
        path for path in listing.with_suffix(".yaml", ".yml") if _KEY.search(listing.head(path))
    ]
    lists = [path for path in listing.files if path.name.casefold() in _NAME_LISTS]
    return (*tables, *lists)


def _nearest_names(
    label_file: Path, names: Mapping[Path, Mapping[int, str]]
) -> tuple[Path | None, Mapping[int, str]]:
    """Names for a label file: of the names file in its folder, or in the nearest one around it.

    Files that lie nowhere around it count by the folders that they have in common with it.
    """
    if not names:
        return None, {}

    def nearness(path: Path) -> tuple[bool, int]:
        common = len(Path(os.path.commonpath([path.parent, label_file.parent])).parts)
        return label_file.is_relative_to(path.parent), common

    best = max(map(nearness, names))
    near = [path for path in names if nearness(path) == best]
    for other in near[1:]:
        shared = names[near[0]].keys() & names[other].keys()
        if any(names[near[0]][number] != names[other][number] for number in shared):
            raise AnnotationError(
                f"{label_file}: {near[0]} and {other} name the classes differently; expected one "
                "order of names. Remove the file that these labels were not made with, or put a "
                "classes.txt into the folder of the labels."
            )
    longest = max(near, key=lambda path: len(names[path]))
    return longest, names[longest]


def _read_names(path: Path) -> dict[int, str]:
    """Read the names of classes by their numbers."""
    text = read_label_text(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        lines = [line.strip() for line in text.splitlines()]
        return dict(enumerate(line for line in lines if line))
    names = _yaml_names(text)
    if not names:
        raise AnnotationError(
            f"{path}: the names of the classes cannot be read; expected 'names: [RBC, WBC]', or a "
            "line '0: RBC' for each below 'names:'. Put the names into a file classes.txt, a line "
            "each, and remove this one."
        )
    return names


def _yaml_names(text: str) -> dict[int, str]:
    found = _NAMES.search(text)
    if found is None:
        return {}
    try:
        # Without types: a class may be called No.
        names = yaml.load(found[0], Loader=yaml.BaseLoader)["names"]
        if isinstance(names, dict):
            return {int(number): str(name) for number, name in names.items()}
        return dict(enumerate(map(str, names)))
    except (yaml.YAMLError, TypeError, ValueError):
        return {}


_LINE: Final = re.compile(r"^\s*\d+(?:\.0*)?(?:\s+[-+.\deE]+){4,}\s*$")
_LABEL_FOLDERS: Final = ("labels", "labels_with_ids")
# Outlines may leave the image a little; pixels in the place of fractions leave it by far.
_FRACTIONS: Final = (-0.5, 1.5)
_BOX_NUMBERS: Final = (4, 5)  # Numbers of a box, without and with a confidence.


@reads("yolo", title="YOLO text files", order=60)
class YoloReader(Reader):
    """YOLO text files with boxes or outlines, of Ultralytics, Roboflow, Darknet or CVAT.

    ::

        folder/
        ├── data.yaml                 names: [RBC, WBC]     or classes.txt, obj.names: a name a line
        ├── images/train/a.png        the folder train, val, valid or test is the split; so are
        └── labels/train/a.txt        lists train.txt, val.txt, test.txt of images

    A line is ``class x y width height`` (the middle of the box), or ``class x1 y1 x2 y2 x3 y3 …``
    (an outline); all are fractions of the image's sides. A confidence at the end is passed over.
    An empty file says that there are no cells. Without names classes are called 0, 1, …: say with
    ``--label-map 0=RBC,1=WBC`` what they are.

    Format: https://docs.ultralytics.com/datasets/segment/. The licence is that of the images.
    """

    mark = "line"
    missing = (
        "no text files named as images are; expected YOLO's labels/a.txt for images/a.png. Export "
        "the labels again."
    )

    def files(self, listing: FolderListing) -> list[Path]:
        """Text files in folders named labels, or named as an image is."""
        names_files = set(_names_files(listing))
        found = []
        for path in listing.with_suffix(".txt"):
            folders = {folder.casefold() for folder in path.relative_to(listing.root).parent.parts}
            is_named = listing.is_named_as_image(path)
            is_label = is_named or not folders.isdisjoint(_LABEL_FOLDERS)
            if is_label and (is_named or path not in names_files):
                found.append(path)
        return found

    def recognise(self, listing: FolderListing) -> str | None:
        """Look for text files of class numbers and fractions that are named as images are."""
        files = self.files(listing)
        lines = (listing.head(path).strip("\r\n").splitlines() for path in files[:20])
        has_numbers = any(_LINE.match(next(filter(str.strip, some), "")) for some in lines)
        if not has_numbers and not (files and _names_files(listing)):
            return None
        return f"{len(files)} text files named as images are, with class numbers and fractions"

    def read_files(self, files: Sequence[Path], builder: ReadingBuilder) -> None:
        """Read one file an image, and the names of the classes."""
        names = {path: _read_names(path) for path in _names_files(builder.listing)}
        if len({tuple(sorted(table.items())) for table in names.values()}) > 1:
            builder.note(
                f"{counted(len(names), 'file names', 'files name')} the classes, and not alike, "
                "for instance "
                f"{min(names)}: of each label file the nearest counts."
            )
        for path in files:
            _read_file(path, builder, names)


def _read_file(
    path: Path, builder: ReadingBuilder, names: Mapping[Path, Mapping[int, str]]
) -> None:
    inner = path.relative_to(builder.listing.root)
    folders = ["images" if part.casefold() in _LABEL_FOLDERS else part for part in inner.parts[:-1]]
    reference = "/".join((*folders, path.stem))
    with builder.listing_failures(reference, label_file=path):
        image = builder.listing.image_named(reference, beside=path.parent, where=str(path))
        names_file, table = _nearest_names(path, names)
        if names_file is not None:
            builder.used(names_file)
        builder.add(
            image,
            read_label_text(path).splitlines(),
            label_file=path,
            read_mark=partial(_annotations, names=table),
        )


def _annotations(
    line: str, shape: tuple[int, int], *, names: Mapping[int, str]
) -> Iterator[Annotation]:
    words = line.split()
    if not words:
        return
    try:
        number = int(float(words[0]))
        values = np.array([float(word) for word in words[1:]])
    except (OverflowError, ValueError):
        number, values = -1, np.zeros(0)
    if number < 0 or len(values) < min(_BOX_NUMBERS):
        raise AnnotationError(
            f"{line.strip()[:60]!r} is no label; expected a class number and four fractions, or "
            "the corners of an outline. Correct the line, or remove it."
        )
    is_box = len(values) in _BOX_NUMBERS
    # An odd number left over is a confidence.
    places = values[:4] if is_box else values[: len(values) // 2 * 2]
    if not ((places >= _FRACTIONS[0]) & (places <= _FRACTIONS[1])).all():
        raise AnnotationError(
            f"{line.strip()[:60]!r} goes far beyond the image; expected fractions of its sides, "
            "from 0 to 1. Divide x and widths by the image's width, y and heights by its height."
        )
    label = names.get(number, str(number))
    corners = places.reshape(-1, 2) * (shape[1], shape[0])
    if is_box:
        middle, half = corners[0], corners[1] / 2
        yield Annotation(
            cell_type=label, box=Box(*(middle - half).tolist(), *(middle + half).tolist())
        )
    else:
        yield Annotation(cell_type=label, outline=PolygonOutline(rings=(corners,)))


# A billionth of the longest side is far less than a thousandth of a pixel.
_DECIMALS: Final = 9


@writes("yolo", next_step="import labels/ and data.yaml into the tool of your choice")
class YoloWriter(LabelWriter):
    """Writes ``images/SPLIT/``, ``labels/SPLIT/`` and ``data.yaml``.

    An outline of several parts, or with a hole, is one polygon with cuts between them. Cells of
    which only the centre is known are left out: YOLO has no points. Training YOLO itself wants
    boxes only or outlines only; take ``OutlineForm.BOXES`` where some cells have no outline.
    """

    has_points = False

    def __init__(self, root: Path, style: WriteStyle) -> None:
        super().__init__(root, style)
        self._splits: set[Split | None] = set()
        self._has_regions = False

    def image_folder(self, sample: Sample) -> Path:
        """Folder of the split's images."""
        return self._root / "images" / str(sample.split or "")

    def add(self, image: LabelledImage) -> None:
        """Write an image's labels."""
        lines = [_line(one, image.sample.shape, self._style) for one in image.annotations]
        inner = image.path.relative_to(self._root / "images").with_suffix(".txt")
        write_text(self._root / "labels" / inner, "".join(f"{line}\n" for line in lines))
        self._splits.add(image.sample.split)
        self._has_regions |= any(not one.is_definite for one in image.annotations)

    def finish(self) -> None:
        """Write the list of classes and folders."""
        # Ultralytics asks for both of the first two.
        folders = {
            split: f"images/{split}" if split in self._splits else "images"
            for split in (Split.TRAIN, Split.VAL, Split.TEST)
            if split in self._splits or split is not Split.TEST
        }
        labels = self._style.labels if self._has_regions else self._style.labels[:-1]
        names = "".join(f"  {number}: {label}\n" for number, label in enumerate(labels))
        lines = "".join(f"{split}: {folder}\n" for split, folder in folders.items())
        write_text(self._root / "data.yaml", f"path: .\n{lines}names:\n{names}")


def _line(annotation: Annotation, shape: tuple[int, int], style: WriteStyle) -> str:
    height, width = shape
    if annotation.outline is not None:
        corners = joined_ring(rings_to_write(annotation.outline, shape, style)) / (width, height)
        numbers = corners.ravel().tolist()
    else:
        assert annotation.box is not None
        x_min, y_min, x_max, y_max = annotation.box
        numbers = [
            (x_min + x_max) / 2 / width,
            (y_min + y_max) / 2 / height,
            (x_max - x_min) / width,
            (y_max - y_min) / height,
        ]
    words = [f"{number:.{_DECIMALS}f}".rstrip("0").rstrip(".") for number in numbers]
    return f"{style.labels.index(annotation.cell_type)} {' '.join(words)}"
