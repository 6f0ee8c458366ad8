"""Measuring a classifier on the cells of a split, with controls against shortcuts."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.classification import ClassificationSettings, predict_images
from blood_cell_system.analysis.trained_models import ClassifierOutputs, ClassifierRuntime
from blood_cell_system.metrics.calibration import Reliability, conformal_sets, reliability
from blood_cell_system.metrics.classification_scores import (
    accuracy,
    auroc,
    balanced_accuracy,
    confusion_counts,
    f1_scores,
    macro_f1,
    precisions,
    recalls,
    sensitivity_at_specificity,
)
from blood_cell_system.metrics.intervals import Figure, with_interval
from blood_cell_system.model_metadata import CELL_SIDE_PX, ModelMetadata
from blood_cell_system.taxonomy import NOT_LABELLED
from blood_cell_system.training.classifier_data import CellSet

ACROSS: Final = "all sources"
"""Where a figure of all cells together is from."""

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]
Probabilities = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiseaseScores:
    """How well a disease is distinguished from healthy cells.

    Parameters
    ----------
    where : str
        ``within SOURCE``, where one laboratory has both, or ``all sources``.
    diseased, healthy, fields : int
        Cells, and fields that they are from.
    auroc, sensitivity : Figure
        The second at a specificity of 95 %.
    """

    condition: str
    where: str
    diseased: int
    healthy: int
    fields: int
    auroc: Figure
    sensitivity: Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadScores:
    """How good the answers of a head are, of conditions or types.

    Parameters
    ----------
    where : str
        ``within SOURCE`` or ``all sources``.
    confusion : ndarray of shape (classes, classes)
        Row: true class, column: answer.
    constant : str
        Most frequent class.
    constant_accuracy, constant_balanced_accuracy : float
        Of always answering it.
    coverage, single_share : float
        Share of conformal sets that hold the true class, and that hold one class only; NaN where
        the classifier was not calibrated.
    """

    where: str
    names: tuple[str, ...]
    confusion: Floats
    accuracy: Figure
    balanced_accuracy: Figure
    macro_f1: Figure
    calibration_error: Figure
    constant: str
    constant_accuracy: float
    constant_balanced_accuracy: float
    reliability: Reliability
    coverage: float
    single_share: float

    @property
    def by_class(self) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and number of cells of each class."""
        columns = (
            precisions(self.confusion),
            recalls(self.confusion),
            f1_scores(self.confusion),
            self.confusion.sum(axis=1),
        )
        return {
            name: dict(zip(("precision", "recall", "f1", "cells"), map(float, values), strict=True))
            for name, *values in zip(self.names, *columns, strict=True)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownScores:
    """How well cells of the classes are distinguished from what is none of them.

    Parameters
    ----------
    kept, caught : float
        Share of cells that are kept, and of outliers that are caught, at the classifier's
        threshold; NaN without one.
    """

    cells: int
    outliers: int
    auroc: Figure
    kept: float
    caught: float


def disease_scores(
    names: Sequence[str],
    probabilities: Probabilities,
    y_true: Labels,
    sources: Sequence[str],
    fields: Sequence[Hashable],
    *,
    healthy: str | None = None,
    seed: int = 0,
) -> tuple[DiseaseScores, ...]:
    """Compare each disease with the healthy cells of its own sources, and of all.

    Parameters
    ----------
    names : sequence of str
        Conditions.
    probabilities : ndarray of shape (n, conditions)
    y_true : ndarray of shape (n,)
    sources, fields : sequence
        Of each cell.
    healthy : str, optional
        The condition that the others are compared with; the first by default.
    seed : int
        Of the intervals.
    """
    found = []
    first = names.index(healthy or names[0])
    for index, name in enumerate(names):
        if index == first:
            continue
        for where, is_there in _places(sources):
            chosen = np.flatnonzero(is_there & ((y_true == first) | (y_true == index)))
            is_diseased = y_true[chosen] == index
            if not is_diseased.any() or is_diseased.all():
                continue
            figure = partial(
                _of_scores, is_diseased, probabilities[chosen, index], _at(fields, chosen), seed
            )
            found.append(
                DiseaseScores(
                    condition=name,
                    where=where,
                    diseased=int(is_diseased.sum()),
                    healthy=int((~is_diseased).sum()),
                    fields=len(set(_at(fields, chosen))),
                    auroc=figure(auroc),
                    sensitivity=figure(sensitivity_at_specificity),
                )
            )
    return tuple(found)


def head_scores(
    names: tuple[str, ...],
    probabilities: Probabilities,
    y_true: Labels,
    sources: Sequence[str],
    fields: Sequence[Hashable],
    *,
    thresholds: Mapping[str, float] | None = None,
    seed: int = 0,
) -> tuple[HeadScores, ...]:
    """Measure a head on all labelled cells, and within each source that has two classes.

    Parameters
    ----------
    names, probabilities, y_true, sources, fields, seed
        As of :func:`disease_scores`.
    thresholds : mapping of str to float, optional
        Conformal, by class.
    """
    found = []
    for where, is_there in _places(sources):
        chosen = np.flatnonzero(is_there & (y_true != NOT_LABELLED))
        if len(np.unique(y_true[chosen])) > 1:
            own = probabilities[chosen], y_true[chosen], _at(fields, chosen)
            found.append(_head_scores(where, names, *own, thresholds, seed))
    return tuple(found)


def known_scores(
    known: Probabilities,
    is_cell: NDArray[np.bool_],
    fields: Sequence[Hashable],
    *,
    threshold: float | None,
    seed: int = 0,
) -> KnownScores | None:
    """Measure the answer "none of the classes"; None without both kinds."""
    if is_cell.all() or not is_cell.any():
        return None
    is_kept = np.asarray(known, dtype=np.float64) >= (math.nan if threshold is None else threshold)
    return KnownScores(
        cells=int(is_cell.sum()),
        outliers=int((~is_cell).sum()),
        auroc=_of_scores(is_cell, known, fields, seed, auroc),
        kept=math.nan if threshold is None else float(is_kept[is_cell].mean()),
        caught=math.nan if threshold is None else float((~is_kept[~is_cell]).mean()),
    )


def _at(values: Sequence[Hashable], positions: NDArray[np.intp]) -> list[Hashable]:
    return [values[position] for position in positions.tolist()]


def _of_scores(
    is_positive: NDArray[np.bool_],
    score: Probabilities,
    fields: Sequence[Hashable],
    seed: int,
    measure: Callable[[NDArray[np.bool_], Probabilities, Floats], float],
) -> Figure:
    return with_interval(lambda weight: measure(is_positive, score, weight), fields, seed=seed)


def _head_scores(
    where: str,
    names: tuple[str, ...],
    probabilities: Probabilities,
    y_true: Labels,
    fields: Sequence[Hashable],
    thresholds: Mapping[str, float] | None,
    seed: int,
) -> HeadScores:
    answers = probabilities.argmax(axis=1)

    def confusion_of(weight: Floats | None, given: NDArray[np.integer] = answers) -> Floats:
        return confusion_counts(y_true, given, num_classes=len(names), weight=weight)

    def figure(measure: Callable[[Floats], float]) -> Figure:
        return with_interval(lambda weight: measure(confusion_of(weight)), fields, seed=seed)

    confusion = confusion_of(None)
    constant = int(confusion.sum(axis=1).argmax())
    constant_confusion = confusion_of(None, np.full(len(y_true), constant))
    coverage = single_share = math.nan
    if thresholds:
        sets = conformal_sets(probabilities, [thresholds[name] for name in names])
        coverage = float(sets[np.arange(len(y_true)), y_true].mean())
        single_share = float((sets.sum(axis=1) == 1).mean())
    return HeadScores(
        where=where,
        names=names,
        confusion=confusion,
        accuracy=figure(accuracy),
        balanced_accuracy=figure(balanced_accuracy),
        macro_f1=figure(macro_f1),
        calibration_error=with_interval(
            lambda weight: reliability(probabilities, y_true, weight).expected_calibration_error,
            fields,
            seed=seed,
        ),
        constant=names[constant],
        constant_accuracy=accuracy(constant_confusion),
        constant_balanced_accuracy=balanced_accuracy(constant_confusion),
        reliability=reliability(probabilities, y_true),
        coverage=coverage,
        single_share=single_share,
    )


def _places(sources: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """All sources together, then each for itself where there are several."""
    names = sorted(set(sources))
    of_cell = np.array(sources)
    places = [(ACROSS, np.ones(len(of_cell), dtype=bool))]
    if len(names) > 1:
        places += [(f"within {name}", of_cell == name) for name in names]
    return places


_SILHOUETTE_COLOUR: Final = (200, 160, 180)
"""RGB of a stained red cell."""

PATCH_PX: Final = 26
"""Side of what is covered at once: a fifth of a cell image."""

STEP_PX: Final = 13
"""From one covered place to the next."""

CellImage = NDArray[np.uint8]


def blanked(image: CellImage) -> CellImage:
    """Take the cell away: only what surrounds it could still reveal the class."""
    empty = image.copy()
    empty[:, :, :3] = 255
    return empty


def silhouette(image: CellImage) -> CellImage:
    """Leave nothing of the cell but its outline, all of one colour."""
    flat = image.copy()
    flat[:, :, :3] = _SILHOUETTE_COLOUR
    return flat


def occlusion_map(
    classifier: ClassifierRuntime, image: CellImage, *, output: str, index: int
) -> NDArray[np.float32]:
    """Cover a cell place by place with its own mean colour, and see what becomes of an answer.

    Parameters
    ----------
    image : ndarray of shape (130, 130, 4), dtype uint8
        RGBA.
    output : {"condition", "type"}
    index : int
        Of the class whose probability is watched.

    Returns
    -------
    ndarray of shape (130, 130), dtype float32
        By how much the probability falls when the place is covered, mean of the patches over it;
        negative where the place speaks against the class.
    """
    inside = image[:, :, 3] > 127
    mean = image[inside][:, :3].mean(axis=0) if inside.any() else np.full(3, 255.0)
    corners = [
        (top, left)
        for top in range(0, CELL_SIDE_PX - PATCH_PX + 1, STEP_PX)
        for left in range(0, CELL_SIDE_PX - PATCH_PX + 1, STEP_PX)
        if inside[top : top + PATCH_PX, left : left + PATCH_PX].any()
    ]
    shown = [image]
    for top, left in corners:
        covered = image.copy()
        covered[top : top + PATCH_PX, left : left + PATCH_PX, :3] = mean
        shown.append(covered)
    predictions = predict_images(classifier, shown)
    answers = predictions.condition if output == "condition" else predictions.cell_type
    if answers is None:
        raise ValueError(f"Occlusion: the classifier has no output {output!r}.")
    drops = answers[0, index] - answers[1:, index]
    total = np.zeros((CELL_SIDE_PX, CELL_SIDE_PX), dtype=np.float32)
    count = np.zeros_like(total)
    for (top, left), drop in zip(corners, drops, strict=True):
        total[top : top + PATCH_PX, left : left + PATCH_PX] += drop
        count[top : top + PATCH_PX, left : left + PATCH_PX] += 1
    return np.asarray(total / np.maximum(count, 1) * inside, dtype=np.float32)


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
    conditions, types : tuple of HeadScores
        The first is of all sources; empty where fewer than two classes occur.
    """

    metadata: ModelMetadata
    cells: int
    diseases: tuple[DiseaseScores, ...]
    conditions: tuple[HeadScores, ...]
    types: tuple[HeadScores, ...]
    known: KnownScores | None
    controls: tuple[ControlScores, ...]
    predictions: ClassifierOutputs


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
    cell_set : CellSet
        Its labels numbered by the classifier's own classes.
    seed : int
        Of the intervals.

    Raises
    ------
    CheckpointError
        The network fails.
    """
    metadata, labels = classifier.metadata, cell_set.labels
    predictions = predict_images(classifier, cell_set.cells, settings)
    sources = [labels.sources[index] for index in labels.source]
    fields = cell_set.fields
    types: tuple[HeadScores, ...] = ()
    if predictions.cell_type is not None:
        types = head_scores(
            metadata.subtypes,
            predictions.cell_type,
            labels.cell_type,
            sources,
            fields,
            thresholds=metadata.subtype_thresholds,
            seed=seed,
        )
    known = None
    if predictions.known is not None:
        threshold = metadata.in_distribution_threshold
        known = known_scores(
            predictions.known, labels.known > 0, fields, threshold=threshold, seed=seed
        )
    conditions = metadata.conditions, predictions.condition, labels.condition, sources, fields
    healthy = metadata.classifier_kind.healthy
    return ClassifierEvaluation(
        metadata=metadata,
        cells=len(cell_set),
        diseases=disease_scores(
            *conditions,
            healthy=healthy if healthy in metadata.conditions else None,
            seed=seed,
        ),
        conditions=head_scores(*conditions, thresholds=metadata.condition_thresholds, seed=seed),
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
        shown = predict_images(
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


def _balanced(probabilities: Probabilities | None, y_true: Labels) -> float:
    if probabilities is None:
        return math.nan
    answers = probabilities.argmax(axis=1)
    return balanced_accuracy(confusion_counts(y_true, answers, num_classes=probabilities.shape[1]))


def _chance(y_true: NDArray[np.int32]) -> float:
    classes = len(np.unique(y_true[y_true != NOT_LABELLED]))
    return 1 / classes if classes else math.nan
