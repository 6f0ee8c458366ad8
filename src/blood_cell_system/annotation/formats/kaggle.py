"""The Kaggle set of the guide: boxes as fractions of the image, in one table."""

from collections import defaultdict
from pathlib import Path
from typing import Final

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.format_registry import reads
from blood_cell_system.annotation.reader import Reader, ReadingBuilder
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.splits import split_of_words
from blood_cell_system.annotation.text_files import errors_located_at
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError
from blood_cell_system.imaging.image_file import read_image_shape
from blood_cell_system.input_files import has_columns, read_table

_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
# How copies of the set name the columns.
_COLUMNS: Final = {
    "image": ("image", "filename", "file", "image_name", "image_id"),
    "label": ("label", "class", "cell_type", "name"),
    **{name: (name,) for name in _CORNERS},
}
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

    seen = "{first} is a table of boxes with labels"
    missing = (
        f"no table with the columns image, {', '.join(_CORNERS)} and label; expected "
        "annotations.csv. Unpack the data set again."
    )

    def files(self, listing: FolderListing) -> list[Path]:
        """Tables with columns of corners and labels."""
        tables = listing.with_suffix(".csv")
        return [path for path in tables if has_columns(listing.head(path), _COLUMNS)]

    def read_file(self, path: Path, builder: ReadingBuilder) -> None:
        """Read a table of many images."""
        boxes_of: dict[str, list[tuple[str, Box]]] = defaultdict(list)
        faults: dict[str, AnnotationError] = {}
        rows = read_table(path, _COLUMNS, error=AnnotationError, remedy="Unpack the set again.")
        for line, row in rows:
            try:
                with errors_located_at(
                    f"{path}: line {line}", expected="an image, four numbers and a label"
                ):
                    # Where semicolons separate the columns, numbers may have a decimal comma.
                    corners = Box(*(float(row[name].replace(",", ".")) for name in _CORNERS))
                    boxes_of[row["image"]].append((row["label"], corners))
            except AnnotationError as error:
                faults.setdefault(row.get("image", ""), error)
        largest = max((max(box) for boxes in boxes_of.values() for _, box in boxes), default=0.0)
        for name in sorted(boxes_of.keys() | faults.keys()):
            with builder.listing_failures(name, label_file=path):
                if name in faults:
                    raise faults[name]
                image = builder.listing.image_named(name, beside=path.parent, where=str(path))
                sides = read_image_shape(image) if largest <= _LARGEST_FRACTION else (1, 1)
                annotations = [
                    Annotation(cell_type=label, box=_scaled(box, *sides), written=box)
                    for label, box in boxes_of[name]
                ]
                builder.add(image, annotations, label_file=path, split=split_of_words(path.stem))


def _scaled(box: Box, height: int, width: int) -> Box:
    return Box(box.x_min * width, box.y_min * height, box.x_max * width, box.y_max * height)
