"""A batch of images as a task of a worker: it analyses them, writes their cells, gives their rows.

The models are loaded once in a worker. What is sent is bytes beside the version of this program, so
that a worker with another version refuses it before it reads them.
"""

import hashlib
import pickle
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import cv2

import blood_cell_system
from blood_cell_system.cluster.results_dataset import DatasetRecord, ResultsDataset, image_row
from blood_cell_system.cluster.source_files import FileState, on_disk, size_and_time
from blood_cell_system.cluster.source_listing import SourceImage
from blood_cell_system.cluster.storage import Storage, reopened_address, shown_address
from blood_cell_system.errors import (
    CheckpointError,
    MissingDataError,
    SettingsError,
)
from blood_cell_system.imaging.image_folders import LABEL_ENDINGS
from blood_cell_system.pipeline.image import InferencePipeline, PipelineRecipe, pipeline_of
from blood_cell_system.pipeline.image_task import ImageTask, InputImage, do_task, failed_outcome
from blood_cell_system.pipeline.scan_labels import (
    ENDING,
    check_zarr,
    write_image_labels,
    write_scan_labels,
)
from blood_cell_system.pipeline.scan_plan import ScanSettings
from blood_cell_system.reports.batch_summary import ImageOutcome, Slide
from blood_cell_system.reports.image_files import Part
from blood_cell_system.reports.page.panel import page_limits

FILES: Final = "files"
"""Folder of a dataset with the files of images that ``--write`` and ``--label-zarr`` ask for."""


class WorkerVersionError(CheckpointError):
    """A worker has another version of the program or of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldBatch:
    """Images for a worker.

    Parameters
    ----------
    images : tuple of SourceImage
    recipe : PipelineRecipe
    record : DatasetRecord
        Of the dataset; a worker with other models is refused.
    storage : Storage
        Of the dataset.
    parts : frozenset of Part
        What is written of each image beside its rows.
    has_label_zarr : bool
        Whether the labels of its cells are written as OME-Zarr.
    scans : ScanSettings
        What of scans is analysed.
    """

    images: tuple[SourceImage, ...] = ()
    recipe: PipelineRecipe
    record: DatasetRecord
    storage: Storage
    parts: frozenset[Part] = frozenset()
    has_label_zarr: bool = False
    scans: ScanSettings = field(default_factory=ScanSettings)

    @property
    def key(self) -> str:
        """Name of the batch by its content: images, models and settings."""
        words = [self.record.digest]
        for image in self.images:
            words += map(repr, (image.name, shown_address(image.place), image.slide, image.patient))
        return hashlib.blake2b("\n".join(words).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneBatch:
    """What came of a batch.

    Parameters
    ----------
    key : str
    rows : tuple of dict
        A row of the table of images for each image, and for each field of a scan.
    cells : tuple of str
        Files of cells that were written.
    seconds : float
        Of the whole batch, without loading the models.
    """

    key: str
    rows: tuple[dict[str, Any], ...]
    cells: tuple[str, ...]
    seconds: float


def packed(value: Any) -> bytes:
    """Pack an argument for :func:`run_batch` and :func:`are_unchanged`."""
    return pickle.dumps(value)


def run_batch(version: str, package: bytes) -> DoneBatch:
    """Analyse a batch; what goes wrong with an image is in its row.

    Parameters
    ----------
    version : str
        Of the program that sends it.
    package : bytes
        A :class:`FieldBatch`.

    Raises
    ------
    WorkerVersionError
        This worker has another version of the program or of a model.
    OutputError
        The cells cannot be written.
    """
    batch: FieldBatch = _unpacked(version, package)
    # The workers are the parallelism: OpenCV's own threads would only fight over the cores.
    cv2.setNumThreads(batch.recipe.execution.threads or 0)
    pipeline = _pipeline_for(batch)
    start = time.perf_counter()
    rows: list[dict[str, Any]] = []
    outcomes: list[ImageOutcome] = []
    for image in batch.images:
        found, state = _analyzed(pipeline, batch, image)
        outcomes += found
        rows += [image_row(one, batch.record, source=image.name, state=state) for one in found]
    dataset = ResultsDataset(batch.storage, batch.record)
    return DoneBatch(
        key=batch.key,
        cells=dataset.write_cells(batch.key, outcomes),
        rows=tuple(rows),
        seconds=time.perf_counter() - start,
    )


def are_unchanged(version: str, package: bytes) -> bool:
    """Whether the images of a batch that counts are still those that were analysed.

    An image that has gone, or cannot be read now, is taken as unchanged.

    Parameters
    ----------
    version : str
        Of the program that sends it.
    package : bytes
        A storage, the record of its dataset, the key of a batch, and the sources of the run.
    """
    storage, record, key, sources = _unpacked(version, package)
    files = ResultsDataset(storage, record).files_of(key)
    return bool(files) and all(
        state.is_of(reopened_address(place, sources)) for place, state in files.items()
    )


def _unpacked(version: str, package: bytes) -> Any:
    if version != blood_cell_system.__version__:
        raise WorkerVersionError(
            f"a worker has version {blood_cell_system.__version__} of blood-cell-system; the run "
            f"has version {version}. Install the same on both."
        )
    return pickle.loads(package)


def _pipeline_for(batch: FieldBatch) -> InferencePipeline:
    try:
        pipeline = pipeline_of(batch.recipe)
        found = pipeline.provenance.model_copy(update={"runs_in": None})
    except MissingDataError as error:
        raise WorkerVersionError(
            f"a worker lacks a model of the run: {error} Put it where workers find it as well."
        ) from error
    if batch.has_label_zarr:
        try:
            check_zarr()
        except SettingsError as error:
            raise WorkerVersionError(f"a worker: {error}") from error
    expected = batch.record.provenance
    if found != expected:
        models = zip(found.models, expected.models, strict=False)
        name, digest = next((one for one, other in models if one != other), (found.model, ""))
        raise WorkerVersionError(
            f"a worker has another model than the run: {name}, SHA-256 {digest[:12]}. Install the "
            "same version, and the same files of models, on both."
        )
    return pipeline


def _analyzed(
    pipeline: InferencePipeline, batch: FieldBatch, image: SourceImage
) -> tuple[list[ImageOutcome], FileState | None]:
    """Analyse an image, or all fields of a scan; gives what its file was."""
    shown = shown_address(image.place)
    path = Path(PurePosixPath(shown))
    outcomes: list[ImageOutcome] = []
    state = None
    try:
        # Before it is read: a later change then has another time.
        size, mtime_ns = size_and_time(image.place)
        with on_disk(image.place) as path, tempfile.TemporaryDirectory() as folder:
            outcomes, digest = _written(pipeline, batch, image, path, Path(folder))
            _keep_files(batch, Path(folder))
        if digest is not None:
            state = FileState(sha256=digest, size=size, mtime_ns=mtime_ns)
    except Exception as error:  # A fault of this program in one image must not cost the others.
        outcomes = [failed_outcome(InputImage(path=path, name=image.name), error)]
    slide = None if image.slide is None else Slide(name=image.slide, patient=image.patient)
    return [
        replace(one, path=shown, reason=one.reason.replace(str(path), shown), slide=slide)
        for one in outcomes
    ], state


def _written(
    pipeline: InferencePipeline, batch: FieldBatch, image: SourceImage, path: Path, folder: Path
) -> tuple[list[ImageOutcome], str | None]:
    """Analyse a file, and write into a folder what is asked for; gives the file's hash too."""
    is_scan = batch.scans.is_scan(path)
    if is_scan and not batch.record.has_slides:
        raise SettingsError(
            f"{path}: a scan is a slide of its own; expected slides to be named. Add --group-by, "
            "for instance '([^/]+)$', or a column slide to the manifest."
        )
    # The labels in Zarr are put together from those of fields.
    parts = batch.parts | ({Part.MASKS} if batch.has_label_zarr else set())

    def done(one: InputImage) -> ImageOutcome:
        task = ImageTask(
            image=one,
            output_dir=folder,
            provenance=batch.record.provenance,
            limits=page_limits(sys.maxsize),
            parts=parts,
            resume=False,
        )
        return replace(do_task(pipeline, task).outcome, panel=None)

    if not is_scan:
        outcome = done(InputImage(path=path, name=image.name))
        if batch.has_label_zarr and outcome.report is not None:
            write_image_labels(outcome, folder, folder / f"{image.name}{ENDING}")
        return [outcome], outcome.data_sha256
    outcomes: list[ImageOutcome] = []
    digest = None
    for plan in pipeline.plan_scans(path, image.name, batch.scans, jobs=1):
        tally, digest = plan.new_tally(), plan.file_digest
        of_plan: list[ImageOutcome] = []
        for name, scan_field in plan.fields.items():
            if tally is not None and tally.is_enough:
                break
            of_plan.append(done(InputImage(path=path, name=name, field=scan_field)))
            report = of_plan[-1].report
            if tally is not None and report is not None:
                tally.add(report)
        if batch.has_label_zarr:
            write_scan_labels(plan, of_plan, folder, folder / f"{plan.name}{ENDING}")
        outcomes += of_plan
    return outcomes, digest


def _keep_files(batch: FieldBatch, folder: Path) -> None:
    """Move what is asked for from a folder of a worker to the dataset."""
    of_masks = () if Part.MASKS in batch.parts else (*LABEL_ENDINGS, "mask.png")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith(of_masks):
            relative = path.relative_to(folder).as_posix()
            batch.storage.write(f"{FILES}/{relative}", path.read_bytes())


def failed_row(image: SourceImage, reason: str, record: DatasetRecord) -> dict[str, Any]:
    """Give the row of an image that no worker could analyse."""
    slide = None if image.slide is None else Slide(name=image.slide, patient=image.patient)
    shown = shown_address(image.place)
    return image_row(ImageOutcome(name=image.name, path=shown, reason=reason, slide=slide), record)


def halves(images: Sequence[SourceImage]) -> tuple[tuple[SourceImage, ...], ...]:
    """Cut a batch in two.

    Examples
    --------
    >>> [len(half) for half in halves([SourceImage(place="a", name="a")] * 3)]
    [1, 2]
    """
    middle = len(images) // 2
    return tuple(images[:middle]), tuple(images[middle:])
