"""Training of a classifier, from a folder of cells to a calibrated network and its metadata."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.annotation.splits import Split
from blood_cell_system.augmentation.batches import Batch
from blood_cell_system.augmentation.cell_batches import (
    CellAugmentation,
    CellLabels,
    CellSampler,
    for_surround,
    plain_batches,
)
from blood_cell_system.cells.nucleus_terms import log_odds, nucleus_terms, with_log_odds
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.datasets.source_licences import licence_of_weights
from blood_cell_system.errors import SettingsError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.metrics.calibration import (
    DEFAULT_COVERAGE,
    class_thresholds,
    expected_calibration_error,
    fit_temperature,
    known_threshold,
    negative_log_likelihood,
    with_temperature,
)
from blood_cell_system.metrics.classification_scores import (
    auroc,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
)
from blood_cell_system.model_metadata import (
    CONDITION_OUTPUT,
    KNOWN_OUTPUT,
    TYPE_OUTPUT,
    ModelMetadata,
    NucleusEvidence,
    network_input,
)
from blood_cell_system.networks.architectures import classifier_named
from blood_cell_system.networks.cell_classifier import (
    CELLS_INPUT,
    CONDITION_LOGITS,
    FEATURES,
    KNOWN_LOGIT,
    TYPE_LOGITS,
    bake_temperature,
    logits_model,
    with_domain_head,
)
from blood_cell_system.networks.losses import (
    labelled_binary_cross_entropy,
    labelled_cross_entropy,
)
from blood_cell_system.taxonomy import NOT_LABELLED, WBC
from blood_cell_system.training.classifier_data import (
    CellClasses,
    CellSet,
    read_cells,
    with_stain_domains,
)
from blood_cell_system.training.domains import DomainPlan, ProbeResult, probe_domains
from blood_cell_system.training.loop import (
    Images,
    Learner,
    Task,
    Training,
    TrainingListener,
    TrainingResult,
    memory_advice,
    prepare_run,
)
from blood_cell_system.training.nucleus_fit import fit_nucleus_evidence
from blood_cell_system.training.presets import ClassifierSettings
from blood_cell_system.training.run_record import HistoryView
from blood_cell_system.training.state import TrainingState, classifier_files
from blood_cell_system.wording import counted

Outputs = dict[str, NDArray[np.float32]]

VIEW: Final = HistoryView(
    score="val_score",
    good_score=0.85,
    train_loss="train_loss",
    val_loss="val_loss",
    overfitting_rise=1.25,
    loss_title="Losses",
    loss_labels={
        "train_condition_loss": "train condition loss",
        "train_type_loss": "train type loss",
        "train_known_loss": "train known loss",
        "val_loss": "validation, without smoothing",
    },
    score_title="Validation",
    score_labels={
        "val_score": "score",
        "val_condition_balanced_accuracy": "condition, balanced accuracy",
        "val_condition_auroc": "condition, AUROC",
        "val_type_macro_f1": "type, macro F1",
        "val_known_auroc": "one of the classes at all, AUROC",
    },
    low_score_advice=(
        "The validation score reached {best}, below {good}: train longer (--epochs), add cells of "
        "more slides, or check that the class folders hold what their names say."
    ),
    flat_loss_advice=(
        "The training loss does not fall: the learning rate is too high or too low "
        "(--learning-rate), or the labels do not fit the cells."
    ),
    overfitting_advice=(
        "Overfitting: the training loss falls while the validation loss rises. Use fewer epochs "
        "(--epochs) or more cells of other slides. The best model by validation is the one that "
        "was kept."
    ),
)

MEASURING_BATCH: Final = 128
"""Cells that run through the network at once when it is measured."""

_SETTLING_BATCHES: Final = 8
"""Batches of training cells that the statistics of normalisations are taken from."""

_PLANNED_EXAMPLES: Final = 4000
"""Training examples that show how often the sampler draws each class of each source."""

_PROBED_CELLS: Final = 3000
"""Training cells, about, that the linear probe of domains learns from."""

ADVICE: Final = "Use a smaller --batch-size (32 or 16)."


def classifier_config(settings: ClassifierSettings, classes: CellClasses) -> Any:
    """Config of the architecture that a training's settings name."""
    registered = classifier_named(settings.architecture)
    return registered.configured(settings, conditions=classes.conditions, types=classes.types)


class ClassifierLearner(Learner):
    """The classifier, with losses of condition, type and "one of the classes at all"."""

    input_name = CELLS_INPUT
    without_decay = ("bias",)

    def __init__(
        self, settings: ClassifierSettings, classes: CellClasses, *, domains: int = 0
    ) -> None:
        self._settings = settings
        self.config = classifier_config(settings, classes)
        self.sees_surround = classifier_named(settings.architecture).sees_surround
        super().__init__(settings, domains=domains)
        self._averaged_features = keras.Model(
            self.averaged.input,
            {**self.averaged.output, FEATURES: self.averaged.get_layer(FEATURES).output},
        )

    def training_graph(self, domains: int) -> keras.Model:
        """Make a model of logits that shares the network's weights, with a head of domains."""
        if domains:
            return with_domain_head(self.model, domains=domains)
        return logits_model(self.model)

    def losses(self, batch: Mapping[str, Any], outputs: Any) -> tuple[Any, dict[str, Any]]:
        """Give the weighted sum, and ``loss`` (the same) and the losses of the heads."""
        settings = self._settings
        smoothing = settings.label_smoothing
        losses = {
            "condition_loss": labelled_cross_entropy(
                batch["condition"], outputs[CONDITION_LOGITS], label_smoothing=smoothing
            ),
            "known_loss": labelled_binary_cross_entropy(
                batch["known"], outputs[KNOWN_LOGIT], label_smoothing=smoothing
            ),
        }
        total = losses["condition_loss"] + settings.known_weight * losses["known_loss"]
        if TYPE_LOGITS in outputs:
            losses["type_loss"] = labelled_cross_entropy(
                batch["cell_type"], outputs[TYPE_LOGITS], label_smoothing=smoothing
            )
            total += settings.type_weight * losses["type_loss"]
        return total, {"loss": total, **losses}

    def settle_statistics(self, batches: Iterable[NDArray[np.uint8]]) -> None:
        """Give the averaged classifier the statistics that its normalisations really see.

        Running ones begin with mean 0 and variance 1 and come after the weights, which a short
        training moves fast: the averaged classifier then gives one answer to all cells,
        however well the one that learns does.

        Parameters
        ----------
        batches : iterable of ndarray of shape (batch, height, width, 3), dtype uint8
            Cells as they are learned from. Each batch counts the same.

        References
        ----------
        .. [1] Y. Wu, J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3.
        """
        norms = [
            layer
            for layer in self.averaged.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        momenta = [norm.momentum for norm in norms]
        for before, cells in enumerate(batches):
            for norm in norms:
                norm.momentum = before / (before + 1)
            self.averaged(tf.cast(cells, tf.float32), training=True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def _predict_step(self, cells: Any) -> Any:
        return self._averaged_features(tf.cast(cells, tf.float32), training=False)

    def predict(self, batches: Iterable[Mapping[str, Any]]) -> dict[str, NDArray[np.float32]]:
        """Run the averaged classifier on batches.

        Parameters
        ----------
        batches : iterable of mapping
            With ``cells`` (batch, height, width, 3), dtype uint8.

        Returns
        -------
        dict of str to ndarray
            ``condition``, ``known``, ``features``, and with types ``type``; a row a cell.
        """
        parts = [self._predict_step(tf.constant(batch["cells"])) for batch in batches]
        return {name: np.concatenate([np.asarray(p[name]) for p in parts]) for name in parts[0]}


def validation_row(outputs: Outputs, labels: CellLabels) -> dict[str, float]:
    """Figures of one validation, under the names of the history.

    Parameters
    ----------
    outputs : dict of str to ndarray
        As of ``ClassifierLearner.predict``.

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
    return {"val_loss": float(np.nansum(losses)), VIEW.score: score, **figures}


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
    type_odds: NDArray[np.float64] | None = None,
    coverage: float = DEFAULT_COVERAGE,
) -> Calibration:
    """Choose temperatures and thresholds.

    Parameters
    ----------
    outputs : dict of str to ndarray
        Of the classifier for the validation cells.
    labels, learned : CellLabels
        Of the validation cells, and of those that were learned from.
    type_odds : ndarray, optional
        What nuclei say of the validation cells; the thresholds include it.
    coverage : float
        Share of conformal sets that should hold the true class.
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
        if name == TYPE_OUTPUT and type_odds is not None:
            warmed = with_log_odds(warmed, type_odds)
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


class ClassifierTask(Task):
    """Augmented cells of a folder, and figures on its validation cells.

    Raises
    ------
    DatasetError
        There is nothing to learn from, nothing to choose by, or most images cannot be read.
    SettingsError
        Domain adaptation was asked for and no class comes from two sources.
    """

    view = VIEW
    learner: ClassifierLearner
    nuclei: NucleusEvidence | None = None
    """What nuclei say about the type, once it is calibrated."""

    def __init__(self, folder: CellFolder, settings: ClassifierSettings) -> None:
        self.classes = CellClasses.of(folder)
        self.train = read_cells(folder, Split.TRAIN, self.classes)
        self.val = read_cells(folder, Split.VAL, self.classes)
        self._domain_sets = self.train, self.val
        self.remarks = (
            f"Learns from {counted(len(self.train), 'cell')}, and chooses the best epoch by "
            f"{len(self.val)} "
            "cells for validation.",
        )
        if settings.has_domain_adaptation and len(folder.sources) < 2:
            self._domain_sets = with_stain_domains(self.train, self.val, seed=settings.seed)
        self._sampler = CellSampler(
            self.train.cells,
            self._domain_sets[0].labels,
            seed=settings.seed,
            augmentation=_augmentation(settings),
        )
        self.domains = None
        if settings.has_domain_adaptation:
            self.domains = self._domain_plan().domains_of(self._domain_sets[0].labels)
        domain_names = list(self.domains.names) if self.domains else []
        self.batch_size = settings.batch_size
        self.learner = ClassifierLearner(settings, self.classes, domains=len(domain_names))
        self.files = classifier_files(folder.kind)
        self.data_hash = folder.content_hash()
        self.validation_hash = replace(folder, records=folder.select(Split.VAL)).content_hash()
        self.metadata = ModelMetadata.of_classifier(
            folder.kind,
            architecture=self.learner.architecture,
            sees_surround=self.learner.sees_surround,
            conditions=self.classes.conditions,
            subtypes=self.classes.types,
            preset=settings.preset,
            seed=settings.seed,
            data=(data := ", ".join(folder.sources)),
            data_sha256=self.data_hash,
            licence=licence_of_weights(data, architecture=settings.architecture),
            software_version=blood_cell_system.__version__,
        )
        self.details = {
            "kind": str(folder.kind),
            "data": str(folder.root),
            "conditions": list(self.classes.conditions),
            "types": list(self.classes.types),
            "cells": {"train": len(self.train), "val": len(self.val)},
            "left_out": [f.name for s in (self.train, self.val) for f in s.cells.failed],
            "domains": domain_names,
            "notes": list(folder.notes),
        }

    def example(self, index: int) -> Batch:
        """Give an augmented cell and its labels."""
        return self._sampler[index]

    def position_of(self, index: int) -> int:
        """Position of a cell."""
        return self._sampler.position_of(index)

    def measure(self) -> tuple[dict[str, float], Images]:
        """Measure the averaged classifier on all validation cells, its statistics settled."""
        first = self.batches(first_index=0, count=_SETTLING_BATCHES)
        self.learner.settle_statistics(batch["cells"] for batch in first)
        return self.validation_row(), ()

    def validation_row(self) -> dict[str, float]:
        """Figures of the averaged classifier on all validation cells."""
        return validation_row(self._outputs(), self.val.labels)

    def calibrate(self, model_path: Path) -> tuple[Calibration, ProbeResult | None]:
        """Give the averaged classifier the weights of the best epoch, and calibrate it.

        The linear probe of domains takes its features as they are before the temperatures.
        """
        best = keras.saving.load_model(model_path, compile=False)
        self.learner.averaged.set_weights(best.get_weights())
        odds = None
        if self.metadata.cell_type == WBC:
            self.nuclei = fit_nucleus_evidence(self.train, self.classes.types)
        if self.nuclei is not None:
            terms = nucleus_terms(list(self.val.cells))
            odds = log_odds(self.nuclei, self.classes.types, terms)
        calibration = calibrate(
            self._outputs(),
            self.val.labels,
            self.classes,
            learned=self.train.labels,
            type_odds=odds,
        )
        probe = self._probe()
        apply_temperatures(self.learner.averaged, calibration)
        return calibration, probe

    def _outputs(self) -> Outputs:
        return self.learner.predict(
            plain_batches(
                self.val.cells,
                self.val.labels,
                batch_size=MEASURING_BATCH,
                sees_surround=self.learner.sees_surround,
            )
        )

    def _probe(self) -> ProbeResult | None:
        """How well a linear probe distinguishes the domains; None where no class is of two domains.

        It learns on features of training cells and is measured on validation cells.
        """
        try:
            plan = self._domain_plan()
        except SettingsError:
            return None
        step = max(1, len(self.train) // _PROBED_CELLS)
        sides: list[Any] = []
        for cell_set, stride in zip(self._domain_sets, (step, 1), strict=True):
            labels = cell_set.labels
            group = (labels.condition + 1) * (len(self.classes.types) + 1) + labels.cell_type + 1
            group[plan.domains_of(labels).weight == 0] = -1
            chosen = range(0, len(cell_set), stride)
            features = self.learner.predict(
                _pixels_of(cell_set, chosen, sees_surround=self.learner.sees_surround)
            )["features"]
            sides.append((features, labels.source[chosen], group[chosen]))
        return probe_domains(*sides)

    def _domain_plan(self) -> DomainPlan:
        return DomainPlan.of(
            self._domain_sets[0].labels,
            [self._sampler.position_of(index) for index in range(_PLANNED_EXAMPLES)],
            conditions=len(self.classes.conditions),
            types=len(self.classes.types),
        )


def _pixels_of(
    cell_set: CellSet, positions: Sequence[int], *, sees_surround: bool
) -> Iterator[Batch]:
    for start in range(0, len(positions), MEASURING_BATCH):
        part = positions[start : start + MEASURING_BATCH]
        images = [
            network_input(cell_set.cells[place], sees_surround=sees_surround) for place in part
        ]
        yield {"cells": np.stack(images)}


def _augmentation(settings: ClassifierSettings) -> CellAugmentation:
    registered = classifier_named(settings.architecture)
    augmentation = for_surround() if registered.sees_surround else CellAugmentation()
    if settings.has_stain_augmentation:
        return augmentation
    unchanged = replace(
        augmentation.look,
        stain_share=0.0,
        brightness_range=(1.0, 1.0),
        contrast_range=(1.0, 1.0),
    )
    return replace(augmentation, look=unchanged)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedClassifier(TrainingResult):
    """What came of a training; without model and the like when it was stopped before its end.

    Parameters
    ----------
    model : keras.Model or None
        The best one by validation, calibrated.
    probe : ProbeResult or None
        How well a linear probe distinguishes sources; None where no class comes from two.
    """

    model: Any = None
    metadata: ModelMetadata | None = None
    calibration: Calibration | None = None
    probe: ProbeResult | None = None


def train_classifier(
    folder: CellFolder,
    settings: ClassifierSettings,
    *,
    output_dir: Path,
    log_dir: Path,
    resume: TrainingState | None = None,
    listener: TrainingListener | None = None,
    is_deterministic: bool = False,
    devices: Sequence[str] | None = None,
) -> TrainedClassifier:
    """Train a classifier, or continue a training.

    Writes into ``output_dir``: ``rbc_classifier_best.keras`` (the running average of the best
    epoch, not calibrated), ``rbc_classifier_training_state.npz``, ``rbc_classifier_history.csv``
    and ``.json``, ``rbc_classifier_training_curves.png``, ``rbc_classifier_run.json``; and
    TensorBoard events into a folder of its own in ``log_dir``. For white cells the names begin with
    ``wbc``.

    Parameters
    ----------
    resume : TrainingState, optional
        Where to go on.
    is_deterministic : bool
        Whether the same seed, data, software and machine must give the same weights, bit by bit,
        which costs speed. It holds for the rest of the process.
    devices : sequence of str, optional
        As of ``find_devices``; several share the batches. By default all GPUs.

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
        A folder cannot be written to, or the model was removed from it meanwhile.
    FolderInUseError
        Another training writes into ``output_dir``.
    DivergedError
        A loss is no number any more; the best model before stays.
    """
    prepare_run(output_dir, log_dir, is_deterministic=is_deterministic)
    with (
        locked_folder(output_dir, command="train-classifier"),
        memory_advice(settings.batch_size, ADVICE),
    ):
        task = ClassifierTask(folder, settings)
        training = Training(
            task,
            settings,
            folder=output_dir,
            log_dir=log_dir,
            resume=resume,
            listener=listener,
            devices=devices,
        )
        result = training.run()
        common = {name: getattr(result, name) for name in TrainingResult.__slots__}
        if not result.is_complete:
            return TrainedClassifier(**common)
        calibration, probe = task.calibrate(result.model_path)
        return TrainedClassifier(
            **common,
            model=task.learner.averaged,
            metadata=_metadata(task, result, calibration, probe),
            calibration=calibration,
            probe=probe,
        )


def _metadata(
    task: ClassifierTask,
    result: TrainingResult,
    calibration: Calibration,
    probe: ProbeResult | None,
) -> ModelMetadata:
    validation = {
        **{name.removeprefix("val_"): value for name, value in task.validation_row().items()},
        "cells": len(task.val),
        "calibration_error": calibration.errors_after,
        "calibration_error_before": calibration.errors_before,
        "temperatures": calibration.temperatures,
    }
    return task.metadata.replace(
        in_distribution_threshold=calibration.known_threshold,
        condition_thresholds=calibration.condition_thresholds,
        subtype_thresholds=calibration.type_thresholds,
        coverage=calibration.coverage,
        temperatures=calibration.temperatures,
        nucleus_evidence=task.nuclei,
        measured={
            "validation": _without_nan(validation),
            "training": {
                "cells": len(task.train),
                "epochs": result.epochs,
                "seconds": round(result.seconds, 1),
                "domain_probe": None if probe is None else _without_nan(asdict(probe)),
            },
        },
    )


def _without_nan(value: Any) -> Any:
    """Null for what was not measured: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and value != value else value
