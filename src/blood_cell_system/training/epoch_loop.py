"""The training loop: epochs of steps, validation, the best model, the state to go on from.

What is learned, from what, and how it is measured is up to the trainings that build on it.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from blood_cell_system.atomic_files import replacing
from blood_cell_system.errors import ResumeError
from blood_cell_system.training.averaging_learner import AveragingLearner
from blood_cell_system.training.interruption import Interruption, deferred_interrupt
from blood_cell_system.training.loop_parts import (
    Batch,
    DataHashes,
    Measured,
    Row,
    RunFiles,
    StepRates,
    TrainingListener,
)
from blood_cell_system.training.run_record import (
    CURVES_NAME,
    RUN_NAME,
    TensorBoardLog,
    new_run_name,
    write_history,
    write_run,
)
from blood_cell_system.training.schedule import (
    averaging_decay_at,
    learning_rate_at,
    reversal_strength_at,
)
from blood_cell_system.training.settings import TrainingSettings
from blood_cell_system.training.state import TrainingState

_logger = logging.getLogger(__name__)


class EpochLoop(ABC):
    """A training in progress.

    Parameters
    ----------
    settings : TrainingSettings
    learner : AveragingLearner
    hashes : DataHashes
    files : RunFiles
    score_name : str
        Figure of a row that is the larger the better; decides which model is the best.
    steps_per_epoch : int
    folder, log_dir : Path
    resume : TrainingState or None
    listener : TrainingListener
    details : mapping of str
        For ``run.json``.

    Raises
    ------
    ResumeError
        The state is of another model.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        *,
        learner: AveragingLearner,
        hashes: DataHashes,
        files: RunFiles,
        score_name: str,
        steps_per_epoch: int,
        folder: Path,
        log_dir: Path,
        resume: TrainingState | None,
        listener: TrainingListener,
        details: Mapping[str, Any],
    ) -> None:
        self._loop_settings = settings
        self._loop_learner = learner
        self._files = files
        self._score_name = score_name
        self._steps_per_epoch = steps_per_epoch
        self._folder = folder
        self._listener = listener
        self.state = resume or TrainingState(
            settings=asdict(settings),
            data_hash=hashes.data,
            validation_hash=hashes.validation,
            run_name=new_run_name(log_dir, settings.preset, kind=files.kind),
        )
        if resume is not None:
            self._go_on_from(resume, hashes)
        else:
            self._set_aside_former_model()
        self._board = TensorBoardLog(log_dir / self.state.run_name)
        self._details = {
            "settings": asdict(settings),
            "data_hash": self.state.data_hash,
            "parameters": learner.model.count_params(),
            "tensorboard": str(log_dir / self.state.run_name),
            **details,
        }

    @abstractmethod
    def batches(self, *, first_index: int, count: int) -> Iterator[Batch]:
        """Give batches of examples, by the index of the first one."""

    @abstractmethod
    def measure(self) -> Measured:
        """Measure the averaged model on the validation examples."""

    @abstractmethod
    def draw_curves(self, path: Path, history: Sequence[Row]) -> None:
        """Draw the history."""

    @abstractmethod
    def advice(self, history: Sequence[Row]) -> list[str]:
        """Say what a person would who looks at the curves."""

    @property
    def model_path(self) -> Path:
        """Where the best model is."""
        return self._folder / self._files.model

    def run_epochs(self) -> bool:
        """Train until all epochs are done or nothing gets better; False when the user stopped it.

        The curves are drawn at the end, whichever way it came.
        """
        is_complete = True
        with deferred_interrupt() as interruption:
            while self.state.epoch < self._loop_settings.epochs and not self._is_stalled():
                if not self._train_epoch(interruption):
                    is_complete = False
                    break
                self._finish_epoch()
        if self.state.history:
            self.draw_curves(self._folder / CURVES_NAME, self.state.history)
        return is_complete

    def add_to_record(self, details: Mapping[str, Any]) -> None:
        """Write more into ``run.json``."""
        self._details.update(details)
        write_run(self._folder / RUN_NAME, {**self._details, **self._outcome()})

    def close(self) -> None:
        """Finish the events file."""
        self._board.close()

    def _is_stalled(self) -> bool:
        patience = self._loop_settings.patience
        since = max(self.state.best_epoch, self.state.patience_from)
        return 0 < patience <= self.state.epoch - since

    def _train_epoch(self, interruption: Interruption) -> bool:
        """Do the steps of an epoch that are left; False when interrupted."""
        state, settings = self.state, self._loop_settings
        started = time.monotonic()
        seconds_before = state.seconds
        self._listener.begin_epoch(
            epoch=state.epoch + 1, epochs=settings.epochs, steps=self._steps_per_epoch
        )
        first_step = state.epoch * self._steps_per_epoch + state.step_in_epoch
        upcoming = self.batches(
            first_index=first_step * settings.batch_size,
            count=self._steps_per_epoch - state.step_in_epoch,
        )
        for step, batch in enumerate(upcoming, start=first_step):
            losses = self._loop_learner.train_step(
                {name: tf.constant(values) for name, values in batch.items()}, self._rates_at(step)
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

    def _rates_at(self, step: int) -> StepRates:
        total_steps = self._loop_settings.epochs * self._steps_per_epoch
        rate = learning_rate_at(
            step,
            total_steps=total_steps,
            peak=self._loop_settings.learning_rate,
            warmup_share=self._loop_settings.warmup_share,
        )
        decay = averaging_decay_at(step, total_steps=total_steps)
        reversal = reversal_strength_at(step, total_steps=total_steps)
        return StepRates(*(tf.constant(value, tf.float32) for value in (rate, decay, reversal)))

    def _finish_epoch(self) -> None:
        state, settings = self.state, self._loop_settings
        started = time.monotonic()
        measured = self.measure()
        state.epoch += 1
        row: dict[str, float] = {"epoch": state.epoch}
        for name, total in state.loss_sums.items():
            row[f"train_{name}"] = total / self._steps_per_epoch
        row.update(measured.row)
        row["learning_rate"] = float(self._loop_learner.optimizer.learning_rate)
        is_best = row[self._score_name] > state.best_score
        if is_best:
            state.best_score, state.best_epoch = row[self._score_name], state.epoch
            with replacing(self.model_path) as temporary:
                self._loop_learner.averaged.save(temporary)
        state.seconds += time.monotonic() - started
        row["seconds"] = round(state.seconds, 2)
        state.history.append(row)
        state.step_in_epoch, state.loss_sums = 0, {}
        self._save_state()
        self._write_record(measured.pictures)
        seconds_left = (settings.epochs - state.epoch) * state.seconds / state.epoch
        self._listener.end_epoch(row, is_best=is_best, seconds_left=seconds_left)

    def _write_record(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        state = self.state
        write_history(self._folder, state.history)
        write_run(self._folder / RUN_NAME, {**self._details, **self._outcome()})
        self._board.write_epoch(state.history[-1])
        # Ten times a run is enough for the eye, and spares both disk and seconds.
        every = max(1, self._loop_settings.epochs // 10)
        if state.epoch % every == 0 or state.epoch == self._loop_settings.epochs:
            if pictures:
                self._board.write_pictures(pictures, epoch=state.epoch)
            self.draw_curves(self._folder / CURVES_NAME, state.history)

    def _outcome(self) -> dict[str, Any]:
        state = self.state
        return {
            "best_epoch": state.best_epoch,
            f"best_{self._score_name}": state.best_score,
            "epochs_done": state.epoch,
            "seconds": round(state.seconds, 1),
            "warnings": self.advice(state.history),
        }

    def _save_state(self) -> None:
        self.state.arrays = self._loop_learner.arrays()
        self.state.save(self._folder / self._files.state)

    def _set_aside_former_model(self) -> None:
        former = self.model_path
        if former.exists():
            former.replace(self._folder / self._files.previous_model)
            _logger.info("%s: the former model is kept as %s", former, self._files.previous_model)

    def _go_on_from(self, resume: TrainingState, hashes: DataHashes) -> None:
        try:
            self._loop_learner.restore(resume.arrays)
        except (KeyError, ValueError) as error:
            raise ResumeError(
                f"{self._files.state}: holds the state of another model ({error}). Start anew."
            ) from error
        resume.settings = asdict(self._loop_settings)
        if self._is_stalled():
            # It had run out of patience; who resumes it asks for another try.
            resume.patience_from = resume.epoch
        if resume.data_hash != hashes.data:
            _logger.warning(
                "The data are not those that this training began with; it goes on with new ones."
            )
            resume.data_hash = hashes.data
        if resume.validation_hash != hashes.validation:
            _logger.warning(
                "The validation data are others than before, so that figures cannot be compared: "
                "the best model is chosen anew from here on."
            )
            resume.validation_hash = hashes.validation
            resume.best_score, resume.best_epoch = -1.0, resume.epoch
