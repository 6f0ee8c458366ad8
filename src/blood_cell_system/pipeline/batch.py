"""Many pictures, one after the other, whatever becomes of each."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.atomic_files import make_folder, write_json
from blood_cell_system.cells.outlines import Polygon, label_polygons, outline_polygons
from blood_cell_system.errors import BloodCellError, MissingDataError, OutputError, SettingsError
from blood_cell_system.image_io import read_image
from blood_cell_system.pipeline.files import SUMMARY_NAME
from blood_cell_system.pipeline.former_results import former_report, identity_of
from blood_cell_system.pipeline.inputs import InputPicture, Inputs, find_inputs
from blood_cell_system.pipeline.picture import InferencePipeline
from blood_cell_system.reports.batch import BatchSummary, PictureOutcome, outcome_of_report
from blood_cell_system.reports.diagnostic import Status
from blood_cell_system.reports.page.limits import PageLimits, page_limits
from blood_cell_system.reports.page.panel import make_panel
from blood_cell_system.reports.page.render import render_page
from blood_cell_system.reports.picture_files import read_labels, write_picture_files, write_words

TABLE_NAME: Final = "batch_summary.csv"
PAGE_NAME: Final = "index.html"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """How a batch is worked through.

    Parameters
    ----------
    jobs : int
        Pictures in work at the same time; they share the network.
    resume : bool
        Whether to keep the results of a former run that would come out the same.

    Raises
    ------
    SettingsError
        ``jobs`` is less than 1.
    """

    jobs: int = 1
    resume: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise SettingsError(f"jobs: received {self.jobs}; expected 1 or more.")


def batch_process_images(
    image_dir: Path | str, pipeline: InferencePipeline, output_dir: Path | str
) -> BatchSummary:
    """Analyse all pictures of a folder and write all files, as ``bloodcells analyze`` does.

    Parameters
    ----------
    image_dir : Path or str
    pipeline : InferencePipeline
    output_dir : Path or str

    Returns
    -------
    BatchSummary
        A picture that fails does not stop the others: look at each outcome's ``status``.

    Raises
    ------
    MissingDataError
        There is no picture in the folder, or no model.
    OutputError
        The results cannot be written, or would come to lie among the pictures.
    CheckpointError
        The model is no segmenter.
    """
    image_dir, output_dir = Path(image_dir), Path(output_dir)
    inputs = find_inputs([image_dir], output_dir=output_dir)
    if not inputs.pictures or not image_dir.is_dir():
        raise MissingDataError(
            f"{image_dir}: there is no folder with pictures; expected PNG, JPEG, TIFF, BMP or WebP "
            "files in it. Check the path."
        )
    outcomes = tuple(analyze_inputs(inputs, pipeline, output_dir))
    return write_batch(inputs, outcomes, pipeline, output_dir)


def start_batch(output_dir: Path) -> None:
    """Make the folder of the results, and see that nobody else's page is overwritten.

    Raises
    ------
    OutputError
        It cannot be made, or holds a page that is not of this command.
    """
    make_folder(output_dir)
    if (output_dir / PAGE_NAME).exists() and not (output_dir / SUMMARY_NAME).exists():
        raise OutputError(
            f"{output_dir}: has an {PAGE_NAME} that this command has not written, as there is no "
            f"{SUMMARY_NAME} beside it. Choose another --output-dir."
        )


def analyze_inputs(
    inputs: Inputs,
    pipeline: InferencePipeline,
    output_dir: Path,
    settings: BatchSettings | None = None,
) -> Iterator[PictureOutcome]:
    """Analyse pictures and write the files of each; one that fails does not stop the others.

    Parameters
    ----------
    inputs : Inputs
    pipeline : InferencePipeline
    output_dir : Path
    settings : BatchSettings, optional

    Yields
    ------
    PictureOutcome
        In the order of the inputs, those that failed before they were read at the end.

    Raises
    ------
    OutputError
        Nothing can be written to the folder, or it holds a page that is not of this command.
    MissingDataError
        There is no model.
    CheckpointError
        The model is no segmenter.
    """
    settings = settings or BatchSettings()
    start_batch(output_dir)
    # Before the first picture: without a model all would fail for the same reason.
    work = _Work(
        pipeline=pipeline,
        output_dir=output_dir,
        resume=settings.resume,
        identity=identity_of(pipeline),
        limits=page_limits(len(inputs.pictures)),
    )
    yield from _in_threads(work, inputs.pictures, settings.jobs)
    for failed in inputs.failed:
        yield PictureOutcome(
            name="", path=str(failed.path), status=Status.FAILED, reason=failed.reason
        )


def write_batch(
    inputs: Inputs,
    outcomes: Sequence[PictureOutcome],
    pipeline: InferencePipeline,
    output_dir: Path,
) -> BatchSummary:
    """Write ``batch_summary.json``, ``batch_summary.csv`` and ``index.html``.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    summary = BatchSummary(
        outcomes=tuple(outcomes),
        settings=pipeline.report_settings,
        provenance=pipeline.provenance,
        passed_over=tuple(str(path) for path in inputs.passed_over),
    )
    write_json(output_dir / SUMMARY_NAME, summary.to_json())
    write_words(output_dir / TABLE_NAME, summary.to_csv())
    write_words(output_dir / PAGE_NAME, render_page(summary))
    return summary


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    pipeline: InferencePipeline
    output_dir: Path
    resume: bool
    identity: Mapping[str, Any]
    limits: PageLimits


def _in_threads(
    work: _Work, pictures: Sequence[InputPicture], jobs: int
) -> Iterator[PictureOutcome]:
    """Work on a few pictures at once; outcomes come in the order of the pictures."""
    with ThreadPoolExecutor(jobs) as executor:
        waiting: deque[Future[PictureOutcome]] = deque()
        try:
            for picture in pictures:
                # A bounded queue: a picture that waits for its turn holds no memory.
                if len(waiting) > jobs:
                    yield waiting.popleft().result()
                waiting.append(executor.submit(_one, work, picture))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _one(work: _Work, picture: InputPicture) -> PictureOutcome:
    try:
        if work.resume:
            kept = _kept(work, picture)
            if kept is not None:
                return kept
        return _analyzed(work, picture)
    except BloodCellError as error:
        reason = str(error)
    except MemoryError:
        reason = (
            f"{picture.path}: the memory is full. Run again with --jobs 1, or cut the picture up."
        )
    except Exception as error:  # A fault of this program in one picture must not cost the others.
        _logger.exception("%s: a fault of this program", picture.path)
        reason = f"{picture.path}: a fault of this program ({type(error).__name__}: {error})."
    return PictureOutcome(
        name=picture.name, path=str(picture.path), status=Status.FAILED, reason=reason
    )


def _analyzed(work: _Work, picture: InputPicture) -> PictureOutcome:
    result = work.pipeline.analyze(picture.path)
    report = write_picture_files(work.output_dir, picture.name, result.analysis, result.report)
    found = result.analysis.separated
    polygons = outline_polygons(found.label_image, found.cells)
    return _outcome(work, picture, report, result.analysis.image, polygons, was_kept=False)


def _kept(work: _Work, picture: InputPicture) -> PictureOutcome | None:
    """Take the results of a former run, if this one would give the same."""
    report = former_report(work.output_dir, picture, work.identity)
    if report is None:
        return None
    try:
        labels = read_labels(work.output_dir, picture.name)
    except BloodCellError:
        return None
    image = read_image(picture.path)
    if labels.shape != image.shape[:2]:
        return None
    polygons = label_polygons(labels, [(c["cell_id"], c["bbox"]) for c in report["cells"]])
    return _outcome(work, picture, report, image, polygons, was_kept=True)


def _outcome(
    work: _Work,
    picture: InputPicture,
    report: Mapping[str, Any],
    image: NDArray[np.uint8],
    polygons: Sequence[Polygon],
    *,
    was_kept: bool,
) -> PictureOutcome:
    panel = make_panel(
        image,
        polygons,
        report,
        max_side_px=work.limits.side_px,
        max_crops=work.limits.crops,
    )
    return outcome_of_report(
        report, name=picture.name, path=str(picture.path), panel=panel, was_kept=was_kept
    )
