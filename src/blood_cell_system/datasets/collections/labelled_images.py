"""Collections whose images have one label each: by the folder that they are in, or by a manifest.

::

    taleqani_all/
    └── Benign/WBC-Benign-001.jpg      the folder is the label
    raabin_wbc/
    ├── basophil/20190526_163414_0.jpg
    ├── manifest.csv          file,class,group,source
    └── cells.csv             optional: file,x,y,w,h,class; without w and h a point

A group is what must not be split: a slide, a patient, a subject or a video.
``labelled_images.yaml`` describes the collections, with their sources and pitfalls.
"""

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict

from blood_cell_system.annotation.sample import Annotation, DroppedCell, FailedImage
from blood_cell_system.annotation.text_files import errors_located_at
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.cell_blocks import blocks_of_names
from blood_cell_system.datasets.cell_fields import (
    CellField,
    FieldReading,
    images_in,
    readable,
    usable_cells,
)
from blood_cell_system.errors import AnnotationError, DatasetError, MissingDataError
from blood_cell_system.imaging.image_folders import is_left_behind
from blood_cell_system.input_files import read_table

_MANIFEST: Final = "manifest.csv"
_CELLS: Final = "cells.csv"
_COLUMNS: Final = ("file", "class", "group")
_CELL_COLUMNS: Final = ("file", "x", "y", "w", "h", "class")


class Collection(BaseModel):
    """A collection of labelled images, and how to read it.

    Parameters
    ----------
    source : str
        Of the laboratory; two collections of one laboratory have the same.
    labels : tuple of str
        Of images that are read; in folders, those that are not there are passed over.
    other_labels : tuple of str
        Classes of a manifest that are left out, such as masks.
    cell_labels : tuple of str
        Of the cells in ``cells.csv``; empty where there is no such file.
    red_cell_diameter_px : float, dict of str to float, or None
        Where it is known; by the label of the image where that differs.
    block_size : int or None
        Runs of so many names within a folder or a group are blocks; None takes groups as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    licence: str
    has_manifest: bool = False
    labels: tuple[str, ...]
    other_labels: tuple[str, ...] = ()
    cell_labels: tuple[str, ...] = ()
    red_cell_diameter_px: float | dict[str, float] | None = None
    block_size: int | None = None

    def read(self, root: Path) -> FieldReading:
        """Read a folder of the collection.

        Returns
        -------
        FieldReading
            Fields are named by label and file.

        Raises
        ------
        MissingDataError
            There is no such folder, no manifest, or no ``cells.csv`` where there should be one.
        AnnotationError
            A table is damaged, or names a class that is not known.
        DatasetError
            No image can be read, or a folder is empty or of a label that is not known.
        """
        root = Path(root)
        dropped: list[DroppedCell] = []
        failed: list[FailedImage] = []
        if self.has_manifest:
            fields = self._listed(root, dropped, failed)
        else:
            fields = self._in_folders(root, failed)
        return FieldReading(
            root=root,
            source=self.source,
            licence=self.licence,
            fields=tuple(sorted(fields, key=lambda field: field.name)),
            dropped=tuple(dropped),
            failed=tuple(failed),
        )

    def _in_folders(self, root: Path, failed: list[FailedImage]) -> list[CellField]:
        expected = ", ".join(self.labels)
        if not root.is_dir():
            raise MissingDataError(
                f"{root}: there is no such folder; expected {expected} in it. Check the path."
            )
        present = sorted(
            path.name for path in root.iterdir() if path.is_dir() and not is_left_behind(path.name)
        )
        unknown = [name for name in present if name not in self.labels]
        if unknown or not present:
            raise DatasetError(
                f"{root}: holds the folders {', '.join(present) or '(none)'}; expected "
                f"{expected}. Rename {', '.join(unknown) or 'nothing'} or name another folder."
            )
        fields = []
        for label in present:
            images = images_in(root / label)
            blocks = blocks_of_names(list(images), block_size=self.block_size or 1)
            fields += [
                self._field(label, path, block=f"{label}/{blocks[name]}")
                for name, path in images.items()
                if readable(path, name=f"{label}/{name}", failed=failed, missing="")
            ]
        return fields

    def _listed(
        self, root: Path, dropped: list[DroppedCell], failed: list[FailedImage]
    ) -> list[CellField]:
        rows = _rows(root / _MANIFEST, _COLUMNS)
        known = (*self.labels, *self.other_labels)
        for number, row in rows:
            if row["class"] not in known:
                raise AnnotationError(
                    f"{root / _MANIFEST}, line {number}: the class is {row['class']!r}; expected "
                    f"{', '.join(known)}. Correct it, or copy the collection again."
                )
        listed = [row for _, row in rows if row["class"] in self.labels]
        marks = self._marks(root)
        fields = []
        blocks = self._blocks(listed)
        for row in listed:
            file, path = row["file"], root / row["file"]
            shape = readable(
                path if path.is_file() else None,
                name=file,
                failed=failed,
                missing=f"{path}: there is no such image. Copy the collection again.",
            )
            if shape is None:
                continue
            points = [cell for cell in marks[file] if cell.box is None]
            boxes = usable_cells(
                [cell for cell in marks[file] if cell.box is not None],
                lambda cell: cell,
                shape=shape,
                file=root / _CELLS,
                image=file,
                dropped=dropped,
            )
            fields.append(
                self._field(row["class"], path, block=blocks[file], cells=(*points, *boxes) or None)
            )
        if not fields:
            raise DatasetError(
                f"{root}: no image that {_MANIFEST} lists can be read; expected those of "
                f"{', '.join(self.labels)}. Copy the collection again."
            )
        return fields

    def _field(
        self, label: str, path: Path, *, block: str, cells: tuple[Annotation, ...] | None = None
    ) -> CellField:
        diameter = self.red_cell_diameter_px
        return CellField(
            name=f"{label}_{path.stem}",
            image_path=path,
            label=label,
            cells=cells,
            block=block,
            red_cell_diameter_px=diameter.get(label) if isinstance(diameter, dict) else diameter,
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
        for number, row in _rows(root / _CELLS, _CELL_COLUMNS) if self.cell_labels else ():
            where = f"{root / _CELLS}, line {number}"
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
            marks[row["file"]].append(Annotation(cell_type=row["class"], box=box, point=point))
        return marks


@cache
def collections() -> dict[str, Collection]:
    """Give all collections by the usual name of their folder."""
    table = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {folder: Collection.model_validate(fields) for folder, fields in table.items()}


def collection(folder: str) -> Collection:
    """Give the collection whose folder has this usual name."""
    return collections()[folder]


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a table with the numbers of their lines."""
    needed = {name: (name,) for name in columns}
    rows = []
    for line, row in read_table(
        path, needed, error=AnnotationError, remedy="Copy the collection again."
    ):
        values = {name: row.get(name, "") for name in columns}
        file = Path(values["file"])
        if file.is_absolute() or ".." in file.parts:
            raise AnnotationError(
                f"{path}, line {line}: the file is {values['file']!r}; expected a path within the "
                "collection."
            )
        rows.append((line, values))
    return rows
