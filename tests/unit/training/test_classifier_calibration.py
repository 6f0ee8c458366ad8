import numpy as np
import pytest

from blood_cell_system.augmentation.cell_batches import CellLabels
from blood_cell_system.metrics.calibration import conformal_sets
from blood_cell_system.training.classifier import calibrate
from blood_cell_system.training.classifier_data import CellClasses

CLASSES = CellClasses(conditions=("healthy_RBC", "malaria_RBC", "sickle_RBC"), types=())


def labels_of(condition, known=None):
    count = len(condition)
    return CellLabels(
        condition=np.array(condition, np.int32),
        cell_type=np.full(count, -1, np.int32),
        known=np.ones(count, np.float32) if known is None else np.array(known, np.float32),
        source=np.zeros(count, np.int32),
        sources=("one",),
    )


def drawn(count=600, classes=3, sharpness=3.0):
    """Answers that are surer than they are right."""
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((count, classes))
    powers = np.exp(logits)
    edges = (powers / powers.sum(axis=1, keepdims=True)).cumsum(axis=1)
    labels = (generator.random((count, 1)) > edges[:, :-1]).sum(axis=1)
    sharp = np.exp(sharpness * logits)
    return sharp / sharp.sum(axis=1, keepdims=True), labels


def outputs_of(condition):
    return {"condition": condition, "known": np.linspace(0, 1, len(condition))[:, None]}


def test_answers_that_are_too_sure_become_honest():
    condition, labels = drawn()
    calibration = calibrate(
        outputs_of(condition), labels_of(labels), CLASSES, learned=labels_of([0, 1, 2])
    )
    assert calibration.temperatures["condition"] == pytest.approx(3.0, rel=0.2)
    assert calibration.errors_after["condition"] < 0.3 * calibration.errors_before["condition"]


def test_the_sets_hold_the_true_class_as_often_as_asked():
    condition, labels = drawn()
    calibration = calibrate(
        outputs_of(condition),
        labels_of(labels),
        CLASSES,
        learned=labels_of([0, 1, 2]),
        coverage=0.9,
    )
    from blood_cell_system.metrics.calibration import with_temperature

    warmed = with_temperature(condition, calibration.temperatures["condition"])
    thresholds = [calibration.condition_thresholds[name] for name in CLASSES.conditions]
    sets = conformal_sets(warmed, thresholds)
    assert sets[np.arange(len(labels)), labels].mean() == pytest.approx(0.9, abs=0.02)


def test_a_class_that_was_never_learned_is_never_a_possible_answer():
    condition, labels = drawn()
    seen = np.where(labels == 2, -1, labels)
    calibration = calibrate(
        outputs_of(condition), labels_of(seen), CLASSES, learned=labels_of([0, 1])
    )
    assert calibration.condition_thresholds["sickle_RBC"] == 1.0
    assert calibration.condition_thresholds["healthy_RBC"] < 0.5


def test_without_outliers_there_is_no_threshold_for_them():
    condition, labels = drawn(60)
    calibration = calibrate(
        outputs_of(condition), labels_of(labels), CLASSES, learned=labels_of([0, 1, 2])
    )
    assert calibration.known_threshold is None
    assert "known" not in calibration.temperatures


def test_the_threshold_parts_cells_from_outliers():
    condition, labels = drawn(100)
    known = np.arange(100) >= 40
    calibration = calibrate(
        outputs_of(condition),
        labels_of(np.where(known, labels, -1), known),
        CLASSES,
        learned=labels_of([0, 1, 2, -1], [1, 1, 1, 0]),
    )
    assert 0 < calibration.known_threshold < 1
