"""Blocks and splits for cells whose table does not name them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from blood_cell_system.datasets.cell_blocks import blocks_of_names, split_by_blocks
from blood_cell_system.datasets.cell_table import CellRecord
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.errors import DatasetError


def with_blocks(
    records: Sequence[CellRecord], *, pattern: str | None, block_size: int
) -> list[CellRecord]:
    """Give a block, found in the names, to the cells that have none.

    Parameters
    ----------
    records : sequence of CellRecord
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
    # A picture's name says more than a cell's; neighbours of one class and source share a slide.
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
        else replace(
            record,
            block=found[record.file],
            field=record.field or Path(record.file).stem,
        )
        for record in records
    ]


def with_splits(table: Path, records: Sequence[CellRecord], *, seed: int) -> list[CellRecord]:
    """Deal whole blocks out to splits, unless the cells have theirs.

    Parameters
    ----------
    table : Path
        What messages name.
    records : sequence of CellRecord
    seed : int

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
