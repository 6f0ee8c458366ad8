"""Figures of a classifier's answers: within each source, across them, and beside a constant."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import NOT_LABELLED
from blood_cell_system.inference.field_bootstrap import Figure, with_interval
from blood_cell_system.models.calibration import Reliability, reliability
from blood_cell_system.models.classification_metrics import (
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
from blood_cell_system.models.conformal import conformal_sets

ACROSS: Final = "all sources"

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiseaseScores:
    """How well a disease is told from healthy cells.

    Parameters
    ----------
    condition : str
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
    names : tuple of str
    confusion : ndarray of shape (classes, classes)
        Row: true class, column: answer.
    accuracy, balanced_accuracy, macro_f1, calibration_error : Figure
    constant : str
        Most frequent class.
    constant_accuracy, constant_balanced_accuracy : float
        Of always answering it.
    reliability : Reliability
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
    """How well cells of the classes are told from what is none of them.

    Parameters
    ----------
    cells, outliers : int
    auroc : Figure
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
    probabilities: Floats,
    y_true: Labels,
    sources: Sequence[str],
    fields: Sequence[Hashable],
    *,
    seed: int = 0,
) -> tuple[DiseaseScores, ...]:
    """Compare each disease with the healthy cells of its own sources, and of all.

    Parameters
    ----------
    names : sequence of str
        Conditions; the first one is healthy.
    probabilities : ndarray of shape (n, conditions)
    y_true : ndarray of shape (n,)
    sources, fields : sequence
        Of each cell.
    seed : int
        Of the intervals.
    """
    found = []
    for index, name in enumerate(names[1:], start=1):
        for where, is_there in _places(sources):
            chosen = np.flatnonzero(is_there & ((y_true == 0) | (y_true == index)))
            is_diseased = y_true[chosen] == index
            if not is_diseased.any() or is_diseased.all():
                continue
            score = probabilities[chosen, index]
            own_fields = [fields[position] for position in chosen.tolist()]
            found.append(
                DiseaseScores(
                    condition=name,
                    where=where,
                    diseased=int(is_diseased.sum()),
                    healthy=int((~is_diseased).sum()),
                    fields=len(set(own_fields)),
                    auroc=_of_scores(auroc, is_diseased, score, own_fields, seed),
                    sensitivity=_of_scores(
                        sensitivity_at_specificity, is_diseased, score, own_fields, seed
                    ),
                )
            )
    return tuple(found)


def head_scores(
    names: tuple[str, ...],
    probabilities: Floats,
    y_true: Labels,
    sources: Sequence[str],
    fields: Sequence[Hashable],
    *,
    thresholds: Sequence[float] | None = None,
    seed: int = 0,
) -> tuple[HeadScores, ...]:
    """Measure a head on all labelled cells, and within each source that has two classes.

    Parameters
    ----------
    names, probabilities, y_true, sources, fields, seed
        As of :func:`disease_scores`.
    thresholds : sequence of float, optional
        Conformal, by class.
    """
    found = []
    for where, is_there in _places(sources):
        chosen = np.flatnonzero(is_there & (y_true != NOT_LABELLED))
        if len(np.unique(y_true[chosen])) > 1:
            found.append(
                _head_scores(
                    where,
                    names,
                    probabilities[chosen],
                    y_true[chosen],
                    [fields[position] for position in chosen.tolist()],
                    thresholds,
                    seed,
                )
            )
    return tuple(found)


def known_scores(
    known: Floats,
    is_cell: NDArray[np.bool_],
    fields: Sequence[Hashable],
    *,
    threshold: float | None,
    seed: int = 0,
) -> KnownScores | None:
    """Measure the answer "none of the classes"; None without both kinds."""
    if is_cell.all() or not is_cell.any():
        return None
    return KnownScores(
        cells=int(is_cell.sum()),
        outliers=int((~is_cell).sum()),
        auroc=_of_scores(auroc, is_cell, known, fields, seed),
        kept=float("nan") if threshold is None else float((known[is_cell] >= threshold).mean()),
        caught=float("nan") if threshold is None else float((known[~is_cell] < threshold).mean()),
    )


def _of_scores(
    measure: Callable[[NDArray[np.bool_], Floats, Floats], float],
    is_positive: NDArray[np.bool_],
    score: Floats,
    fields: Sequence[Hashable],
    seed: int,
) -> Figure:
    return with_interval(lambda weight: measure(is_positive, score, weight), fields, seed=seed)


def _head_scores(
    where: str,
    names: tuple[str, ...],
    probabilities: Floats,
    y_true: Labels,
    fields: Sequence[Hashable],
    thresholds: Sequence[float] | None,
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
    coverage = single_share = float("nan")
    if thresholds is not None:
        sets = conformal_sets(probabilities, thresholds)
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
