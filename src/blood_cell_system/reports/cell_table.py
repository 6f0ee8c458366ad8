"""All cells of a batch in one table: ``cells.csv``, and ``cells.parquet`` where pyarrow is.

Written image by image, so that a table may be larger than the memory. Its columns are described in
``docs/cells_table.md``, which ``python -m blood_cell_system.reports.cell_table`` prints.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.atomic_files import csv_text, replacing
from blood_cell_system.cells.measures import data_dictionary
from blood_cell_system.cells.table import COLUMNS, Column
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.reports.batch_summary import ImageOutcome, scan_offsets
from blood_cell_system.reports.image_files import as_written, remove_file
from blood_cell_system.reports.report import CellFlag, DiagnosticReport, classes_in
from blood_cell_system.taxonomy import BUILT_IN

CSV_NAME: Final = "cells.csv"
PARQUET_NAME: Final = "cells.parquet"

NO_PARQUET: Final = (
    f"{PARQUET_NAME}: not written, as pyarrow is not installed; {CSV_NAME} has the same. Add it "
    "with pip install 'blood-cell-system[parquet]'."
)

_DECIMALS: Final = 4
"""Of all numbers in the table."""
_ROWS_OF_A_GROUP: Final = 20_000
"""Cells of a Parquet file's group, all of which are in memory at once: some 10 MB."""
_BLOCK: Final = 1_000
"""Rows of the CSV file that are laid out at once."""

_CELL_ID: Final = Column(
    name="cell_id",
    dtype="int64",
    definition="Value of its pixels in the label image of its image.",
)
_SCAN_CELL_ID: Final = Column(
    name="scan_cell_id",
    dtype="int64",
    definition="Its number in the scan that its image is a field of: the value of its pixels in "
    "the labels that `--label-zarr` writes.",
)
_OF_SCANS: Final = frozenset({"scan_cell_id", "scan_centroid"})
"""Columns that only tables with fields of scans have."""


def _described(probabilities: Iterable[str]) -> list[Column]:
    """Columns of the table in their order, with those of the probabilities that there are."""
    known = {column.name: column for column in data_dictionary()}
    first = [known.pop(name) for name in ("image", "slide", "patient")]
    on_scan = known.pop("scan_centroid")
    shares = [
        Column(name=name, dtype="float64", definition=f"Probability of {name[:-5]}.")
        for name in probabilities
    ]
    rest = list(known.values())
    place = next(i for i, column in enumerate(rest) if column.name == "flags") + 1
    return [*first, _CELL_ID, _SCAN_CELL_ID, on_scan, *rest[:place], *shares, *rest[place:]]


def columns_of(reports: Iterable[DiagnosticReport]) -> dict[str, Column]:
    """Describe the columns of the table of some reports, each of one value a cell, by name."""
    found: dict[str, None] = {}
    has_scans = False
    for report in reports:
        conditions, subtypes = classes_in(report.cells)
        found |= dict.fromkeys((*conditions, *subtypes))
        has_scans |= report.image.place is not None
    return columns_with(found, has_scans=has_scans)


def columns_with(classes: Iterable[str], *, has_scans: bool = False) -> dict[str, Column]:
    """Describe the columns of a table of cells by name, with the probability of each class."""
    return {
        name: column
        for column in _described(f"{name}_prob" for name in classes)
        if has_scans or column.name not in _OF_SCANS
        for name in column.flat_names
    }


def write_cell_tables(outcomes: Iterable[ImageOutcome], output_dir: Path) -> tuple[Path, ...]:
    """Write the cells of all images that were analysed; gives the files that were written.

    A Parquet file of a former run is removed where pyarrow is not installed.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    analysed = [(outcome, outcome.report) for outcome in outcomes if outcome.report is not None]
    columns = columns_of(report for _, report in analysed)
    offsets = scan_offsets(outcome for outcome, _ in analysed)

    def values() -> Iterator[dict[str, NDArray[Any] | None]]:
        for outcome, report in analysed:
            yield values_of(outcome, report, columns, scan_offset=offsets.get(outcome.name))

    csv_path, parquet_path = output_dir / CSV_NAME, output_dir / PARQUET_NAME
    with replacing(csv_path) as temporary, temporary.open("wb") as file:
        file.write(as_written(csv_text([columns])))
        for of_image in values():
            for lines in _csv_lines(of_image):
                file.write(lines)
    if not has_parquet():
        remove_file(parquet_path)
        return (csv_path,)
    with replacing(parquet_path) as temporary:
        _write_parquet(temporary, columns, values())
    return csv_path, parquet_path


def has_parquet() -> bool:
    """Whether Parquet files can be written."""
    return find_spec("pyarrow") is not None


def values_of(
    outcome: ImageOutcome,
    report: DiagnosticReport,
    columns: Mapping[str, Column],
    *,
    scan_offset: int | None = None,
) -> dict[str, NDArray[Any] | None]:
    """Columns of an image's cells by name; None for one without a value.

    ``scan_offset`` is that of ``scan_offsets``, where the other fields of its scan are known.
    """
    cells = report.cells
    slide = outcome.slide
    of_image = {
        "image": outcome.name,
        "slide": slide.name if slide else None,
        "patient": slide.patient if slide else None,
    }
    found = {name: np.full(len(cells), value, dtype=object) for name, value in of_image.items()}
    found |= {"cell_id": cells.ids} | cells.flat()
    if (place := report.image.place) is not None:
        on_scan = cells["centroid"] * place.downsample + (place.x_px, place.y_px)
        found |= zip(COLUMNS["scan_centroid"].flat_names, on_scan.T, strict=True)
    if scan_offset is not None:
        found["scan_cell_id"] = cells.ids + scan_offset
    return {name: _as_numbers(found.get(name)) for name in columns}


def _as_numbers(values: NDArray[Any] | None) -> NDArray[Any] | None:
    if values is None or values.dtype.kind != "f":
        return values
    return np.asarray(np.round(values, _DECIMALS))


def _csv_lines(columns: Mapping[str, NDArray[Any] | None]) -> Iterator[bytes]:
    count = next(len(values) for values in columns.values() if values is not None)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        parts = [
            [None] * size if values is None else _as_words(values[start : start + size])
            for values in columns.values()
        ]
        yield as_written(csv_text(zip(*parts, strict=True)))


def _as_words(values: NDArray[Any]) -> list[Any]:
    """Values as a CSV file has them: truth in words, nothing for what is missing."""
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind == "f":
        return [None if value != value else value for value in values.tolist()]
    return [_joined(value) for value in values.tolist()]


def _joined(value: Any) -> Any:
    """Several names as one text."""
    return " ".join(value) if isinstance(value, tuple) else value


def _write_parquet(
    path: Path,
    columns: Mapping[str, Column],
    images: Iterable[Mapping[str, NDArray[Any] | None]],
) -> None:
    # Here, not above: importing it takes as long as analysing a small image.
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = arrow_schema(columns)
    with ParquetWriter(path, schema) as writer:
        waiting: list[Any] = []
        for image in images:
            waiting.append(arrow_batch(image, schema))
            if sum(batch.num_rows for batch in waiting) >= _ROWS_OF_A_GROUP:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting = []
        writer.write_table(pa.Table.from_batches(waiting, schema))


def arrow_schema(columns: Mapping[str, Column]) -> Any:
    """Give the schema of a table of cells in a Parquet file."""
    import pyarrow as pa

    types = {
        "float64": pa.float64(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
        "object": pa.string(),
    }
    return pa.schema([(name, types[column.dtype]) for name, column in columns.items()])


def arrow_batch(columns: Mapping[str, NDArray[Any] | None], schema: Any) -> Any:
    """Turn the columns of an image's cells into a record batch."""
    import pyarrow as pa

    def array(values: NDArray[Any] | None, kind: Any) -> Any:
        # From buffers: of values, pyarrow asks pandas, whose import takes as long as an analysis.
        if values is None:
            return pa.nulls(count, kind)
        valid = np.ones(count, bool)
        if values.dtype.kind == "O":
            # A file name may hold bytes that are no text.
            texts = [None if v is None else as_written(str(_joined(v))) for v in values.tolist()]
            valid = np.array([text is not None for text in texts], bool)
            ends = np.cumsum([0, *(len(text or b"") for text in texts)], dtype=np.int32)
            parts = [ends, b"".join(text or b"" for text in texts)]
        elif values.dtype.kind == "b":
            parts = [np.packbits(values, bitorder="little")]
        else:
            valid = ~np.isnan(values)
            parts = [np.ascontiguousarray(values, kind.to_pandas_dtype())]
        buffers = [np.packbits(valid, bitorder="little"), *parts]
        return pa.Array.from_buffers(kind, count, [pa.py_buffer(part) for part in buffers])

    count = next(len(values) for values in columns.values() if values is not None)
    arrays = [array(columns[one.name], one.type) for one in schema]
    return pa.record_batch(arrays, schema=schema)


_HEAD: Final = """# The table of cells

`bloodcells analyze` writes the cells of all images of a run as one table into the folder of the
results: `cells.csv`, and `cells.parquet` where pyarrow is installed
(`pip install 'blood-cell-system[parquet]'`). A row is a cell.
`report.cells.to_dataframe()` gives the same columns of one image, but for `image`, `slide`,
`patient`, and `scan_cell_id` and `scan_centroid`, which only tables with fields of scans have. What
has no value is empty; several names in one value are separated by blanks.
`python -m blood_cell_system.reports.cell_table` writes this page.

Measures have the names and definitions of scikit-image's
[region properties](https://scikit-image.org/docs/stable/api/skimage.measure.html) where it has
them; x comes before y, and the middle of the first pixel is (0.5, 0.5).

## Columns

| Column | Type | Unit | What |
|---|---|---|---|
"""


def dictionary_page() -> str:
    """Write the data dictionary, ``docs/cells_table.md``, in Markdown."""
    kinds = {
        "object": "text",
        "bool": "true or false",
        "int64": "whole number",
        "float64": "number",
    }
    lines = []
    for column in _described(["NAME_prob"]):
        names = ", ".join(f"`{name}`" for name in column.flat_names)
        definition = column.definition.replace(
            "Probability of NAME.",
            "Probability of each condition and subtype; empty where no classifier saw the cell.",
        )
        lines.append(f"| {names} | {kinds[column.dtype]} | {column.unit} | {definition} |")
    conditions = ", ".join(f"`{one.name}`" for one in BUILT_IN.conditions)
    subtypes = ", ".join(f"`{one.name}`" for one in BUILT_IN.subtypes)
    reasons = "\n".join(f"| `{why}` | {why.words} | {why.definition} |" for why in Reason)
    flags = ", ".join(f"`{flag}`" for flag in CellFlag)
    return (
        f"{_HEAD}{chr(10).join(lines)}\n\n"
        f"Built-in conditions are {conditions}; subtypes {subtypes}. Flags are {flags}.\n\n"
        "## Reasons\n\nA cell is assessed, or has the first of these reasons that holds:\n\n"
        f"| `reason` | In reports | What |\n|---|---|---|\n{reasons}\n\n"
        "## Numbers of the report\n\n[Ten lines of pandas](../README.md#one-table-of-all-cells), "
        "also as [a notebook](recompute_a_report.ipynb), compute them from this table.\n"
    )


if __name__ == "__main__":
    sys.stdout.write(dictionary_page())
