"""Figures of classifiers in plain NumPy, with weights, so that they can be resampled."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blood_cell_system.taxonomy import NOT_LABELLED

Floats = NDArray[np.float64]


def auroc(is_positive: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Chance that a positive has a higher score than a negative; ties count half.

    Parameters
    ----------
    is_positive : array_like of shape (n,), dtype bool
    score : array_like of shape (n,)
    weight : array_like of shape (n,), optional
        How often each counts; 1 by default.

    Returns
    -------
    float
        NaN without a positive or without a negative.

    Examples
    --------
    >>> auroc([False, False, True, True], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    positive, negative = _by_score(is_positive, score, weight)
    if positive.sum() == 0 or negative.sum() == 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    wins = float((positive * (below + 0.5 * negative)).sum())
    return wins / float(positive.sum() * negative.sum())


def sensitivity_at_specificity(
    is_positive: ArrayLike,
    score: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    specificity: float = 0.95,
) -> float:
    """Largest share of positives found while that share of negatives is left alone.

    Parameters
    ----------
    is_positive, score, weight
        As of :func:`auroc`.

    Returns
    -------
    float
        NaN without a positive or without a negative.
    """
    positive, negative = _by_score(is_positive, score, weight)
    if positive.sum() == 0 or negative.sum() == 0:
        return float("nan")
    # Calling positive what lies at or above the k-th distinct score, for every k, and none at all.
    left_alone = np.append(np.cumsum(negative) - negative, negative.sum()) / negative.sum()
    found = np.append(np.cumsum(positive[::-1])[::-1], 0.0) / positive.sum()
    return float(found[left_alone >= specificity - 1e-12].max())


def confusion_counts(
    y_true: ArrayLike, y_pred: ArrayLike, *, num_classes: int, weight: ArrayLike | None = None
) -> Floats:
    """Count cells by true and predicted class.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,), dtype int
        Cells whose true class is ``NOT_LABELLED`` are left out.
    weight : array_like of shape (n,), optional

    Returns
    -------
    ndarray of shape (num_classes, num_classes), dtype float64
        Row: true class, column: predicted class.
    """
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    counted = np.ones(len(true)) if weight is None else np.asarray(weight, dtype=np.float64)
    is_known = true != NOT_LABELLED
    place = true[is_known] * num_classes + predicted[is_known]
    flat = np.bincount(place, weights=counted[is_known], minlength=num_classes**2)
    return np.asarray(flat, dtype=np.float64).reshape(num_classes, num_classes)


def accuracy(confusion: Floats) -> float:
    """Share of cells on the diagonal; NaN without a cell."""
    total = float(confusion.sum())
    return float(np.trace(confusion)) / total if total else float("nan")


def recalls(confusion: Floats) -> Floats:
    """Share of each true class that is recognised; NaN for a class without cells."""
    return ratio(np.diag(confusion), confusion.sum(axis=1))


def precisions(confusion: Floats) -> Floats:
    """Share of each predicted class that is right; NaN for a class that is never predicted."""
    return ratio(np.diag(confusion), confusion.sum(axis=0))


def f1_scores(confusion: Floats) -> Floats:
    """Harmonic mean of precision and recall a class; NaN for a class without cells."""
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    scores = ratio(2 * np.diag(confusion), total)
    scores[confusion.sum(axis=1) == 0] = np.nan
    return scores


def balanced_accuracy(confusion: Floats) -> float:
    """Mean recall of the classes that occur; a constant answer has one over their number."""
    return _mean_of_finite(recalls(confusion))


def macro_f1(confusion: Floats) -> float:
    """Mean F1 of the classes that occur."""
    return _mean_of_finite(f1_scores(confusion))


def _by_score(
    is_positive: ArrayLike, score: ArrayLike, weight: ArrayLike | None
) -> tuple[Floats, Floats]:
    """Weights of positives and negatives at each distinct score, in rising order."""
    scores = np.asarray(score, dtype=np.float64)
    truth = np.asarray(is_positive, dtype=bool)
    counted = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
    distinct, place = np.unique(scores, return_inverse=True)
    size = len(distinct)
    positive = np.bincount(place, weights=counted * truth, minlength=size)
    negative = np.bincount(place, weights=counted * ~truth, minlength=size)
    return np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)


def ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """Share of each whole; NaN where that is 0."""
    shares = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=shares, where=np.asarray(whole) > 0)
    return shares


def _mean_of_finite(values: Floats) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
