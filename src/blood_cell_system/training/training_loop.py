"""What the segmenter's training adds to the loop: crops, whole validation pictures, IoU."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from blood_cell_system.atomic_files import replacing
from blood_cell_system.classes import CellClass
from blood_cell_system.curation.typical_size import typical_diameter, typical_diameters
from blood_cell_system.datasets.prepared import PreparedDataset, PreparedImage, Split
from blood_cell_system.errors import DatasetError
from blood_cell_system.input_pipeline.augmentation import AugmentationSettings
from blood_cell_system.input_pipeline.batches import batches
from blood_cell_system.input_pipeline.crops import CropSampler
from blood_cell_system.input_pipeline.decoded_images import DecodedImages
from blood_cell_system.input_pipeline.picture_order import PictureOrder
from blood_cell_system.segmenter_contract import model_name
from blood_cell_system.training.advice import advice_on
from blood_cell_system.training.epoch_loop import EpochLoop
from blood_cell_system.training.fine_tuning import (
    StartingPoint,
    start_details,
    unlikeness_warnings,
)
from blood_cell_system.training.learner import Learner
from blood_cell_system.training.loop_parts import (
    Batch,
    DataHashes,
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
from blood_cell_system.training.picture_domains import PictureDomains
from blood_cell_system.training.presets import SegmentationSettings
from blood_cell_system.training.run_record import write_curves
from blood_cell_system.training.state import STATE_NAME, TrainingState
from blood_cell_system.training.validation import Validation

MODEL_NAME = "segmentation_model_best.keras"
PREVIOUS_MODEL_NAME = "segmentation_model_previous.keras"

_FILES = RunFiles(
    kind="segmentation",
    model=MODEL_NAME,
    previous_model=PREVIOUS_MODEL_NAME,
    state=STATE_NAME,
)

# So many pictures tell whether the stain is unlike what a model knows.
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
        order = PictureOrder(
            [image.source for image in train_images],
            evenness=settings.source_evenness,
            seed=settings.seed,
        )
        self._domains = (
            PictureDomains.of(
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
        learner.averaged.name = model_name(settings.cell_diameter_px or diameter)
        super().__init__(
            settings,
            learner=learner,
            hashes=DataHashes(
                data=dataset.content_hash(),
                validation=replace(dataset, images=val_images).content_hash(),
            ),
            files=_FILES,
            score_name="val_mean_iou",
            steps_per_epoch=max(1, settings.crops_per_epoch // settings.batch_size),
            folder=checkpoint_dir,
            log_dir=log_dir,
            resume=resume,
            listener=listener,
            details={
                "data": str(dataset.root),
                "pictures": {"train": len(train_images), "val": len(val_images)},
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
            with replacing(self.model_path) as temporary:
                best.save(temporary)

    def _look_at_start(
        self,
        start: StartingPoint,
        decoded: DecodedImages,
        magnifications: Mapping[str, float | None],
        images: Sequence[PreparedImage],
    ) -> None:
        """Measure the model before it learns anything, and say where the pictures are unlike."""
        step = max(1, len(decoded) // _LOOKED_AT)
        warnings = unlikeness_warnings(
            start,
            magnifications=magnifications,
            pictures=[decoded[i].pixels for i in range(0, len(decoded), step)][:_LOOKED_AT],
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
        """Add the domain of each crop's picture."""
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
        """Measure the averaged model on the whole validation pictures."""
        outcome = self._validation.run()
        row = {"val_class_loss": outcome.class_loss, "val_mean_iou": outcome.confusion.mean_iou}
        for cell_class in CellClass:
            name = cell_class.name.lower()
            row[f"val_iou_{name}"] = float(outcome.confusion.iou[cell_class])
            row[f"val_dice_{name}"] = float(outcome.confusion.dice[cell_class])
        return Measured(row=row, pictures=outcome.pictures)

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
                f"is {best:.3f} at best. Check the masks (--mode verify), label more pictures, or "
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
            f"{dataset.root}: no pictures {purpose} (split {str(split)!r}). Prepare a folder with "
            "more pictures, or remove manifest.json to have splits drawn."
        )
    return images
