"""Training of a classifier, from a folder of cells to a calibrated network and its metadata."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import make_folder, replacing
from blood_cell_system.augmentation.cell_batches import (
    CellAugmentation,
    CellLabels,
    CellSampler,
    cell_batches,
    plain_batches,
)
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.errors import SettingsError, TrainingMemoryError
from blood_cell_system.metrics.calibration import (
    DEFAULT_COVERAGE,
    class_thresholds,
    expected_calibration_error,
    fit_temperature,
    known_threshold,
    negative_log_likelihood,
    with_temperature,
)
from blood_cell_system.metrics.classification import (
    auroc,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
)
from blood_cell_system.model_metadata import (
    CONDITION_OUTPUT,
    KNOWN_OUTPUT,
    TYPE_OUTPUT,
    ClassifierKind,
    ModelMetadata,
    on_white,
)
from blood_cell_system.networks.cell_classifier import (
    CONDITION_LOGITS,
    KNOWN_LOGIT,
    TYPE_LOGITS,
    bake_temperature,
)
from blood_cell_system.taxonomy import NOT_LABELLED
from blood_cell_system.training.classifier_data import (
    CellClasses,
    CellSet,
    read_cells,
    with_stain_domains,
)
from blood_cell_system.training.classifier_learner import ClassifierLearner
from blood_cell_system.training.loop import (
    Batch,
    DataHashes,
    EpochLoop,
    Measured,
    Row,
    RunFiles,
    TrainingListener,
)
from blood_cell_system.training.presets import ClassifierSettings
from blood_cell_system.training.run_record import does_not_fall, overfits
from blood_cell_system.training.stain_domains import DomainPlan, ProbeResult, probe_domains
from blood_cell_system.training.state import TrainingState

Outputs = dict[str, NDArray[np.float32]]

SCORE_NAME = "val_score"


def validation_row(outputs: Outputs, labels: CellLabels) -> dict[str, float]:
    """Figures of one validation, under the names of the history.

    Parameters
    ----------
    outputs : dict of str to ndarray
        As of ``ClassifierLearner.predict``.
    labels : CellLabels

    Returns
    -------
    dict of str to float
        ``val_loss``, ``val_condition_balanced_accuracy``, ``val_condition_auroc`` (mean over the
        conditions of each against the others), ``val_type_macro_f1``, ``val_known_auroc``, and
        ``val_score``, their mean, by which the best model is chosen. NaN where there are no cells
        to measure on; without any figure the score is 0.
    """
    condition, known = outputs[CONDITION_OUTPUT], outputs[KNOWN_OUTPUT].ravel()
    losses = [negative_log_likelihood(condition, labels.condition)]
    figures = {
        "val_condition_balanced_accuracy": balanced_accuracy(
            _confusion(condition, labels.condition)
        ),
        "val_condition_auroc": one_against_others(condition, labels.condition),
        "val_type_macro_f1": float("nan"),
        "val_known_auroc": auroc(labels.known > 0, known),
    }
    if TYPE_OUTPUT in outputs:
        types = outputs[TYPE_OUTPUT]
        losses.append(negative_log_likelihood(types, labels.cell_type))
        figures["val_type_macro_f1"] = macro_f1(_confusion(types, labels.cell_type))
    mean = _mean_of_finite(list(figures.values()))
    score = mean if np.isfinite(mean) else 0.0
    return {"val_loss": float(np.nansum(losses)), SCORE_NAME: score, **figures}


def one_against_others(probabilities: NDArray[np.floating], y_true: NDArray[np.integer]) -> float:
    """Mean over the classes of the AUROC of each against the others; NaN for a single class."""
    is_labelled = y_true != NOT_LABELLED
    values, true = probabilities[is_labelled], y_true[is_labelled]
    return _mean_of_finite([auroc(true == i, values[:, i]) for i in range(values.shape[1])])


def _confusion(
    probabilities: NDArray[np.floating], y_true: NDArray[np.integer]
) -> NDArray[np.float64]:
    return confusion_counts(
        y_true, probabilities.argmax(axis=1), num_classes=probabilities.shape[1]
    )


def _mean_of_finite(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was chosen on validation cells.

    Parameters
    ----------
    temperatures : dict of str to float
        By output: ``condition``, ``type``, ``known``.
    errors_before, errors_after : dict of str to float
        Expected calibration error of ``condition`` and ``type`` on the same cells.
    condition_thresholds, type_thresholds : dict of str to float
        Conformal, by class.
    known_threshold : float or None
        None when there were no outliers to choose it by.
    coverage : float
    """

    temperatures: dict[str, float]
    errors_before: dict[str, float]
    errors_after: dict[str, float]
    condition_thresholds: dict[str, float]
    type_thresholds: dict[str, float] = field(default_factory=dict)
    known_threshold: float | None = None
    coverage: float = DEFAULT_COVERAGE


def calibrate(
    outputs: Outputs,
    labels: CellLabels,
    classes: CellClasses,
    *,
    learned: CellLabels,
    coverage: float = DEFAULT_COVERAGE,
) -> Calibration:
    """Choose temperatures and thresholds.

    Parameters
    ----------
    outputs : dict of str to ndarray
        Of the classifier for the validation cells.
    labels, learned : CellLabels
        Of the validation cells, and of those that were learned from.
    classes : CellClasses
    coverage : float
        Share of conformal sets that shall hold the true class.
    """
    temperatures: dict[str, float] = {}
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    thresholds: dict[str, dict[str, float]] = {CONDITION_OUTPUT: {}, TYPE_OUTPUT: {}}
    for name, true, known, names in (
        (CONDITION_OUTPUT, labels.condition, learned.condition, classes.conditions),
        (TYPE_OUTPUT, labels.cell_type, learned.cell_type, classes.types),
    ):
        if not names:
            continue
        temperatures[name] = fit_temperature(outputs[name], true)
        warmed = with_temperature(outputs[name], temperatures[name])
        before[name] = expected_calibration_error(outputs[name], true)
        after[name] = expected_calibration_error(warmed, true)
        chosen = class_thresholds(warmed, true, coverage=coverage)
        for index, class_name in enumerate(names):
            # What was never learned is no answer, rather than always a possible one.
            was_learned = bool(np.any(known == index))
            thresholds[name][class_name] = float(chosen[index]) if was_learned else 1.0
    threshold = None
    is_outlier = labels.known == 0
    if is_outlier.any() and np.any(learned.known == 0):
        two_sided = _two_sided(outputs[KNOWN_OUTPUT])
        temperatures[KNOWN_OUTPUT] = fit_temperature(two_sided, labels.known.astype(np.int64))
        warmed = with_temperature(two_sided, temperatures[KNOWN_OUTPUT])
        threshold = known_threshold(warmed[:, 1], is_outlier)
    return Calibration(
        temperatures=temperatures,
        errors_before=before,
        errors_after=after,
        condition_thresholds=thresholds[CONDITION_OUTPUT],
        type_thresholds=thresholds[TYPE_OUTPUT],
        known_threshold=threshold,
        coverage=coverage,
    )


def apply_temperatures(model: Any, calibration: Calibration) -> None:
    """Make the temperatures part of a classifier's last weights."""
    layers = {
        CONDITION_OUTPUT: CONDITION_LOGITS,
        TYPE_OUTPUT: TYPE_LOGITS,
        KNOWN_OUTPUT: KNOWN_LOGIT,
    }
    for name, temperature in calibration.temperatures.items():
        bake_temperature(model, layers[name], temperature)


def _two_sided(known: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities of no and yes: a sigmoid is the softmax of these."""
    yes = known.ravel().astype(np.float64)
    return np.column_stack([1 - yes, yes])


GOOD_SCORE = 0.85


def write_classifier_curves(path: Path, history: Sequence[Row]) -> None:
    """Draw losses, validation figures and learning rate over the epochs."""
    # Figure without pyplot: no display, no global state, safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, figure_axes, rate_axes = figure.subplots(1, 3)
    for name in ("train_condition_loss", "train_type_loss", "train_known_loss", "val_loss"):
        if name in history[0]:
            label = name.replace("_", " ").replace("val loss", "validation, without smoothing")
            loss_axes.plot(epochs, [row[name] for row in history], label=label)
    loss_axes.set(title="Losses", xlabel="epoch")
    loss_axes.legend()
    for name, label in (
        ("val_score", "score"),
        ("val_condition_balanced_accuracy", "condition, balanced accuracy"),
        ("val_condition_auroc", "condition, AUROC"),
        ("val_type_macro_f1", "type, macro F1"),
        ("val_known_auroc", "one of the classes at all, AUROC"),
    ):
        values = [row[name] for row in history]
        # NaN, the only value unequal to itself, where there is nothing to measure.
        if any(value == value for value in values):
            width = 2.5 if label == "score" else 1.2
            figure_axes.plot(epochs, values, label=label, linewidth=width)
    figure_axes.set(title="Validation", xlabel="epoch")
    figure_axes.legend(loc="lower right")
    rate_axes.plot(epochs, [row["learning_rate"] for row in history])
    rate_axes.set(title="Learning rate", xlabel="epoch")
    for axes in (loss_axes, figure_axes, rate_axes):
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def classifier_advice(history: Sequence[Row]) -> list[str]:
    """Warnings that a person would give who looks at the curves.

    Parameters
    ----------
    history : sequence of mapping
        A row an epoch with ``train_loss``, ``val_loss`` and ``val_score``.

    Returns
    -------
    list of str
        Empty when all is well.
    """
    if not history:
        return []
    warnings = []
    best = max(row["val_score"] for row in history)
    if best < GOOD_SCORE:
        warnings.append(
            f"The validation score reached {best:.2f}, below {GOOD_SCORE:.2f}: train longer "
            "(--epochs), add cells of more slides, or look whether the class folders hold what "
            "their names say."
        )
    if does_not_fall(history, "train_loss"):
        warnings.append(
            "The training loss does not fall: the learning rate is too high or too low "
            "(--learning-rate), or the labels do not fit the cells."
        )
    # A rise of a quarter over a third of the run is more than the noise between epochs.
    if overfits(history, learned="train_loss", measured="val_loss", rise=1.25):
        warnings.append(
            "Overfitting: the training loss falls while the validation loss rises. Use fewer "
            "epochs (--epochs) or more cells of other slides. The best model by validation is the "
            "one that was kept."
        )
    return warnings


MEASURING_BATCH: Final = 128

_SETTLING_BATCHES: Final = 8
_PLANNED_EXAMPLES: Final = 4000
_PROBED_CELLS: Final = 3000


def run_files(kind: ClassifierKind) -> RunFiles:
    """Name the files of a kind's training."""
    stem = kind.file_stem
    return RunFiles(
        kind=stem,
        model=f"{stem}_best.keras",
        previous_model=f"{stem}_previous.keras",
        state=f"{stem}_training_state.npz",
    )


class ClassifierTraining(EpochLoop):
    """A training in progress; see ``train_classifier`` for what it writes and raises."""

    def __init__(
        self,
        folder: CellFolder,
        settings: ClassifierSettings,
        *,
        output_dir: Path,
        log_dir: Path,
        resume: TrainingState | None,
        listener: TrainingListener,
    ) -> None:
        self.classes = CellClasses.of(folder)
        self.train = read_cells(folder, Split.TRAIN, self.classes)
        self.val = read_cells(folder, Split.VAL, self.classes)
        self._settings = settings
        domains = self.train, self.val
        if settings.has_domain_adaptation and len(folder.sources) < 2:
            domains = with_stain_domains(self.train, self.val, seed=settings.seed)
        self._domain_sets = domains
        self._sampler = CellSampler(
            self.train.cells,
            domains[0].labels,
            seed=settings.seed,
            augmentation=_augmentation(settings),
        )
        self.plan = self._domain_plan() if settings.has_domain_adaptation else None
        self.learner = ClassifierLearner(settings, self.classes, self.plan)
        validation = replace(folder, records=folder.select(Split.VAL))
        hashes = DataHashes(data=folder.content_hash(), validation=validation.content_hash())
        super().__init__(
            settings,
            learner=self.learner,
            metadata=ModelMetadata.of_classifier(
                folder.kind,
                architecture=self.learner.architecture,
                conditions=self.classes.conditions,
                subtypes=self.classes.types,
                preset=settings.preset,
                seed=settings.seed,
                data=", ".join(folder.sources),
                data_sha256=hashes.data,
                software_version=blood_cell_system.__version__,
            ),
            hashes=hashes,
            files=run_files(folder.kind),
            score_name=SCORE_NAME,
            steps_per_epoch=max(1, settings.cells_per_epoch // settings.batch_size),
            folder=output_dir,
            log_dir=log_dir,
            resume=resume,
            listener=listener,
            details={
                "kind": str(folder.kind),
                "data": str(folder.root),
                "conditions": list(self.classes.conditions),
                "types": list(self.classes.types),
                "cells": {"train": len(self.train), "val": len(self.val)},
                "left_out": [f.file for s in (self.train, self.val) for f in s.cells.failed],
                "domains": list(self.plan.names) if self.plan else [],
                "notes": list(folder.notes),
            },
        )

    def batches(self, *, first_index: int, count: int) -> Iterator[Batch]:
        """Give batches of augmented cells."""
        return cell_batches(
            self._sampler,
            batch_size=self._settings.batch_size,
            first_index=first_index,
            count=count,
        )

    def measure(self) -> Measured:
        """Measure the averaged classifier on all validation cells, its statistics settled."""
        first = self.batches(first_index=0, count=_SETTLING_BATCHES)
        self.learner.settle_statistics(batch["cells"] for batch in first)
        return Measured(row=validation_row(self.predict(self.val), self.val.labels))

    def predict(self, cells: CellSet) -> Outputs:
        """Run the averaged classifier on cells as they are."""
        return self.learner.predict(
            plain_batches(cells.cells, cells.labels, batch_size=MEASURING_BATCH)
        )

    def draw_curves(self, path: Path, history: Sequence[Row]) -> None:
        """Draw losses, figures and learning rate."""
        write_classifier_curves(path, history)

    def advice(self, history: Sequence[Row]) -> list[str]:
        """Say what a person would who looks at the curves."""
        return classifier_advice(history)

    def take_best(self) -> None:
        """Give the learner's average the weights of the best epoch."""
        best = keras.saving.load_model(self.model_path, compile=False)
        self.learner.averaged.set_weights(best.get_weights())

    def probe(self) -> ProbeResult | None:
        """How well a linear probe tells the domains apart; None where no class is of two domains.

        It learns on features of training cells and is measured on validation cells.
        """
        try:
            plan = self.plan or self._domain_plan()
        except SettingsError:
            return None
        step = max(1, len(self.train) // _PROBED_CELLS)
        sides: list[Any] = []
        for cell_set, stride in zip(self._domain_sets, (step, 1), strict=True):
            labels = cell_set.labels
            group = (labels.condition + 1) * (len(self.classes.types) + 1) + labels.cell_type + 1
            group[~plan.takes_part(labels)] = -1
            chosen = range(0, len(cell_set), stride)
            features = self.learner.predict(_pixels_of(cell_set, chosen))["features"]
            sides.append((features, labels.source[chosen], group[chosen]))
        return probe_domains(*sides)

    def _domain_plan(self) -> DomainPlan:
        return DomainPlan.of(
            self._domain_sets[0].labels,
            [self._sampler.position_of(index) for index in range(_PLANNED_EXAMPLES)],
            conditions=len(self.classes.conditions),
            types=len(self.classes.types),
        )


def _pixels_of(cell_set: CellSet, positions: Sequence[int]) -> Iterator[Batch]:
    for start in range(0, len(positions), MEASURING_BATCH):
        part = positions[start : start + MEASURING_BATCH]
        yield {"cells": np.stack([on_white(cell_set.cells[position]) for position in part])}


def _augmentation(settings: ClassifierSettings) -> CellAugmentation:
    augmentation = CellAugmentation()
    if settings.has_stain_augmentation:
        return augmentation
    look = replace(
        augmentation.look,
        stain_share=0.0,
        brightness_range=(1.0, 1.0),
        contrast_range=(1.0, 1.0),
    )
    return replace(augmentation, look=look)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedClassifier:
    """What came of a training.

    Parameters
    ----------
    model : keras.Model or None
        The best one by validation, calibrated; None when the training was stopped before its end.
    metadata : ModelMetadata or None
        None when the training was stopped.
    calibration : Calibration or None
    probe : ProbeResult or None
        How well the features tell sources apart; None where no class comes from two.
    best_score : float
    best_epoch, epochs : int
    seconds : float
        Of all sessions together.
    warnings : tuple of str
    history : tuple of dict
    """

    model: Any
    metadata: ModelMetadata | None
    calibration: Calibration | None
    probe: ProbeResult | None
    best_score: float
    best_epoch: int
    epochs: int
    seconds: float
    warnings: tuple[str, ...]
    history: tuple[Row, ...]

    @property
    def is_complete(self) -> bool:
        """False after Ctrl-C."""
        return self.model is not None


def train_classifier(
    folder: CellFolder,
    settings: ClassifierSettings,
    *,
    output_dir: Path,
    log_dir: Path,
    resume: TrainingState | None = None,
    listener: TrainingListener | None = None,
    is_deterministic: bool = False,
) -> TrainedClassifier:
    """Train a classifier, or continue a training.

    Writes into ``output_dir``: ``rbc_classifier_best.keras`` (the running average of the best
    epoch, not calibrated), ``rbc_classifier_training_state.npz``, ``history.csv``,
    ``history.json``, ``training_curves.png``, ``run.json``; and TensorBoard events into a folder of
    its own in ``log_dir``. For white cells the names begin with ``wbc``.

    Parameters
    ----------
    folder : CellFolder
    settings : ClassifierSettings
    output_dir, log_dir : Path
    resume : TrainingState, optional
        Where to go on.
    listener : TrainingListener, optional
    is_deterministic : bool
        Whether the same seed, data, software and machine must give the same weights, bit by bit,
        which costs speed. It holds for the rest of the process.

    Raises
    ------
    DatasetError
        There is nothing to learn from, nothing to choose by, or most images cannot be read.
    SettingsError
        Domain adaptation was asked for and no class comes from two sources.
    ResumeError
        The state is of another model.
    TrainingMemoryError
        The memory is exhausted.
    OutputError
        A folder cannot be written to.
    """
    make_folder(output_dir)
    make_folder(log_dir)
    if is_deterministic:
        tf.config.experimental.enable_op_determinism()
        # TensorFlow orders operations by their names, which Keras numbers through the process: a
        # second training would add the same numbers in another order.
        keras.utils.clear_session(free_memory=False)
    training = ClassifierTraining(
        folder,
        settings,
        output_dir=output_dir,
        log_dir=log_dir,
        resume=resume,
        listener=listener or TrainingListener(),
    )
    try:
        is_complete = training.run_epochs()
        return _result(training, is_complete=is_complete)
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise TrainingMemoryError(
            f"--batch-size {settings.batch_size}: the memory is exhausted. Use a smaller "
            "--batch-size (32 or 16)."
        ) from error
    finally:
        training.close()


def _result(training: ClassifierTraining, *, is_complete: bool) -> TrainedClassifier:
    model = metadata = calibration = probe = None
    if is_complete:
        training.take_best()
        calibration = calibrate(
            training.predict(training.val),
            training.val.labels,
            training.classes,
            learned=training.train.labels,
        )
        model = training.learner.averaged
        probe = training.probe()
        apply_temperatures(model, calibration)
        metadata = _metadata(training, calibration, probe)
    state = training.state
    return TrainedClassifier(
        model=model,
        metadata=metadata,
        calibration=calibration,
        probe=probe,
        best_score=state.best_score,
        best_epoch=state.best_epoch,
        epochs=state.epoch,
        seconds=state.seconds,
        warnings=tuple(training.advice(state.history)),
        history=tuple(state.history),
    )


def _metadata(
    training: ClassifierTraining,
    calibration: Calibration,
    probe: ProbeResult | None,
) -> ModelMetadata:
    row = validation_row(training.predict(training.val), training.val.labels)
    validation = {
        **{name.removeprefix("val_"): value for name, value in row.items()},
        "cells": len(training.val),
        "calibration_error": calibration.errors_after,
        "calibration_error_before": calibration.errors_before,
        "temperatures": calibration.temperatures,
    }
    return training.metadata.replace(
        in_distribution_threshold=calibration.known_threshold,
        condition_thresholds=calibration.condition_thresholds,
        subtype_thresholds=calibration.type_thresholds,
        coverage=calibration.coverage,
        temperatures=calibration.temperatures,
        measured={
            "validation": _without_nan(validation),
            "training": {
                "cells": len(training.train),
                "epochs": training.state.epoch,
                "seconds": round(training.state.seconds, 1),
                "domain_probe": None if probe is None else _without_nan(asdict(probe)),
            },
        },
    )


def _without_nan(value: Any) -> Any:
    """Null for what was not measured: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and value != value else value
