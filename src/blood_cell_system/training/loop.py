"""The training loop: epochs of steps, validation, the best model, the state to go on from.

What is learned, from what, and how it is measured is up to the trainings that build on it.
"""

import logging
import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from blood_cell_system.atomic_files import replacing
from blood_cell_system.errors import ResumeError
from blood_cell_system.training.presets import TrainingSettings
from blood_cell_system.training.run_record import (
    CURVES_NAME,
    RUN_NAME,
    TensorBoardLog,
    new_run_name,
    write_history,
    write_run,
)
from blood_cell_system.training.state import TrainingState

Row = Mapping[str, float]
Batch = Mapping[str, NDArray[Any]]


class TrainingListener:
    """Is told how a training goes; the base class stays silent."""

    def begin_epoch(self, *, epoch: int, epochs: int, steps: int) -> None:
        """Call before an epoch's first step."""

    def end_step(self) -> None:
        """Call after a step."""

    def end_epoch(self, row: Row, *, is_best: bool, seconds_left: float) -> None:
        """Call after an epoch's validation."""


class StepRates(NamedTuple):
    """What changes from step to step, as scalar tensors.

    Parameters
    ----------
    learning_rate, averaging_decay : scalar tensor
    reversal_strength : scalar tensor
        Of the gradient reversal; without domain adaptation nothing looks at it.
    """

    learning_rate: Any
    averaging_decay: Any
    reversal_strength: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """What a kind of training calls its files and itself.

    Parameters
    ----------
    kind : str
        First word of the names of its runs.
    model, previous_model, state : str
        File names in the checkpoint folder.
    """

    kind: str
    model: str
    previous_model: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataHashes:
    """Hashes of all that a training uses, and of what the best model is chosen by."""

    data: str
    validation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a validation gave.

    Parameters
    ----------
    row : mapping of str to float
        Figures under the names of the history.
    images : sequence of ndarray of shape (height, width, 3), dtype uint8
        Of one size, for TensorBoard; may be empty.
    """

    row: Row
    images: Sequence[NDArray[np.uint8]] = ()


LARGEST_REVERSAL: Final = 0.3


def learning_rate_at(step: int, *, total_steps: int, peak: float, warmup_share: float) -> float:
    """Rate of a step: a linear rise, then half a cosine down to zero.

    Parameters
    ----------
    step : int
        From 0 to ``total_steps - 1``.
    total_steps : int
    peak : float
    warmup_share : float
        Share of the steps that belong to the rise.

    Examples
    --------
    >>> learning_rate_at(0, total_steps=5, peak=1.0, warmup_share=0.2)
    1.0
    >>> round(learning_rate_at(4, total_steps=5, peak=1.0, warmup_share=0.2), 3)
    0.095
    """
    warmup_steps = max(1, round(total_steps * warmup_share))
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps + 1) / max(1, total_steps - warmup_steps + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def reversal_strength_at(step: int, *, total_steps: int) -> float:
    """Strength of the gradient reversal: it rises from 0, when features say nothing yet, to 0.3.

    Parameters
    ----------
    step, total_steps : int
        As of :func:`learning_rate_at`.

    References
    ----------
    .. [1] Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17(59), 2016,
       section 5.2.2; the cap is ours: at full strength small data sets lose their classes.

    Examples
    --------
    >>> [round(reversal_strength_at(step, total_steps=100), 2) for step in (0, 2, 5, 99)]
    [0.0, 0.1, 0.24, 0.3]
    """
    progress = step / max(total_steps, 1)
    return min(2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0, LARGEST_REVERSAL)


def averaging_decay_at(step: int, *, total_steps: int) -> float:
    """Share of the running average that a step keeps.

    The average looks back over a twenty-fifth of the run, and over less at its beginning, where the
    weights are still far from good.
    """
    longest = min(max(1 - 25 / max(total_steps, 1), 0.9), 0.999)
    return min(longest, (1 + step) / (10 + step))


class Interruption:
    """Whether the user has asked to stop."""

    def __init__(self) -> None:
        self.is_asked = False


@contextmanager
def deferred_interrupt() -> Iterator[Interruption]:
    """Turn the first Ctrl-C into a wish that the loop can look up; the second one stops at once.

    Outside the main thread, where Python allows no signal handlers, nothing changes.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    previous = signal.getsignal(signal.SIGINT)

    def ask(signal_number: int, frame: FrameType | None) -> None:
        interruption.is_asked = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, ask)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, previous)


class AveragingLearner(ABC):
    """The model that learns, its running average, which is what gets used, and the optimizer."""

    model: Any
    averaged: Any
    optimizer: Any

    @abstractmethod
    def train_step(self, batch: Mapping[str, Any], rates: StepRates) -> Mapping[str, Any]:
        """Learn from one batch; give losses by name."""

    @abstractmethod
    def number_groups(self) -> Mapping[str, Sequence[Any]]:
        """Variables by group.

        Variables, not weights: a dropout layer's random state belongs to them.
        """

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All numbers of the learner, by group and position."""
        return {
            f"{group}/{index}": np.asarray(variable)
            for group, variables in self.number_groups().items()
            for index, variable in enumerate(variables)
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Put back what :meth:`arrays` gave.

        Raises
        ------
        KeyError, ValueError
            The arrays are of another architecture.
        """
        for group, variables in self.number_groups().items():
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"{group}/{index}"])

    def move_average(self, weights: Sequence[Any], decay: Any) -> None:
        """Bring the average nearer to weights; ``decay`` is what stays of it."""
        for average, weight in zip(self.averaged.weights, weights, strict=True):
            average.assign(decay * average + (1.0 - decay) * weight)


def optimizer_for(
    settings: TrainingSettings, variables: Sequence[Any], *, without_decay: Sequence[str]
) -> Any:
    """Make the optimizer of a training.

    Parameters
    ----------
    settings : TrainingSettings
    variables : sequence of keras.Variable
        What it changes.
    without_decay : sequence of str
        Parts of the names of those that keep their size.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
    )
    optimizer.exclude_from_weight_decay(var_names=list(without_decay))
    optimizer.build(list(variables))
    return optimizer


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
        self._write_record(measured.images)
        seconds_left = (settings.epochs - state.epoch) * state.seconds / state.epoch
        self._listener.end_epoch(row, is_best=is_best, seconds_left=seconds_left)

    def _write_record(self, images: Sequence[NDArray[np.uint8]]) -> None:
        state = self.state
        write_history(self._folder, state.history)
        write_run(self._folder / RUN_NAME, {**self._details, **self._outcome()})
        self._board.write_epoch(state.history[-1])
        # Ten times a run is enough for the eye, and spares both disk and seconds.
        every = max(1, self._loop_settings.epochs // 10)
        if state.epoch % every == 0 or state.epoch == self._loop_settings.epochs:
            if images:
                self._board.write_images(images, epoch=state.epoch)
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
