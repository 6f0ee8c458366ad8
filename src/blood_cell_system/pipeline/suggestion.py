"""What to look at next in results: a list of cells and of fields, and a page that opens them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import blood_cell_system
from blood_cell_system.atomic_files import make_folder, write_json
from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections.correction_log import log_of, read_corrections
from blood_cell_system.corrections.next_cells import suggest_cells, uncertainty
from blood_cell_system.corrections.record import Corrections
from blood_cell_system.corrections.replay import replay
from blood_cell_system.errors import BloodCellError, DatasetError, SettingsError
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.findings import Count, Record
from blood_cell_system.reports.image_files import table_to_csv, write_words
from blood_cell_system.reports.page.cell_links import CellLink, links_to_cells, render_links
from blood_cell_system.reports.report import Probability, Text
from blood_cell_system.wording import counted

SUGGESTIONS_STEM: Final = "suggestions"
"""Of the names of the files that are written."""

_FIELDS: Final = 5
"""Fields that are named for a review to the end; more than a person reviews in a sitting."""


class SuggestedCell(Record):
    """A cell to look at."""

    image: Text
    cell_id: Annotated[int, Field(ge=1)]
    cell_type: str
    condition: str | None
    subtype: str | None
    uncertainty: Annotated[Probability, Field(description="0 sure, 1 anything is possible")]


class SuggestedField(Record):
    """A field to review to its end."""

    image: Text
    cells: Annotated[Count, Field(description="that nobody has reviewed")]
    uncertainty: Annotated[float, Field(ge=0, description="sum of those of its cells")]


class Suggestions(Record):
    """What ``suggestions.json`` holds."""

    format_version: Literal[1] = 1
    software_version: str
    seed: Count
    reviewed: Annotated[Count, Field(description="cells that people had reviewed before")]
    cells: Annotated[tuple[SuggestedCell, ...], Field(description="the least sure first")]
    fields: tuple[SuggestedField, ...]
    failed: Annotated[tuple[Text, ...], Field(description="images without a readable report")]


def suggest(
    results: ResultsFolder,
    *,
    count: int,
    cell_types: Sequence[str] = (),
    corrections: Sequence[Path] = (),
    seed: int = 0,
) -> Suggestions:
    """Choose cells and fields whose review teaches most.

    Parameters
    ----------
    count : int
        How many cells, at most.
    cell_types : sequence of str
        Types of the cells; all that were classified by default.
    corrections : sequence of Path
        Files of corrections besides the log of the results: what was reviewed is not suggested.

    Raises
    ------
    DatasetError
        No report can be read, or no cell was classified.
    SettingsError
        There is no such type.
    CorrectionsError
        Corrections are damaged, or of other results.
    """
    if unknown := [name for name in cell_types if name not in results.taxonomy]:
        raise SettingsError(
            f"--cell-type {unknown[0]}: no type of these results; expected one of "
            f"{', '.join(results.taxonomy.names)}."
        )
    tables, failed = _tables(results)
    cells = Cells.joined(tables)
    is_reviewed = _reviewed(results, tables, corrections)
    wanted = np.isin(cells["cell_type"].astype(str), cell_types or results.taxonomy.names)
    rows = np.flatnonzero(wanted)
    part = cells.select(rows)
    chosen = rows[suggest_cells(part, count, is_reviewed=is_reviewed[rows], seed=seed)]
    if not len(chosen) and not is_reviewed.any():
        what = " or ".join(cell_types) or "cell"
        raise DatasetError(
            f"{results.path}: no {what} was classified in these results. Analyse the images "
            "without --no-classify."
        )
    unsure = uncertainty(cells)
    return Suggestions(
        software_version=blood_cell_system.__version__,
        seed=seed,
        reviewed=int(is_reviewed.sum()),
        cells=tuple(_cells_at(cells, chosen, unsure, tables)),
        fields=tuple(_fields_of(cells, unsure, is_reviewed)),
        failed=tuple(failed),
    )


def _tables(results: ResultsFolder) -> tuple[dict[str, Cells], list[str]]:
    """Cells of each image, without pixels; and why some have none."""
    tables, failed = {}, []
    for name in results.names:
        try:
            report = results.report(name)
        except BloodCellError as error:
            failed.append(str(error))
            continue
        smear = np.full(len(report.cells), report.quality.is_smear)
        tables[name] = report.cells.with_columns(is_smear=smear)
    if not tables:
        raise DatasetError(f"{results.path}: no report can be read. {failed[0]}")
    return tables, failed


def _reviewed(
    results: ResultsFolder, tables: Mapping[str, Cells], files: Sequence[Path]
) -> NDArray[np.bool_]:
    """Whether a person has seen each cell of all tables."""
    log = log_of(results.path)
    found: list[Corrections] = []
    for path in [*([log] if log.is_file() else []), *files]:
        corrections = read_corrections(path)
        corrections.header.check_is_of(results.header, corrections.images, where=str(path))
        found.append(corrections)
    parts = [np.zeros(0, dtype=np.bool_)]
    for name, cells in tables.items():
        is_seen = np.zeros(len(cells), dtype=np.bool_)
        for corrections in found:
            if not (events := corrections.of_image(name)):
                continue
            field = replay(events, cells)
            touched = [cell.row for cell in field.touched if cell.row is not None]
            is_seen[[*field.removed, *touched]] = True
            is_seen |= field.is_reviewed
        parts.append(is_seen)
    return np.concatenate(parts)


def _cells_at(
    cells: Cells,
    rows: NDArray[np.intp],
    unsure: NDArray[np.float64],
    tables: Mapping[str, Cells],
) -> Iterator[SuggestedCell]:
    ids = np.concatenate([table.ids for table in tables.values()])
    for row in rows.tolist():
        yield SuggestedCell(
            image=cells["image"][row],
            cell_id=int(ids[row]),
            cell_type=cells["cell_type"][row],
            condition=cells["condition"][row],
            subtype=cells["subtype"][row],
            uncertainty=float(unsure[row]),
        )


def _fields_of(
    cells: Cells, unsure: NDArray[np.float64], is_reviewed: NDArray[np.bool_]
) -> Iterator[SuggestedField]:
    is_open = ~is_reviewed & cells["is_smear"].astype(np.bool_)
    names, places = np.unique(cells["image"][is_open].astype(str), return_inverse=True)
    sums, counts = np.bincount(places, unsure[is_open]), np.bincount(places)
    for place in np.argsort(-sums, kind="stable")[:_FIELDS].tolist():
        yield SuggestedField(
            image=str(names[place]),
            cells=int(counts[place]),
            uncertainty=round(float(sums[place]), 1),
        )


def write_suggestions(
    suggestions: Suggestions, results: ResultsFolder, output_dir: Path
) -> tuple[CellLink, ...]:
    """Write ``suggestions.json``, ``.csv`` and ``.html``; gives the links of the last.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    make_folder(output_dir)
    by_image: dict[str, list[int]] = {}
    for cell in suggestions.cells:
        by_image.setdefault(cell.image, []).append(cell.cell_id)
    write_json(output_dir / f"{SUGGESTIONS_STEM}.json", suggestions.to_json())
    rows = [cell.to_json() for cell in suggestions.cells]
    table = table_to_csv(list(SuggestedCell.model_fields), rows)
    write_words(output_dir / f"{SUGGESTIONS_STEM}.csv", table)
    links = links_to_cells(results.path, by_image, name="suggested")
    words = [
        f"{field.image}: {counted(field.cells, 'cell')} to review" for field in suggestions.fields
    ]
    page = render_links("Cells to look at next", words, links, output_dir)
    write_words(output_dir / f"{SUGGESTIONS_STEM}.html", page)
    return tuple(links)
