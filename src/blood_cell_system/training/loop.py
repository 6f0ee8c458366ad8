"""The training loop of all networks: epochs of steps, validation, the best model, exact resume.

A kind of training is a ``Task`` (data and measure) with a ``Learner`` (network and losses); the
``Training`` goes through the epochs.
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
from typing import Any, ClassVar, Final, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from blood_cell_system.atomic_files import make_folder
from blood_cell_system.augmentation.batches import Batch, batches
from blood_cell_system.errors import (
    DivergedError,
    OutputError,
    ResumeError,
    TrainingMemoryError,
    UnknownNameError,
)
from blood_cell_system.model_metadata import Architecture, ModelMetadata
from blood_cell_system.networks.architectures import of_config
from blood_cell_system.networks.domain_adversary import (
    DOMAIN_LOGITS,
    STRENGTH_INPUT,
    conditional_domain_loss,
)
from blood_cell_system.networks.onnx_export import save_model
from blood_cell_system.training.devices import find_devices
from blood_cell_system.training.domains import Domains
from blood_cell_system.training.presets import TrainingSettings
from blood_cell_system.training.run_record import (
    HistoryView,
    Row,
    TensorBoardLog,
    advice_on,
    new_run_name,
    write_curves,
    write_history,
    write_run,
)
from blood_cell_system.training.state import RunFiles, TrainingState

Images = Sequence[NDArray[np.uint8]]

LARGEST_REVERSAL: Final = 0.3
"""Largest λ of the gradient reversal; at the paper's 1 small data sets lost their classes."""

RECORDS_OF_A_RUN: Final = 10
"""How often curves and example images are drawn: enough for the eye, little time and disk."""

_POLICIES: Final = {"f32": "float32", "bf16": "mixed_bfloat16", "f16": "mixed_float16"}
"""Keras's names of the precisions that a network can learn in."""

_STOP_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Signals that save a training: Ctrl-C, the end of a job or of the system, a lost terminal."""

_logger = logging.getLogger(__name__)


class TrainingListener:
    """Gets the progress of a training; the base class does nothing with it."""

    def begin(self, *, remarks: Sequence[str], warnings: Sequence[str]) -> None:
        """Call once, before the first epoch, with what is known about the data."""

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
    learning_rate, averaging_decay, reversal_strength : scalar tensor
        The last one is λ of the gradient reversal, for domain adaptation only.
    """

    learning_rate: Any
    averaging_decay: Any
    reversal_strength: Any


def learning_rate_at(step: int, *, total_steps: int, peak: float, warmup_share: float) -> float:
    """Rate of a step: a linear rise over a share of the steps, then half a cosine down to zero.

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
    """Strength of the gradient reversal: it rises from 0, when features say nothing yet [1]_.

    References
    ----------
    .. [1] Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17(59), 2016,
       section 5.2.2; the cap is ours.

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


def rates_at(step: int, settings: TrainingSettings) -> StepRates:
    """Rates of a step, counted from the beginning of the training."""
    total_steps = settings.epochs * settings.steps_per_epoch
    rate = learning_rate_at(
        step,
        total_steps=total_steps,
        peak=settings.learning_rate,
        warmup_share=settings.warmup_share,
    )
    decay = averaging_decay_at(step, total_steps=total_steps)
    reversal = reversal_strength_at(step, total_steps=total_steps)
    return StepRates(*(tf.constant(value, tf.float32) for value in (rate, decay, reversal)))


class Learner(ABC):
    """A network that learns, its running average, which is what is saved, and the optimizer.

    Parameters
    ----------
    settings : TrainingSettings
        The seed decides the initial weights.
    domains : int
        Number of laboratories that are to become alike; 0 leaves domain adaptation out.
    start : sequence of ndarray, optional
        Weights to begin with in place of random ones.
    """

    config: Any
    """Of a registered architecture; set before ``__init__``."""

    input_name: ClassVar[str]
    """Name of the images in a batch, and of the network's input."""

    without_decay: ClassVar[tuple[str, ...]]
    """Parts of the names of variables that weight decay leaves alone."""

    devices: Sequence[str] = ()
    """Where several share the batches; set before the first step."""

    def __init__(
        self,
        settings: TrainingSettings,
        *,
        domains: int = 0,
        start: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        keras.utils.set_random_seed(settings.seed)
        self._batch_size = settings.batch_size
        with _computing_in(settings.precision):
            self.model = self.build()
        # This one is measured, saved and exported: float32, whatever the other one computes in.
        self.averaged = self.build()
        if start is not None:
            self.model.set_weights(list(start))
        self.averaged.set_weights(self.model.get_weights())
        self._graph = self.training_graph(domains)
        self._domains = domains
        own = {id(variable) for variable in self.model.variables}
        self._domain_head = [v for v in self._graph.variables if id(v) not in own]
        self._learning = [*self.model.trainable_variables, *self._domain_head]
        self.optimizer = keras.optimizers.AdamW(
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            global_clipnorm=settings.clip_norm,
        )
        self.optimizer.exclude_from_weight_decay(var_names=list(self.without_decay))
        if settings.precision == "f16":
            # Its small gradients would round to 0.
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
        self.optimizer.build(self._learning)

    def build(self) -> Any:
        """Make the network."""
        return of_config(self.config).build(self.config)

    @property
    def architecture(self) -> Architecture:
        """Name and arguments of the network's architecture."""
        return of_config(self.config).record(self.config)

    @abstractmethod
    def training_graph(self, domains: int) -> keras.Model:
        """Make a model of logits that shares the network's weights, with a head of domains.

        Weights that are to stay as they are must not be trainable afterwards.
        """

    @abstractmethod
    def losses(self, batch: Mapping[str, Any], outputs: Any) -> tuple[Any, dict[str, Any]]:
        """Give the weighted sum that is learned by, and losses by their names in the history."""

    def used_weights(self) -> Sequence[Any]:
        """Weights that are averaged."""
        weights: Sequence[Any] = self.model.weights
        return weights

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def train_step(self, batch: Mapping[str, Any], rates: StepRates) -> dict[str, Any]:
        """Learn from one batch.

        Parameters
        ----------
        batch : mapping of str to tensor
            Images under ``input_name`` and their labels; for domain adaptation also what
            ``Domains.batch`` gives.

        Returns
        -------
        dict of str to scalar tensor
            Those of ``losses``, and with domain adaptation ``domain_loss``.
        """
        self.optimizer.learning_rate.assign(rates.learning_rate)
        if len(self.devices) < 2:
            gradients, losses = self._gradients(batch, rates)
        else:
            gradients, losses = self._gradients_of_devices(batch, rates)
        self.optimizer.apply(gradients, self._learning)
        decay = rates.averaging_decay
        for average, weight in zip(self.averaged.weights, self.used_weights(), strict=True):
            average.assign(decay * average + (1.0 - decay) * weight)
        return losses

    def _gradients(
        self, batch: Mapping[str, Any], rates: StepRates
    ) -> tuple[list[Any], dict[str, Any]]:
        """Give the gradients of the weights that learn, and the losses."""
        with tf.GradientTape() as tape:
            outputs = self._outputs(tf.cast(batch[self.input_name], tf.float32), rates)
            outputs = {name: tf.cast(output, tf.float32) for name, output in outputs.items()}
            total, losses = self.losses(batch, outputs)
            if self._domains:
                # The head learns at full strength; the reversal limits what reaches the features.
                losses["domain_loss"] = conditional_domain_loss(
                    batch["domain"],
                    batch["domain_weight"],
                    batch["domain_is_possible"],
                    outputs[DOMAIN_LOGITS],
                )
                total += losses["domain_loss"]
            total = self.optimizer.scale_loss(total)
        return tape.gradient(total, self._learning), losses

    def _gradients_of_devices(
        self, batch: Mapping[str, Any], rates: StepRates
    ) -> tuple[list[Any], dict[str, Any]]:
        """Give each device its part of the batch, and take the mean of what they find.

        Keras's own ``DataParallel`` computes with JAX alone.
        """
        devices = self.devices[: self._batch_size]
        sums: Any = None
        for place, device in enumerate(devices):
            share = len(range(place, self._batch_size, len(devices))) / self._batch_size
            with tf.device(device):
                part = {name: values[place :: len(devices)] for name, values in batch.items()}
                found = tf.nest.map_structure(
                    lambda value, share=share: share * value, self._gradients(part, rates)
                )
            sums = found if sums is None else tf.nest.map_structure(tf.add, sums, found)
        gradients, losses = sums
        return gradients, losses

    def _outputs(self, images: Any, rates: StepRates) -> Any:
        if not self._domains:
            return self._graph(images, training=True)
        strength = tf.fill((tf.shape(images)[0], 1), rates.reversal_strength)
        return self._graph({self.input_name: images, STRENGTH_INPUT: strength}, training=True)

    def number_groups(self) -> dict[str, Sequence[Any]]:
        """Variables by group; not weights, as a dropout layer's random state belongs to them."""
        return {
            "model": self.model.variables,
            "domain_head": self._domain_head,
            "averaged": self.averaged.variables,
            "optimizer": self.optimizer.variables,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All numbers of the learner, by group and position."""
        return {
            f"{group}/{index}": np.asarray(variable)
            for group, variables in self.number_groups().items()
            for index, variable in enumerate(variables)
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Put back what :meth:`arrays` gave; KeyError or ValueError for another architecture."""
        for group, variables in self.number_groups().items():
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"{group}/{index}"])


@contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Have layers that are made meanwhile compute in a precision; weights are float32."""
    if precision not in _POLICIES:
        raise UnknownNameError.of("precision", precision, _POLICIES)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class Task(ABC):
    """What a kind of training has of its own: data, network, measure.

    Parameters
    ----------
    view : HistoryView
        How the history is drawn and assessed; its score is what the best model is chosen by.
    metadata : ModelMetadata
        Goes with the best model into its file.
    domains : Domains or None
        Of the examples, by position; None without domain adaptation.
    data_hash, validation_hash : str
        Of all data, and of those that the best model is chosen by.
    details : dict of str
        For ``run.json``.
    remarks, data_warnings : tuple of str
        What a person should know, and should check, about the data.
    """

    files: RunFiles
    view: HistoryView
    learner: Any
    metadata: ModelMetadata
    batch_size: int
    domains: Domains | None
    data_hash: str
    validation_hash: str
    details: dict[str, Any]
    remarks: tuple[str, ...] = ()
    data_warnings: tuple[str, ...] = ()

    @abstractmethod
    def example(self, index: int) -> Batch:
        """Give the arrays of a training example, by its index in the training."""

    @abstractmethod
    def position_of(self, index: int) -> int:
        """Position, within the data, of what an example shows."""

    def batches(self, *, first_index: int, count: int) -> Iterator[Batch]:
        """Give so many batches, beginning with the example of that index."""
        made = batches(
            self.example, batch_size=self.batch_size, first_index=first_index, count=count
        )
        for number, batch in enumerate(made):
            start = first_index + number * self.batch_size
            if self.domains is not None:
                indices = range(start, start + self.batch_size)
                batch |= self.domains.batch([self.position_of(index) for index in indices])
            yield batch

    @abstractmethod
    def measure(self) -> tuple[dict[str, float], Images]:
        """Measure the averaged network on the validation data.

        Returns
        -------
        row : dict of str to float
            Figures under the names of the history.
        images : sequence of ndarray of shape (height, width, 3), dtype uint8
            Examples of one size, for TensorBoard; may be empty.
        """

    def advice(self, history: Sequence[Row]) -> list[str]:
        """Warnings about what the curves show."""
        return advice_on(history, self.view)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What came of a training.

    Parameters
    ----------
    model_path : Path
        Best model by ``best_score``.
    best_score : float
        Mean validation IoU of a segmenter, validation score of a classifier.
    best_epoch, epochs : int
        Epochs are those that were done.
    seconds : float
        Of all sessions together.
    is_complete : bool
        False after Ctrl-C.
    history : tuple of dict
        A row an epoch.
    """

    model_path: Path
    best_score: float
    best_epoch: int
    epochs: int
    seconds: float
    is_complete: bool
    warnings: tuple[str, ...]
    history: tuple[Row, ...]


def prepare_run(*folders: Path, is_deterministic: bool) -> None:
    """Make a run's folders, and have TensorFlow keep to one order of work if it must."""
    for folder in folders:
        make_folder(folder)
    if is_deterministic:
        tf.config.experimental.enable_op_determinism()
        # TensorFlow orders operations by their names, which Keras numbers through the process: a
        # second training would add the same numbers in another order.
        keras.utils.clear_session(free_memory=False)


@contextmanager
def memory_advice(batch_size: int, advice: str) -> Iterator[None]:
    """Turn exhausted memory into an error with advice."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        if "No space left on device" in str(error):
            # TensorFlow calls both by one name.
            raise OutputError(
                "the disk of --log-dir is full. Make room on it, or choose another --log-dir."
            ) from error
        raise TrainingMemoryError(
            f"Batches of {batch_size}: the memory is exhausted. {advice}"
        ) from error


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event that the loop looks up; the second one stops.

    Signals that the process ignores stay ignored, as with ``nohup``. Outside the main thread, where
    Python allows no signal handlers, nothing changes.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    known = (getattr(signal, name, None) for name in _STOP_SIGNALS)
    handlers = {number: signal.getsignal(number) for number in known if number is not None}
    previous = {
        number: handler
        for number, handler in handlers.items()
        if handler not in (signal.SIG_IGN, None)
    }

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def remember(signal_number: int, frame: FrameType | None) -> None:
        interrupted.set()
        restore()

    for number in previous:
        signal.signal(number, remember)
    try:
        yield interrupted
    finally:
        restore()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast epochs are in this process; those before it may have been slower or faster.

    Parameters
    ----------
    epochs_before : float
        Epochs that were done before it began, parts of one included.
    seconds_before : float
        What they took.
    """

    epochs_before: float
    seconds_before: float

    def seconds_left(self, *, done: int, epochs: int, seconds: float) -> float:
        """Estimate how long the epochs that are left take.

        Examples
        --------
        >>> Pace(epochs_before=10, seconds_before=1000).seconds_left(
        ...     done=12, epochs=20, seconds=1020
        ... )
        80.0
        """
        own, spent = done - self.epochs_before, seconds - self.seconds_before
        if own <= 0:  # It was stopped between the last step of an epoch and its end.
            own, spent = done, seconds
        return (epochs - done) * spent / own


class Training:
    """A training in progress.

    Parameters
    ----------
    folder, log_dir : Path
        For the model and its record, and for TensorBoard; both exist.
    devices : sequence of str, optional
        As of ``find_devices``; several share the batches. By default all GPUs.

    Raises
    ------
    ResumeError
        The state is of another model.
    DivergedError
        A loss is no number any more. The best model and the state of the epoch before stay.
    OutputError
        The best model was removed during the training.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainingSettings,
        *,
        folder: Path,
        log_dir: Path,
        resume: TrainingState | None,
        listener: TrainingListener | None,
        devices: Sequence[str] | None = None,
    ) -> None:
        self._task = task
        task.learner.devices = find_devices("auto") if devices is None else tuple(devices)
        self._settings = settings
        self._folder = folder
        self._listener = listener or TrainingListener()
        self.state = resume or TrainingState(
            settings=asdict(settings),
            data_hash=task.data_hash,
            validation_hash=task.validation_hash,
            run_name=new_run_name(log_dir, settings.preset, kind=task.files.kind),
        )
        self.model_path = folder / task.files.model
        if resume is not None:
            self._go_on_from(resume)
        elif self.model_path.exists():
            previous = self.model_path.replace(folder / task.files.previous_model)
            _logger.info("%s: the former model is kept as %s", self.model_path, previous.name)
        self._pace = Pace(
            epochs_before=self.state.epoch + self.state.step_in_epoch / settings.steps_per_epoch,
            seconds_before=self.state.seconds,
        )
        self._board = TensorBoardLog(log_dir / self.state.run_name)
        self._details = {
            "settings": asdict(settings),
            "devices": list(task.learner.devices),
            "data_hash": self.state.data_hash,
            "parameters": task.learner.model.count_params(),
            "tensorboard": str(log_dir / self.state.run_name),
            **task.details,
        }

    def run(self) -> TrainingResult:
        """Train until all epochs are done, nothing gets better, or the user stops it."""
        state = self.state
        is_complete = True
        self._listener.begin(remarks=self._task.remarks, warnings=self._task.data_warnings)
        try:
            with deferred_interrupt() as interrupted:
                while is_complete and state.epoch < self._settings.epochs and not self._is_stalled:
                    is_complete = self._train_epoch(interrupted)
                    if is_complete:
                        self._finish_epoch()
            if state.best_epoch and not self.model_path.is_file():
                raise OutputError(
                    f"{self.model_path}: was removed during the training, which had written its "
                    f"best model there in epoch {state.best_epoch}. Train again."
                )
            if state.history:
                write_curves(self._folder / self._task.files.curves, state.history, self._task.view)
        finally:
            self._board.close()
        return TrainingResult(
            model_path=self.model_path,
            best_score=state.best_score,
            best_epoch=state.best_epoch,
            epochs=state.epoch,
            seconds=state.seconds,
            is_complete=is_complete,
            warnings=tuple(self._task.advice(state.history)),
            history=tuple(state.history),
        )

    def write_record(self, **details: Any) -> None:
        """Write ``run.json``, with more details if there are any."""
        self._details.update(details)
        state = self.state
        outcome = {
            "best_epoch": state.best_epoch,
            f"best_{self._task.view.score}": state.best_score,
            "epochs_done": state.epoch,
            "seconds": round(state.seconds, 1),
            "warnings": self._task.advice(state.history),
        }
        write_run(self._folder / self._task.files.run, {**self._details, **outcome})

    @property
    def _is_stalled(self) -> bool:
        since = max(self.state.best_epoch, self.state.patience_from)
        return 0 < self._settings.patience <= self.state.epoch - since

    def _train_epoch(self, interrupted: threading.Event) -> bool:
        """Do the steps of an epoch that are left; False when interrupted."""
        state, settings = self.state, self._settings
        started = time.monotonic() - state.seconds
        steps = settings.steps_per_epoch
        self._listener.begin_epoch(epoch=state.epoch + 1, epochs=settings.epochs, steps=steps)
        first_step = state.epoch * steps + state.step_in_epoch
        upcoming = self._task.batches(
            first_index=first_step * settings.batch_size, count=steps - state.step_in_epoch
        )
        for step, batch in enumerate(upcoming, start=first_step):
            tensors = {name: tf.constant(values) for name, values in batch.items()}
            losses = self._task.learner.train_step(tensors, rates_at(step, settings))
            for name, value in losses.items():
                number = float(value)
                if not math.isfinite(number):
                    raise self._diverged(f"{name.replace('_', ' ')} {number}")
                state.loss_sums[name] = state.loss_sums.get(name, 0.0) + number
            state.step_in_epoch += 1
            state.seconds = time.monotonic() - started
            self._listener.end_step()
            if interrupted.is_set():
                self._save_state()
                return False
        return True

    def _finish_epoch(self) -> None:
        """Measure, keep the best, save the state and write the record of an epoch."""
        state, settings, task = self.state, self._settings, self._task
        started = time.monotonic() - state.seconds
        if not all(np.isfinite(weight).all() for weight in task.learner.averaged.get_weights()):
            # The last step's loss is of the weights before it.
            raise self._diverged("weights nan or infinite")
        figures, images = task.measure()
        state.epoch += 1
        row: dict[str, float] = {"epoch": state.epoch}
        for name, total in state.loss_sums.items():
            row[f"train_{name}"] = total / settings.steps_per_epoch
        row.update(figures)
        row["learning_rate"] = float(task.learner.optimizer.learning_rate)
        is_best = row[task.view.score] > state.best_score
        if is_best:
            state.best_score, state.best_epoch = row[task.view.score], state.epoch
            save_model(task.learner.averaged, self.model_path, metadata=task.metadata)
        state.seconds = time.monotonic() - started
        row["seconds"] = round(state.seconds, 2)
        state.history.append(row)
        state.step_in_epoch, state.loss_sums = 0, {}
        self._save_state()
        write_history(self._folder / task.files.history, state.history)
        self.write_record()
        self._board.write_epoch(row)
        if (
            state.epoch % max(1, settings.epochs // RECORDS_OF_A_RUN) == 0
            or state.epoch == settings.epochs
        ):
            self._board.write_images(images, epoch=state.epoch)
            write_curves(self._folder / task.files.curves, state.history, task.view)
        seconds_left = self._pace.seconds_left(
            done=state.epoch, epochs=settings.epochs, seconds=state.seconds
        )
        self._listener.end_epoch(row, is_best=is_best, seconds_left=seconds_left)

    def _diverged(self, finding: str) -> DivergedError:
        state, settings = self.state, self._settings
        if self.model_path.is_file():
            kept = f"{self.model_path} is the best model before, of epoch {state.best_epoch}"
        else:
            kept = "no model was written"
            previous = self._folder / self._task.files.previous_model
            if previous.is_file():
                kept += f"; {previous} is that of a training before"
        return DivergedError(
            f"{self._folder}: the training diverged in epoch {state.epoch + 1}, step "
            f"{state.step_in_epoch + 1} ({finding}); {kept}. Train anew with a smaller "
            f"--learning-rate than {settings.learning_rate:g}, and check the data (bloodcells "
            "verify)."
        )

    def _save_state(self) -> None:
        self.state.arrays = self._task.learner.arrays()
        self.state.save(self._folder / self._task.files.state)

    def _go_on_from(self, resume: TrainingState) -> None:
        task = self._task
        try:
            task.learner.restore(resume.arrays)
        except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
            raise ResumeError(
                f"{self._folder / task.files.state}: holds the state of another model ({error}). "
                "Start anew."
            ) from error
        resume.settings = asdict(self._settings)
        if self._is_stalled:
            # It had run out of patience; resuming it asks for another try.
            resume.patience_from = resume.epoch
        if resume.best_epoch and not self.model_path.is_file():
            _logger.warning(
                "%s: the best model of before is not there: it is chosen anew from here on.",
                self.model_path,
            )
            resume.best_score, resume.best_epoch = -1.0, 0
        if resume.data_hash != task.data_hash:
            _logger.warning(
                "The data are not those that this training began with; it goes on with new ones."
            )
            resume.data_hash = task.data_hash
        if resume.validation_hash != task.validation_hash:
            _logger.warning(
                "The validation data are others than before, so that figures cannot be compared: "
                "the best model is chosen anew from here on."
            )
            resume.validation_hash = task.validation_hash
            resume.best_score, resume.best_epoch = -1.0, resume.epoch
