"""Many images, one after the other, whatever becomes of each."""

import errno
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from blood_cell_system.analysis.trained_models import taxonomy_of
from blood_cell_system.annotation.sample import FailedImage
from blood_cell_system.atomic_files import make_folder, write_json
from blood_cell_system.errors import (
    BloodCellError,
    ImageReadError,
    MissingDataError,
    OutputError,
    SettingsError,
    system_words,
)
from blood_cell_system.folder_lock import locked_folder, remove_partial_files
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES, read_image_shape
from blood_cell_system.imaging.image_folders import (
    LABEL_ENDINGS,
    RESULT_ENDINGS,
    SUMMARY_NAME,
    holds_results,
    is_folder,
    is_image_name,
    walk_folders,
)
from blood_cell_system.imaging.scan import SCAN_SUFFIXES, ZARR_SUFFIXES
from blood_cell_system.input_files import read_json
from blood_cell_system.parallel import WorkerPool
from blood_cell_system.pipeline.image import InferencePipeline, PipelineRecipe, pipeline_of
from blood_cell_system.pipeline.image_task import (
    ImageTask,
    InputImage,
    TaskOutcome,
    do_task,
    failed_outcome,
    run_task,
)
from blood_cell_system.reports.batch_summary import (
    SLIDE_ENDING,
    SLIDES_FOLDER,
    BatchSummary,
    ImageOutcome,
    Slide,
)
from blood_cell_system.reports.cell_table import CSV_NAME, PARQUET_NAME, write_cell_tables
from blood_cell_system.reports.image_files import (
    ALL_PARTS,
    Part,
    endings_of,
    file_of,
    remove_file,
    write_words,
)
from blood_cell_system.reports.page.field_spool import FieldSpool, encoded_jpeg
from blood_cell_system.reports.page.panel import page_limits
from blood_cell_system.reports.page.render import render_page
from blood_cell_system.reports.page.review_page import REVIEW_NAME, write_review_pages
from blood_cell_system.reports.text import slide_text

if TYPE_CHECKING:
    from blood_cell_system.pipeline.scan_fields import PlannedScan
    from blood_cell_system.pipeline.scan_goal import Tally
    from blood_cell_system.pipeline.scan_plan import ScanSettings
    from blood_cell_system.reports.figure_settings import FiguresSettings

_MAX_NAME_BYTES: Final = 180
"""Of 255 that a file's name may have: "_annotated.png" and a temporary name must fit as well."""

_SHOWN_LETTERS: Final = 120  # Of a path that is too long.
_PREPARED: Final = frozenset({"images", "masks"})
_LABELS: Final = frozenset({"masks", "instances"})


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
    deeper : int
        Images in folders within the folders that were named, where these were not searched.
    scans : tuple of PlannedScan
        That some of the images are fields of.
    """

    images: tuple[InputImage, ...]
    failed: tuple[FailedImage, ...]
    passed_over: tuple[Path, ...]
    deeper: int = 0
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
    deeper = 0
    results = Path(os.path.realpath(output_dir))
    for path in paths:
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            reason = f"{path}: there is no such file or folder. Check the path."
            failed.append(FailedImage(name=str(path), reason=reason))
            continue
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                reason = f"{str(path)[:_SHOWN_LETTERS]}…: {system_words(error)}"
                failed.append(FailedImage(name=str(path), reason=reason))
                continue
        if not is_folder(path) or path.suffix.lower() in SCAN_SUFFIXES:
            if Path(os.path.realpath(path.parent)) == results:
                raise _among_the_images(output_dir)
            found.append((path, path.stem))
            continue
        if Path(os.path.realpath(path)) == results:
            raise _among_the_images(output_dir)
        before, others = len(found), len(passed_over)
        try:
            for file in _files_of(path, results, recursive=recursive):
                if _is_named_as_image(file):
                    found.append((file, file.relative_to(path).with_suffix("").as_posix()))
                else:
                    passed_over.append(file)
            if not recursive:
                deeper += _count_deeper(path, results, len(found) - before)
        except OSError as error:
            reason = f"{error.filename}: cannot be listed ({error.strerror})."
            failed.append(FailedImage(name=str(path), reason=f"{reason} Check its permissions."))
            continue
        if len(found) == before:
            reason = _why_nothing(path, passed_over[others:], recursive=recursive)
            failed.append(FailedImage(name=str(path), reason=reason))
    return Inputs(
        images=_named(found),
        failed=tuple(failed),
        passed_over=tuple(passed_over),
        deeper=deeper,
    )


def _is_named_as_image(file: Path) -> bool:
    return is_image_name(file) or file.suffix.lower() in SCAN_SUFFIXES


def _count_deeper(folder: Path, results: Path, found: int) -> int:
    """Count the images of the folders within a folder, of which ``found`` are known."""
    return sum(map(_is_named_as_image, _files_of(folder, results, recursive=True))) - found


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
    images: list[InputImage] = []
    failed = list(inputs.failed)
    scans: list[PlannedScan] = []
    found = dict(slides)
    if settings.goal is not None:
        settings.goal.check(taxonomy_of(pipeline.system.segmentation_runtime()))
    for image in inputs.images:
        if not settings.is_scan(image.path):
            images.append(image)
            continue
        try:
            plans = list(pipeline.plan_scans(image.path, image.name, settings, jobs=jobs))
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
    ``images`` and ``masks``, ``images`` is searched, and the others are given as they are. A folder
    in OME-Zarr is given as a file.
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
        scans = [name for name in folders if Path(name).suffix.lower() in ZARR_SUFFIXES]
        files = [*files, *scans]
        folders[:] = sorted(
            name
            for name in set(wanted).difference(scans)
            if Path(os.path.realpath(root / name)) != results
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


_MANY_PIXELS: Final = 4_000_000
"""Of all images together: a process needs a second of a core to start, in which some 8 images of
640×480 are done."""

_REPORT_ENDING: Final = "_report.json"


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
        Images in work at the same time: in threads that share the network, or, where there are many
        and the models are those of files, in processes of their own.
    resume : bool
        Whether to keep the results of a former run that would come out the same.
    slides : mapping of str to Slide
        Slide of each image, by the name of its results; empty where slides were not named.
    page_images : int, optional
        Images that the page is going to show; those of this run by default.
    parts : frozenset of Part
        What is written.

    Raises
    ------
    SettingsError
        ``jobs`` is less than 1, or ``resume`` is without what it rests on.
    """

    jobs: int = 1
    resume: bool = False
    slides: Mapping[str, Slide] = field(default_factory=dict)
    page_images: int | None = None
    parts: frozenset[Part] = ALL_PARTS

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise SettingsError(f"jobs: received {self.jobs}; expected 1 or more.")
        if self.resume and not self.parts >= {Part.REPORT, Part.MASKS}:
            raise SettingsError(
                "--resume: received with --write that leaves out report or masks, by which it "
                "knows what is done. Add both to --write, or leave --resume out."
            )


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
    spool = (spool or FieldSpool(output_dir)) if Part.REVIEW in settings.parts else None
    with closing(_started(inputs, pipeline, settings.jobs)) as workers:
        # Before the first image: without a model all would fail for the same reason.
        provenance = pipeline.provenance
        limits = page_limits(settings.page_images or len(inputs.images))
        tasks = (
            ImageTask(
                image=image,
                output_dir=output_dir,
                provenance=provenance,
                limits=limits,
                parts=settings.parts,
                resume=settings.resume,
            )
            for image in inputs.images
        )
        for outcome in _in_order(tasks, workers, _Enough(inputs), ahead=settings.jobs):
            panel = outcome.panel and outcome.panel.spooled(spool)
            yield replace(outcome, panel=panel, slide=settings.slides.get(outcome.name))
    for failed in inputs.failed:
        yield ImageOutcome(name="", path=failed.name, reason=failed.reason)


def write_batch(
    inputs: Inputs,
    outcomes: Sequence[ImageOutcome],
    pipeline: InferencePipeline,
    output_dir: Path,
    *,
    figures: "FiguresSettings | None" = None,
    parts: frozenset[Part] = ALL_PARTS,
) -> BatchSummary:
    """Write the summary, its table, the table of all cells, the page and a report each slide.

    An image whose files are no longer all there has failed: the summary would vouch for them.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    summary = BatchSummary(
        outcomes=tuple(_with_its_files(outcome, output_dir, parts) for outcome in outcomes),
        settings=pipeline.report_settings,
        provenance=pipeline.provenance,
        passed_over=tuple(str(path) for path in inputs.passed_over),
        figures=figures,
        parts=parts,
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
    if Part.TABLE in summary.parts:
        write_cell_tables(summary.outcomes, output_dir)
    else:
        for name in (CSV_NAME, PARQUET_NAME):
            remove_file(output_dir / name)
    review = REVIEW_NAME if write_review_pages(summary, output_dir) else ""
    if Part.REPORT in summary.parts:
        write_words(output_dir / PAGE_NAME, render_page(summary, review=review))
    else:
        remove_file(output_dir / PAGE_NAME)
    _write_slides(summary, output_dir, review=review, scans=scans)


def _write_slides(
    summary: BatchSummary, output_dir: Path, *, review: str, scans: "Sequence[PlannedScan]"
) -> None:
    """Write page, text and JSON of each slide; those of slides of a former grouping go."""
    folder = output_dir / SLIDES_FOLDER
    written = set()
    if summary.is_grouped and Part.REPORT in summary.parts:
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


def _with_its_files(
    outcome: ImageOutcome, output_dir: Path, parts: frozenset[Part]
) -> ImageOutcome:
    if outcome.report is None:
        return outcome
    files = [file_of(output_dir, outcome.name, ending) for ending in endings_of(parts)]
    labels = [file_of(output_dir, outcome.name, f"instances.{kind}") for kind in ("png", "tif")]
    missing = [path for path in files if not path.is_file()]
    if Part.MASKS in parts and not any(path.is_file() for path in labels):
        missing.append(labels[0])
    if not missing:
        return outcome
    reason = f"{missing[0]}: was removed during the run. Run it again with --resume."
    return replace(outcome, report=None, panel=None, was_kept=False, reason=reason)


class Workers(Protocol):
    """What does tasks: threads of this process, processes, or other machines."""

    def submit(self, task: ImageTask) -> Future[TaskOutcome]:
        """Begin a task as soon as there is room for it."""

    def close(self) -> None:
        """Wait for tasks in work, and end."""


class _Threads:
    """Threads that share the networks of this process."""

    def __init__(self, pipeline: InferencePipeline, jobs: int) -> None:
        self._pipeline, self._executor = pipeline, ThreadPoolExecutor(jobs)

    def submit(self, task: ImageTask) -> Future[TaskOutcome]:
        return self._executor.submit(do_task, self._pipeline, task)

    def close(self) -> None:
        self._executor.shutdown()


class _Processes:
    """Processes that have loaded the networks once, each with its share of the cores."""

    def __init__(self, recipe: PipelineRecipe, jobs: int, threads: int) -> None:
        self._recipe = recipe
        self._pool = WorkerPool(jobs, threads=threads, first=partial(pipeline_of, recipe))

    def submit(self, task: ImageTask) -> Future[TaskOutcome]:
        return self._pool.submit(run_task, self._recipe, task)

    def close(self) -> None:
        self._pool.close()


def _started(inputs: Inputs, pipeline: InferencePipeline, jobs: int) -> Workers:
    """Start processes where there is enough work for them to pay, else threads.

    Fields of scans stay here: so large, they leave no memory for a network in each process.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    recipe = None
    if jobs > 1 and not inputs.scans and pipeline.device == "cpu":
        recipe = pipeline.recipe(threads=threads)
    if recipe is None or not _are_many(inputs.images):
        return _Threads(pipeline, jobs)
    return _Processes(recipe, jobs, threads)


def _are_many(images: Sequence[InputImage]) -> bool:
    """Whether images have so many pixels together that processes are worth starting."""
    pixels = 0
    for image in images if len(images) > 1 else ():
        # What cannot be read costs nothing.
        with suppress(BloodCellError):
            height, width = read_image_shape(image.path)
            pixels += height * width
        if pixels >= _MANY_PIXELS:
            return True
    return False


def _in_order(
    tasks: Iterable[ImageTask], workers: Workers, enough: "_Enough", *, ahead: int
) -> Iterator[ImageOutcome]:
    """Have a few tasks in work at once; outcomes come in the order of the tasks.

    Of a scan of which enough cells are counted the other fields are left out, those in work too:
    what is counted does not depend on how many are in work.
    """
    waiting: deque[tuple[ImageTask, Future[TaskOutcome]]] = deque()
    try:
        for task in tasks:
            # A bounded queue: an image that waits for its turn holds no memory.
            if len(waiting) > ahead:
                yield from _counted(enough, *waiting.popleft())
            if not enough.is_of(task.image.name):
                waiting.append((task, workers.submit(task)))
        while waiting:
            yield from _counted(enough, *waiting.popleft())
    finally:
        for _, future in waiting:
            future.cancel()


def _counted(
    enough: "_Enough", task: ImageTask, future: Future[TaskOutcome]
) -> Iterator[ImageOutcome]:
    """Give an outcome, unless enough cells are counted without it: then its files go."""
    image = task.image
    is_left_out = enough.is_of(image.name)
    if is_left_out and future.cancel():
        return
    try:
        done = future.result()
    except Exception as error:  # A worker that ends costs the others nothing.
        done = TaskOutcome(outcome=failed_outcome(image, error))
    if is_left_out:
        for ending in (*RESULT_ENDINGS, *LABEL_ENDINGS):
            remove_file(file_of(task.output_dir, image.name, ending))
        return
    if image.field is not None:
        image.field.scan.note_holes(image.field.level, done.holes)
    enough.add(done.outcome)
    yield done.outcome


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
