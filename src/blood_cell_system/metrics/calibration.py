"""Probabilities that mean what they say, and answers that admit not to know.

For each class a threshold is chosen on cells that were not learned from. A class belongs to a
cell's set when its probability reaches the class's threshold. A set of one class is an answer; a
set of several, or of none, says "not sure". Of new cells like those of the calibration, whatever
their class, at least ``coverage`` have their true class in the set [1]_.

References
----------
.. [1] V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2005,
   section 4.5 (label-conditional conformal predictors).
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from blood_cell_system.taxonomy import NOT_LABELLED

BINS: Final = 15
"""Bins of the confidence, as in Guo et al. 2017."""

DEFAULT_COVERAGE: Final = 0.95
"""Share of conformal sets that should hold the true class."""

DEFAULT_KEPT_SHARE: Final = 0.95
"""Share of cells of the classes that the threshold of ``known`` should keep."""

_SMALLEST: Final = 1e-12
"""Probability below which a logarithm is cut off."""

_TEMPERATURES: Final = (0.05, 20.0)
"""Beyond these the network says nothing at all, or always the same."""

_PRIOR_SPREAD: Final = 0.5
"""Standard deviation of the temperature's logarithm, before any cell is seen: when the answers for
a dozen cells are all right, the likelihood alone would have the network be sure without bounds."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How often answers of a confidence are right.

    Parameters
    ----------
    edges : ndarray of shape (bins + 1,)
        Of the confidence, 0 to 1.
    weight, confidence, accuracy : ndarray of shape (bins,)
        Cells of a bin, their mean confidence, and the share of right answers; NaN in an empty bin.
    """

    edges: Floats
    weight: Floats
    confidence: Floats
    accuracy: Floats

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of accuracy and confidence over all cells; NaN without a cell [1]_.

        References
        ----------
        .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural
           Networks", ICML 2017, equation 3.
        """
        total = float(self.weight.sum())
        if not total:
            return float("nan")
        gap = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.weight * gap).sum()) / total


def reliability(
    probabilities: ArrayLike,
    y_true: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    bins: int = BINS,
) -> Reliability:
    """Sort the answers by the confidence of the most probable class.

    Parameters
    ----------
    probabilities : array_like of shape (n, classes)
    y_true : array_like of shape (n,), dtype int
        ``NOT_LABELLED`` is left out.
    weight : array_like of shape (n,), optional
    bins : int
        Of equal width.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    true = np.asarray(y_true)
    counted = np.ones(len(true)) if weight is None else np.asarray(weight, dtype=np.float64)
    counted = counted * (true != NOT_LABELLED)
    confidence = values.max(axis=1)
    is_right = values.argmax(axis=1) == true
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    total = np.asarray(np.bincount(place, weights=counted, minlength=bins), dtype=np.float64)
    sums = (
        np.bincount(place, weights=counted * confidence, minlength=bins),
        np.bincount(place, weights=counted * is_right, minlength=bins),
    )
    means = [np.divide(s, total, out=np.full(bins, np.nan), where=total > 0) for s in sums]
    return Reliability(
        edges=np.linspace(0, 1, bins + 1), weight=total, confidence=means[0], accuracy=means[1]
    )


def expected_calibration_error(
    probabilities: ArrayLike, y_true: ArrayLike, weight: ArrayLike | None = None
) -> float:
    """Calibration error of the most probable class; see :class:`Reliability`."""
    return reliability(probabilities, y_true, weight).expected_calibration_error


def negative_log_likelihood(probabilities: ArrayLike, y_true: ArrayLike) -> float:
    """Mean of ``-ln p(true class)`` of labelled cells; NaN without any."""
    values, true = _labelled(probabilities, y_true)
    if not len(true):
        return float("nan")
    return float(np.mean(-np.log(np.maximum(values[np.arange(len(true)), true], _SMALLEST))))


def with_temperature(probabilities: ArrayLike, temperature: float) -> Floats:
    """Probabilities after dividing their logits by a temperature; above 1 they are less sure.

    Parameters
    ----------
    probabilities : array_like of shape (n, classes)
        Of a softmax: their logarithms are the logits up to a constant, which softmax cancels.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _SMALLEST))
    return np.asarray(softmax(logits / temperature, axis=1))


def fit_temperature(probabilities: ArrayLike, y_true: ArrayLike) -> float:
    """Temperature at which the true classes are most likely; near 1 when there are few cells.

    Parameters
    ----------
    probabilities, y_true
        As of :func:`reliability`, from cells that the network has not learned from.

    Returns
    -------
    float
        Within 0.05 and 20; 1 when no class is known.
    """
    return temperature_across_sources(probabilities, y_true, [""] * len(np.asarray(y_true)))


def _labelled(probabilities: ArrayLike, y_true: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    true = np.asarray(y_true, dtype=np.int64)
    is_labelled = true != NOT_LABELLED
    return np.asarray(probabilities, dtype=np.float64)[is_labelled], true[is_labelled]


def class_thresholds(
    probabilities: ArrayLike, y_true: ArrayLike, *, coverage: float = DEFAULT_COVERAGE
) -> NDArray[np.float64]:
    """Choose the threshold of each class.

    Parameters
    ----------
    probabilities : array_like of shape (n, classes)
    y_true : array_like of shape (n,), dtype int
        ``NOT_LABELLED`` cells are left out.
    coverage : float
        Share of sets that should hold the true class, 0 to 1.

    Returns
    -------
    ndarray of shape (classes,)
        0, always in the set, for a class of too few cells to promise the coverage.

    Raises
    ------
    ValueError
        ``coverage`` is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"Conformal: expected a coverage between 0 and 1. Received: {coverage}.")
    values, true = np.asarray(probabilities, dtype=np.float64), np.asarray(y_true)
    thresholds = np.zeros(values.shape[1])
    for index in range(values.shape[1]):
        own = np.sort(values[true == index, index])
        # The (n + 1)(1 - coverage) smallest, rounded down, may fall below the threshold.
        allowed = math.floor((len(own) + 1) * (1 - coverage) + 1e-9)
        if allowed >= 1:
            thresholds[index] = own[allowed - 1]
    return thresholds


class Guarantee(StrEnum):
    """In which new laboratory a calibration should hold."""

    WORST = "worst"
    """In one like the worst of those that it was made with."""
    AVERAGE = "average"
    """On average over laboratories."""


def thresholds_across_sources(
    probabilities: ArrayLike,
    y_true: ArrayLike,
    sources: Sequence[Hashable],
    *,
    coverage: float = DEFAULT_COVERAGE,
    guarantee: Guarantee = Guarantee.AVERAGE,
) -> NDArray[np.float64]:
    """Choose the threshold of each class for a laboratory that nobody has seen.

    Cells of one laboratory err together: thresholds of home cells promise nothing elsewhere.
    Each laboratory counts the same, however many cells it has, and its cells must come from a
    classifier that has not seen it.

    Parameters
    ----------
    probabilities, y_true
        As of :func:`class_thresholds`, of the left-out cells of all sources.
    sources : sequence
        Of each cell.
    guarantee : Guarantee
        Whether the coverage is to hold in the worst source, or in the mean over them.

    Returns
    -------
    ndarray of shape (classes,)
        0 for a class of too few cells.

    Raises
    ------
    ValueError
        ``coverage`` is not between 0 and 1.
    """
    by_source = _by_source(probabilities, y_true, sources)
    thresholds_of = [class_thresholds(*part, coverage=coverage) for part in by_source]
    thresholds = np.zeros(np.shape(probabilities)[1])
    for index in range(len(thresholds)):
        # A source with too few cells of a class says nothing of it.
        own = [found[index] for found in thresholds_of if found[index] > 0]
        if not own:
            continue
        if guarantee is Guarantee.WORST:
            thresholds[index] = min(own)
            continue
        parts = [np.sort(values[true == index, index]) for values, true in by_source]
        parts = [part for part in parts if len(part)]
        candidates = np.unique(np.concatenate(parts))
        # Below the first of n cells, 1 of n + 1 may be expected: the correction of conformal sets.
        missed = [
            (np.searchsorted(part, candidates, side="left") + 1) / (len(part) + 1) for part in parts
        ]
        is_enough = np.mean(missed, axis=0) <= 1 - coverage + 1e-9
        thresholds[index] = candidates[is_enough].max() if is_enough.any() else 0.0
    return thresholds


def temperature_across_sources(
    probabilities: ArrayLike, y_true: ArrayLike, sources: Sequence[Hashable]
) -> float:
    """Temperature at which left-out cells are most likely, each source counting the same.

    Parameters
    ----------
    probabilities, y_true, sources
        As of :func:`thresholds_across_sources`.

    Returns
    -------
    float
        As of :func:`fit_temperature`.
    """
    labelled = (_labelled(*part) for part in _by_source(probabilities, y_true, sources))
    parts = [(part, labels) for part, labels in labelled if len(labels)]
    if not parts:
        return 1.0
    cells = sum(len(labels) for _, labels in parts)

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        losses = [
            negative_log_likelihood(with_temperature(part, temperature), labels)
            for part, labels in parts
        ]
        return cells * float(np.mean(losses)) + 0.5 * (log_temperature / _PRIOR_SPREAD) ** 2

    low, high = np.log(_TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _by_source(
    probabilities: ArrayLike, y_true: ArrayLike, sources: Sequence[Hashable]
) -> list[tuple[Floats, NDArray[np.int64]]]:
    values = np.asarray(probabilities, dtype=np.float64)
    true = np.asarray(y_true, dtype=np.int64)
    names = list(dict.fromkeys(sources))
    place = np.array([names.index(name) for name in sources], dtype=np.intp)
    return [(values[place == s], true[place == s]) for s in range(len(names))]


def known_threshold_across_sources(
    known: ArrayLike,
    sources: Sequence[Hashable],
    *,
    kept_share: float = DEFAULT_KEPT_SHARE,
    guarantee: Guarantee = Guarantee.AVERAGE,
) -> float:
    """Choose below which ``known`` a cell is none of the classes, for an unseen laboratory.

    Parameters
    ----------
    known : array_like of shape (n,)
        Of left-out cells that are of the classes.
    sources : sequence
        Of each cell.
    kept_share : float
        Share of the cells to be kept, in the worst source or on average.
    """
    values = np.asarray(known, dtype=np.float64).reshape(-1, 1)
    return float(
        thresholds_across_sources(
            values,
            np.zeros(len(values), dtype=np.int64),
            sources,
            coverage=kept_share,
            guarantee=guarantee,
        )[0]
    )


def conformal_sets(probabilities: ArrayLike, thresholds: ArrayLike) -> NDArray[np.bool_]:
    """Which classes a cell may be.

    Parameters
    ----------
    probabilities : array_like of shape (n, classes)
    thresholds : array_like of shape (classes,)

    Returns
    -------
    ndarray of shape (n, classes), dtype bool
    """
    return np.asarray(np.asarray(probabilities) >= np.asarray(thresholds))


def known_threshold(
    known: ArrayLike, is_outlier: ArrayLike, *, kept_share: float = DEFAULT_KEPT_SHARE
) -> float:
    """Choose below which ``known`` a cell is none of the classes.

    Of the thresholds that keep ``kept_share`` of the cells of the classes, the one that separates
    them best from the outliers (largest sum of the two shares that are treated rightly).

    Parameters
    ----------
    known : array_like of shape (n,)
        Probability of being one of the classes at all.
    is_outlier : array_like of shape (n,), dtype bool

    Returns
    -------
    float
        0, which keeps everything, without outliers or without cells.
    """
    values, outlier = np.asarray(known, dtype=np.float64), np.asarray(is_outlier, dtype=bool)
    cells, others = np.sort(values[~outlier]), np.sort(values[outlier])
    if not len(cells) or not len(others):
        return 0.0
    # Between neighbouring values nothing changes, so halfway is as good and less of a chance.
    distinct = np.unique(values)
    candidates = np.concatenate([[0.0], (distinct[1:] + distinct[:-1]) / 2])
    kept = 1 - np.searchsorted(cells, candidates, side="left") / len(cells)
    caught = np.searchsorted(others, candidates, side="left") / len(others)
    merit = np.where(kept >= kept_share, kept + caught, -1.0)
    return float(candidates[int(np.argmax(merit))])
