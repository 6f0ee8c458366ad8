"""Training cells: which cell, and how it is turned, coarsened and stained, by index.

Example *i* depends on the seed and *i* alone, as the crops of the segmenter do: an interrupted
training sees the cells that it would have seen.

Who is drawn is decided in steps, so that neither a frequent class nor a large laboratory outvotes
the others:

1. ``outlier_share`` of the examples are no cells at all: a source that has some, then one of them.
2. ``type_share`` are for the types of white cells: a type, a source that has it, then a cell.
3. All others are for the condition: a source, one of its conditions, then a cell. Within a source
   its conditions are equally frequent, so that the source tells nothing about the condition. A
   source of one condition alone comes a quarter as often as one of two.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cell_picture_format import on_white
from blood_cell_system.classifier_facts import ClassifierKind
from blood_cell_system.datasets.cell_folder import CellRecord
from blood_cell_system.errors import SettingsError
from blood_cell_system.input_pipeline.cell_augmentation import CellAugmentation, augment_cell
from blood_cell_system.input_pipeline.held_cells import HeldCells
from blood_cell_system.seeding import generator_for

UNKNOWN: Final = -1
"""Index of a condition or type that nobody knows, and of what is no cell."""

CellBatch = dict[str, NDArray[np.generic]]

_SINGLE_CONDITION_WEIGHT: Final = 0.25
_THREADS: Final = 2
_BATCHES_AHEAD: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBalance:
    """What is drawn how often.

    Parameters
    ----------
    outlier_share : float
        Of all examples, where there are outliers.
    type_share : float
        Of the rest, where types are known.

    Raises
    ------
    SettingsError
        A share is not from 0 to below 1.
    """

    outlier_share: float = 0.15
    type_share: float = 0.45

    def __post_init__(self) -> None:
        for name in ("outlier_share", "type_share"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name}: received {getattr(self, name)}; expected a share from 0 to below 1."
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellLabels:
    """What is known about cells, as numbers.

    Parameters
    ----------
    condition, cell_type : ndarray of shape (n,), dtype int32
        Index among the kind's conditions and types; ``UNKNOWN`` where nobody knows.
    known : ndarray of shape (n,), dtype float32
        1 for cells of the classes, 0 for what is none of them.
    source : ndarray of shape (n,), dtype int32
        Index among ``sources``.
    sources : tuple of str
    """

    condition: NDArray[np.int32]
    cell_type: NDArray[np.int32]
    known: NDArray[np.float32]
    source: NDArray[np.int32]
    sources: tuple[str, ...]

    @classmethod
    def of(
        cls,
        records: Sequence[CellRecord],
        *,
        kind: ClassifierKind,
        sources: Sequence[str] | None = None,
    ) -> "CellLabels":
        """Labels of records; ``sources`` fixes their order, by name by default."""
        names = tuple(sources or sorted({record.source for record in records}))
        conditions = {name: index for index, name in enumerate(kind.conditions)}
        types = {name: index for index, name in enumerate(kind.types)}

        def numbers(values: Sequence[int]) -> NDArray[np.int32]:
            return np.array(values, dtype=np.int32)

        return cls(
            condition=numbers([conditions.get(r.condition or "", UNKNOWN) for r in records]),
            cell_type=numbers([types.get(r.cell_type or "", UNKNOWN) for r in records]),
            known=np.array([not r.is_outlier for r in records], dtype=np.float32),
            source=numbers([names.index(r.source) for r in records]),
            sources=names,
        )


class CellSampler:
    """Augmented training cells by index.

    Parameters
    ----------
    cells : HeldCells
    labels : CellLabels
        Of the same cells.
    seed : int
    augmentation : CellAugmentation or None
        None leaves the pictures as they are.
    balance : CellBalance, optional

    Raises
    ------
    SettingsError
        There is no cell with a known condition or type.
    """

    def __init__(
        self,
        cells: HeldCells,
        labels: CellLabels,
        *,
        seed: int,
        augmentation: CellAugmentation | None,
        balance: CellBalance | None = None,
    ) -> None:
        self._cells = cells
        self._labels = labels
        self._seed = seed
        self._augmentation = augmentation
        self._balance = balance or CellBalance()
        self._outliers = _by_two(labels.source, labels.known == 0, labels.source)
        self._types = _by_two(labels.cell_type, labels.cell_type != UNKNOWN, labels.source)
        self._conditions = _by_two(labels.source, labels.condition != UNKNOWN, labels.condition)
        if not self._types and not self._conditions:
            raise SettingsError(
                "Cells: none of them has a known condition or type; expected labelled ones. Check "
                "cells.csv."
            )
        weights = [
            len(groups) if len(groups) > 1 else _SINGLE_CONDITION_WEIGHT * 2
            for groups in self._conditions.values()
        ]
        self._source_weights = np.array(weights) / max(sum(weights), 1e-9)

    def position_of(self, index: int) -> int:
        """Position of the cell that an example shows."""
        generator = generator_for(self._seed, "cell", index)
        is_outlier = generator.random() < self._balance.outlier_share
        is_for_type = generator.random() < self._balance.type_share
        if is_outlier and self._outliers:
            return _draw(self._outliers, generator)
        if self._types and (is_for_type or not self._conditions):
            return _draw(self._types, generator)
        return _draw(self._conditions, generator, weights=self._source_weights)

    def __getitem__(self, index: int) -> CellBatch:
        """Give an example: ``cells`` (130, 130, 3) uint8, and its labels by name, 0-dimensional."""
        position = self.position_of(index)
        picture = self._cells[position]
        if self._augmentation is None:
            pixels = on_white(picture)
        else:
            generator = generator_for(self._seed, "look", index)
            pixels = augment_cell(picture, generator, self._augmentation)
        return {"cells": pixels, **_labels_at(self._labels, position)}


def cell_batches(
    sampler: CellSampler, *, batch_size: int, first_index: int, count: int
) -> Iterator[CellBatch]:
    """Give batches in order of the examples' indices, made ahead in threads.

    Parameters
    ----------
    sampler : CellSampler
    batch_size : int
    first_index : int
        Index of the first example.
    count : int
        Number of batches.

    Yields
    ------
    dict of str to ndarray
        ``cells`` (batch, 130, 130, 3) uint8; ``condition``, ``cell_type``, ``source`` (batch,)
        int32; ``known`` (batch,) float32.
    """
    waiting: deque[list[Future[CellBatch]]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="cells") as pool:
        try:
            for number in range(count + _BATCHES_AHEAD):
                if number < count:
                    start = first_index + number * batch_size
                    indices = range(start, start + batch_size)
                    waiting.append([pool.submit(sampler.__getitem__, index) for index in indices])
                if number >= _BATCHES_AHEAD:
                    yield _stacked([future.result() for future in waiting.popleft()])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def plain_batches(cells: HeldCells, labels: CellLabels, *, batch_size: int) -> Iterator[CellBatch]:
    """Give every cell once, in order and as it is, for measuring; the last batch may be short.

    Yields
    ------
    dict of str to ndarray
        As of :func:`cell_batches`.
    """
    for start in range(0, len(cells), batch_size):
        positions = range(start, min(start + batch_size, len(cells)))
        yield _stacked([{"cells": on_white(cells[p]), **_labels_at(labels, p)} for p in positions])


_Groups = dict[int, list[NDArray[np.intp]]]


def _by_two(
    first: NDArray[np.int32], is_meant: NDArray[np.bool_], second: NDArray[np.int32]
) -> _Groups:
    """Positions of what is meant: for each value of ``first``, a row for each of ``second``."""
    groups: _Groups = {}
    for outer in np.unique(first[is_meant]).tolist():
        is_outer = is_meant & (first == outer)
        groups[outer] = [
            np.flatnonzero(is_outer & (second == inner))
            for inner in np.unique(second[is_outer]).tolist()
        ]
    return groups


def _draw(
    groups: _Groups,
    generator: np.random.Generator,
    *,
    weights: NDArray[np.float64] | None = None,
) -> int:
    outer = list(groups.values())[int(generator.choice(len(groups), p=weights))]
    inner = outer[int(generator.integers(len(outer)))]
    return int(inner[generator.integers(len(inner))])


def _labels_at(labels: CellLabels, position: int) -> CellBatch:
    return {
        "condition": labels.condition[position],
        "cell_type": labels.cell_type[position],
        "known": labels.known[position],
        "source": labels.source[position],
    }


def _stacked(examples: list[CellBatch]) -> CellBatch:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}
