"""After the last epoch: temperatures into the weights, and thresholds chosen on validation."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classifier_facts import CONDITION_OUTPUT, KNOWN_OUTPUT, TYPE_OUTPUT
from blood_cell_system.input_pipeline.cell_batches import CellLabels
from blood_cell_system.models.calibration import (
    expected_calibration_error,
    fit_temperature,
    with_temperature,
)
from blood_cell_system.models.cell_classifier import CONDITION_LOGITS, KNOWN_LOGIT, TYPE_LOGITS
from blood_cell_system.models.conformal import (
    DEFAULT_COVERAGE,
    class_thresholds,
    known_threshold,
)
from blood_cell_system.models.temperature import bake_temperature
from blood_cell_system.training.classifier_data import CellClasses
from blood_cell_system.training.classifier_validation import Outputs


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
