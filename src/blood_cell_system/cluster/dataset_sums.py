"""Sums of slides and of patients, as queries over a dataset of results.

Of each slide only the columns that sums need are read, a group of rows at a time, and cells that
are alike become one row (:class:`~blood_cell_system.cells.cell_kinds.CellKinds`): the same code
then gives the same sums as for a folder of reports.
"""

import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blood_cell_system.cells.cell_kinds import CellKinds
from blood_cell_system.cluster.results_dataset import DatasetRecord, ResultsDataset
from blood_cell_system.errors import DatasetError
from blood_cell_system.reports.findings import Count, Record
from blood_cell_system.reports.report import Status, Text
from blood_cell_system.reports.slides import Sums, sums_of

_TEXTS: Final = ("cell_type", "condition", "subtype", "reason", "flags")
_TRUTHS: Final = ("is_counted", "is_known", "touches_border")
_MEASURED: Final = ("equivalent_diameter_area", "equivalent_diameter_um")
_MOST_KINDS: Final = 1 << 20
"""Combinations of values of a group of rows up to which they are counted in a table."""


class GroupSums(Record):
    """Sums of the cells of one slide, or of all slides of one patient."""

    slide: Annotated[Text | None, Field(description="null for a patient, and without slides")]
    patient: Text | None
    slides: tuple[Text, ...]
    images: Annotated[Count, Field(description="fields that the sums are of")]
    left_out: Annotated[Count, Field(description="analysed, but unlike a blood smear")]
    failed: Count
    sums: Sums


def sums_by(
    dataset: ResultsDataset, by: Literal["slide", "patient"], *, jobs: int | None = None
) -> Iterator[GroupSums]:
    """Sum up the cells of each slide, or of each patient that was named.

    Parameters
    ----------
    jobs : int, optional
        Groups at a time; as many as there are cores by default.

    Raises
    ------
    DatasetError
        A file is damaged.
    """
    groups: dict[str | None, _Group] = {}
    for row in dataset.image_rows("slide", "patient", "status", "is_smear"):
        if by == "slide" or row["patient"] is not None:
            groups.setdefault(row[by], _Group()).add(row)

    def summed(name: str | None) -> GroupSums:
        group = groups[name]
        files = (file for slide in group.slides for file in dataset.cell_files(slide))
        return GroupSums(
            slide=name if by == "slide" else None,
            patient=group.patient,
            slides=tuple(slide for slide in group.slides if slide is not None),
            images=group.images,
            left_out=group.left_out,
            failed=group.failed,
            sums=sums_of(kinds_in(files, dataset)),
        )

    with ThreadPoolExecutor(jobs or os.cpu_count()) as executor:
        yield from executor.map(summed, sorted(groups, key=lambda name: name or ""))


def write_sums(dataset: ResultsDataset, *, jobs: int | None = None) -> None:
    """Write the sums of all slides and patients into the dataset, a row each.

    Raises
    ------
    DatasetError
        A file is damaged.
    OutputError
        They cannot be written.
    """
    for by in ("slide", "patient"):
        dataset.write_sums(f"{by}s", map(_row, sums_by(dataset, by, jobs=jobs)))


def _row(group: GroupSums) -> dict[str, Any]:
    """Give sums as a row: counts by type, count and total of each share, and all as JSON."""
    row: dict[str, Any] = group.to_json()
    sums = row.pop("sums")
    row |= {"slides": list(row["slides"]), **sums["counts"]}
    rates = [*sums["rates"], *(one for part in sums["findings"].values() for one in part["rates"])]
    for rate in rates:
        row |= {rate["name"]: rate["count"], f"{rate['name']}_total": rate["total"]}
    row["sums"] = json.dumps(sums, sort_keys=True)
    return row


class _Group:
    """Images of a slide or patient, counted."""

    def __init__(self) -> None:
        self.slides: dict[str | None, None] = {}
        self.patient: str | None = None
        self.images = self.left_out = self.failed = 0

    def add(self, row: dict[str, Any]) -> None:
        """Count an image."""
        self.slides[row["slide"]] = None
        self.patient = row["patient"]
        if row["status"] == Status.FAILED:
            self.failed += 1
        elif row["is_smear"]:
            self.images += 1
        else:
            self.left_out += 1


def kinds_in(files: Iterable[str], dataset: ResultsDataset) -> CellKinds:
    """Read the cells of files, as far as sums need them; those of no smear are left out.

    Raises
    ------
    DatasetError
        A file is damaged.
    """
    from pyarrow import ArrowException, parquet

    kinds = _Kinds()
    columns = ["image", "is_smear", *_TEXTS, *_TRUTHS, *_MEASURED]
    for name in files:
        folder = dataset.storage.folder
        source = io.BytesIO(dataset.storage.read(name)) if folder is None else folder / name
        try:
            with parquet.ParquetFile(source, read_dictionary=["image", *_TEXTS]) as file:
                for group in range(file.num_row_groups):
                    kinds.add(file.read_row_group(group, columns=columns, use_threads=False))
        except (ArrowException, OSError, KeyError) as error:
            raise DatasetError(
                f"{dataset.storage.shown}/{name}: damaged ({error}). Run the analysis again: it "
                "replaces what is damaged."
            ) from error
    return kinds.table(dataset.record)


class _Kinds:
    """Cells so far."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[Any, ...], int] = {}
        self._images: dict[str, int] = {}
        self._counts: list[NDArray[np.intp]] = []
        self._measured: list[NDArray[np.float64]] = []
        self._measured_kinds: list[NDArray[np.int32]] = []

    def add(self, table: Any) -> None:
        """Add the cells of a group of rows."""
        is_smear = _truths(table["is_smear"])
        if not is_smear.all():
            import pyarrow as pa

            table = table.filter(pa.array(is_smear))
        if not table.num_rows:
            return
        columns = [_codes(table[name]) for name in (*_TEXTS, *_TRUTHS)]
        lengths = [len(words) for _, words in columns]
        size = math.prod(lengths)
        key = np.zeros(table.num_rows, dtype=np.int32 if size < 1 << 31 else np.int64)
        for codes, words in columns:
            key *= len(words)
            key += codes
        found, local = _distinct(key, size)
        places = np.unravel_index(found, lengths)
        decoded = [
            [words[place] for place in of_column.tolist()]
            for (_, words), of_column in zip(columns, places, strict=True)
        ]
        known = [
            self._kinds.setdefault(kind, len(self._kinds)) for kind in zip(*decoded, strict=True)
        ]
        images, names = _codes(table["image"])
        numbers = [self._images.setdefault(str(name), len(self._images)) for name in names[:-1]]
        pairs = images.astype(np.int64) * len(known) + local
        counts = np.bincount(pairs, minlength=len(names) * len(known))
        chosen = np.flatnonzero(counts)
        of_image, of_kind = np.divmod(chosen, len(known))
        self._counts.append(
            np.stack([np.array(known)[of_kind], np.array(numbers)[of_image], counts[chosen]])
        )
        is_whole = ~_truths(table["touches_border"])
        measured = [table[name].to_numpy()[is_whole] for name in _MEASURED]
        self._measured.append(np.stack(measured))
        self._measured_kinds.append(np.array(known, dtype=np.int32)[local[is_whole]])

    def table(self, record: DatasetRecord) -> CellKinds:
        """Give the table of the kinds."""
        kinds, images, numbers = np.concatenate([np.zeros((3, 0), np.intp), *self._counts], axis=1)
        order = {name: place for place, name in enumerate(sorted(self._images))}
        places = np.array([order[name] for name in self._images], dtype=np.intp)
        names = (*_TEXTS, *_TRUTHS)
        rows = zip(*self._kinds, strict=True) if self._kinds else ((),) * len(names)
        columns: dict[str, Any] = dict(zip(names, rows, strict=True))
        columns["flags"] = [tuple((flags or "").split()) for flags in columns["flags"]]
        count = len(self._kinds)
        measured = np.concatenate([np.zeros((len(_MEASURED), 0)), *self._measured], axis=1)
        found = CellKinds(
            label_image=np.zeros((0, 0), dtype=np.int32),
            taxonomy=record.cell_types,
            validation=record.validation,
            kinds=kinds,
            images=places[images],
            numbers=numbers,
            measured=dict(zip(_MEASURED, measured, strict=True)),
            measured_kinds=np.concatenate([np.zeros(0, np.int32), *self._measured_kinds]),
        )
        return found.with_columns(
            **columns,
            image=[None] * count,
            **{f"{name}_prob": np.full(count, np.nan) for name in record.classes},
        )


def _distinct(key: NDArray[np.integer[Any]], size: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Distinct values below a size, and the place among them of each; as ``np.unique`` does."""
    if size > _MOST_KINDS:
        found, local = np.unique(key, return_inverse=True)
        return found, local
    present = np.zeros(size, dtype=np.bool_)
    present[key] = True
    place = np.cumsum(present) - 1
    return np.flatnonzero(present), place[key]


def _codes(column: Any) -> tuple[NDArray[np.integer[Any]], list[Any]]:
    """Codes of a column of truths or text, and their values; of text the last is None."""
    if str(column.type) == "bool":
        return _truths(column).view(np.uint8), [False, True]
    array = column.combine_chunks()
    words, codes = array.dictionary.to_pylist(), array.indices
    if codes.null_count:
        codes = codes.fill_null(len(words))
    return codes.to_numpy(zero_copy_only=False), [*words, None]


def _truths(column: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = column.to_numpy()
    return found
