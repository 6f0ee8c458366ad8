"""Measuring a classifier on the cells of a split, with controls against shortcuts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import NOT_LABELLED
from blood_cell_system.classifier_facts import ClassifierFacts
from blood_cell_system.inference.classification import ClassificationSettings
from blood_cell_system.inference.classifier_predictions import (
    Predictions,
    blanked,
    predict_cells,
    silhouette,
)
from blood_cell_system.inference.classifier_runtimes import ClassifierRuntime
from blood_cell_system.inference.classifier_scores import (
    DiseaseScores,
    HeadScores,
    KnownScores,
    disease_scores,
    head_scores,
    known_scores,
)
from blood_cell_system.models.classification_metrics import balanced_accuracy, confusion_counts
from blood_cell_system.training.classifier_data import CellSet


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlScores:
    """What a classifier reaches when it is shown less than it should need.

    Parameters
    ----------
    name : str
        ``blanked``: no cell at all; ``silhouette``: the outline, filled with one colour.
    condition, cell_type : float
        Balanced accuracy; NaN where there is nothing to measure.
    condition_chance, type_chance : float
        What a constant answer reaches.
    """

    name: str
    condition: float
    condition_chance: float
    cell_type: float
    type_chance: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassifierEvaluation:
    """Everything that was measured.

    Parameters
    ----------
    facts : ClassifierFacts
    cells : int
    diseases : tuple of DiseaseScores
    conditions, types : tuple of HeadScores
        The first is of all sources; empty where fewer than two classes occur.
    known : KnownScores or None
    controls : tuple of ControlScores
    predictions : Predictions
    """

    facts: ClassifierFacts
    cells: int
    diseases: tuple[DiseaseScores, ...]
    conditions: tuple[HeadScores, ...]
    types: tuple[HeadScores, ...]
    known: KnownScores | None
    controls: tuple[ControlScores, ...]
    predictions: Predictions


def evaluate_classifier(
    classifier: ClassifierRuntime,
    cell_set: CellSet,
    *,
    settings: ClassificationSettings | None = None,
    seed: int = 0,
) -> ClassifierEvaluation:
    """Measure a classifier.

    Parameters
    ----------
    classifier : ClassifierRuntime
    cell_set : CellSet
        Its labels numbered by the classifier's own classes.
    settings : ClassificationSettings, optional
    seed : int
        Of the intervals.

    Raises
    ------
    CheckpointError
        The network fails.
    """
    facts, labels = classifier.facts, cell_set.labels
    pictures = [cell_set.cells[position] for position in range(len(cell_set))]
    predictions = predict_cells(classifier, pictures, settings)
    sources = [labels.sources[index] for index in labels.source]
    fields = cell_set.fields
    types: tuple[HeadScores, ...] = ()
    if predictions.cell_type is not None:
        types = head_scores(
            facts.types,
            predictions.cell_type,
            labels.cell_type,
            sources,
            fields,
            thresholds=_in_order(facts.type_thresholds, facts.types),
            seed=seed,
        )
    known = None
    if predictions.known is not None:
        known = known_scores(
            predictions.known,
            labels.known > 0,
            fields,
            threshold=facts.known_threshold,
            seed=seed,
        )
    return ClassifierEvaluation(
        facts=facts,
        cells=len(cell_set),
        diseases=disease_scores(
            facts.conditions, predictions.condition, labels.condition, sources, fields, seed=seed
        ),
        conditions=head_scores(
            facts.conditions,
            predictions.condition,
            labels.condition,
            sources,
            fields,
            thresholds=_in_order(facts.condition_thresholds, facts.conditions),
            seed=seed,
        ),
        types=types,
        known=known,
        controls=_controls(classifier, cell_set, settings),
        predictions=predictions,
    )


def _controls(
    classifier: ClassifierRuntime, cell_set: CellSet, settings: ClassificationSettings | None
) -> tuple[ControlScores, ...]:
    labels = cell_set.labels
    is_cell = np.flatnonzero(labels.known > 0)
    condition, cell_type = labels.condition[is_cell], labels.cell_type[is_cell]
    found = []
    for name, change in (("blanked", blanked), ("silhouette", silhouette)):
        shown = predict_cells(
            classifier,
            (change(cell_set.cells[position]) for position in is_cell.tolist()),
            settings,
        )
        found.append(
            ControlScores(
                name=name,
                condition=_balanced(shown.condition, condition),
                condition_chance=_chance(condition),
                cell_type=_balanced(shown.cell_type, cell_type),
                type_chance=_chance(cell_type),
            )
        )
    return tuple(found)


def _balanced(probabilities: NDArray[np.float64] | None, y_true: NDArray[np.int32]) -> float:
    if probabilities is None:
        return float("nan")
    answers = probabilities.argmax(axis=1)
    return balanced_accuracy(confusion_counts(y_true, answers, num_classes=probabilities.shape[1]))


def _chance(y_true: NDArray[np.int32]) -> float:
    classes = len(np.unique(y_true[y_true != NOT_LABELLED]))
    return 1 / classes if classes else float("nan")


def _in_order(thresholds: Mapping[str, float], names: tuple[str, ...]) -> list[float] | None:
    return [thresholds[name] for name in names] if thresholds else None
