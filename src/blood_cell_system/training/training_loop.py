"""The training loop: epochs of steps, validation, the best model, the state to go on from."""

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from blood_cell_system.atomic_files import replacing
from blood_cell_system.classes import CellClass
from blood_cell_system.datasets.prepared import PreparedDataset, PreparedImage, Split
from blood_cell_system.errors import DatasetError, ResumeError
from blood_cell_system.input_pipeline.augmentation import AugmentationSettings
from blood_cell_system.input_pipeline.batches import batches
from blood_cell_system.input_pipeline.crops import CropSampler
from blood_cell_system.input_pipeline.decoded_images import DecodedImages
from blood_cell_system.training.advice import advice_on
from blood_cell_system.training.interruption import Interruption, deferred_interrupt
from blood_cell_system.training.learner import Learner
from blood_cell_system.training.presets import SegmentationSettings
from blood_cell_system.training.run_record import (
    CURVES_NAME,
    RUN_NAME,
    TensorBoardLog,
    new_run_name,
    write_curves,
    write_history,
    write_run,
)
from blood_cell_system.training.schedule import averaging_decay_at, learning_rate_at
from blood_cell_system.training.state import STATE_NAME, TrainingState
from blood_cell_system.training.validation import Validation

MODEL_NAME = "segmentation_model_best.keras"
PREVIOUS_MODEL_NAME = "segmentation_model_previous.keras"

Row = Mapping[str, float]

_logger = logging.getLogger(__name__)


class TrainingListener:
    """Is told how a training goes; the base class stays silent."""

    def begin_epoch(self, *, epoch: int, epochs: int, steps: int) -> None:
        """Call before an epoch's first step."""

    def end_step(self) -> None:
        """Call after a step."""

    def end_epoch(self, row: Row, *, is_best: bool, seconds_left: float) -> None:
        """Call after an epoch's validation."""


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


class SegmentationTraining:
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
    ) -> None:
        self._settings = settings
        self._folder = checkpoint_dir
        self._listener = listener
        train_images = _images_of(dataset, Split.TRAIN)
        val_images = _images_of(dataset, Split.VAL)
        validation_hash = replace(dataset, images=val_images).content_hash()
        self._state = resume or TrainingState(
            settings=asdict(settings),
            data_hash=dataset.content_hash(),
            validation_hash=validation_hash,
            run_name=new_run_name(log_dir, settings.preset),
        )
        self._learner = Learner(settings)
        if resume is not None:
            self._go_on_from(resume, dataset.content_hash(), validation_hash)
        else:
            self._set_aside_former_model()
        self._sampler = CropSampler(
            DecodedImages(train_images),
            size_px=settings.crop_size_px,
            settings=AugmentationSettings(scale_range=settings.scale_range),
            seed=settings.seed,
        )
        self._validation = Validation(val_images, self._learner)
        self._board = TensorBoardLog(log_dir / self._state.run_name)
        self._steps_per_epoch = max(1, settings.crops_per_epoch // settings.batch_size)
        self._details = {
            "settings": asdict(settings),
            "data": str(dataset.root),
            "data_hash": self._state.data_hash,
            "pictures": {"train": len(train_images), "val": len(val_images)},
            "parameters": self._learner.model.count_params(),
            "tensorboard": str(log_dir / self._state.run_name),
        }

    def run(self) -> TrainingResult:
        """Train until all epochs are done, nothing gets better, or the user stops it."""
        is_complete = True
        with deferred_interrupt() as interruption:
            while self._state.epoch < self._settings.epochs and not self._is_stalled():
                if not self._train_epoch(interruption):
                    is_complete = False
                    break
                self._finish_epoch()
        return self._result(is_complete)

    def close(self) -> None:
        """Finish the events file."""
        self._board.close()

    def _is_stalled(self) -> bool:
        patience = self._settings.patience
        since = max(self._state.best_epoch, self._state.patience_from)
        return 0 < patience <= self._state.epoch - since

    def _train_epoch(self, interruption: Interruption) -> bool:
        """Do the steps of an epoch that are left; False when interrupted."""
        state, settings = self._state, self._settings
        started = time.monotonic()
        seconds_before = state.seconds
        self._listener.begin_epoch(
            epoch=state.epoch + 1, epochs=settings.epochs, steps=self._steps_per_epoch
        )
        first_step = state.epoch * self._steps_per_epoch + state.step_in_epoch
        upcoming = batches(
            self._sampler,
            batch_size=settings.batch_size,
            first_index=first_step * settings.batch_size,
            count=self._steps_per_epoch - state.step_in_epoch,
        )
        total_steps = settings.epochs * self._steps_per_epoch
        for step, batch in enumerate(upcoming, start=first_step):
            rate = learning_rate_at(
                step,
                total_steps=total_steps,
                peak=settings.learning_rate,
                warmup_share=settings.warmup_share,
            )
            losses = self._learner.train_step(
                {name: tf.constant(values) for name, values in batch.items()},
                tf.constant(rate, tf.float32),
                tf.constant(averaging_decay_at(step, total_steps=total_steps), tf.float32),
            )
            for name, value in losses.items():
                state.loss_sums[name] = state.loss_sums.get(name, 0.0) + float(value)
            state.step_in_epoch += 1
            state.seconds = seconds_before + time.monotonic() - started
            self._listener.end_step()
            if interruption.is_asked:
                self._save_state()
                return False
        return True

    def _finish_epoch(self) -> None:
        state, settings = self._state, self._settings
        started = time.monotonic()
        outcome = self._validation.run()
        state.epoch += 1
        row: dict[str, float] = {"epoch": state.epoch}
        for name, total in state.loss_sums.items():
            row[f"train_{name}"] = total / self._steps_per_epoch
        row["val_class_loss"] = outcome.class_loss
        row["val_mean_iou"] = outcome.confusion.mean_iou
        for cell_class in CellClass:
            name = cell_class.name.lower()
            row[f"val_iou_{name}"] = float(outcome.confusion.iou[cell_class])
            row[f"val_dice_{name}"] = float(outcome.confusion.dice[cell_class])
        row["learning_rate"] = float(self._learner.optimizer.learning_rate)
        is_best = row["val_mean_iou"] > state.best_iou
        if is_best:
            state.best_iou, state.best_epoch = row["val_mean_iou"], state.epoch
            with replacing(self._folder / MODEL_NAME) as temporary:
                self._learner.averaged.save(temporary)
        state.seconds += time.monotonic() - started
        row["seconds"] = round(state.seconds, 2)
        state.history.append(row)
        state.step_in_epoch, state.loss_sums = 0, {}
        self._save_state()
        self._write_record(outcome.pictures)
        seconds_left = (settings.epochs - state.epoch) * state.seconds / state.epoch
        self._listener.end_epoch(row, is_best=is_best, seconds_left=seconds_left)

    def _write_record(self, pictures: Any) -> None:
        state = self._state
        write_history(self._folder, state.history)
        write_run(self._folder / RUN_NAME, {**self._details, **self._outcome()})
        self._board.write_epoch(state.history[-1])
        # Ten times a run is enough for the eye, and spares both disk and seconds.
        every = max(1, self._settings.epochs // 10)
        if state.epoch % every == 0 or state.epoch == self._settings.epochs:
            self._board.write_pictures(pictures, epoch=state.epoch)
            write_curves(self._folder / CURVES_NAME, state.history)

    def _result(self, is_complete: bool) -> TrainingResult:  # noqa: FBT001
        state = self._state
        if state.history:
            write_curves(self._folder / CURVES_NAME, state.history)
        return TrainingResult(
            model_path=self._folder / MODEL_NAME,
            best_iou=state.best_iou,
            best_epoch=state.best_epoch,
            epochs=state.epoch,
            seconds=state.seconds,
            is_complete=is_complete,
            warnings=tuple(advice_on(state.history)),
            history=tuple(state.history),
        )

    def _outcome(self) -> dict[str, Any]:
        state = self._state
        return {
            "best_epoch": state.best_epoch,
            "best_val_mean_iou": state.best_iou,
            "epochs_done": state.epoch,
            "seconds": round(state.seconds, 1),
            "warnings": advice_on(state.history),
        }

    def _save_state(self) -> None:
        self._state.arrays = self._learner.arrays()
        self._state.save(self._folder / STATE_NAME)

    def _set_aside_former_model(self) -> None:
        former = self._folder / MODEL_NAME
        if former.exists():
            former.replace(self._folder / PREVIOUS_MODEL_NAME)
            _logger.info("%s: the former model is kept as %s", former, PREVIOUS_MODEL_NAME)

    def _go_on_from(self, resume: TrainingState, data_hash: str, validation_hash: str) -> None:
        try:
            self._learner.restore(resume.arrays)
        except (KeyError, ValueError) as error:
            raise ResumeError(
                f"{STATE_NAME}: holds the state of another model ({error}). Start anew."
            ) from error
        resume.settings = asdict(self._settings)
        if self._is_stalled():
            # It had run out of patience; who resumes it asks for another try.
            resume.patience_from = resume.epoch
        if resume.data_hash != data_hash:
            _logger.warning(
                "The data are not those that this training began with; it goes on with new ones."
            )
            resume.data_hash = data_hash
        if resume.validation_hash != validation_hash:
            _logger.warning(
                "The validation pictures are others than before, so that IoU cannot be compared: "
                "the best model is chosen anew from here on."
            )
            resume.validation_hash = validation_hash
            resume.best_iou, resume.best_epoch = -1.0, resume.epoch


def _images_of(dataset: PreparedDataset, split: Split) -> tuple[PreparedImage, ...]:
    images = dataset.of_split(split)
    if not images:
        purpose = "to learn from" if split == Split.TRAIN else "to choose the best model by"
        raise DatasetError(
            f"{dataset.root}: no pictures {purpose} (split {str(split)!r}). Prepare a folder with "
            "more pictures, or remove manifest.json to have splits drawn."
        )
    return images
