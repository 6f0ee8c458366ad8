"""A folder of single cells: what classifiers learn from.

::

    data/cells_rbc/
    ├── healthy_RBC/*.png          one cell each; the folder's name is the class
    ├── malaria_RBC/*.png
    ├── sickle_RBC/*.png
    ├── not_a_cell/*.png           optional: platelets, smudges, clumps, empty slide
    ├── cells.csv                  optional: where each cell comes from, and its split
    └── taxonomy.json              optional: classes that are not the built-in ones

For white cells folders are named by condition (``healthy_WBC``, ``cancer_WBC``) or by the type of a
normal cell (``neutrophil`` and so on; their condition is ``healthy_WBC``). The images are cell
images as ``bloodcells crops`` makes them (130×130 RGBA, transparent around the cell), or any
image of one cell: the cell in the middle is found.

``cells.csv`` has a row for each cell, with the fields of :class:`CellRecord`; its condition is
``not_a_cell`` for what is none of the classes. Without the table, blocks are found in the names,
and the split is made by whole blocks.
"""

import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Self

from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import csv_text, with_formulas, write_text
from blood_cell_system.datasets.cell_blocks import blocks_of_names, split_by_blocks
from blood_cell_system.datasets.prepared import enum_text, tuple_text
from blood_cell_system.errors import BloodCellError, DatasetError, MissingDataError
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES, read_file_bytes, read_image_shape
from blood_cell_system.imaging.image_folders import (
    holds_results,
    images_directly_in,
    is_left_behind,
)
from blood_cell_system.input_files import read_table
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.taxonomy import BUILT_IN, PARASITE_STAGES, Taxonomy

NOT_A_CELL: Final = "not_a_cell"
"""Folder and ``condition`` of images that are none of the classes."""

CELLS_CSV: Final = "cells.csv"
TAXONOMY_JSON: Final = "taxonomy.json"

SHEETS: Final = "sheets"
"""Folder, within a cell folder, of contact sheets for people."""

UNFINISHED: Final = ".cutting"
"""Folder within a cell folder while a command writes it, or after it was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRecord:
    """One cell of a folder.

    Parameters
    ----------
    file : str
        Relative to the folder, with ``/``.
    condition : str or None
        Of its cell type in the taxonomy; None where unknown, and for what is no cell.
    cell_type : str or None
        A subtype where the taxonomy has any of the type; else free text. None where unknown.
    is_outlier : bool
        Whether it is none of the classes.
    source, field, block : str
        Data set, image that it was cut from, and slide.
    split : Split or None
        None where nobody has said; a folder that was opened has it for every cell.
    origin : str
        Who says where the cell is: ``annotated``, ``stain``, ``predicted``; empty where unknown.
    source_label : str
        What the data set calls it, such as a parasite's stage; empty where it says nothing.
    red_cell_diameter_px : float or None
        Of the red cells in its image; None where nothing shows it.
    red_cell_density_red, red_cell_density_green, red_cell_density_blue : float or None
        Median optical density of the red cells in its image; None where it shows none.
    surround_filled : bool
        Whether it was cut out before, on black, grey, white or transparency: the light of its slide
        is a guess.
    image_width_px, image_height_px, border_red, border_green, border_blue : float or None
        Size of the image that it was cut from, and mean colour of that image's border: what tells
        classes apart without any cell. None where unknown.
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
    source_label: str = ""
    red_cell_diameter_px: float | None = None
    red_cell_density_red: float | None = None
    red_cell_density_green: float | None = None
    red_cell_density_blue: float | None = None
    surround_filled: bool = False
    image_width_px: float | None = None
    image_height_px: float | None = None
    border_red: float | None = None
    border_green: float | None = None
    border_blue: float | None = None

    @property
    def label(self) -> str:
        """Class in words, for tables and sheets."""
        if self.is_outlier:
            return NOT_A_CELL
        return " ".join(filter(None, (self.condition, self.cell_type))) or "unlabelled"


COLUMNS: Final = tuple(field.name for field in fields(CellRecord) if field.name != "is_outlier")
MEASURES: Final = COLUMNS[9:13]
"""Columns that relate a cell to the red cells of its image."""
FRAME: Final = COLUMNS[14:19]
"""Columns of what its image shows without any cell: its size, and the mean colour of its border."""
_NUMBERS: Final = (*MEASURES, *FRAME)
_SINCE_THE_FIRST: Final = COLUMNS[:8]
"""Columns that every folder has; the others were added later."""


def kind_of_folder(root: Path, name: str, taxonomy: Taxonomy | None = None) -> ClassifierKind:
    """Give the kind of cells that a folder is read for.

    Parameters
    ----------
    root : Path
        Cell folder; its ``taxonomy.json`` counts where none is given, then the built-in one.
    name : str
        Of a cell type, in capital or small letters.

    Raises
    ------
    SettingsError
        There is no such type with conditions, or ``taxonomy.json`` is damaged.
    """
    own = root / TAXONOMY_JSON
    if taxonomy is None:
        taxonomy = Taxonomy.read(own) if own.is_file() else BUILT_IN
    return ClassifierKind(name, taxonomy)


def write_cells_csv(root: Path, records: Iterable[CellRecord]) -> None:
    """Write ``cells.csv``, whole or not at all; OutputError where that cannot be."""
    rows = (row_of(record) for record in sorted(records, key=lambda record: record.file))
    write_text(root / CELLS_CSV, csv_text([COLUMNS, *rows]))


def row_of(record: CellRecord) -> tuple[str, ...]:
    """Values of a cell in the order of ``COLUMNS``."""
    values = {name: _written(getattr(record, name)) for name in COLUMNS}
    if record.is_outlier:
        values["condition"] = NOT_A_CELL
    return tuple(values.values())


def _written(value: str | float | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.10g}" if isinstance(value, int | float) else str(value or "")


def read_cells_csv(path: Path, kind: ClassifierKind) -> list[CellRecord]:
    """Read the table of a cell folder.

    Parameters
    ----------
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
    rows = read_table(
        path,
        {name: (name,) for name in ("file", "condition")},
        remedy=(
            f"Expected {', '.join(COLUMNS)}. Add it, or delete the table to have classes taken "
            "from the folders."
        ),
    )
    records = []
    seen: dict[str, int] = {}
    for number, row in rows:
        record = _record_of(row, kind, where=f"{path}, line {number}")
        if record.file in seen:
            raise DatasetError(
                f"{path}, line {number}: {record.file} stands in line {seen[record.file]} already; "
                "expected every image once. Delete one of the lines."
            )
        seen[record.file] = number
        if not (path.parent / record.file).is_file():
            raise MissingDataError(
                f"{path}, line {number}: {record.file} is not there. Copy it again, or delete the "
                "line."
            )
        records.append(record)
    if not records:
        raise DatasetError(f"{path}: no cells in this table; expected a line an image.")
    return sorted(records, key=lambda record: record.file)


def _record_of(row: Mapping[str, str], kind: ClassifierKind, *, where: str) -> CellRecord:
    values = {name: with_formulas(row.get(name, "")) for name in COLUMNS}
    file = values["file"]
    if not file or Path(file).is_absolute() or ".." in Path(file).parts:
        raise DatasetError(
            f"{where}: the file is {file!r}; expected a path within the folder, such as "
            f"{kind.conditions[0]}/a.png."
        )
    condition, cell_type = values["condition"], values["cell_type"]
    source_label = values["source_label"]
    if cell_type in PARASITE_STAGES and cell_type not in kind.types:
        cell_type, source_label = "", cell_type
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
        source_label=source_label,
        surround_filled=values["surround_filled"] == "yes",
        **{name: _measure_of(values[name], f"{where}: {name}") for name in _NUMBERS},
    )


def _measure_of(text: str, where: str) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise DatasetError(
            f"{where} is {text!r}; expected a number, or nothing where it is unknown. Correct "
            "it, or make the folder again with: bloodcells crops"
        )
    return value


def suggestion(name: str, known: Sequence[str]) -> str:
    """Say which known name may have been meant, as a sentence; nothing where none is near."""
    by_lower = {item.lower(): item for item in known}
    close = difflib.get_close_matches(
        name.lower().replace(" ", "_").replace("-", "_"), list(by_lower), n=1, cutoff=0.5
    )
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def is_contact_sheet(path: Path) -> bool:
    """Whether an image is a contact sheet of a cell folder."""
    return path.parent.name == SHEETS and (path.parent.parent / CELLS_CSV).is_file()


def read_class_folders(root: Path, kind: ClassifierKind) -> list[CellRecord]:
    """Read a folder of class folders: a cell an image, of the class that its folder names.

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
        path
        for path in root.iterdir()
        if path.is_dir()
        and not is_left_behind(path.name)
        and path.name != SHEETS
        and not holds_results(path)
    )
    if not folders:
        raise DatasetError(
            f"{root}: no folders in it; expected one for each class: "
            f"{', '.join(kind.conditions)}. Sort the images into such folders."
        )
    records = []
    for folder in folders:
        condition, cell_type = _class_of_folder(folder, kind)
        images = [path.name for path in images_directly_in(folder)]
        if not images:
            raise DatasetError(
                f"{folder}: no images in this class folder; expected "
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
            for name in images
        ]
    return records


def _class_of_folder(folder: Path, kind: ClassifierKind) -> tuple[str | None, str | None]:
    name = folder.name
    if name == NOT_A_CELL:
        return None, None
    if name in kind.conditions:
        return name, None
    if name in kind.types:
        return kind.condition_of(name), name
    expected = (*kind.conditions, *kind.types, NOT_A_CELL)
    raise DatasetError(
        f"{folder}: no class is called {name!r}; expected {', '.join(expected)}."
        f"{suggestion(name, expected)} Rename the folder, or define a class of your own: --classes "
        "FILE"
    )


def with_blocks(
    records: Sequence[CellRecord], *, pattern: str | None, block_size: int
) -> list[CellRecord]:
    """Give a block, found in the names, to the cells that have none.

    Parameters
    ----------
    pattern, block_size
        As of ``blocks_of_names``.

    Raises
    ------
    SettingsError
        The pattern makes no sense.
    """
    nameless = [record for record in records if not record.block]
    if not nameless:
        return list(records)
    # An image's name says more than a cell's; neighbours of one class and source share a slide.
    groups: dict[tuple[str, str], list[CellRecord]] = {}
    for record in nameless:
        groups.setdefault((record.source, Path(record.file).parent.as_posix()), []).append(record)
    found: dict[str, str] = {}
    for (source, folder), members in groups.items():
        name_of = {record.file: record.field or Path(record.file).stem for record in members}
        blocks = blocks_of_names(list(name_of.values()), pattern=pattern, block_size=block_size)
        # With a pattern, the same slide may well show several classes.
        prefix = source if pattern else f"{source}/{folder}"
        found |= {file: f"{prefix}/{blocks[name]}" for file, name in name_of.items()}
    return [
        record
        if record.block
        else replace(record, block=found[record.file], field=record.field or Path(record.file).stem)
        for record in records
    ]


def with_splits(table: Path, records: Sequence[CellRecord], *, seed: int) -> list[CellRecord]:
    """Split cells by whole blocks, unless they have their splits.

    Parameters
    ----------
    table : Path
        What messages name.

    Raises
    ------
    DatasetError
        A block is in several splits, or some cells have a split and others none.
    """
    splits: dict[str, set[Split | None]] = {}
    for record in records:
        splits.setdefault(record.block, set()).add(record.split)
    torn = sorted(block for block, several in splits.items() if len(several) > 1)
    if torn:
        raise DatasetError(
            f"{table}: block {torn[0]!r} is in several splits, as are {len(torn) - 1} "
            "others; expected all cells of a slide in one. Leave the column empty to have the "
            "split made."
        )
    unsplit = [record.file for record in records if record.split is None]
    if not unsplit:
        return list(records)
    if len(unsplit) < len(records):
        raise DatasetError(
            f"{table}: {len(unsplit)} of {len(records)} lines have no split, for "
            f"instance {unsplit[0]}; expected one in every line, or in none to have it made."
        )
    chosen = split_by_blocks(
        [record.block for record in records],
        [f"{record.source} {record.label}" for record in records],
        seed=seed,
    )
    return [replace(record, split=chosen[record.block]) for record in records]


_LARGEST_CELL_IMAGE_PX: Final = 450  # Longer side; larger images are fields, not single cells.
_LOOKED_AT: Final = 12  # Images whose size is read to recognise a folder of fields.


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFolder:
    """A folder of single cells, opened.

    Parameters
    ----------
    records : tuple of CellRecord
        Ordered by file name.
    notes : tuple of str
        What a person should know before a training, a sentence each.
    has_known_blocks : bool
        Whether somebody says which cells are of one slide or patient; else runs of neighbouring
        names are taken for it, and figures may be too good.
    """

    root: Path
    kind: ClassifierKind
    records: tuple[CellRecord, ...]
    notes: tuple[str, ...] = ()
    has_known_blocks: bool = True

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

        Images are not decoded here: of some, the size is read from the header.

        Parameters
        ----------
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
            of one class only, a broken ``cells.csv``, blocks in several splits, or images of
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
        is_known = block_pattern is not None or all(record.block for record in records)
        records = with_blocks(records, pattern=block_pattern, block_size=block_size)
        records = with_splits(root / CELLS_CSV, records, seed=seed)
        notes = _notes(kind, records)
        if not is_known:
            notes += (
                "No slide or patient is known: neighbouring names are taken for one, so that the "
                "same slide may be learned from and measured on. Give --block-pattern, or a column "
                "'block' in cells.csv.",
            )
        return cls(
            root=root, kind=kind, records=tuple(records), notes=notes, has_known_blocks=is_known
        )

    def path_of(self, record: CellRecord) -> Path:
        """Where the image of a cell lies."""
        return self.root / record.file

    def select(self, split: Split) -> tuple[CellRecord, ...]:
        """Cells of a split."""
        return tuple(record for record in self.records if record.split is split)

    def of_sources(self, names: Collection[str]) -> Self:
        """Keep the cells of some data sets only.

        Raises
        ------
        DatasetError
            There is no such data set, or what is left has one class only.
        """
        if strangers := sorted(set(names) - set(self.sources)):
            raise DatasetError(
                f"{self.root}: has no cells of {', '.join(strangers)}; expected names of "
                f"{', '.join(self.sources)}. Correct --sources."
            )
        records = tuple(record for record in self.records if record.source in names)
        _check_classes(self.root, self.kind, records)
        return replace(self, records=records, notes=_notes(self.kind, records))

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the data sets, in order."""
        return tuple(sorted({record.source for record in self.records}))

    def content_hash(self) -> str:
        """SHA-256 over the labels, the splits and the bytes of all images.

        Raises
        ------
        MissingDataError, ImageReadError
            A file has gone, or cannot be read.
        """
        digest = hashlib.sha256()
        for record in self.records:
            # A folder without the later columns has the hash that earlier versions gave it, which
            # had the stage of a parasite in the column of the type.
            if record.source_label in PARASITE_STAGES and record.cell_type is None:
                record = replace(record, cell_type=record.source_label, source_label="")
            words = [
                enum_text("Split", value) if value and name == "split" else repr(str(value))
                for name, value in zip(COLUMNS, row_of(record), strict=True)
                if value or name in _SINCE_THE_FIRST
            ]
            digest.update(tuple_text(words).encode(errors="surrogateescape"))
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
            f"{', '.join((*kind.conditions, *kind.types))}. There is nothing to distinguish."
        )


def _check_sizes(root: Path, records: Sequence[CellRecord]) -> None:
    """Refuse images of whole fields: a network would learn backgrounds."""
    step = max(1, len(records) // _LOOKED_AT)
    sizes = []
    for record in records[::step][:_LOOKED_AT]:
        try:
            sizes.append((max(read_image_shape(root / record.file)), record.file))
        except BloodCellError:
            # Unreadable images are listed when all are read.
            continue
    too_large = [file for side, file in sizes if side > _LARGEST_CELL_IMAGE_PX]
    if sizes and 2 * len(too_large) > len(sizes):
        raise DatasetError(
            f"{root}: images such as {too_large[0]} are larger than "
            f"{_LARGEST_CELL_IMAGE_PX} px; expected one cell an image, these seem to be whole "
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
                "condition: figures may distinguish laboratories in place of cells."
            )
    if not any(record.is_outlier for record in records):
        notes.append(
            f"No {NOT_A_CELL}/: the classifier does not learn to say that something is none of "
            "its classes."
        )
    return tuple(notes)
