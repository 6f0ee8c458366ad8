"""One image of a batch as a task: what any process, here or on another machine, needs to do it.

:func:`run_task` takes a description that can be pickled and gives an outcome that can. The files
are written where it runs.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import (
    BloodCellError,
    CheckpointError,
    WorkerError,
    is_memory_full,
    system_words,
)
from blood_cell_system.imaging.image_file import read_file_bytes, read_image, read_image_shape
from blood_cell_system.imaging.image_folders import RESULT_ENDINGS
from blood_cell_system.input_files import read_json
from blood_cell_system.pipeline.image import InferencePipeline, PipelineRecipe, pipeline_of
from blood_cell_system.reports.batch_summary import ImageOutcome
from blood_cell_system.reports.image_files import (
    Part,
    as_written,
    cells_to_csv,
    endings_of,
    file_of,
    read_labels,
    write_image_files,
)
from blood_cell_system.reports.page.panel import PageLimits, Panel, make_panel
from blood_cell_system.reports.report import (
    FORMAT_VERSION,
    DiagnosticReport,
    Provenance,
    ReportSettings,
)

if TYPE_CHECKING:
    from blood_cell_system.imaging.scan import Window
    from blood_cell_system.pipeline.scan_fields import ScanField

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage:
    """An image to analyse.

    Parameters
    ----------
    path : Path
    name : str
        What the names of its results begin with; unique, also where capitals do not count.
    field : ScanField or None
        What of the file is analysed; None for an image that is read whole.
    """

    path: Path
    name: str
    field: "ScanField | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTask:
    """An image to analyse, and what is to come of it.

    Parameters
    ----------
    image : InputImage
    output_dir : Path
    provenance : Provenance
        What the batch is made with: another model is an error.
    limits : PageLimits
        What the page shows of it.
    parts : frozenset of Part
        What is written of it.
    resume : bool
        Whether to keep the results of a former run that would come out the same.
    """

    image: InputImage
    output_dir: Path
    provenance: Provenance
    limits: PageLimits
    parts: frozenset[Part]
    resume: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """What came of a task.

    Parameters
    ----------
    outcome : ImageOutcome
    holes : tuple of Window
        Parts of the level of its scan that could not be decoded.
    """

    outcome: ImageOutcome
    holes: "tuple[Window, ...]" = ()


def run_task(recipe: PipelineRecipe, task: ImageTask) -> TaskOutcome:
    """Do a task with the models that a recipe names; they are loaded once in a process.

    What goes wrong with the image is in the outcome.

    Raises
    ------
    MissingDataError
        A model is not there.
    CheckpointError
        It is another one than that of the batch, or damaged.
    """
    pipeline = pipeline_of(recipe)
    there = pipeline.provenance
    # Machines of a cluster may have another version of the runtime.
    if there != task.provenance.model_copy(update={"runs_in": there.runs_in}):
        raise CheckpointError(
            f"{task.provenance.model}, or a classifier beside it: another file or version than "
            "that which the batch began with. Put it back, or begin anew."
        )
    return do_task(pipeline, task)


def do_task(pipeline: InferencePipeline, task: ImageTask) -> TaskOutcome:
    """Do a task with a pipeline of this process; what goes wrong is in the outcome."""
    image = task.image
    try:
        kept = _kept_or_damaged(pipeline, task) if task.resume else None
        outcome = _analyzed(pipeline, task) if kept is None else kept
    except Exception as error:  # A fault of this program in one image must not cost the others.
        outcome = failed_outcome(image, error)
    field = image.field
    holes = () if field is None else field.scan.holes_in(field.seen, field.level)
    return TaskOutcome(outcome=outcome, holes=holes)


def failed_outcome(image: InputImage, error: Exception) -> ImageOutcome:
    """Say why an image has no results."""
    if isinstance(error, BloodCellError) and not isinstance(error, WorkerError):
        reason = str(error)
    else:
        if isinstance(error, WorkerError):
            reason = str(error)
        elif is_memory_full(error):
            reason = "the memory is full. Run again with --jobs 1, or cut the image up."
        elif isinstance(error, OSError):
            reason = f"{error.filename or 'a file'}: {system_words(error)}"
        else:
            _logger.error("%s: a fault of this program", image.path, exc_info=error)
            reason = f"a fault of this program ({type(error).__name__}: {error})."
        reason = f"{image.path}: {reason}"
    return ImageOutcome(name=image.name, path=str(image.path), reason=reason)


def _analyzed(pipeline: InferencePipeline, task: ImageTask) -> ImageOutcome:
    image = task.image
    if image.field is None:
        result = pipeline.analyze(image.path)
    else:
        result = pipeline.analyze_field(image.field)
    value = write_image_files(
        task.output_dir, image.name, result.analysis, result.report, parts=task.parts
    )
    # As it is read back: the same numbers as those of a kept one, and no pixels are held.
    report = DiagnosticReport.from_json(value)
    panel = _panel(task, result.analysis.image, result.analysis.cells.label_image, report)
    return ImageOutcome(name=image.name, path=str(image.path), report=report, panel=panel)


def _panel(
    task: ImageTask,
    image: NDArray[np.uint8],
    label_image: NDArray[np.integer],
    report: DiagnosticReport,
) -> Panel | None:
    """Prepare what the pages show; None where none is written."""
    if task.parts.isdisjoint({Part.REPORT, Part.REVIEW}):
        return None
    is_reviewable = Part.REVIEW in task.parts
    return make_panel(image, label_image, report, task.limits, is_reviewable=is_reviewable)


def _kept_or_damaged(pipeline: InferencePipeline, task: ImageTask) -> ImageOutcome | None:
    """Give what :func:`_kept` gives; results that it fails on are damaged, and are made anew."""
    try:
        return _kept(pipeline, task)
    except (BloodCellError, MemoryError):
        raise
    except Exception as error:
        _logger.info("%s: its former results are damaged (%s)", task.image.path, error)
        return None


def _kept(pipeline: InferencePipeline, task: ImageTask) -> ImageOutcome | None:
    """Take the results of a former run, if this one would give the same."""
    item, output_dir = task.image, task.output_dir
    # Read once: the hash that decides and the pixels that the page shows are of the same bytes.
    data = read_file_bytes(item.path) if item.field is None else None
    endings = endings_of(task.parts)
    report = former_report(
        output_dir, item, pipeline.report_settings, task.provenance, data=data, endings=endings
    )
    if report is None:
        return None
    try:
        # The pages show outlines, and those are nowhere else.
        labels = read_labels(output_dir, item.name)
        drawn = [
            read_image_shape(file_of(output_dir, item.name, ending))
            for ending in endings
            if ending.endswith(".png")
        ]
    except BloodCellError:
        return None
    image = read_image(item.path, data=data) if item.field is None else item.field.read()
    if {labels.shape, *drawn} != {image.shape[:2]} or labels.max(initial=0) != len(report.cells):
        return None
    panel = _panel(task, image, labels, report)
    return ImageOutcome(
        name=item.name, path=str(item.path), report=report, panel=panel, was_kept=True
    )


def former_report(
    output_dir: Path,
    image: InputImage,
    settings: ReportSettings,
    provenance: Provenance,
    *,
    data: bytes | None = None,
    endings: Sequence[str] = RESULT_ENDINGS,
) -> DiagnosticReport | None:
    """Read the report of a former run, if all files are there and this run would make the same.

    A report that is damaged, of a former version, or whose table or text are not its own, is none.

    ``settings`` and ``provenance`` are those of this run, the image left aside; ``data`` is what
    the image's file holds, where it has been read; ``endings`` are those of the files that are to
    be there.

    Raises
    ------
    MissingDataError, ImageReadError
        The image has gone, or cannot be read.
    """
    files = (file_of(output_dir, image.name, ending) for ending in endings)
    if not all(path.is_file() for path in files):
        return None
    try:
        value = read_json(file_of(output_dir, image.name, "report.json"))
        report = DiagnosticReport.from_json(value)
    except (OSError, ValueError, RecursionError):
        return None
    if image.field is not None:
        digest = image.field.digest
    else:
        data = read_file_bytes(image.path) if data is None else data
        digest = hashlib.sha256(data).hexdigest()
    # The same file has the same pixels.
    former = report.provenance
    digests = {
        "data_sha256": digest,
        "pixels_sha256": former.pixels_sha256,
        "field_hash": former.field_hash,
        # Reports of former versions do not name the default.
        "runs_in": former.runs_in,
    }
    expected = provenance.model_copy(update=digests)
    if (report.settings, report.provenance) != (settings, expected):
        return None
    is_present = value["format_version"] == FORMAT_VERSION
    return (
        report if is_present and _has_its_words(output_dir, image.name, report, endings) else None
    )


def _has_its_words(
    output_dir: Path, name: str, report: DiagnosticReport, endings: Sequence[str]
) -> bool:
    """Whether table and text beside a report are those that it gives."""
    table = cells_to_csv(report.to_json()["cells"], report.cells.taxonomy)
    words = {"cells.csv": table, "summary.txt": report.text}
    return all(
        file_of(output_dir, name, ending).read_bytes() == as_written(text)
        for ending, text in words.items()
        if ending in endings
    )
