"""Answers that admit not to know: conformal sets a class, and what is none of the classes.

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
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEFAULT_COVERAGE: Final = 0.95
DEFAULT_KEPT_SHARE: Final = 0.95


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
        Share of sets that shall hold the true class, 0 to 1.

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
    kept_share : float

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
