"""One cell of a cell folder, and the table that says what all of them are.

``cells.csv`` has the columns ``file``, ``condition`` (or ``not_a_cell``; empty where unknown),
``cell_type`` (empty where unknown), ``source`` (data set), ``field`` (picture that the cell was cut
from), ``block`` (slide), ``split`` and ``origin`` (who says where the cell is).
"""

import csv
import difflib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blood_cell_system.atomic_files import write_text
from blood_cell_system.classifier_facts import ClassifierKind
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.errors import DatasetError, MissingDataError

NOT_A_CELL: Final = "not_a_cell"
"""Folder and ``condition`` of pictures that are none of the classes."""

CELLS_CSV: Final = "cells.csv"
UNFINISHED: Final = ".cutting"
"""Folder within a cell folder while a command writes it, or after it was killed."""

COLUMNS: Final = (
    "file",
    "condition",
    "cell_type",
    "source",
    "field",
    "block",
    "split",
    "origin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRecord:
    """One cell of a folder.

    Parameters
    ----------
    file : str
        Relative to the folder, with ``/``.
    condition : str or None
        Of ``RBC_CONDITIONS`` or ``WBC_CONDITIONS``; None where unknown, and for what is no cell.
    cell_type : str or None
        For white cells of ``WBC_TYPES``; for red cells free text, such as a parasite's stage. None
        where unknown.
    is_outlier : bool
        Whether it is none of the classes.
    source, field, block : str
        Data set, picture that it was cut from, and slide.
    split : Split or None
        None where nobody has said; a folder that was opened has it for every cell.
    origin : str
        Who says where the cell is: ``annotated``, ``stain``, ``predicted``; empty where unknown.
    """

    file: str
    condition: str | None = None
    cell_type: str | None = None
    is_outlier: bool = False
    source: str = "unknown"
    field: str = ""
    block: str = ""
    split: Split | None = None
    origin: str = ""

    @property
    def label(self) -> str:
        """Class in words, for tables and sheets."""
        if self.is_outlier:
            return NOT_A_CELL
        return " ".join(filter(None, (self.condition, self.cell_type))) or "unlabelled"


def write_cells_csv(root: Path, records: Iterable[CellRecord]) -> None:
    """Write ``cells.csv``, whole or not at all.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row_of(record) for record in sorted(records, key=lambda record: record.file))
    write_text(root / CELLS_CSV, text.getvalue())


def row_of(record: CellRecord) -> tuple[str, ...]:
    """Values of a cell in the order of ``COLUMNS``."""
    condition = NOT_A_CELL if record.is_outlier else record.condition or ""
    places = record.source, record.field, record.block, record.split or "", record.origin
    return (record.file, condition, record.cell_type or "", *places)


def read_cells_csv(path: Path, kind: ClassifierKind) -> list[CellRecord]:
    """Read the table of a cell folder.

    Parameters
    ----------
    path : Path
    kind : ClassifierKind
        Whose classes it names.

    Returns
    -------
    list of CellRecord
        Ordered by file.

    Raises
    ------
    DatasetError
        It is damaged, empty, names a file twice or a class that is not known.
    MissingDataError
        A file that it names is not there.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            header = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path}: no table of comma-separated values ({error}); expected UTF-8 text. "
            "Make the folder again with: bloodcells crops"
        ) from error
    lacking = [name for name in ("file", "condition") if name not in header]
    if lacking:
        raise DatasetError(
            f"{path}: no column {' and no column '.join(lacking)}; expected {', '.join(COLUMNS)}. "
            "Add it, or delete the table to have classes taken from the folders."
        )
    records = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        record = _record_of(row, kind, where=f"{path}, line {number}")
        if record.file in seen:
            raise DatasetError(
                f"{path}, line {number}: {record.file} stands in line {seen[record.file]} already; "
                "expected every picture once. Delete one of the lines."
            )
        seen[record.file] = number
        if not (path.parent / record.file).is_file():
            raise MissingDataError(
                f"{path}, line {number}: {record.file} is not there. Copy it again, or delete the "
                "line."
            )
        records.append(record)
    if not records:
        raise DatasetError(f"{path}: no cells in this table; expected a line a picture.")
    return sorted(records, key=lambda record: record.file)


def _record_of(row: Mapping[str, str | None], kind: ClassifierKind, *, where: str) -> CellRecord:
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    file = values["file"]
    if not file or Path(file).is_absolute() or ".." in Path(file).parts:
        raise DatasetError(
            f"{where}: the file is {file!r}; expected a path within the folder, such as "
            f"{kind.conditions[0]}/a.png."
        )
    condition, cell_type = values["condition"], values["cell_type"]
    if condition not in (*kind.conditions, NOT_A_CELL, ""):
        raise DatasetError(
            f"{where}: the condition is {condition!r}; expected "
            f"{', '.join((*kind.conditions, NOT_A_CELL))}, or nothing where it is unknown."
            f"{suggestion(condition, (*kind.conditions, NOT_A_CELL))}"
        )
    if kind.types and cell_type not in (*kind.types, ""):
        raise DatasetError(
            f"{where}: the cell type is {cell_type!r}; expected {', '.join(kind.types)}, or "
            f"nothing where it is unknown.{suggestion(cell_type, kind.types)}"
        )
    split = values["split"]
    if split and split not in set(Split):
        raise DatasetError(
            f"{where}: the split is {split!r}; expected {', '.join(Split)}, or nothing in every "
            "line to have it made."
        )
    return CellRecord(
        file=Path(file).as_posix(),
        condition=None if condition in ("", NOT_A_CELL) else condition,
        cell_type=cell_type or None,
        is_outlier=condition == NOT_A_CELL,
        source=values["source"] or "unknown",
        field=values["field"],
        block=values["block"],
        split=Split(split) if split else None,
        origin=values["origin"],
    )


def suggestion(name: str, known: Sequence[str]) -> str:
    """Say which known name may have been meant, as a sentence; nothing where none is near."""
    by_lower = {item.lower(): item for item in known}
    close = difflib.get_close_matches(
        name.lower().replace(" ", "_").replace("-", "_"), list(by_lower), n=1, cutoff=0.5
    )
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""
