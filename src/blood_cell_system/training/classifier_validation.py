"""Measuring the averaged classifier on validation cells, between epochs."""

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import NOT_LABELLED
from blood_cell_system.classifier_facts import CONDITION_OUTPUT, KNOWN_OUTPUT, TYPE_OUTPUT
from blood_cell_system.input_pipeline.cell_batches import CellLabels
from blood_cell_system.models.calibration import negative_log_likelihood
from blood_cell_system.models.classification_metrics import (
    auroc,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
)

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
