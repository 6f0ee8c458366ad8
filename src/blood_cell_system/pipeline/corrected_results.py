"""Results as people have corrected them: tables, masks, reports and pages, marked as reviewed."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.image_analysis import ImageAnalysis
from blood_cell_system.atomic_files import make_folder
from blood_cell_system.cells.border_rule import count_by_rule
from blood_cell_system.cells.measures import measure_cells
from blood_cell_system.cells.table import COLUMNS, Cells
from blood_cell_system.cells.unassessed import NONE_OF_THESE, Reason
from blood_cell_system.corrections.record import Corrections
from blood_cell_system.corrections.replay import CorrectedCell, CorrectedField, replay
from blood_cell_system.errors import BloodCellError
from blood_cell_system.imaging.image_file import copy_file, read_image
from blood_cell_system.imaging.image_folders import LABEL_ENDINGS, RESULT_ENDINGS
from blood_cell_system.imaging.mask_encoding import decode_class_mask
from blood_cell_system.pipeline.batch import write_batch_files
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome
from blood_cell_system.reports.claims import asked_for
from blood_cell_system.reports.diagnosis import diagnose
from blood_cell_system.reports.image_files import file_of, write_image_files
from blood_cell_system.reports.page.field_spool import FieldSpool
from blood_cell_system.reports.page.panel import PageLimits, make_panel, page_limits
from blood_cell_system.reports.report import DiagnosticReport, ReviewRecord
from blood_cell_system.taxonomy import NOT_SCORED, CellType, MaskClass

_MEASURED: Final = ("box", "centroid", "area", "equivalent_diameter_area")
"""Columns that follow from the pixels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrectedImage:
    """An image with its corrections.

    Parameters
    ----------
    name : str
        Of its results.
    field : CorrectedField
    cells : Cells
        A row for each of the field's cells, in their order.
    former : Cells
        Of the results, with pixels.
    """

    name: str
    image: NDArray[np.uint8]
    report: DiagnosticReport
    field: CorrectedField
    cells: Cells
    former: Cells
    class_mask: NDArray[np.uint8]


def corrected_images(results: ResultsFolder, corrections: Corrections) -> Iterator[CorrectedImage]:
    """Give the images that people acted on, one at a time.

    Raises
    ------
    CorrectionsError
        An event does not fit to the cells.
    BloodCellError
        Results, or an image, cannot be read.
    """
    for name in results.names:
        events = corrections.of_image(name)
        if not events:
            continue
        report = results.report(name)
        former = results.with_pixels(name, report)
        field = replay(events, former)
        mask = read_image(file_of(results.path, name, "mask.png"))
        class_mask = decode_class_mask(mask)
        image = results.image(name, report)
        yield CorrectedImage(
            name=name,
            image=image,
            report=report,
            field=field,
            cells=corrected_cells(
                field, former, field_mask=class_mask != NOT_SCORED, report=report
            ),
            former=former,
            class_mask=_corrected_mask(class_mask, field, former),
        )


def corrected_cells(
    field: CorrectedField,
    former: Cells,
    *,
    field_mask: NDArray[np.bool_],
    report: DiagnosticReport,
) -> Cells:
    """Give the table of an image's cells as people have corrected them.

    A class that a person states has the probability 1. Cells that were drawn anew are measured
    again; all others keep what was found of them.

    Parameters
    ----------
    former : Cells
        Of the results, with pixels.
    field_mask : ndarray of shape (height, width), dtype bool
        True where the slide is seen.
    """
    count = len(field.cells)
    rows = np.array([-1 if cell.row is None else cell.row for cell in field.cells], dtype=np.intp)
    columns: dict[str, Any] = {}
    names = [name for name in former if name in COLUMNS or name.endswith("_prob")]
    for name in names:
        column = former[name]
        values = np.empty((count, *column.shape[1:]), dtype=column.dtype)
        values[rows >= 0] = column[rows[rows >= 0]]
        for row in np.flatnonzero(rows < 0):
            values[row] = _missing(name, column)
        columns[name] = values
    for name in _probabilities_needed(field, former):
        columns.setdefault(name, np.full(count, np.nan))
    columns["cell_type"] = [cell.cell_type for cell in field.cells]
    cells = replace(former, label_image=field.label_image, data={})
    cells = cells.with_columns(**columns)
    cells = measure_cells(cells, *_MEASURED)
    is_new = np.array([cell.is_redrawn for cell in field.cells], dtype=np.bool_)
    boxes = np.where(is_new[:, None], cells["box"], cells["whole_box"])
    height, width = field.label_image.shape
    at_border = (cells["box"][:, :2] <= 0).any(axis=1)
    at_border |= (cells["box"][:, 2] >= width) | (cells["box"][:, 3] >= height)
    touches = np.where(is_new, at_border, cells["touches_border"])
    cells = cells.with_columns(whole_box=boxes, touches_border=touches)
    counted = count_by_rule(cells, report.settings.border_rule, field_mask)["is_counted"]
    cells = cells.with_columns(is_counted=np.where(is_new, counted, cells["is_counted"]))
    return _with_classes(cells, field.cells)


def _missing(name: str, column: NDArray[Any]) -> Any:
    """Give what a new cell has in a column before it is measured or named."""
    if name in ("possible_conditions", "possible_subtypes", "flags"):
        return ()
    if column.dtype == np.object_:
        return None
    if column.dtype == np.bool_:
        return True
    return np.nan if column.dtype.kind == "f" else 0


def _probabilities_needed(field: CorrectedField, former: Cells) -> list[str]:
    """Columns of the classes that people name and the program did not know."""
    named = {cell.cell_type for cell in field.cells if cell.is_stated and cell.condition}
    shaped = {cell.cell_type for cell in field.cells if cell.is_stated and cell.subtype}
    names = []
    for kind in former.taxonomy:
        names += [one.name for one in kind.conditions if kind.name in named]
        names += [one.name for one in kind.subtypes if kind.name in shaped]
    return [f"{name}_prob" for name in names]


def _with_classes(cells: Cells, corrected: Sequence[CorrectedCell]) -> Cells:
    """Write what people state, and what cells that they made inherit, into the columns."""
    columns = {name: cells[name].copy() for name in cells}
    for row, cell in enumerate(corrected):
        if not cell.is_stated and cell.row is not None:
            continue
        kind = cells.taxonomy[cell.cell_type]
        is_none = cell.condition == NONE_OF_THESE
        condition = None if is_none else cell.condition
        subtype = None if is_none else cell.subtype
        for one in cells.taxonomy.classes:
            if f"{one.name}_prob" in columns:
                columns[f"{one.name}_prob"][row] = _probability(one.name, kind, condition, subtype)
        columns["condition"][row], columns["subtype"][row] = condition, subtype
        columns["possible_conditions"][row] = (condition,) if condition else ()
        columns["possible_subtypes"][row] = (subtype,) if subtype else ()
        columns["is_known"][row] = not is_none
        columns["in_distribution"][row] = float(not is_none) if cell.condition else np.nan
        columns["confidence"][row] = 1.0
        columns["reason"][row] = None
        if is_none:
            columns["reason"][row] = Reason.NOT_IN_DISTRIBUTION
        elif condition is None:
            columns["reason"][row] = Reason.NO_CLASSIFIER
    return cells.with_columns(**columns)


def _probability(name: str, kind: CellType, condition: str | None, subtype: str | None) -> float:
    """1 for a class that is named, 0 for the others of its kind, NaN where none is named."""
    for named, classes in ((condition, kind.conditions), (subtype, kind.subtypes)):
        if named is not None and name in [one.name for one in classes]:
            return float(name == named)
    return float("nan")


def _corrected_mask(
    class_mask: NDArray[np.uint8], field: CorrectedField, former: Cells
) -> NDArray[np.uint8]:
    """Give the class of each pixel after the corrections.

    Of a field that was reviewed to its end nothing but its cells is in the foreground.
    """
    taxonomy = former.taxonomy
    classes = [int(taxonomy[cell.cell_type].mask_class) for cell in field.cells]
    of_cell = np.array([int(MaskClass.BACKGROUND), *classes], dtype=np.uint8)
    now = of_cell[field.label_image]
    if field.is_reviewed:
        return np.where(class_mask == NOT_SCORED, class_mask, now)
    was = np.array(
        [0, *(int(taxonomy[name].mask_class) for name in former["cell_type"])], dtype=np.uint8
    )[former.label_image]
    # Where no cell has changed the mask stays: it knows stain that belongs to no cell.
    return np.where((was == now) | (class_mask == NOT_SCORED), class_mask, now)


def write_corrected_results(
    results: ResultsFolder,
    corrections: Corrections,
    output_dir: Path,
    images: Iterator[CorrectedImage],
) -> Iterator[CorrectedImage]:
    """Write results with their corrections, and hand the images on; the summary comes at the end.

    Images that nobody acted on keep their files as they are.

    Raises
    ------
    OutputError
        A file cannot be written.
    BloodCellError
        Results, or an image, cannot be read.
    """
    make_folder(output_dir)
    limits = page_limits(len(results.names))
    spool = FieldSpool(output_dir)
    slides = results.slides
    outcomes: dict[str, ImageOutcome] = {}
    for one in images:
        report = _reviewed_report(one, corrections)
        value = write_image_files(output_dir, one.name, _analysis_of(one), report)
        outcomes[one.name] = ImageOutcome(
            name=one.name,
            path=str(results.image_path(one.name, one.report)),
            report=DiagnosticReport.from_json(value),
            panel=make_panel(
                one.image, one.field.label_image, report, limits, is_reviewable=True
            ).spooled(spool),
        )
        yield one
    for name in results.names:
        if name not in outcomes:
            outcomes[name] = _kept(results, name, output_dir, limits, spool)
    ordered = [replace(outcomes[name], slide=slides.get(name)) for name in results.names]
    any_report = results.report(results.names[0])
    summary = BatchSummary(
        outcomes=(*ordered, *results.failed),
        settings=any_report.settings,
        provenance=any_report.provenance.model_copy(update={"data_sha256": None}),
    )
    write_batch_files(summary, output_dir)


def _kept(
    results: ResultsFolder, name: str, output_dir: Path, limits: PageLimits, spool: FieldSpool
) -> ImageOutcome:
    """Copy the files of an image that nobody acted on."""
    report = results.report(name)
    for ending in (*RESULT_ENDINGS, *LABEL_ENDINGS):
        source = file_of(results.path, name, ending)
        if source.is_file():
            target = file_of(output_dir, name, ending)
            make_folder(target.parent)
            copy_file(source, target)
    panel = None
    path = report.image.file_name
    # The page goes without an image that has gone: nothing else needs it.
    with suppress(BloodCellError):
        path = str(results.image_path(name, report))
        labels = results.with_pixels(name, report).label_image
        image = results.image(name, report)
        panel = make_panel(image, labels, report, limits, is_reviewable=True).spooled(spool)
    return ImageOutcome(name=name, path=path, report=report, panel=panel)


def _analysis_of(one: CorrectedImage) -> ImageAnalysis:
    return ImageAnalysis(
        image=one.image,
        class_mask=one.class_mask,
        cells=one.cells,
        field_mask=one.class_mask != NOT_SCORED,
        scale=one.report.scale,
        quality=one.report.quality,
        seconds=0.0,
    )


def _reviewed_report(one: CorrectedImage, corrections: Corrections) -> DiagnosticReport:
    """Draw the report up anew, and say who reviewed the image.

    Where a field was reviewed to its end people vouch for every class, also for one that the
    classifier was never proven for.
    """
    analysis = _analysis_of(one)
    if one.field.is_reviewed:
        analysis = replace(analysis, cells=asked_for(one.cells))
    report = diagnose(
        analysis,
        image=one.report.image,
        settings=one.report.settings,
        provenance=one.report.provenance,
    )
    return report.model_copy(
        update={
            "analysed_on": one.report.analysed_on,
            "review": review_record(one, corrections),
        }
    )


def review_record(one: CorrectedImage, corrections: Corrections) -> ReviewRecord:
    """Count what people did to an image."""
    program = replay((), one.former).cells
    changed = confirmed = added = 0
    for cell in one.field.cells:
        if cell.row is None:
            added += 1
        elif cell.is_redrawn or _class_of(cell) != _class_of(program[cell.row]):
            changed += 1
        elif cell.is_stated:
            confirmed += 1
    return ReviewRecord(
        people=one.field.people,
        last_on=max(event.at for event in corrections.of_image(one.name)),
        is_complete=one.field.is_reviewed,
        changed=changed,
        confirmed=confirmed,
        added=added,
        removed=len(one.field.removed),
    )


def _class_of(cell: CorrectedCell) -> tuple[str, str | None, str | None]:
    return cell.cell_type, cell.condition, cell.subtype
