"""Cells sorted into folders, where the folder's name is the class and nothing else is known."""

from pathlib import Path

from blood_cell_system.classifier_facts import ClassifierKind
from blood_cell_system.datasets.cell_table import NOT_A_CELL, CellRecord, suggestion
from blood_cell_system.errors import DatasetError
from blood_cell_system.image_io import IMAGE_SUFFIXES


def read_class_folders(root: Path, kind: ClassifierKind) -> list[CellRecord]:
    """Read a folder of class folders: a cell a picture, of the class that its folder names.

    Parameters
    ----------
    root : Path
    kind : ClassifierKind

    Returns
    -------
    list of CellRecord
        Ordered by file name; the source has the name of the folder.

    Raises
    ------
    DatasetError
        There are no folders, one is empty, or one has the name of no class.
    """
    folders = sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not folders:
        raise DatasetError(
            f"{root}: no folders in it; expected one for each class: "
            f"{', '.join(kind.conditions)}. Sort the pictures into such folders."
        )
    records = []
    for folder in folders:
        condition, cell_type = _class_of_folder(folder, kind)
        pictures = sorted(
            path.name
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
        if not pictures:
            raise DatasetError(
                f"{folder}: no pictures in this class folder; expected "
                f"{', '.join(sorted(IMAGE_SUFFIXES))} files of one cell each. Fill it or delete it."
            )
        records += [
            CellRecord(
                file=f"{folder.name}/{name}",
                condition=condition,
                cell_type=cell_type,
                is_outlier=condition is None,
                source=root.name or "unknown",
            )
            for name in pictures
        ]
    return records


def _class_of_folder(folder: Path, kind: ClassifierKind) -> tuple[str | None, str | None]:
    name = folder.name
    if name == NOT_A_CELL:
        return None, None
    if name in kind.conditions:
        return name, None
    if name in kind.types:
        return kind.conditions[0], name
    expected = (*kind.conditions, *kind.types, NOT_A_CELL)
    raise DatasetError(
        f"{folder}: no class is called {name!r}; expected {', '.join(expected)}."
        f"{suggestion(name, expected)}"
    )
