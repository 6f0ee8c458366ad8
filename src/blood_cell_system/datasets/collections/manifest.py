"""Collections that list their images in ``manifest.csv``, with a class and a group each.

::

    raabin_wbc/
    ├── basophil/20190526_163414_0.jpg
    ├── manifest.csv          file,class,group,source
    └── cells.csv             optional: file,x,y,w,h,class; without w and h a point

A group is what must not be split: a slide, a patient, a subject or a video.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blood_cell_system.annotation.sample import Annotation, DroppedCell, FailedImage
from blood_cell_system.annotation.text_files import errors_located_at, read_label_text
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.cell_blocks import blocks_of_names
from blood_cell_system.datasets.cell_fields import CellField, FieldReading, readable, usable_cells
from blood_cell_system.errors import AnnotationError, DatasetError

MANIFEST: Final = "manifest.csv"
CELLS: Final = "cells.csv"
_COLUMNS: Final = ("file", "class", "group")
_CELL_COLUMNS: Final = ("file", "x", "y", "w", "h", "class")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestCollection:
    """A collection with a manifest, and how to read it.

    Parameters
    ----------
    folder : str
        Its usual name.
    source : str
        Of the laboratory; two collections of one laboratory have the same.
    labels : tuple of str
        Classes of images that are read.
    other_labels : tuple of str
        Classes that are left out, such as masks.
    cell_labels : tuple of str
        Of the cells in ``cells.csv``; empty where there is no such file.
    red_cell_diameter_px : mapping of str to float
        By the class of the image, where it is known.
    block_size : int or None
        Runs of so many names within a group are blocks, where a group is half of all images.
    """

    folder: str
    source: str
    licence: str
    labels: tuple[str, ...]
    other_labels: tuple[str, ...] = ()
    cell_labels: tuple[str, ...] = ()
    red_cell_diameter_px: Mapping[str, float]
    block_size: int | None = None

    def read(self, root: Path) -> FieldReading:
        """Read the images that the manifest lists.

        Returns
        -------
        FieldReading
            Fields are named by class and file.

        Raises
        ------
        MissingDataError
            There is no manifest, or no ``cells.csv`` where there should be one.
        AnnotationError
            A table is damaged, or names a class that is not known.
        DatasetError
            It lists no image that can be read.
        """
        root = Path(root)
        rows = _rows(root / MANIFEST, _COLUMNS)
        known = (*self.labels, *self.other_labels)
        for number, row in rows:
            if row["class"] not in known:
                raise AnnotationError(
                    f"{root / MANIFEST}, line {number}: the class is {row['class']!r}; expected "
                    f"{', '.join(known)}. Correct it, or copy the collection again."
                )
        listed = [row for _, row in rows if row["class"] in self.labels]
        marks = self._marks(root)
        dropped: list[DroppedCell] = []
        failed: list[FailedImage] = []
        fields = []
        blocks = self._blocks(listed)
        for row in listed:
            file, label = row["file"], row["class"]
            path = root / file
            shape = readable(
                path if path.is_file() else None,
                name=file,
                failed=failed,
                missing=f"{path}: there is no such image. Copy the collection again.",
            )
            if shape is None:
                continue
            cells = None
            if self.cell_labels:
                own = marks.get(file, [])
                points = [one for one in own if one.box is None]
                boxes = usable_cells(
                    [one for one in own if one.box is not None],
                    lambda cell: cell,
                    shape=shape,
                    file=root / CELLS,
                    image=file,
                    dropped=dropped,
                )
                cells = (*points, *boxes) or None
            fields.append(
                CellField(
                    name=f"{label}_{path.stem}",
                    image_path=path,
                    label=label,
                    cells=cells,
                    block=blocks[file],
                    red_cell_diameter_px=self.red_cell_diameter_px.get(label),
                )
            )
        if not fields:
            raise DatasetError(
                f"{root}: no image that {MANIFEST} lists can be read; expected those of "
                f"{', '.join(self.labels)}. Copy the collection again."
            )
        return FieldReading(
            root=root,
            source=self.source,
            licence=self.licence,
            fields=tuple(sorted(fields, key=lambda field: field.name)),
            dropped=tuple(dropped),
            failed=tuple(failed),
        )

    def _blocks(self, rows: list[dict[str, str]]) -> dict[str, str]:
        if self.block_size is None:
            return {row["file"]: row["group"] for row in rows}
        names: dict[str, dict[str, str]] = defaultdict(dict)
        for row in rows:
            names[row["group"]][row["file"]] = f"{row['class']}_{Path(row['file']).stem}"
        return {
            file: f"{group}/{runs[name]}"
            for group, of_file in names.items()
            for runs in [blocks_of_names(list(of_file.values()), block_size=self.block_size)]
            for file, name in of_file.items()
        }

    def _marks(self, root: Path) -> dict[str, list[Annotation]]:
        """Cells of each image, boxes and points."""
        marks: dict[str, list[Annotation]] = defaultdict(list)
        if not self.cell_labels:
            return marks
        for number, row in _rows(root / CELLS, _CELL_COLUMNS):
            where = f"{root / CELLS}, line {number}"
            with errors_located_at(where, expected="x, y, and w, h of a box, in pixels"):
                x, y = float(row["x"]), float(row["y"])
                has_box = bool(row["w"] or row["h"])
                box = Box(x, y, x + float(row["w"]), y + float(row["h"])) if has_box else None
            if row["class"] not in self.cell_labels:
                raise AnnotationError(
                    f"{where}: the class is {row['class']!r}; expected "
                    f"{', '.join(self.cell_labels)}. Correct it, or copy the collection again."
                )
            point = None if has_box else (x, y)
            cell = Annotation(cell_type=row["class"], box=box, point=point)
            marks[row["file"]].append(cell)
        return marks


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Lines of a table with their numbers."""
    reader = csv.DictReader(io.StringIO(read_label_text(path), newline=""))
    rows = []
    try:
        lacking = [name for name in columns if name not in (reader.fieldnames or ())]
        if lacking:
            raise AnnotationError(
                f"{path}: no column {', '.join(lacking)}; expected {', '.join(columns)}. Copy the "
                "collection again."
            )
        for row in reader:
            values = {name: (row[name] or "").strip() for name in columns}
            file = Path(values["file"])
            if file.is_absolute() or ".." in file.parts:
                raise AnnotationError(
                    f"{path}, line {reader.line_num}: the file is {values['file']!r}; expected a "
                    "path within the collection."
                )
            rows.append((reader.line_num, values))
    except csv.Error as error:
        raise AnnotationError(
            f"{path}: no table of comma-separated values ({error}). Copy the collection again."
        ) from error
    return rows
