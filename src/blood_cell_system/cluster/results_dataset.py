"""Results of any number of images as one dataset of Parquet files, that any data tool reads.

::

    dataset.json                            what it was made with, version of the format
    cells/slide=S1/part-KEY.parquet         a row a cell: the columns of docs/cells_table.md
    images/part-KEY.parquet                 a row an image that was analysed
    images/failed-KEY.parquet               a row an image that failed, and why
    slides/part-0.parquet, patients/…       sums, written at the end

Where no slides were named, ``cells`` has no folders. ``KEY`` names a batch of images by its
content: doing it again replaces the same files. The file in ``images`` comes last and is what makes
a batch count; :meth:`ResultsDataset.settle` removes the cells of batches that never came so far.
One run at a time writes.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote

from pydantic import Field, ValidationError

from blood_cell_system.cells.table import Column
from blood_cell_system.cluster.source_files import FileState
from blood_cell_system.cluster.storage import Storage
from blood_cell_system.errors import BloodCellError, DatasetError, MissingDataError, value_words
from blood_cell_system.input_files import parsed_json
from blood_cell_system.model_metadata import Validation
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.reports.batch_summary import ImageOutcome, scan_offsets
from blood_cell_system.reports.cell_table import (
    arrow_batch,
    arrow_schema,
    columns_with,
    values_of,
)
from blood_cell_system.reports.findings import Record
from blood_cell_system.reports.image_files import as_written
from blood_cell_system.reports.report import (
    DISCLAIMER,
    Provenance,
    ReportSettings,
    Status,
    classes_in,
    taxonomy_in,
)
from blood_cell_system.taxonomy import Taxonomy

DATASET_NAME: Final = "dataset.json"
CELLS: Final = "cells"
IMAGES: Final = "images"

_METADATA: Final = b"blood_cell_system"
"""Key of the metadata of every Parquet file."""
_BLANK_SIDE_PX: Final = 64
"""Side of the empty image whose report tells which columns a model's reports have."""


class DatasetRecord(Record):
    """What all images of a dataset have in common; ``dataset.json`` holds it."""

    format_version: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    provenance: Provenance
    settings: ReportSettings
    has_slides: Annotated[bool, Field(description="whether every image is of a named slide")]
    taxonomy: Annotated[dict[str, Any] | None, Field(description="null: the built-in types")]
    classes: Annotated[tuple[str, ...], Field(description="that have a column of probabilities")]
    validation: dict[str, Validation]
    scan_options: Annotated[
        dict[str, str | int], Field(description="options of scans that were given, by name")
    ] = Field(default_factory=dict)

    @classmethod
    def of(
        cls,
        pipeline: InferencePipeline,
        *,
        has_slides: bool,
        scan_options: Mapping[str, str | int] | None = None,
    ) -> Self:
        """Describe what the reports of a pipeline have in common."""
        import numpy as np

        blank = np.full((_BLANK_SIDE_PX, _BLANK_SIDE_PX, 3), 255, dtype=np.uint8)
        report = pipeline.analyze_array(blank).report
        conditions, subtypes = classes_in(report.cells)
        return cls(
            # Workers may have other versions of the runtime, as a local run that goes on may.
            provenance=pipeline.provenance.model_copy(update={"runs_in": None}),
            settings=report.settings,
            has_slides=has_slides,
            taxonomy=report.taxonomy,
            classes=(*conditions, *subtypes),
            validation=report.validation,
            scan_options=dict(scan_options or {}),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all of it: software, models and settings."""
        text = json.dumps(self.to_json(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def cell_types(self) -> Taxonomy:
        """Types of the cells."""
        return taxonomy_in(self.taxonomy)

    @property
    def cells_schema(self) -> Any:
        """Schema of the files of cells; their slide is in the name of their folder."""
        return arrow_schema(self._columns).with_metadata(self._metadata())

    @property
    def _columns(self) -> dict[str, Column]:
        columns = columns_with(self.classes, has_scans=True)
        return {name: one for name, one in columns.items() if name != "slide"}

    @property
    def images_schema(self) -> Any:
        """Schema of the files of images."""
        import pyarrow as pa

        text, whole, number = pa.string(), pa.int64(), pa.float64()
        fields = {
            **dict.fromkeys(("image", "source", "path", "slide", "patient"), text),
            **dict.fromkeys(("status", "reason"), text),
            "warnings": pa.list_(text),
            "is_smear": pa.bool_(),
            **dict.fromkeys(self.cell_types.names, whole),
            **dict.fromkeys(("uncertain", "touching_border", "not_counted"), whole),
            **dict.fromkeys(("width_px", "height_px"), whole),
            **dict.fromkeys(("pixel_size_um", "judged_share"), number),
            **dict.fromkeys(("data_sha256", "pixels_sha256", "dataset_sha256"), text),
            "file_sha256": text,
            **dict.fromkeys(("file_bytes", "file_mtime_ns"), whole),
        }
        return pa.schema(list(fields.items()), metadata=self._metadata())

    def _metadata(self, **more: Any) -> dict[bytes, bytes]:
        value = {"format_version": self.format_version, "dataset_sha256": self.digest, **more}
        return {_METADATA: json.dumps(value, sort_keys=True).encode()}


def image_row(
    outcome: ImageOutcome,
    record: DatasetRecord,
    *,
    source: str | None = None,
    state: FileState | None = None,
) -> dict[str, Any]:
    """Give the row of an image in the table of images.

    ``source`` is the name of the scan that it is a field of, and ``state`` that of its file.
    """
    row = outcome.to_json()
    found: dict[str, Any] = {
        "image": outcome.name,
        "source": outcome.name if source is None else source,
        "dataset_sha256": record.digest,
        **{name: row[name] for name in ("path", "slide", "patient", "reason", "is_smear")},
        **{name: row[name] for name in ("uncertain", "touching_border", "not_counted")},
        "status": str(outcome.status),
        "warnings": list(row["warnings"]),
        "data_sha256": row["data_sha256"],
        **(row["counts"] or {}),
    }
    if outcome.report is not None:
        found |= {
            "file_sha256": outcome.data_sha256 if state is None else state.sha256,
            "file_bytes": None if state is None else state.size,
            "file_mtime_ns": None if state is None else state.mtime_ns,
            "width_px": outcome.report.image.width_px,
            "height_px": outcome.report.image.height_px,
            "pixel_size_um": outcome.report.scale.pixel_size_um,
            "judged_share": outcome.report.quality.judged_share,
            "pixels_sha256": outcome.report.provenance.pixels_sha256,
        }
    return {
        name: as_written(value).decode() if isinstance(value, str) else value
        for name, value in found.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedBatch:
    """A batch that counts.

    Parameters
    ----------
    key : str
    sources : tuple of (str, str or None, str or None)
        Name, slide and patient of each image or scan.
    """

    key: str
    sources: tuple[tuple[str, str | None, str | None], ...]


class ResultsDataset:
    """A dataset of results.

    Parameters
    ----------
    storage : Storage
    record : DatasetRecord
    """

    def __init__(self, storage: Storage, record: DatasetRecord) -> None:
        self.storage = storage
        self.record = record

    @classmethod
    def open(cls, place: str | Storage) -> Self:
        """Open a dataset to read it.

        Raises
        ------
        MissingDataError
            There is none.
        DatasetError
            It is damaged, or of a later version.
        """
        storage = place if isinstance(place, Storage) else Storage(place)
        where = f"{storage.shown}/{DATASET_NAME}"
        try:
            text = storage.read(DATASET_NAME).decode("utf-8", errors="replace")
        except MissingDataError as error:
            raise MissingDataError(
                f"{storage.shown}: holds no dataset of results: there is no {DATASET_NAME}. Name "
                "the folder that analyze --scheduler has written."
            ) from error
        value = parsed_json(text, Path(where), remedy="Copy the dataset again.")
        try:
            return cls(storage, DatasetRecord.model_validate(value))
        except ValidationError as error:
            version = value.get("format_version") if isinstance(value, dict) else None
            if isinstance(version, int) and version > 1:
                raise DatasetError(
                    f"{where}: format version {version}; this program reads version 1. Install a "
                    "later version of it."
                ) from error
            raise DatasetError(
                f"{where}: damaged ({value_words(error)}). Copy the dataset again."
            ) from error

    @classmethod
    def started(cls, storage: Storage, record: DatasetRecord) -> Self:
        """Start a dataset, or open one that the same models and settings have begun.

        Raises
        ------
        DatasetError
            Another version of the program, another model or other settings made what is there.
        OutputError
            The place cannot be written to.
        """
        text = json.dumps(record.to_json(), indent=1, sort_keys=True, default=str)
        # As it is read back, where 60 has become 60.0.
        record = DatasetRecord.model_validate(json.loads(text))
        try:
            dataset = cls.open(storage)
        except MissingDataError:
            storage.write(DATASET_NAME, as_written(f"{text}\n"))
            return cls(storage, record)
        if dataset.record.digest != record.digest:
            differing = [
                name
                for name in DatasetRecord.model_fields
                if getattr(dataset.record, name) != getattr(record, name)
            ]
            raise DatasetError(
                f"{storage.shown}: its results were made with other {' and '.join(differing)} "
                f"(version {dataset.record.provenance.software_version}, model "
                f"{dataset.record.provenance.model_sha256[:12]}) than this run has (version "
                f"{record.provenance.software_version}, model "
                f"{record.provenance.model_sha256[:12]}): sums over both would mean nothing. "
                "Choose another --output-dir."
            )
        return dataset

    # A batch

    def write_cells(self, key: str, outcomes: Iterable[ImageOutcome]) -> tuple[str, ...]:
        """Write the cells of the images of a batch, a file a slide; gives the files' names."""
        import pyarrow as pa

        schema = self.record.cells_schema
        columns = self.record._columns
        by_slide: dict[str | None, list[Any]] = {}
        ordered = sorted(outcomes, key=lambda outcome: outcome.name)
        offsets = scan_offsets(ordered)
        for outcome in ordered:
            if outcome.report is not None:
                slide = outcome.slide.name if outcome.slide else None
                offset = offsets.get(outcome.name)
                values = values_of(outcome, outcome.report, columns, scan_offset=offset)
                by_slide.setdefault(slide, []).append(arrow_batch(values, schema))
        names = []
        for slide, batches in by_slide.items():
            table = pa.Table.from_batches(batches, schema)
            if table.num_rows:
                names.append(f"{cells_folder(slide)}/part-{key}.parquet")
                self.storage.write(names[-1], _parquet(table))
        return tuple(names)

    def commit(self, key: str, rows: Sequence[Mapping[str, Any]], cells: Sequence[str]) -> None:
        """Make a batch count, whose cells are written; failed images are listed beside it."""
        for kind in ("failed", "part"):
            of_kind = [one for one in rows if (one["status"] == Status.FAILED) == (kind != "part")]
            if of_kind:
                name = f"{IMAGES}/{kind}-{key}.parquet"
                written = cells if kind == "part" else ()
                self.storage.write(name, _parquet(self._images(of_kind, cells=list(written))))

    def _images(self, rows: Sequence[Mapping[str, Any]], **more: Any) -> Any:
        import pyarrow as pa

        schema = self.record.images_schema
        ordered = sorted(rows, key=lambda row: str(row["image"]))
        table = pa.Table.from_pylist([dict(row) for row in ordered], schema=schema)
        return table.replace_schema_metadata(self.record._metadata(**more))

    def uncommit(self, key: str) -> None:
        """Let a batch not count any more; its cells go with the next :meth:`settle`."""
        self.storage.remove(f"{IMAGES}/part-{key}.parquet")

    # All of it

    def forget_failed(self) -> None:
        """List what failed no more: images are tried again, scans with all of their fields."""
        for name in self.storage.files(IMAGES):
            if name.startswith(f"{IMAGES}/failed-"):
                table = self._table(name, ["image", "source"])
                if table is not None and table["image"] != table["source"]:
                    self.uncommit(_key_of(name))
                self.storage.remove(name)

    def settle(self) -> Iterator[CommittedBatch]:
        """Remove what batches that do not count have left behind, and give those that count.

        A batch of which a file of cells has gone does not count.

        Raises
        ------
        OutputError
            A file cannot be removed.
        """
        self.storage.remove_partial_files()
        by_key: dict[str, set[str]] = {}
        for name in self.storage.files(CELLS):
            by_key.setdefault(_key_of(name), set()).add(name)
        for name in self.storage.files(IMAGES):
            key = _key_of(name)
            if name.startswith(f"{IMAGES}/failed-"):
                continue
            table = self._table(name, ["source", "slide", "patient"])
            expected = set() if table is None else set(_metadata_of(table).get("cells", ()))
            if table is None or not expected <= by_key.get(key, set()):
                self.storage.remove(name)
                continue
            # Cells of another cut of the same batch cannot be: its key would be another.
            by_key.pop(key, None)
            columns = (table[column].to_pylist() for column in ("source", "slide", "patient"))
            sources = dict.fromkeys(zip(*columns, strict=True))
            yield CommittedBatch(key=key, sources=tuple(sources))
        for name in (name for names in by_key.values() for name in names):
            self.storage.remove(name)

    def write_sums(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the sums of slides or of patients as one file."""
        import pyarrow as pa

        table = pa.Table.from_pylist([dict(row) for row in rows])
        if table.num_columns:
            table = table.replace_schema_metadata(self.record._metadata())
            self.storage.write(f"{name}/part-0.parquet", _parquet(table))

    def _table(self, name: str, columns: list[str]) -> Any:
        """Read a file of images; None for one that is damaged or of other models."""
        from pyarrow import ArrowException, parquet

        try:
            table = parquet.read_table(io.BytesIO(self.storage.read(name)), columns=columns)
        except (ArrowException, BloodCellError, OSError):
            return None
        return table if _metadata_of(table).get("dataset_sha256") == self.record.digest else None

    def image_rows(self, *columns: str) -> Iterator[dict[str, Any]]:
        """Go through the rows of all images, also those that failed.

        Raises
        ------
        DatasetError
            A file is damaged.
        """
        for name in self.storage.files(IMAGES):
            table = self._table(name, list(columns))
            if table is None:
                raise DatasetError(
                    f"{self.storage.shown}/{name}: damaged, or made with other models. Run the "
                    "analysis again: it replaces what is damaged."
                )
            yield from table.to_pylist()

    def files_of(self, key: str) -> dict[str, FileState]:
        """States of the files of a batch that counts, by place; empty for one that is damaged."""
        names = ("path", "file_sha256", "file_bytes", "file_mtime_ns")
        table = self._table(f"{IMAGES}/part-{key}.parquet", list(names))
        rows = [] if table is None else table.to_pylist()
        return {
            row["path"]: FileState(
                sha256=row["file_sha256"], size=row["file_bytes"], mtime_ns=row["file_mtime_ns"]
            )
            for row in rows
        }

    def cell_files(self, slide: str | None) -> Iterator[str]:
        """Name the files of the cells of a slide."""
        yield from self.storage.files(cells_folder(slide))


def cells_folder(slide: str | None) -> str:
    """Name the folder of a slide's cells, as Hive does.

    Examples
    --------
    >>> cells_folder("P1/S 2"), cells_folder(None)
    ('cells/slide=P1%2FS%202', 'cells')
    """
    if slide is None:
        return CELLS
    name = quote(as_written(slide), safe="")
    # Windows takes a full stop at the end away.
    return f"{CELLS}/slide={name[:-1]}%2E" if name.endswith(".") else f"{CELLS}/slide={name}"


def _key_of(name: str) -> str:
    """Key of the batch that a file is of."""
    return name.rpartition("/")[2].partition("-")[2].removesuffix(".parquet")


def _metadata_of(table: Any) -> dict[str, Any]:
    try:
        value = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _parquet(table: Any) -> bytes:
    from pyarrow import parquet

    data = io.BytesIO()
    parquet.write_table(table, data, compression="zstd", row_group_size=100_000)
    return data.getvalue()
