"""A folder of single cells: what classifiers learn from.

::

    data/cells_rbc/
    ├── healthy_RBC/*.png          one cell each; the folder's name is the class
    ├── malaria_RBC/*.png
    ├── sickle_RBC/*.png
    ├── not_a_cell/*.png           optional: platelets, smudges, clumps, empty slide
    └── cells.csv                  optional: where each cell comes from, and its split

For white cells folders are named by condition (``healthy_WBC``, ``cancer_WBC``) or by the type of a
normal cell (``neutrophil`` and so on; their condition is ``healthy_WBC``). The pictures are cell
pictures as ``bloodcells crops`` makes them (130×130 RGBA, transparent around the cell), or any
picture of one cell: the cell in the middle is found.

``cells.csv`` is described in ``cell_table``. Without it, blocks are found in the names, and the
split is made by whole blocks.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from blood_cell_system.classifier_facts import ClassifierKind
from blood_cell_system.datasets.cell_dealing import with_blocks, with_splits
from blood_cell_system.datasets.cell_table import (
    CELLS_CSV,
    NOT_A_CELL,
    UNFINISHED,
    CellRecord,
    read_cells_csv,
    row_of,
    write_cells_csv,
)
from blood_cell_system.datasets.class_folders import read_class_folders
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.errors import BloodCellError, DatasetError, MissingDataError
from blood_cell_system.image_io import read_file_bytes, read_image_shape

__all__ = ["CELLS_CSV", "NOT_A_CELL", "CellFolder", "CellRecord", "write_cells_csv"]

_LARGEST_CELL_PICTURE_PX: Final = 450
_LOOKED_AT: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFolder:
    """A folder of single cells, opened.

    Parameters
    ----------
    root : Path
    kind : ClassifierKind
    records : tuple of CellRecord
        Ordered by file name.
    notes : tuple of str
        What a person should know before a training, a sentence each.
    """

    root: Path
    kind: ClassifierKind
    records: tuple[CellRecord, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        kind: ClassifierKind,
        block_pattern: str | None = None,
        block_size: int = 10,
        seed: int = 0,
    ) -> Self:
        """Open a folder, with or without ``cells.csv``.

        Pictures are not decoded here: of some, the size is read from the header.

        Parameters
        ----------
        root : Path
        kind : ClassifierKind
        block_pattern, block_size
            As of ``blocks_of_names``; only where ``cells.csv`` names no blocks.
        seed : int
            Of the split, where ``cells.csv`` names none.

        Raises
        ------
        MissingDataError
            There is no such folder, or a file that ``cells.csv`` names is not there.
        DatasetError
            It is unfinished, has no class folders, one that is empty or has an unknown name, cells
            of one class only, a broken ``cells.csv``, blocks in several splits, or pictures of
            whole fields.
        SettingsError
            The block pattern makes no sense.
        """
        root = Path(root)
        if not root.is_dir():
            raise MissingDataError(
                f"{root}: there is no such folder; expected one with a folder for each class "
                f"({', '.join(kind.conditions)}). Make it with: bloodcells crops"
            )
        if (root / UNFINISHED).exists():
            raise DatasetError(
                f"{root}: the command that writes this folder has not finished; expected a whole "
                "folder. Run it again with the same --output: it completes the folder."
            )
        table = root / CELLS_CSV
        records = read_cells_csv(table, kind) if table.is_file() else read_class_folders(root, kind)
        _check_classes(root, kind, records)
        _check_sizes(root, records)
        records = with_blocks(records, pattern=block_pattern, block_size=block_size)
        records = with_splits(root / CELLS_CSV, records, seed=seed)
        return cls(root=root, kind=kind, records=tuple(records), notes=_notes(kind, records))

    def path_of(self, record: CellRecord) -> Path:
        """Where the picture of a cell lies."""
        return self.root / record.file

    def select(self, split: Split) -> tuple[CellRecord, ...]:
        """Cells of a split."""
        return tuple(record for record in self.records if record.split is split)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the data sets, in order."""
        return tuple(sorted({record.source for record in self.records}))

    def content_hash(self) -> str:
        """SHA-256 over the labels, the splits and the bytes of all pictures.

        Raises
        ------
        MissingDataError, ImageReadError
            A file has gone, or cannot be read.
        """
        digest = hashlib.sha256()
        for record in self.records:
            digest.update(repr(row_of(record)).encode(errors="surrogateescape"))
            digest.update(hashlib.sha256(read_file_bytes(self.path_of(record))).digest())
        return digest.hexdigest()

    def to_text(self) -> str:
        """Table of how many cells and blocks of what there are in which split."""
        lines = [f"{'class':32} {'source':12} {'train':>7} {'val':>6} {'test':>6} {'blocks':>7}"]
        groups: dict[tuple[str, str], list[CellRecord]] = {}
        for record in self.records:
            groups.setdefault((record.label, record.source), []).append(record)
        for (label, source), members in sorted(groups.items()):
            split = Counter(record.split for record in members)
            counts = f"{split[Split.TRAIN]:7} {split[Split.VAL]:6} {split[Split.TEST]:6}"
            block_count = len({record.block for record in members})
            lines.append(f"{label:32} {source:12} {counts} {block_count:7}")
        return "\n".join([*lines, *self.notes])


def _check_classes(root: Path, kind: ClassifierKind, records: Sequence[CellRecord]) -> None:
    conditions = {record.condition for record in records} - {None}
    types = {record.cell_type for record in records if kind.types} - {None}
    if len(conditions) < 2 and len(types) < 2:
        found = ", ".join(sorted(filter(None, conditions))) or "none"
        raise DatasetError(
            f"{root}: cells of one class only ({found}); expected two or more of "
            f"{', '.join((*kind.conditions, *kind.types))}. There is nothing to tell apart."
        )


def _check_sizes(root: Path, records: Sequence[CellRecord]) -> None:
    """Refuse pictures of whole fields: a network would learn backgrounds."""
    step = max(1, len(records) // _LOOKED_AT)
    sizes = []
    for record in records[::step][:_LOOKED_AT]:
        try:
            sizes.append((max(read_image_shape(root / record.file)), record.file))
        except BloodCellError:
            # Unreadable pictures are listed when all are read.
            continue
    too_large = [file for side, file in sizes if side > _LARGEST_CELL_PICTURE_PX]
    if sizes and 2 * len(too_large) > len(sizes):
        raise DatasetError(
            f"{root}: pictures such as {too_large[0]} are larger than "
            f"{_LARGEST_CELL_PICTURE_PX} px; expected one cell a picture, these seem to be whole "
            "fields. Cut the cells out first: bloodcells crops"
        )


def _notes(kind: ClassifierKind, records: Sequence[CellRecord]) -> tuple[str, ...]:
    conditions = {record.condition for record in records}
    missing = [name for name in kind.conditions if name not in conditions]
    notes = [
        f"No cells of {name}: a classifier trained on this folder never answers {name}."
        for name in missing
    ]
    for condition in sorted(filter(None, conditions)):
        sources = {record.source for record in records if record.condition == condition}
        others = {record.source for record in records if record.condition not in (condition, None)}
        if sources and not sources & others:
            notes.append(
                f"{condition} comes from {', '.join(sorted(sources))} alone, which has no other "
                "condition: figures may tell laboratories apart in place of cells."
            )
    if not any(record.is_outlier for record in records):
        notes.append(
            f"No {NOT_A_CELL}/: the classifier does not learn to say that something is none of "
            "its classes."
        )
    return tuple(notes)
