"""The Kaggle set of the guide: boxes as fractions of the image, in one table."""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.splits import split_of_words
from blood_cell_system.annotation.text_files import (
    delimiter_of,
    read_label_table,
    shortened,
    table_header,
)
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError
from blood_cell_system.imaging.image_file import read_image_shape

_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
# How copies of the set name the columns.
_IMAGE_COLUMNS: Final = ("image", "filename", "file", "image_name", "image_id")
_LABEL_COLUMNS: Final = ("label", "class", "cell_type", "name")
# Rounding may carry a fraction a little beyond the border.
_LARGEST_FRACTION: Final = 1.05


@reads("kaggle", title="table of boxes (CSV)", order=70)
class KaggleReader(Reader):
    """Tables of boxes, as ``draaslan/blood-cell-detection-dataset`` has one.

    ::

        folder/
        ├── annotations.csv      image_id,image,xmin,ymin,xmax,ymax,label
        └── images/image-10.png  anywhere in the folder; found by the name in the table

    Corners are fractions of the image's sides; a table with a corner above 1.05 is of pixels,
    0-based. Labels of the set are ``rbc`` and ``wbc``. Copies in Pascal VOC go around as well: they
    are read by ``voc``.

    Source: https://www.kaggle.com/datasets/draaslan/blood-cell-detection-dataset. The set's page
    names its licence; read it there before you pass weights on.
    """

    missing = (
        f"no table with the columns image, {', '.join(_CORNERS)} and label; expected "
        "annotations.csv. Unpack the data set again."
    )

    def files(self, listing: FolderListing) -> list[Path]:
        """Tables with columns of corners and labels."""
        tables = listing.with_suffix(".csv")
        return [path for path in tables if _table_columns(listing, path) is not None]

    def recognise(self, listing: FolderListing) -> str | None:
        """Show the first table's columns."""
        for path in self.files(listing):
            return f"{path.name} is a table of {table_header(listing.head(path)).strip()}"
        return None

    def read_file(self, path: Path, builder: ReadingBuilder) -> None:
        """Read a table of many images."""
        columns = _table_columns(builder.listing, path)
        if columns is not None:
            _read_table(path, columns, builder)


def _table_columns(listing: FolderListing, table: Path) -> dict[str, int] | None:
    """Positions of the columns that are needed; None where one is missing."""
    head = table_header(listing.head(table))
    try:
        header = next(csv.reader([head], delimiter=delimiter_of(head)), [])
    except csv.Error:
        return None
    names = {name.strip().casefold(): index for index, name in enumerate(header)}
    image = next((names[name] for name in _IMAGE_COLUMNS if name in names), None)
    label = next((names[name] for name in _LABEL_COLUMNS if name in names), None)
    if image is None or label is None or not all(name in names for name in _CORNERS):
        return None
    return {"image": image, "label": label} | {name: names[name] for name in _CORNERS}


def _read_table(table: Path, columns: Mapping[str, int], builder: ReadingBuilder) -> None:
    boxes_of: dict[str, list[tuple[str, Box]]] = defaultdict(list)
    faults: dict[str, AnnotationError] = {}
    for name, entry in _rows(table, columns):
        if isinstance(entry, AnnotationError):
            faults.setdefault(name, entry)
        else:
            boxes_of[name].append(entry)
    largest = max((max(box) for boxes in boxes_of.values() for _, box in boxes), default=0.0)
    is_fraction = largest <= _LARGEST_FRACTION
    for name in sorted(boxes_of.keys() | faults.keys()):
        with builder.listing_failures(name, label_file=table):
            if name in faults:
                raise faults[name]
            image = builder.listing.image_named(name, beside=table.parent, where=str(table))
            height, width = read_image_shape(image) if is_fraction else (1, 1)
            annotations = [
                Annotation(
                    cell_type=label,
                    box=Box(
                        *(side * of for side, of in zip(box, 2 * (width, height), strict=True))
                    ),
                    written=box,
                )
                for label, box in boxes_of[name]
            ]
            builder.add(image, annotations, label_file=table, split=split_of_words(table.stem))


def _rows(
    table: Path, columns: Mapping[str, int]
) -> Iterator[tuple[str, tuple[str, Box] | AnnotationError]]:
    rows = read_label_table(table)
    next(rows)
    for line, row in rows:
        name = row[columns["image"]].strip() if columns["image"] < len(row) else ""
        try:
            # Where semicolons separate the columns, numbers may have a decimal comma.
            numbers = [float(row[columns[corner]].replace(",", ".")) for corner in _CORNERS]
            yield name, (row[columns["label"]].strip(), Box(*numbers))
        except (IndexError, ValueError):
            yield (
                name,
                AnnotationError(
                    f"{table}: line {line} is {shortened(','.join(row))}; expected an image, "
                    "four numbers and a label. Correct the line, or remove it."
                ),
            )
