"""Training of the segmenter, from a prepared folder to the best model by validation IoU."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import make_folder
from blood_cell_system.augmentation.crops import CropSampler, ImageOrder, batches
from blood_cell_system.augmentation.decoded_images import DecodedImage, DecodedImages
from blood_cell_system.augmentation.settings import AugmentationSettings
from blood_cell_system.datasets.cell_diameter import typical_diameter, typical_diameters
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    PreparedImage,
)
from blood_cell_system.errors import DatasetError, SettingsError, TrainingMemoryError
from blood_cell_system.imaging.overlay import draw_overlay
from blood_cell_system.metrics.confusion import ConfusionMatrix
from blood_cell_system.model_metadata import STRIDE, ModelMetadata, model_name
from blood_cell_system.networks.export import save_model
from blood_cell_system.taxonomy import NOT_SCORED, MaskClass
from blood_cell_system.training.loop import (
    Batch,
    DataHashes,
    EpochLoop,
    Measured,
    Row,
    RunFiles,
    TrainingListener,
)
from blood_cell_system.training.peak_calibration import (
    bake_thresholds,
    best_thresholds,
    peak_finder,
)
from blood_cell_system.training.presets import SegmentationSettings
from blood_cell_system.training.run_record import advice_on, write_curves
from blood_cell_system.training.segmenter_learner import (
    Learner,
    StartingPoint,
    segmenter_config,
    start_details,
    unlikeness_warnings,
)
from blood_cell_system.training.stain_domains import stain_groups, stain_of_smear
from blood_cell_system.training.state import STATE_NAME, TrainingState

BATCH_SIZES: Final = (16, 8, 4, 2, 1)

# Activations are kept for the gradient, once more as gradients, and in the convolutions' workspace.
_ACTIVATION_COPIES: Final = 3.0
_FIXED_BYTES: Final = 700_000_000
_CGROUP_FILES: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

ADVICE: Final = (
    "Use a smaller --batch-size (4, 2 or 1, or auto), a smaller model (--preset fast), or smaller "
    "crops (--crop-size 192)."
)


def available_bytes() -> int | None:
    """Memory that this process may still take, None where the system does not say."""
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        # Counts what the page cache would give back, unlike the free pages above.
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    for name in _CGROUP_FILES:
        limit = Path(name).read_text().strip() if Path(name).is_file() else "max"
        if limit.isdigit():
            available = min(available, int(limit))
    return available


def estimated_bytes(settings: SegmentationSettings) -> int:
    """Memory that a training takes, by the sizes of all activations of the segmenter.

    Parameters
    ----------
    settings : SegmentationSettings
    """
    per_pixel = segmenter_config(settings).values_per_pixel
    values = per_pixel * settings.crop_size_px**2 * settings.batch_size
    return int(4 * _ACTIVATION_COPIES * values) + _FIXED_BYTES


def largest_batch_that_fits(settings: SegmentationSettings) -> int:
    """Batch size for ``--batch-size auto``: the largest that leaves half of the memory free."""
    available = available_bytes()
    for batch_size in BATCH_SIZES:
        needed = estimated_bytes(replace(settings, batch_size=batch_size))
        if available is None or needed <= available / 2:
            return batch_size
    return BATCH_SIZES[-1]


def check_batch_fits(settings: SegmentationSettings) -> None:
    """Refuse a batch that does not fit.

    Raises
    ------
    TrainingMemoryError
        With the guide's advice.
    """
    available = available_bytes()
    needed = estimated_bytes(settings)
    if available is not None and needed > available:
        raise TrainingMemoryError(
            f"--batch-size {settings.batch_size}: needs about {needed / 1e9:.1f} GB of memory; "
            f"{available / 1e9:.1f} GB are available. {ADVICE}"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageDomains:
    """Domains of images, by position.

    All classes of the segmenter occur in the images of every laboratory, so that no class can be
    mistaken for a domain.

    Parameters
    ----------
    names : tuple of str
        Two or more.
    index : ndarray of shape (n,), dtype int32
    weight : ndarray of shape (n,), dtype float32
        Makes domains count alike, however many crops show them.
    """

    names: tuple[str, ...]
    index: NDArray[np.int32]
    weight: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        images: Sequence[PreparedImage],
        decoded: DecodedImages,
        *,
        seed: int,
        frequencies: NDArray[np.float64] | None = None,
    ) -> "ImageDomains":
        """Take the manifest's sources; where there is one only, groups of similar stain.

        Parameters
        ----------
        images : sequence of PreparedImage
            Training images.
        decoded : DecodedImages
            The same images.
        seed : int
        frequencies : ndarray of shape (n,), dtype float64, optional
            How often crops show each image, against the others; all alike by default.

        Raises
        ------
        SettingsError
            All images are from one source and of one stain.
        """
        names = tuple(sorted({image.source for image in images}))
        if len(names) > 1:
            index = np.array([names.index(image.source) for image in images], dtype=np.int32)
        else:
            statistics = np.array(
                [stain_of_smear(decoded[position].pixels) for position in range(len(images))]
            )
            index = stain_groups(statistics, seed=seed)
            names = tuple(f"stain {number + 1}" for number in range(int(index.max()) + 1))
        if len(names) < 2:
            raise SettingsError(
                f"--domain-adaptation: all {len(images)} training images are from one source and "
                "of one stain; expected images of two laboratories. Add some, or leave the "
                "option out."
            )
        counts = np.bincount(index, weights=frequencies, minlength=len(names))
        weight = (counts.sum() / (len(names) * counts))[index]
        return cls(names=names, index=index, weight=weight.astype(np.float32))


_EXAMPLES: Final = 3
_EXAMPLE_SIZE: Final = (384, 288)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationOutcome:
    """Figures of one validation.

    Parameters
    ----------
    confusion : ConfusionMatrix
        Of all scored pixels of all images.
    class_loss : float
        Mean over the images.
    images : tuple of ndarray of shape (288, 384, 3), dtype uint8
        Overlays of the first images.
    """

    confusion: ConfusionMatrix
    class_loss: float
    images: tuple[NDArray[np.uint8], ...]


class Validation:
    """Validation images, held in memory, and the learner that is measured on them."""

    def __init__(
        self,
        images: Sequence[PreparedImage],
        learner: Learner,
        *,
        magnifications: Mapping[str, float] | None = None,
    ) -> None:
        self._images = DecodedImages(images, magnifications=magnifications)
        self._learner = learner

    def some(self, count: int) -> Iterator[DecodedImage]:
        """Give so many images at most, from all over the list."""
        for number in range(min(count, len(self._images))):
            yield self._images[number * len(self._images) // min(count, len(self._images))]

    def run(self) -> ValidationOutcome:
        """Measure the averaged model."""
        confusion = ConfusionMatrix()
        losses = []
        images = []
        for position in range(len(self._images)):
            image = self._images[position]
            height, width = image.class_mask.shape
            pixels, class_mask = _padded(image.pixels, image.class_mask)
            predicted, loss = self._learner.predict_step(
                tf.constant(pixels[None]), tf.constant(class_mask[None])
            )
            class_mask_predicted = np.asarray(predicted)[0, :height, :width]
            confusion.update(image.class_mask, class_mask_predicted)
            losses.append(float(loss))
            if position < _EXAMPLES:
                overlay = draw_overlay(image.pixels, class_mask_predicted)
                images.append(cv2.resize(overlay, _EXAMPLE_SIZE, interpolation=cv2.INTER_AREA))
        return ValidationOutcome(
            confusion=confusion, class_loss=float(np.mean(losses)), images=tuple(images)
        )


def _padded(
    pixels: NDArray[np.uint8], class_mask: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bring both to the segmenter's stride; what is added is not scored."""
    height, width = class_mask.shape
    below, right = -height % STRIDE, -width % STRIDE
    return (
        cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REPLICATE),
        cv2.copyMakeBorder(
            class_mask, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(NOT_SCORED,)
        ),
    )


MODEL_NAME = "segmentation_model_best.keras"
PREVIOUS_MODEL_NAME = "segmentation_model_previous.keras"

_FILES = RunFiles(
    kind="segmentation",
    model=MODEL_NAME,
    previous_model=PREVIOUS_MODEL_NAME,
    state=STATE_NAME,
)

# So many images tell whether the stain is unlike what a model knows.
_LOOKED_AT = 8
# And so many have the cells, also platelets, to tell how high their peaks are.
_CALIBRATED_ON = 60

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What came of a training.

    Parameters
    ----------
    model_path : Path
        Best model by mean validation IoU.
    best_iou : float
    best_epoch : int
    epochs : int
        Epochs done.
    seconds : float
        Of all sessions together.
    is_complete : bool
        False after Ctrl-C.
    warnings : tuple of str
    history : tuple of dict
    """

    model_path: Path
    best_iou: float
    best_epoch: int
    epochs: int
    seconds: float
    is_complete: bool
    warnings: tuple[str, ...]
    history: tuple[Row, ...]


class SegmentationTraining(EpochLoop):
    """A training in progress; see ``train_segmenter`` for what it writes and raises."""

    def __init__(
        self,
        dataset: PreparedDataset,
        settings: SegmentationSettings,
        *,
        checkpoint_dir: Path,
        log_dir: Path,
        resume: TrainingState | None,
        listener: TrainingListener,
        start: StartingPoint | None = None,
    ) -> None:
        train_images = _images_of(dataset, Split.TRAIN)
        val_images = _images_of(dataset, Split.VAL)
        magnifications = _magnifications((*train_images, *val_images), settings)
        known = {name: value for name, value in magnifications.items() if value is not None}
        decoded = DecodedImages(train_images, magnifications=known)
        order = ImageOrder(
            [image.source for image in train_images],
            evenness=settings.source_evenness,
            seed=settings.seed,
        )
        self._domains = (
            ImageDomains.of(
                train_images, decoded, seed=settings.seed, frequencies=order.frequencies()
            )
            if settings.has_domain_adaptation
            else None
        )
        learner = Learner(
            settings,
            start=None if start is None else start.model.get_weights(),
            domains=len(self._domains.names) if self._domains else 0,
        )
        diameter = typical_diameter(train_images)
        training_diameter = settings.cell_diameter_px or diameter
        learner.averaged.name = model_name(training_diameter)
        hashes = DataHashes(
            data=dataset.content_hash(),
            validation=replace(dataset, images=val_images).content_hash(),
        )
        super().__init__(
            settings,
            learner=learner,
            metadata=ModelMetadata(
                kind="segmenter",
                architecture=learner.architecture,
                training_diameter_px=training_diameter,
                preset=settings.preset,
                seed=settings.seed,
                data=", ".join(sorted({image.source for image in train_images} - {""})),
                data_sha256=hashes.data,
                software_version=blood_cell_system.__version__,
            ),
            hashes=hashes,
            files=_FILES,
            score_name="val_mean_iou",
            steps_per_epoch=max(1, settings.crops_per_epoch // settings.batch_size),
            folder=checkpoint_dir,
            log_dir=log_dir,
            resume=resume,
            listener=listener,
            details={
                "data": str(dataset.root),
                "images": {"train": len(train_images), "val": len(val_images)},
                "red_cell_diameter_px": diameter,
                "magnifications": magnifications,
                "crops_of_a_round": order.counts_of_a_round(),
                "domains": list(self._domains.names) if self._domains else [],
                **(start_details(start) if start else {}),
            },
        )
        self._batch_size = settings.batch_size
        self._calibrates_peaks = settings.calibrates_peaks and settings.has_instance_head
        self._iou_before: float | None = None
        self._sampler = CropSampler(
            decoded,
            size_px=settings.crop_size_px,
            settings=AugmentationSettings(
                scale_range=settings.scale_range,
                recolour_share=settings.recolour_share,
                paste_share=settings.paste_share,
            ),
            seed=settings.seed,
            order=order,
        )
        self._validation = Validation(val_images, learner, magnifications=known)
        if start is not None and resume is None:
            self._look_at_start(start, decoded, magnifications, train_images)

    def run(self) -> TrainingResult:
        """Train until all epochs are done, nothing gets better, or the user stops it."""
        is_complete = self.run_epochs()
        if is_complete and self._calibrates_peaks:
            self._calibrate_peaks()
        state = self.state
        return TrainingResult(
            model_path=self.model_path,
            best_iou=state.best_score,
            best_epoch=state.best_epoch,
            epochs=state.epoch,
            seconds=state.seconds,
            is_complete=is_complete,
            warnings=tuple(self.advice(state.history)),
            history=tuple(state.history),
        )

    def _calibrate_peaks(self) -> None:
        """Give the best model peaks of the usual heights; done once more it changes little."""
        best = keras.saving.load_model(self.model_path, compile=False)
        found = best_thresholds(self._validation.some(_CALIBRATED_ON), peak_finder(best))
        self.add_to_record({"peak_thresholds_before": {str(k): v for k, v in found.items()}})
        if found:
            bake_thresholds(best, found)
            save_model(best, self.model_path, metadata=self.metadata)

    def _look_at_start(
        self,
        start: StartingPoint,
        decoded: DecodedImages,
        magnifications: Mapping[str, float | None],
        images: Sequence[PreparedImage],
    ) -> None:
        """Measure the model before it learns anything, and say where the images are unlike."""
        step = max(1, len(decoded) // _LOOKED_AT)
        warnings = unlikeness_warnings(
            start,
            magnifications=magnifications,
            images=[decoded[i].pixels for i in range(0, len(decoded), step)][:_LOOKED_AT],
            cells=[image.cells for image in images],
        )
        self._iou_before = self.measure().row["val_mean_iou"]
        self._details["val_mean_iou_before"] = self._iou_before
        self._details["unlikeness"] = warnings
        _logger.info("Validation IoU of %s as it is: %.3f", start.path.name, self._iou_before)
        for warning in warnings:
            _logger.warning("Warning: %s", warning)

    def batches(self, *, first_index: int, count: int) -> Iterator[Batch]:
        """Give batches of crops."""
        upcoming = batches(
            self._sampler, batch_size=self._batch_size, first_index=first_index, count=count
        )
        return upcoming if self._domains is None else self._with_domains(upcoming, first_index)

    def _with_domains(self, upcoming: Iterator[Batch], first_index: int) -> Iterator[Batch]:
        """Add the domain of each crop's image."""
        if self._domains is None:
            return
        for number, batch in enumerate(upcoming):
            start = first_index + number * self._batch_size
            positions = [
                self._sampler.position_of(index) for index in range(start, start + self._batch_size)
            ]
            yield {
                **batch,
                "domain": self._domains.index[positions],
                "domain_weight": self._domains.weight[positions],
            }

    def measure(self) -> Measured:
        """Measure the averaged model on the whole validation images."""
        outcome = self._validation.run()
        row = {"val_class_loss": outcome.class_loss, "val_mean_iou": outcome.confusion.mean_iou}
        for cell_class in MaskClass:
            name = cell_class.name.lower()
            row[f"val_iou_{name}"] = float(outcome.confusion.iou[cell_class])
            row[f"val_dice_{name}"] = float(outcome.confusion.dice[cell_class])
        return Measured(row=row, images=outcome.images)

    def draw_curves(self, path: Path, history: Sequence[Row]) -> None:
        """Draw losses, IoU by class and learning rate."""
        write_curves(path, history)

    def advice(self, history: Sequence[Row]) -> list[str]:
        """Give the guide's remedies."""
        advice = advice_on(history)
        best = max((row["val_mean_iou"] for row in history), default=1.0)
        if self._iou_before is not None and best < self._iou_before:
            advice.append(
                f"Fine-tuning did not help: validation IoU was {self._iou_before:.3f} before and "
                f"is {best:.3f} at best. Check the masks (--mode verify), label more images, or "
                "keep the model as it was."
            )
        return advice


def _magnifications(
    images: Sequence[PreparedImage], settings: SegmentationSettings
) -> dict[str, float | None]:
    """By how much each source is resampled, None where its cells' size is not known."""
    if settings.cell_diameter_px is None:
        return {}
    diameters = typical_diameters(images)
    return {
        source: settings.cell_diameter_px / diameters[source] if source in diameters else None
        for source in sorted({image.source for image in images})
    }


def _images_of(dataset: PreparedDataset, split: Split) -> tuple[PreparedImage, ...]:
    images = dataset.of_split(split)
    if not images:
        purpose = "to learn from" if split == Split.TRAIN else "to choose the best model by"
        raise DatasetError(
            f"{dataset.root}: no images {purpose} (split {str(split)!r}). Prepare a folder with "
            "more images, or remove manifest.json to have splits drawn."
        )
    return images


__all__ = [
    "MODEL_NAME",
    "PREVIOUS_MODEL_NAME",
    "TrainingListener",
    "TrainingResult",
    "train_segmenter",
]


def train_segmenter(
    dataset: PreparedDataset,
    settings: SegmentationSettings,
    *,
    checkpoint_dir: Path,
    log_dir: Path,
    resume: TrainingState | None = None,
    listener: TrainingListener | None = None,
    is_deterministic: bool = False,
    start: StartingPoint | None = None,
) -> TrainingResult:
    """Train a segmenter, or continue a training.

    Writes into ``checkpoint_dir``: ``segmentation_model_best.keras`` (its running average),
    ``segmentation_training_state.npz``, ``history.csv``, ``history.json``, ``training_curves.png``,
    ``run.json``; and TensorBoard events into a folder of its own in ``log_dir``.

    Parameters
    ----------
    dataset : PreparedDataset
        Images without a split get one drawn by the seed.
    settings : SegmentationSettings
    checkpoint_dir, log_dir : Path
    resume : TrainingState, optional
        Where to go on.
    listener : TrainingListener, optional
    is_deterministic : bool
        Whether the same seed, data, software and machine must give the same weights, bit by bit.
        TensorFlow then keeps to one order of work, which costs speed. It holds
        for the rest of the process.
    start : StartingPoint, optional
        A trained model to begin with, in place of random weights; ``fine_tuning_settings`` has the
        settings for it.

    Raises
    ------
    DatasetError
        There is nothing to learn from, or nothing to choose by.
    ResumeError
        The state is of another model.
    TrainingMemoryError
        The batch does not fit into memory.
    OutputError
        A folder cannot be written to.
    """
    check_batch_fits(settings)
    make_folder(checkpoint_dir)
    make_folder(log_dir)
    if is_deterministic:
        tf.config.experimental.enable_op_determinism()
    training = SegmentationTraining(
        dataset.with_splits(settings.seed),
        settings,
        checkpoint_dir=checkpoint_dir,
        log_dir=log_dir,
        resume=resume,
        listener=listener or TrainingListener(),
        start=start,
    )
    try:
        return training.run()
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise TrainingMemoryError(
            f"--batch-size {settings.batch_size}: the memory is exhausted. {ADVICE}"
        ) from error
    finally:
        training.close()
