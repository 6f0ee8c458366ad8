"""What a classifier would reach that sees no cell at all, but the border and the size of an image.

Laboratories photograph classes differently: another day, another lamp, another crop. A logistic
regression on a few such numbers tells how much of a figure they explain. It is measured as the
classifier is: on groups (slides, patients) that it has not learned from.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from blood_cell_system.seeding import generator_for

FOLDS: Final = 5
"""Parts of the groups, of which each is left out once."""
_RIDGE: Final = 1.0
"""Weight of the squared coefficients, in cells: a few numbers must not be fitted to a few cells."""

Floats = NDArray[np.float64]


def grouped_logistic(
    features: ArrayLike, y_true: ArrayLike, groups: Sequence[Hashable], *, seed: int = 0
) -> Floats | None:
    """Probabilities of classes by a logistic regression that never saw a cell's group.

    Parameters
    ----------
    features : array_like of shape (n, features)
        NaN counts as the mean.
    y_true : array_like of shape (n,), dtype int
        Classes, from 0.
    groups : sequence
        Of each cell.
    seed : int
        Of the folds.

    Returns
    -------
    ndarray of shape (n, classes) or None
        None for a single group, which cannot be left out, and for a single class.
    """
    values, true = np.asarray(features, dtype=np.float64), np.asarray(y_true)
    names = list(dict.fromkeys(groups))
    classes = int(true.max()) + 1 if len(true) else 0
    if len(names) < 2 or len(np.unique(true)) < 2:
        return None
    order = generator_for(seed, "trivial folds").permutation(len(names))
    fold_of = {names[index]: place % FOLDS for place, index in enumerate(order.tolist())}
    folds = np.array([fold_of[group] for group in groups])
    probabilities = np.empty((len(true), classes))
    for fold in np.unique(folds):
        is_left_out = folds == fold
        fitted = _fitted(values[~is_left_out], true[~is_left_out], classes)
        probabilities[is_left_out] = fitted(values[is_left_out])
    return probabilities


def _fitted(values: Floats, true: NDArray[np.integer], classes: int) -> Callable[[Floats], Floats]:
    """Give probabilities of other cells by a regression in which every class weighs the same."""
    is_known = np.isfinite(values)
    count = np.maximum(is_known.sum(axis=0), 1)
    mean = np.where(is_known, values, 0).sum(axis=0) / count
    spread = np.where(is_known, values - mean, 0)
    scale = np.maximum(np.sqrt((spread**2).sum(axis=0) / count), 1e-9)

    def design(cells: Floats) -> Floats:
        filled = np.where(np.isfinite(cells), cells, mean)
        return np.column_stack([np.ones(len(cells)), (filled - mean) / scale])

    size = np.bincount(true, minlength=classes)
    weight = len(true) / ((size > 0).sum() * size[true])
    coefficients = fit_logistic(
        design(values), true, num_classes=classes, weight=weight, ridge=_RIDGE
    )
    return lambda cells: np.asarray(softmax(design(cells) @ coefficients, axis=1))


def fit_logistic(
    design: Floats,
    y_true: NDArray[np.integer],
    *,
    num_classes: int,
    weight: Floats,
    ridge: float,
) -> Floats:
    """Fit a multinomial logistic regression.

    Parameters
    ----------
    design : ndarray of shape (n, features)
        Of similar spread; the first column is 1, and its coefficients, the intercepts, are free.
    y_true : ndarray of shape (n,)
    weight : ndarray of shape (n,)
    ridge : float
        Weight of the squared coefficients.

    Returns
    -------
    ndarray of shape (features, num_classes)
    """
    shape = (design.shape[1], num_classes)
    wanted = np.eye(num_classes)[y_true]

    def loss(flat: Floats) -> tuple[float, Floats]:
        coefficients = flat.reshape(shape)
        logits = design @ coefficients
        log_likelihood = (wanted * log_softmax(logits, axis=1)).sum(axis=1)
        held_back = np.vstack([np.zeros(num_classes), coefficients[1:]])
        value = -float(weight @ log_likelihood) + 0.5 * ridge * float((held_back**2).sum())
        slope = design.T @ (weight[:, None] * (softmax(logits, axis=1) - wanted))
        return value, np.asarray(slope + ridge * held_back).ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64).reshape(shape)
