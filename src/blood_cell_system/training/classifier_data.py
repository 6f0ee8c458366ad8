"""The cells that a classifier learns from and is chosen by, read and numbered."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.splits import Split
from blood_cell_system.augmentation.cell_batches import CellLabels, HeldCells
from blood_cell_system.cells.single_cell import single_cell_image
from blood_cell_system.datasets.cell_folder import CellFolder, CellRecord
from blood_cell_system.errors import DatasetError
from blood_cell_system.taxonomy import NOT_LABELLED
from blood_cell_system.training.domains import group_names, stain_groups, stain_of_cell

_PURPOSES: Final = {
    Split.TRAIN: "to learn from",
    Split.VAL: "to choose and calibrate by",
    Split.TEST: "to measure on",
}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellClasses:
    """Classes that a classifier distinguishes: those that it has cells of.

    Parameters
    ----------
    conditions, types : tuple of str
        In the order of its probabilities; ``types`` may be empty.
    """

    conditions: tuple[str, ...]
    types: tuple[str, ...]

    @classmethod
    def of(cls, folder: CellFolder) -> "CellClasses":
        """Classes with training cells; all conditions of the kind where there is one only."""
        records = folder.select(Split.TRAIN)
        conditions = _present(folder.kind.conditions, [record.condition for record in records])
        types = _present(folder.kind.types, [record.cell_type for record in records])
        return cls(
            conditions=conditions if len(conditions) > 1 else folder.kind.conditions,
            types=types if len(types) > 1 else (),
        )

    def labels_of(
        self, folder: CellFolder, records: Sequence[CellRecord], sources: Sequence[str]
    ) -> CellLabels:
        """Give the labels of records numbers of these classes; others count as not labelled."""
        labels = CellLabels.of(records, kind=folder.kind, sources=sources)
        return replace(
            labels,
            condition=_renumbered(labels.condition, folder.kind.conditions, self.conditions),
            cell_type=_renumbered(labels.cell_type, folder.kind.types, self.types),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellSet:
    """Cells of a split in memory, with their labels."""

    cells: HeldCells
    labels: CellLabels

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Source and field of each cell: what a figure's interval is drawn by."""
        return tuple((record.source, record.field) for record in self.cells.records)


def read_cells(
    folder: CellFolder,
    split: Split,
    classes: CellClasses,
    *,
    records: Sequence[CellRecord] | None = None,
) -> CellSet:
    """Read the cells of a split, or some of them.

    Parameters
    ----------
    records : sequence of CellRecord, optional
        All of the split by default.

    Raises
    ------
    DatasetError
        There are none, or more than half of them cannot be read.
    """
    chosen = folder.select(split) if records is None else tuple(records)
    if not chosen:
        raise DatasetError(
            f"{folder.root}: no cells {_PURPOSES[split]} (split {str(split)!r}); expected some in "
            "each split. Add cells of more slides, or empty the column 'split' of cells.csv to "
            "have it made anew."
        )
    to_image = partial(single_cell_image, cell_type=folder.kind.cell_type)
    cells = HeldCells.read(folder, chosen, to_cell_image=to_image)
    if cells.failed:
        _logger.warning(
            "%s: %d of %d images are left out, for instance %s: %s",
            folder.root,
            len(cells.failed),
            len(chosen),
            cells.failed[0].name,
            cells.failed[0].reason,
        )
    labels = classes.labels_of(folder, cells.records, folder.sources)
    return CellSet(cells=cells, labels=labels)


def with_stain_domains(train: CellSet, val: CellSet, *, seed: int) -> tuple[CellSet, CellSet]:
    """Take groups of similar stain for sources, where all cells come from one.

    Fields are grouped, by the mean stain of their cells, and not the cells themselves: a parasite
    changes the colour of its cell, and would be a laboratory of its own. Groups are found on both
    splits together, so that their numbers agree.
    """
    statistics = np.array(
        [
            stain_of_cell(cell_set.cells[position])
            for cell_set in (train, val)
            for position in range(len(cell_set))
        ]
    )
    fields = (*train.fields, *val.fields)
    number = {field: index for index, field in enumerate(dict.fromkeys(fields))}
    place = np.array([number[field] for field in fields])
    # Platelets and smudges have colours of their own; where a field shows nothing else, they count.
    weight = np.where(np.concatenate([train.labels.known, val.labels.known]) > 0, 1.0, 1e-3)
    total = np.bincount(place, weights=weight)
    sums = [np.bincount(place, weights=weight * column) for column in statistics.T]
    groups = stain_groups((np.array(sums) / total).T, seed=seed)[place]
    names = group_names(groups)

    def regrouped(cell_set: CellSet, part: NDArray[np.int32]) -> CellSet:
        return replace(cell_set, labels=replace(cell_set.labels, source=part, sources=names))

    return regrouped(train, groups[: len(train)]), regrouped(val, groups[len(train) :])


def _present(names: tuple[str, ...], found: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(name for name in names if name in set(found))


def _renumbered(
    indices: NDArray[np.int32], all_names: tuple[str, ...], names: tuple[str, ...]
) -> NDArray[np.int32]:
    places = [names.index(name) if name in names else NOT_LABELLED for name in all_names]
    # What is not labelled has the index -1, which is the last entry.
    return np.array([*places, NOT_LABELLED], dtype=np.int32)[indices]
