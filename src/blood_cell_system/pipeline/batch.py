"""Many images, one after the other, whatever becomes of each."""

import errno
import hashlib
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blood_cell_system.analysis.runtimes import taxonomy_of, training_diameter_of
from blood_cell_system.annotation.sample import FailedImage
from blood_cell_system.atomic_files import make_folder, write_json
from blood_cell_system.errors import (
    BloodCellError,
    ImageReadError,
    MissingDataError,
    OutputError,
    SettingsError,
    is_memory_full,
    system_words,
)
from blood_cell_system.folder_lock import locked_folder, remove_partial_files
from blood_cell_system.imaging.image_file import (
    IMAGE_SUFFIXES,
    read_file_bytes,
    read_image,
    read_image_shape,
)
from blood_cell_system.imaging.image_folders import (
    RESULT_ENDINGS,
    SUMMARY_NAME,
    holds_results,
    is_folder,
    is_image_name,
    walk_folders,
)
from blood_cell_system.imaging.scan import SCAN_SUFFIXES
from blood_cell_system.input_files import read_json
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.reports.batch_summary import (
    SLIDE_ENDING,
    SLIDES_FOLDER,
    BatchSummary,
    ImageOutcome,
    Slide,
)
from blood_cell_system.reports.cell_table import write_cell_tables
from blood_cell_system.reports.image_files import (
    as_written,
    cells_to_csv,
    file_of,
    read_labels,
    remove_file,
    write_image_files,
    write_words,
)
from blood_cell_system.reports.page.field_spool import FieldSpool, encoded_jpeg
from blood_cell_system.reports.page.panel import PageLimits, make_panel, page_limits
from blood_cell_system.reports.page.render import render_page
from blood_cell_system.reports.page.review_page import REVIEW_NAME, write_review_pages
from blood_cell_system.reports.report import (
    FORMAT_VERSION,
    DiagnosticReport,
    Provenance,
    ReportSettings,
)
from blood_cell_system.reports.text import slide_text

if TYPE_CHECKING:
    from blood_cell_system.pipeline.scan_fields import (
        PlannedScan,
        ScanField,
        ScanSettings,
        Tally,
    )
    from blood_cell_system.reports.figure_settings import FiguresSettings

_MAX_NAME_BYTES: Final = 180
"""Of 255 that a file's name may have: "_annotated.png" and a temporary name must fit as well."""

_SHOWN_LETTERS: Final = 120  # Of a path that is too long.
_PREPARED: Final = frozenset({"images", "masks"})
_LABELS: Final = frozenset({"masks", "instances"})


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
class Inputs:
    """Everything that was named.

    Parameters
    ----------
    images : tuple of InputImage
    failed : tuple of FailedImage
    passed_over : tuple of Path
        Files in folders that have not the ending of an image, folders of masks, and the summaries
        of folders that hold the results of another analysis.
    scans : tuple of PlannedScan
        That some of the images are fields of.
    """

    images: tuple[InputImage, ...]
    failed: tuple[FailedImage, ...]
    passed_over: tuple[Path, ...]
    scans: "tuple[PlannedScan, ...]" = ()


def find_inputs(paths: Iterable[Path], *, output_dir: Path, recursive: bool = False) -> Inputs:
    """Find the images that paths name, each once, in a fixed order.

    Results of an image from a folder are named after its place in it (``slide1/field``), those of
    one that was named itself after its stem. A name that is taken gets a number.

    Parameters
    ----------
    paths : iterable of Path
        Images, and folders of images.
    output_dir : Path
        Not searched: it holds images of former results.
    recursive : bool
        Whether folders within folders are searched.

    Raises
    ------
    OutputError
        Results would come to lie among the images of a folder that is named.
    """
    found: list[tuple[Path, str]] = []
    failed: list[FailedImage] = []
    passed_over: list[Path] = []
    results = Path(os.path.realpath(output_dir))
    for path in paths:
        try:
            path.lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                reason = f"{str(path)[:_SHOWN_LETTERS]}…: {system_words(error)}"
                failed.append(FailedImage(name=str(path), reason=reason))
                continue
        if not is_folder(path) or path.suffix.lower() in SCAN_SUFFIXES:
            # A file that is not there fails when it is read, like every other that cannot be.
            if Path(os.path.realpath(path.parent)) == results:
                raise _among_the_images(output_dir)
            found.append((path, path.stem))
            continue
        if Path(os.path.realpath(path)) == results:
            raise _among_the_images(output_dir)
        before, others = len(found), len(passed_over)
        try:
            for file in _files_of(path, results, recursive=recursive):
                if is_image_name(file) or file.suffix.lower() in SCAN_SUFFIXES:
                    found.append((file, file.relative_to(path).with_suffix("").as_posix()))
                else:
                    passed_over.append(file)
        except OSError as error:
            reason = f"{error.filename}: cannot be listed ({error.strerror})."
            failed.append(FailedImage(name=str(path), reason=f"{reason} Check its permissions."))
            continue
        if len(found) == before:
            reason = _why_nothing(path, passed_over[others:], recursive=recursive)
            failed.append(FailedImage(name=str(path), reason=reason))
    return Inputs(images=_named(found), failed=tuple(failed), passed_over=tuple(passed_over))


def with_fields_of_scans(
    inputs: Inputs,
    pipeline: InferencePipeline,
    settings: "ScanSettings",
    *,
    jobs: int,
    slides: Mapping[str, Slide],
) -> tuple[Inputs, dict[str, Slide]]:
    """Put the fields of scans into the place of their files, each scan a slide of its own.

    Parameters
    ----------
    slides : mapping of str to Slide
        Slide of each file, by the name of its results; empty where slides were not named: then
        images beside a scan are slides of one field.

    Returns
    -------
    tuple of (Inputs, dict of str to Slide)
        With the slide of each field.

    Raises
    ------
    SettingsError
        The settings do not fit a scan, or are of scans where no image is one.
    """
    # Here, not above: most images are no scans, and planning takes time to load.
    from blood_cell_system.pipeline.scan_fields import plan_scans

    images: list[InputImage] = []
    failed = list(inputs.failed)
    scans: list[PlannedScan] = []
    found = dict(slides)
    runtime = pipeline.system.segmentation_runtime()
    if settings.goal is not None:
        settings.goal.check(taxonomy_of(runtime))
    for image in inputs.images:
        if not settings.is_scan(image.path):
            images.append(image)
            continue
        try:
            plans = list(
                plan_scans(
                    image.path,
                    image.name,
                    settings,
                    pipeline.settings,
                    training_diameter_px=training_diameter_of(runtime) or TRAINING_DIAMETER_PX,
                    jobs=jobs,
                )
            )
        except (ImageReadError, MissingDataError) as error:
            failed.append(FailedImage(name=str(image.path), reason=str(error)))
            continue
        for plan in plans:
            scans.append(plan)
            slide = slides.get(image.name) or Slide(name=plan.name)
            for name, field_of_scan in plan.fields.items():
                images.append(InputImage(path=image.path, name=name, field=field_of_scan))
                found[name] = slide
    if settings.goal is not None and not scans and not failed:
        raise SettingsError(
            "--until, --precision-of: received, but none of the images is a scan that is analysed "
            "field by field. Leave them out, or name a part with --region."
        )
    if scans and not slides:
        found = {one.name: found.get(one.name) or Slide(name=one.name) for one in images}
    planned = replace(inputs, images=tuple(images), failed=tuple(failed), scans=tuple(scans))
    return planned, found


def _among_the_images(output_dir: Path) -> OutputError:
    return OutputError(
        f"{output_dir}: this is the folder of the images; their results would be taken "
        "for images the next time. Choose another --output-dir."
    )


def _why_nothing(folder: Path, others: list[Path], *, recursive: bool) -> str:
    if holds_results(folder):
        return f"{folder}: it holds the results of an analysis. Name the folder of the images."
    found = f" Found: {len(others)} other files." if others else ""
    expected = ", ".join(sorted(IMAGE_SUFFIXES))
    deeper = "" if recursive else " Add --recursive to search the folders in it."
    return f"{folder}: there is no image in it, by its name. Expected: {expected}.{found}{deeper}"


def _files_of(folder: Path, results: Path, *, recursive: bool) -> Iterator[Path]:
    """Go through a folder by name; hidden files and results are left out.

    Of the results of another analysis only the summary is given. Of a prepared folder, which has
    ``images`` and ``masks``, ``images`` is searched, and the others are given as they are.
    """

    def stop(error: OSError) -> None:
        raise error

    for root, folders, files in walk_folders(folder, onerror=stop):
        wanted = folders if recursive else []
        if SUMMARY_NAME in files and not any(is_image_name(Path(name)) for name in files):
            files, wanted = [SUMMARY_NAME], []
        elif set(folders) >= _PREPARED:
            files = [*files, *_LABELS.intersection(folders)]
            wanted = [name for name in wanted or _PREPARED if name not in _LABELS]
        folders[:] = sorted(
            name for name in wanted if Path(os.path.realpath(root / name)) != results
        )
        yield from (root / name for name in sorted(files))


def _named(found: Iterable[tuple[Path, str]]) -> tuple[InputImage, ...]:
    taken: set[str] = set()
    seen: set[str] = set()
    images: list[InputImage] = []
    for path, wanted in found:
        place = os.path.abspath(path)  # noqa: PTH100 (resolve would make one of two links)
        if place in seen:
            continue
        seen.add(place)
        wanted = _short(wanted)
        name, number = wanted, 1
        while name.casefold() in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name.casefold())
        images.append(InputImage(path=path, name=name))
    return tuple(images)


def _short(name: str) -> str:
    folder, stem = os.path.split(name)
    cut = os.fsdecode(os.fsencode(stem)[:_MAX_NAME_BYTES])
    if cut != stem:
        # A letter of several bytes may have been cut in two.
        cut = os.fsencode(stem)[:_MAX_NAME_BYTES].decode("utf-8", errors="ignore")
    return Path(folder, cut).as_posix()


_REPORT_ENDING: Final = "_report.json"


def former_report(
    output_dir: Path,
    image: InputImage,
    settings: ReportSettings,
    provenance: Provenance,
    *,
    data: bytes | None = None,
) -> DiagnosticReport | None:
    """Read the report of a former run, if all files are there and this run would make the same.

    A report that is damaged, of a former version, or whose table or text are not its own, is none.

    ``settings`` and ``provenance`` are those of this run, the image left aside; ``data`` is what
    the image's file holds, where it has been read.

    Raises
    ------
    MissingDataError, ImageReadError
        The image has gone, or cannot be read.
    """
    files = (file_of(output_dir, image.name, ending) for ending in RESULT_ENDINGS)
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
    pixels = report.provenance.pixels_sha256
    digests = {"data_sha256": digest, "pixels_sha256": pixels}
    expected = provenance.model_copy(update=digests)
    if (report.settings, report.provenance) != (settings, expected):
        return None
    is_present = value["format_version"] == FORMAT_VERSION
    return report if is_present and _has_its_words(output_dir, image.name, report) else None


def _has_its_words(output_dir: Path, name: str, report: DiagnosticReport) -> bool:
    """Whether table and text beside a report are those that it gives."""
    table = cells_to_csv(report.to_json()["cells"], report.cells.taxonomy)
    words = {"cells.csv": table, "summary.txt": report.text}
    return all(
        file_of(output_dir, name, ending).read_bytes() == as_written(text)
        for ending, text in words.items()
    )


def former_digests(output_dir: Path) -> Mapping[str, str]:
    """SHA-256 of each image of the last run by the name of its results.

    Empty where no summary can be read.
    """
    try:
        summary = read_json(output_dir / SUMMARY_NAME)
        images = [(one["name"], one["data_sha256"]) for one in summary["images"]]
    except (OSError, ValueError, KeyError, TypeError):
        # Nothing rests on it: the run replaces the summary in any case.
        return {}
    return {name: digest for name, digest in images if name and digest}


def replaced_names(former: Mapping[str, str], outcomes: Iterable[ImageOutcome]) -> tuple[str, ...]:
    """Name the results of a run that took the place of those of another image.

    ``former`` is what :func:`former_digests` gave before the run.
    """
    digests = {outcome.name: outcome.data_sha256 for outcome in outcomes}
    return tuple(
        name
        for name, digest in digests.items()
        if digest is not None and former.get(name, digest) != digest
    )


def count_left_over(output_dir: Path, outcomes: Iterable[ImageOutcome]) -> int:
    """Count the reports in a folder that are of none of a run's images."""
    names = {outcome.name for outcome in outcomes}
    reports = (
        path.relative_to(output_dir).as_posix() for path in output_dir.rglob(f"*{_REPORT_ENDING}")
    )
    return sum(report.removesuffix(_REPORT_ENDING) not in names for report in reports)


TABLE_NAME: Final = "batch_summary.csv"
PAGE_NAME: Final = "index.html"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """How a batch is worked through.

    Parameters
    ----------
    jobs : int
        Images in work at the same time; they share the network.
    resume : bool
        Whether to keep the results of a former run that would come out the same.
    slides : mapping of str to Slide
        Slide of each image, by the name of its results; empty where slides were not named.
    page_images : int, optional
        Images that the page is going to show; those of this run by default.
    is_reviewable : bool
        Whether pages are written on which a person corrects cells.

    Raises
    ------
    SettingsError
        ``jobs`` is less than 1.
    """

    jobs: int = 1
    resume: bool = False
    slides: Mapping[str, Slide] = field(default_factory=dict)
    page_images: int | None = None
    is_reviewable: bool = True

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise SettingsError(f"jobs: received {self.jobs}; expected 1 or more.")


def batch_process_images(
    image_dir: Path | str, pipeline: InferencePipeline, output_dir: Path | str
) -> BatchSummary:
    """Analyse all images of a folder and write all files, as ``bloodcells analyze`` does.

    An image that fails does not stop the others: each outcome has its ``status``.

    Raises
    ------
    MissingDataError
        There is no image in the folder, or no model.
    OutputError
        The results cannot be written, or would come to lie among the images.
    CheckpointError
        The model is no segmenter.
    """
    image_dir, output_dir = Path(image_dir), Path(output_dir)
    inputs = find_inputs([image_dir], output_dir=output_dir)
    if not inputs.images or not image_dir.is_dir():
        raise MissingDataError(
            f"{image_dir}: there is no folder with images; expected PNG, JPEG, TIFF, BMP or WebP "
            "files in it. Check the path."
        )
    with locked_folder(output_dir, command="analyze"):
        outcomes = tuple(analyze_inputs(inputs, pipeline, output_dir))
        return write_batch(inputs, outcomes, pipeline, output_dir)


def start_batch(output_dir: Path) -> None:
    """Make the folder of the results, and refuse one with a page of another program.

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
    *,
    spool: FieldSpool | None = None,
) -> Iterator[ImageOutcome]:
    """Analyse images and write the files of each; one that fails does not stop the others.

    Outcomes come in the order of the inputs, those that failed before they were read at the end.

    Parameters
    ----------
    spool : FieldSpool, optional
        Keeps the pixels of pages to review; one of this call by default.

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
    remove_partial_files({(output_dir / image.name).parent for image in inputs.images})
    # Before the first image: without a model all would fail for the same reason.
    work = _Work(
        pipeline=pipeline,
        output_dir=output_dir,
        resume=settings.resume,
        provenance=pipeline.provenance,
        limits=page_limits(settings.page_images or len(inputs.images)),
        spool=(spool or FieldSpool(output_dir)) if settings.is_reviewable else None,
    )
    for outcome in _in_threads(work, inputs, settings.jobs):
        yield replace(outcome, slide=settings.slides.get(outcome.name))
    for failed in inputs.failed:
        yield ImageOutcome(name="", path=failed.name, reason=failed.reason)


def write_batch(
    inputs: Inputs,
    outcomes: Sequence[ImageOutcome],
    pipeline: InferencePipeline,
    output_dir: Path,
    *,
    figures: "FiguresSettings | None" = None,
) -> BatchSummary:
    """Write the summary, its table, the table of all cells, the page and a report each slide.

    An image whose files are no longer all there has failed: the summary would vouch for them.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    summary = BatchSummary(
        outcomes=tuple(_with_its_files(outcome, output_dir) for outcome in outcomes),
        settings=pipeline.report_settings,
        provenance=pipeline.provenance,
        passed_over=tuple(str(path) for path in inputs.passed_over),
        figures=figures,
    )
    write_batch_files(summary, output_dir, scans=inputs.scans)
    return summary


def write_batch_files(
    summary: BatchSummary, output_dir: Path, *, scans: "Sequence[PlannedScan]" = ()
) -> None:
    """Write what belongs to all images of a batch.

    ``scans`` are those that some of the images are fields of.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    write_json(output_dir / SUMMARY_NAME, summary.to_json())
    write_words(output_dir / TABLE_NAME, summary.to_csv())
    write_cell_tables(summary.outcomes, output_dir)
    review = REVIEW_NAME if write_review_pages(summary, output_dir) else ""
    write_words(output_dir / PAGE_NAME, render_page(summary, review=review))
    _write_slides(summary, output_dir, review=review, scans=scans)


def _write_slides(
    summary: BatchSummary, output_dir: Path, *, review: str, scans: "Sequence[PlannedScan]"
) -> None:
    """Write page, text and JSON of each slide; those of slides of a former grouping go."""
    folder = output_dir / SLIDES_FOLDER
    written = set()
    if summary.is_grouped:
        written = _slide_files(summary, folder, review=review, scans=scans)
    for ending in ("html", "txt", "json"):
        for path in folder.glob(f"*{SLIDE_ENDING}.{ending}"):
            if path.stem not in written:
                remove_file(path)


def _slide_files(
    summary: BatchSummary, folder: Path, *, review: str, scans: "Sequence[PlannedScan]"
) -> set[str]:
    """Write the files of each slide, and give their names without endings."""
    from blood_cell_system.reports.figure_settings import FiguresSettings
    from blood_cell_system.reports.slides import SlideFile, with_file_names

    written = set()
    for report, stem in with_file_names(summary.slides):
        of_slide = summary.of_slide(report)
        names = {outcome.name for outcome in of_slide.outcomes}
        own = [scan for scan in scans if not names.isdisjoint(scan.fields)]
        file = SlideFile(
            report=report,
            scans=tuple(scan.record(of_slide.outcomes) for scan in own),
            provenance=summary.provenance,
            settings=summary.settings,
            figures_settings=summary.figures or FiguresSettings(),
        )
        address = f"../{review}" if review else ""
        overviews = [
            (scan.words(of_slide.outcomes), encoded_jpeg(scan.drawn_overview(of_slide.outcomes)))
            for scan in own
        ]
        page = render_page(of_slide, slide=report, review=address, overviews=overviews)
        write_words(folder / f"{stem}.html", page)
        text = slide_text(report, summary.taxonomy, summary.provenance)
        write_words(folder / f"{stem}.txt", text)
        write_json(folder / f"{stem}.json", file.to_json())
        written.add(stem)
    return written


def _with_its_files(outcome: ImageOutcome, output_dir: Path) -> ImageOutcome:
    if outcome.report is None:
        return outcome
    files = [file_of(output_dir, outcome.name, ending) for ending in RESULT_ENDINGS]
    labels = [file_of(output_dir, outcome.name, f"instances.{kind}") for kind in ("png", "tif")]
    missing = [path for path in files if not path.is_file()]
    if not any(path.is_file() for path in labels):
        missing.append(labels[0])
    if not missing:
        return outcome
    reason = f"{missing[0]}: was removed during the run. Run it again with --resume."
    return replace(outcome, report=None, panel=None, was_kept=False, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    pipeline: InferencePipeline
    output_dir: Path
    resume: bool
    provenance: Provenance
    limits: PageLimits
    spool: FieldSpool | None


def _in_threads(work: _Work, inputs: Inputs, jobs: int) -> Iterator[ImageOutcome]:
    """Work on a few images at once; outcomes come in the order of the images.

    Of a scan of which enough cells are counted the other fields are left out, those in work too:
    what is counted does not depend on how many are in work.
    """
    enough = _Enough(inputs)
    with ThreadPoolExecutor(jobs) as executor:
        waiting: deque[tuple[InputImage, Future[ImageOutcome]]] = deque()
        try:
            for image in inputs.images:
                # A bounded queue: an image that waits for its turn holds no memory.
                if len(waiting) > jobs:
                    yield from _counted(work, enough, *waiting.popleft())
                if not enough.is_of(image.name):
                    waiting.append((image, executor.submit(_one, work, image)))
            while waiting:
                yield from _counted(work, enough, *waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


def _counted(
    work: _Work, enough: "_Enough", image: InputImage, future: Future[ImageOutcome]
) -> Iterator[ImageOutcome]:
    """Give an outcome, unless enough cells are counted without it: then its files go."""
    if enough.is_of(image.name):
        if future.cancel():
            return
        future.result()
        for ending in (*RESULT_ENDINGS, "instances.png", "instances.tif"):
            remove_file(file_of(work.output_dir, image.name, ending))
        return
    outcome = future.result()
    enough.add(outcome)
    yield outcome


class _Enough:
    """Of which scans enough cells are counted."""

    def __init__(self, inputs: Inputs) -> None:
        self._tallies: dict[str, Tally | None] = {}
        for scan in inputs.scans:
            self._tallies |= dict.fromkeys(scan.fields, scan.new_tally())

    def is_of(self, name: str) -> bool:
        """Whether the image is a field of such a scan."""
        tally = self._tallies.get(name)
        return tally is not None and tally.is_enough

    def add(self, outcome: ImageOutcome) -> None:
        """Count what was found in a field."""
        tally = self._tallies.get(outcome.name)
        if tally is not None and outcome.report is not None:
            tally.add(outcome.report)


def _one(work: _Work, image: InputImage) -> ImageOutcome:
    try:
        if work.resume:
            kept = _kept_or_damaged(work, image)
            if kept is not None:
                return kept
        return _analyzed(work, image)
    except BloodCellError as error:
        reason = str(error)
    except Exception as error:  # A fault of this program in one image must not cost the others.
        if is_memory_full(error):
            reason = "the memory is full. Run again with --jobs 1, or cut the image up."
        elif isinstance(error, OSError):
            reason = f"{error.filename or 'a file'}: {system_words(error)}"
        else:
            _logger.exception("%s: a fault of this program", image.path)
            reason = f"a fault of this program ({type(error).__name__}: {error})."
        reason = f"{image.path}: {reason}"
    return ImageOutcome(name=image.name, path=str(image.path), reason=reason)


def _analyzed(work: _Work, item: InputImage) -> ImageOutcome:
    if item.field is None:
        result = work.pipeline.analyze(item.path)
    else:
        result = work.pipeline.analyze_field(item.field)
    value = write_image_files(work.output_dir, item.name, result.analysis, result.report)
    # As it is read back: the same numbers as those of a kept one, and no pixels are held.
    report = DiagnosticReport.from_json(value)
    labels = result.analysis.cells.label_image
    panel = make_panel(result.analysis.image, labels, report, work.limits, spool=work.spool)
    return ImageOutcome(name=item.name, path=str(item.path), report=report, panel=panel)


def _kept_or_damaged(work: _Work, item: InputImage) -> ImageOutcome | None:
    """Give what :func:`_kept` gives; results that it fails on are damaged, and are made anew."""
    try:
        return _kept(work, item)
    except (BloodCellError, MemoryError):
        raise
    except Exception as error:
        _logger.info("%s: its former results are damaged (%s)", item.path, error)
        return None


def _kept(work: _Work, item: InputImage) -> ImageOutcome | None:
    """Take the results of a former run, if this one would give the same."""
    # Read once: the hash that decides and the pixels that the page shows are of the same bytes.
    data = read_file_bytes(item.path) if item.field is None else None
    report = former_report(
        work.output_dir, item, work.pipeline.report_settings, work.provenance, data=data
    )
    if report is None:
        return None
    try:
        labels = read_labels(work.output_dir, item.name)
        drawn = [
            read_image_shape(file_of(work.output_dir, item.name, ending))
            for ending in RESULT_ENDINGS
            if ending.endswith(".png")
        ]
    except BloodCellError:
        return None
    image = read_image(item.path, data=data) if item.field is None else item.field.read()
    if {labels.shape, *drawn} != {image.shape[:2]} or labels.max(initial=0) != len(report.cells):
        return None
    panel = make_panel(image, labels, report, work.limits, spool=work.spool)
    return ImageOutcome(
        name=item.name, path=str(item.path), report=report, panel=panel, was_kept=True
    )
