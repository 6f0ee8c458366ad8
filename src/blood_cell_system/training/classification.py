"""Training of a classifier, from a folder of cells to a calibrated network and its facts."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import blood_cell_system
from blood_cell_system.atomic_files import make_folder
from blood_cell_system.classifier_facts import ClassifierFacts
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.errors import TrainingMemoryError
from blood_cell_system.training.classifier_calibration import (
    Calibration,
    apply_temperatures,
    calibrate,
)
from blood_cell_system.training.classifier_loop import ClassifierTraining
from blood_cell_system.training.classifier_presets import ClassifierSettings
from blood_cell_system.training.classifier_validation import validation_row
from blood_cell_system.training.domain_probe import ProbeResult
from blood_cell_system.training.loop_parts import Row, TrainingListener
from blood_cell_system.training.state import TrainingState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedClassifier:
    """What came of a training.

    Parameters
    ----------
    model : keras.Model or None
        The best one by validation, calibrated; None when the training was stopped before its end.
    facts : ClassifierFacts or None
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
    facts: ClassifierFacts | None
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
        There is nothing to learn from, nothing to choose by, or most pictures cannot be read.
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
        return _result(training, folder, settings, is_complete=is_complete)
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise TrainingMemoryError(
            f"--batch-size {settings.batch_size}: the memory is exhausted. Use a smaller "
            "--batch-size (32 or 16)."
        ) from error
    finally:
        training.close()


def _result(
    training: ClassifierTraining,
    folder: CellFolder,
    settings: ClassifierSettings,
    *,
    is_complete: bool,
) -> TrainedClassifier:
    model = facts = calibration = probe = None
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
        facts = _facts(training, folder, settings, calibration, probe)
    state = training.state
    return TrainedClassifier(
        model=model,
        facts=facts,
        calibration=calibration,
        probe=probe,
        best_score=state.best_score,
        best_epoch=state.best_epoch,
        epochs=state.epoch,
        seconds=state.seconds,
        warnings=tuple(training.advice(state.history)),
        history=tuple(state.history),
    )


def _facts(
    training: ClassifierTraining,
    folder: CellFolder,
    settings: ClassifierSettings,
    calibration: Calibration,
    probe: ProbeResult | None,
) -> ClassifierFacts:
    row = validation_row(training.predict(training.val), training.val.labels)
    validation = {
        **{name.removeprefix("val_"): value for name, value in row.items()},
        "cells": len(training.val),
        "calibration_error": calibration.errors_after,
        "calibration_error_before": calibration.errors_before,
        "temperatures": calibration.temperatures,
    }
    return ClassifierFacts(
        kind=folder.kind,
        conditions=training.classes.conditions,
        types=training.classes.types,
        known_threshold=calibration.known_threshold,
        condition_thresholds=calibration.condition_thresholds,
        type_thresholds=calibration.type_thresholds,
        coverage=calibration.coverage,
        preset=settings.preset,
        seed=settings.seed,
        data_sha256=training.state.data_hash,
        measured={
            "validation": _without_nan(validation),
            "training": {
                "cells": len(training.train),
                "epochs": training.state.epoch,
                "seconds": round(training.state.seconds, 1),
                "domain_probe": None if probe is None else _without_nan(asdict(probe)),
            },
        },
        data=", ".join(folder.sources),
        software_version=blood_cell_system.__version__,
    )


def _without_nan(value: Any) -> Any:
    """Null for what was not measured: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and value != value else value
