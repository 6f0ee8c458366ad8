import numpy as np
import pytest

from blood_cell_system.augmentation.cell_batches import CellLabels
from blood_cell_system.training.classifier import one_against_others, validation_row


def labels_of(condition, types=None, known=None):
    count = len(condition)
    return CellLabels(
        condition=np.array(condition, np.int32),
        cell_type=np.array(types if types is not None else [-1] * count, np.int32),
        known=np.array(known if known is not None else [1] * count, np.float32),
        source=np.zeros(count, np.int32),
        sources=("one",),
    )


def test_right_answers_have_all_figures_at_their_best():
    labels = labels_of([0, 1, -1, -1], [-1, -1, 0, 1], [1, 1, 1, 0])
    outputs = {
        "condition": np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]], np.float32),
        "type": np.array([[0.5, 0.5], [0.5, 0.5], [1, 0], [0, 1]], np.float32),
        "known": np.array([[0.9], [0.8], [0.7], [0.1]], np.float32),
    }
    row = validation_row(outputs, labels)
    assert row["val_score"] == row["val_type_macro_f1"] == row["val_known_auroc"] == 1
    assert row["val_loss"] == pytest.approx(-(np.log(0.9) + np.log(0.8)) / 2, abs=1e-6)


def test_what_cannot_be_measured_does_not_spoil_the_score():
    outputs = {
        "condition": np.array([[0.9, 0.1], [0.8, 0.2]], np.float32),
        "known": np.array([[0.9], [0.9]], np.float32),
    }
    row = validation_row(outputs, labels_of([0, 0]))
    assert np.isnan([row["val_condition_auroc"], row["val_known_auroc"]]).all()
    assert row["val_score"] == 1


def test_without_any_labelled_cell_the_score_is_nought():
    outputs = {"condition": np.full((2, 2), 0.5), "known": np.full((2, 1), 0.5)}
    assert validation_row(outputs, labels_of([-1, -1]))["val_score"] == 0


def test_each_class_is_compared_with_all_others():
    probabilities = np.eye(3)[[0, 1, 2, 2]]
    assert one_against_others(probabilities, np.array([0, 1, 2, -1])) == 1
    assert one_against_others(probabilities, np.array([1, 0, 2, -1])) == pytest.approx(
        np.mean([0.25, 0.25, 1])
    )
