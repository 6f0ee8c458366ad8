"""A folder in which images appear: each is analysed once it is whole, and the page follows.

Nothing is remembered beside the results: after a restart, reports of a former run that would come
out the same are kept, as with ``analyze --resume``. What the results hold at any time is what
``analyze`` would have written of the images that are there.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from blood_cell_system.errors import MissingDataError, OutputError, SettingsError, system_words
from blood_cell_system.imaging.image_folders import SUMMARY_NAME, is_folder, walk_folders
from blood_cell_system.pipeline.batch import (
    BatchSettings,
    Inputs,
    analyze_inputs,
    find_inputs,
    start_batch,
    write_batch,
)
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.image_task import InputImage
from blood_cell_system.pipeline.slide_groups import TABLE_ENDINGS, group_images
from blood_cell_system.reports.batch_summary import ImageOutcome, Slide
from blood_cell_system.reports.image_files import ALL_PARTS, Part, file_of
from blood_cell_system.reports.page.field_spool import FieldSpool
from blood_cell_system.reports.page.panel import page_limits
from blood_cell_system.reports.report import Status
from blood_cell_system.settings import check_ranges, ranged

_SHARE_OF_WRITING: Final = 0.1
"""Part of the time that may go into summary and page while many images wait: both grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """How a folder is watched.

    Parameters
    ----------
    recursive : bool
        Whether folders within the folder are watched as well.
    jobs : int
        Images in work at the same time.
    is_reviewable : bool
        Whether pages are written on which a person corrects cells.
    group_by : str, optional
        What the slide of an image is: ``folder``, or a regular expression, as of ``group_images``.
    settle_s : float
        A file is tried when its size and time have not changed for so many seconds.
    patience_s : float
        One that cannot be read may still be copied: it has failed when it has not changed for so
        many seconds.

    Raises
    ------
    SettingsError
        A value is out of range, or the slides are to come from a table.
    """

    recursive: bool = False
    jobs: int = ranged(1, at_least=1)
    is_reviewable: bool = True
    group_by: str | None = None
    settle_s: float = ranged(2.0, at_least=0)
    patience_s: float = ranged(30.0, at_least=0)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.group_by is not None:
            if Path(self.group_by).suffix.lower() in TABLE_ENDINGS:
                raise SettingsError(
                    f"--group-by {self.group_by}: a table names images that are there already; "
                    "expected folder or a regular expression. Run bloodcells analyze with the "
                    "table when all images are there."
                )
            group_images((), self.group_by)


_Signature = tuple[int, int]
"""Size of a file in bytes, and when it was last written to, in nanoseconds."""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """An image, and what has become of it.

    Parameters
    ----------
    signature : tuple of int
    since : float
        When it was first seen so.
    next_try : float
        When it may be analysed.
    outcome : ImageOutcome or None
        None while it waits.
    is_reported : bool
        Whether its outcome was.
    """

    signature: _Signature
    since: float
    next_try: float
    outcome: ImageOutcome | None = None
    is_reported: bool = False


class WatchedFolder:
    """A folder of images and the results of those that are whole.

    Parameters
    ----------
    folder : Path
    pipeline : InferencePipeline
    output_dir : Path
    settings : WatchSettings, optional
    clock : callable
        Gives seconds since any fixed moment.

    Raises
    ------
    MissingDataError
        There is no such folder, or no model.
    OutputError
        The results cannot be written.
    CheckpointError
        The model is no segmenter.
    """

    def __init__(
        self,
        folder: Path,
        pipeline: InferencePipeline,
        output_dir: Path,
        settings: WatchSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.output_dir = folder, output_dir
        self._pipeline, self._settings = pipeline, settings or WatchSettings()
        self._clock = clock
        if (fault := self._fault_of_folder()) is not None:
            raise MissingDataError(f"{fault} Expected a folder that images are copied into.")
        start_batch(output_dir)
        # Before the first image: without a model all would fail for the same reason.
        _ = pipeline.provenance
        self._inputs = Inputs(images=(), failed=(), passed_over=())
        self._seen: dict[InputImage, _Seen] = {}
        self._slides: dict[str, Slide] = {}
        self._refused: dict[InputImage, str] = {}
        self._limits = page_limits(0)
        # One for all looks: each is an open file.
        self._spool = FieldSpool(output_dir)
        self._is_written = False
        self._is_catching_up = (output_dir / SUMMARY_NAME).exists()
        self._next_writing = 0.0
        self._told = ""

    def look(self) -> Iterator[str]:
        """Look once: analyse what is whole and new, drop what has gone, write summary and page.

        Yields
        ------
        str
            A line for each thing that happened.

        Raises
        ------
        OutputError
            Results would come to lie among the images.
        """
        if (fault := self._fault_of_folder()) is not None:
            # A drive that is away for a while has not lost its images.
            yield from self._tell_once(fault)
            return
        yield from self._compare()
        now = self._clock()
        ready = [
            image
            for image, seen in self._seen.items()
            if seen.outcome is None and now >= seen.next_try and image not in self._refused
        ]
        # Results that are kept come first: the page of a former run is not replaced by less.
        ready.sort(key=lambda image: not self._has_report(image))
        paths = {str(image.path): image for image in ready}
        settings = BatchSettings(
            jobs=self._settings.jobs,
            resume=True,
            page_images=len(self._inputs.images),
            parts=ALL_PARTS if self._settings.is_reviewable else ALL_PARTS - {Part.REVIEW},
        )
        inputs = Inputs(images=tuple(ready), failed=(), passed_over=())
        for outcome in analyze_inputs(
            inputs, self._pipeline, self.output_dir, settings, spool=self._spool
        ):
            seen = self._seen[paths[outcome.path]]
            patient_until = seen.since + self._settings.patience_s
            if outcome.status is Status.FAILED and now < patient_until:
                seen.next_try = patient_until
                continue
            seen.outcome = outcome
            self._is_written = False
            self._is_catching_up &= outcome.was_kept
            if not seen.is_reported:
                seen.is_reported = True
                yield from _lines_of(outcome)
            if self._clock() >= self._next_writing:
                yield from self.write()
        self._is_catching_up &= bool(self._seen) and not ready
        yield from self.write()

    def write(self) -> Iterator[str]:
        """Write summary and page of what is new; yields a line where that is not possible."""
        if self._is_written or self._is_catching_up:
            return
        begun = self._clock()
        outcomes = []
        for image, seen in self._seen.items():
            if image in self._refused:
                reason = self._refused[image]
                outcomes.append(ImageOutcome(name=image.name, path=str(image.path), reason=reason))
            elif seen.outcome is not None:
                slide = self._slides.get(image.name)
                outcomes.append(replace(seen.outcome, slide=slide))
        try:
            write_batch(self._inputs, outcomes, self._pipeline, self.output_dir)
        except OutputError as error:
            # A disk that is full may have room the next time.
            yield from self._tell_once(str(error))
            return
        self._is_written = True
        self._told = ""
        ended = self._clock()
        self._next_writing = ended + (ended - begun) / _SHARE_OF_WRITING

    def _compare(self) -> Iterator[str]:
        """Compare the folder with what was seen the last time."""
        settings, now = self._settings, self._clock()
        self._inputs = find_inputs(
            [self.folder], output_dir=self.output_dir, recursive=settings.recursive
        )
        limits = page_limits(len(self._inputs.images))
        seen: dict[InputImage, _Seen] = {}
        for image in self._inputs.images:
            signature = _signature_of(image.path)
            if signature is None:
                continue
            former = self._seen.get(image)
            if former is None or former.signature != signature:
                former = _Seen(signature=signature, since=now, next_try=now + settings.settle_s)
            elif limits != self._limits and former.outcome is not None:
                # The page shows less of each image: results are kept, and shown anew.
                former.outcome = None
            seen[image] = former
        paths = {image.path for image in seen}
        gone = [image.path for image in self._seen if image.path not in paths]
        yield from (f"gone    {path}" for path in gone)
        if seen.keys() != self._seen.keys():
            self._is_written = False
            yield from self._group(list(seen))
        self._seen, self._limits = seen, limits

    def _group(self, images: Sequence[InputImage]) -> Iterator[str]:
        """Find the slides; an image that has none, or contradicts those before it, is refused."""
        by, former = self._settings.group_by, self._refused
        if by is None:
            return
        self._refused = {}
        try:
            self._slides = group_images(images, by)
        except SettingsError:
            self._slides, good = {}, list[InputImage]()
            for image in images:
                try:
                    self._slides = group_images([*good, image], by)
                    good.append(image)
                except SettingsError as error:
                    self._refused[image] = str(error)
        for image, reason in self._refused.items():
            if image not in former:
                yield f"failed  {image.path}: {reason}"

    def _has_report(self, image: InputImage) -> bool:
        return file_of(self.output_dir, image.name, "report.json").is_file()

    def _fault_of_folder(self) -> str | None:
        """Why the folder, or one within it that is watched, cannot be listed now."""
        if not is_folder(self.folder):
            return f"{self.folder}: there is no such folder."
        faults: list[OSError] = []
        for _ in walk_folders(self.folder, onerror=faults.append):
            if not self._settings.recursive:
                break
        if not faults:
            return None
        return f"{faults[0].filename}: cannot be listed ({system_words(faults[0])})."

    def _tell_once(self, fault: str) -> Iterator[str]:
        if fault != self._told:
            self._told = fault
            yield f"waiting {fault}"


def _signature_of(path: Path) -> _Signature | None:
    """Size and time of a file; None for one that has just gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError:
        # Why it cannot be read is reported where that is tried.
        return -1, 0
    return status.st_size, status.st_mtime_ns


def _lines_of(outcome: ImageOutcome) -> Iterator[str]:
    if outcome.counts is None:
        yield f"failed  {outcome.reason}"
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in outcome.counts.items())
    yield f"done    {outcome.path}: {counts}"
    yield from (f"warned  {outcome.path}: {warning}" for warning in outcome.warnings)
