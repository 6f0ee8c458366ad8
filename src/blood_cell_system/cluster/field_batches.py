"""A batch of images as a task of a worker: it analyses them, writes their cells, gives their rows.

The models are loaded once in a worker. What is sent is bytes beside the version of this program, so
that a worker with another version refuses it before it reads them.
"""

import hashlib
import pickle
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import cv2

import blood_cell_system
from blood_cell_system.cluster.results_dataset import DatasetRecord, ResultsDataset, image_row
from blood_cell_system.cluster.source_listing import SourceImage
from blood_cell_system.cluster.storage import Storage, reopened_address, shown_address
from blood_cell_system.errors import (
    BloodCellError,
    CheckpointError,
    ImageReadError,
    MissingDataError,
)
from blood_cell_system.pipeline.image import InferencePipeline, PipelineRecipe, pipeline_of
from blood_cell_system.pipeline.image_task import InputImage, failed_outcome
from blood_cell_system.reports.batch_summary import ImageOutcome, Slide
from blood_cell_system.reports.image_files import write_image_files
from blood_cell_system.reports.report import DiagnosticReport

FILES: Final = "files"
"""Folder of a dataset with the masks, outlines and reports of images, where they were asked for."""

_ATTEMPTS: Final = 3
"""Readings of a file of a bucket before its image has failed."""
_PAUSE_S: Final = 0.5
"""Before the second reading; twice as long before the third."""


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
    with_files : bool
        Whether masks, outlines and reports of each image are written too.
    """

    images: tuple[SourceImage, ...]
    recipe: PipelineRecipe
    record: DatasetRecord
    storage: Storage
    with_files: bool = False

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
        A row of the table of images for each.
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
    outcomes = [_outcome(pipeline, batch, image) for image in batch.images]
    dataset = ResultsDataset(batch.storage, batch.record)
    return DoneBatch(
        key=batch.key,
        cells=dataset.write_cells(batch.key, outcomes),
        rows=tuple(image_row(outcome, batch.record) for outcome in outcomes),
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
    rows = ResultsDataset(storage, record).images_of(key)
    places = [(reopened_address(row["path"], sources), row["data_sha256"]) for row in rows]
    return bool(places) and all(_is_unchanged(*place) for place in places)


def _is_unchanged(place: str, digest: str) -> bool:
    try:
        return hashlib.sha256(_read(place)).hexdigest() == digest
    except BloodCellError:
        return True


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
        found = pipeline.provenance
    except MissingDataError as error:
        raise WorkerVersionError(
            f"a worker lacks a model of the run: {error} Put it where workers find it as well."
        ) from error
    expected = batch.record.provenance
    if found != expected:
        models = zip(found.models, expected.models, strict=False)
        name, digest = next((one for one, other in models if one != other), (found.model, ""))
        raise WorkerVersionError(
            f"a worker has another model than the run: {name}, SHA-256 {digest[:12]}. Install the "
            "same version, and the same files of models, on both."
        )
    return pipeline


def _outcome(pipeline: InferencePipeline, batch: FieldBatch, image: SourceImage) -> ImageOutcome:
    shown = shown_address(image.place)
    path = Path(PurePosixPath(shown))
    slide = None if image.slide is None else Slide(name=image.slide, patient=image.patient)
    try:
        result = pipeline.analyze(path, data=_read(image.place))
        value = result.report.to_json()
        if batch.with_files:
            _write_files(batch.storage, image.name, result)
        # As it is read back: the same numbers as those of a folder of reports.
        report = DiagnosticReport.from_json(value)
    except Exception as error:  # A fault of this program in one image must not cost the others.
        failed = failed_outcome(InputImage(path=path, name=image.name), error)
        return ImageOutcome(name=image.name, path=shown, reason=failed.reason, slide=slide)
    return ImageOutcome(name=image.name, path=shown, report=report, slide=slide)


def _read(place: str) -> bytes:
    """Read an image; a bucket that fails is asked again."""
    folder, _, name = place.partition("?")[0].replace("\\", "/").rpartition("/")
    _, question, options = place.partition("?")
    storage = Storage(f"{folder or '/'}{question}{options}")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return storage.read(name)
        except ImageReadError:
            if attempt == _ATTEMPTS or storage.folder is not None:
                raise
            time.sleep(_PAUSE_S * attempt)
    raise AssertionError("unreachable")


def _write_files(storage: Storage, name: str, result: Any) -> None:
    if storage.folder is not None:
        write_image_files(storage.folder / FILES, name, result.analysis, result.report)
        return
    with tempfile.TemporaryDirectory() as temporary:
        write_image_files(Path(temporary), name, result.analysis, result.report)
        for path in sorted(Path(temporary).rglob("*")):
            if path.is_file():
                relative = path.relative_to(temporary).as_posix()
                storage.write(f"{FILES}/{relative}", path.read_bytes())


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
