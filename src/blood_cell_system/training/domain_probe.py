"""How much features still tell of the domain: a linear probe, in plain NumPy."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from blood_cell_system.models.classification_metrics import balanced_accuracy, confusion_counts

_PENALTY: Final = 1e-3
_FEWEST_EXAMPLES: Final = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What a linear probe makes of features.

    Parameters
    ----------
    accuracy : float
        Mean over the groups of the balanced accuracy on examples that the probe has not seen; NaN
        when no group has enough examples of two domains.
    chance : float
        What guessing would reach.
    """

    accuracy: float
    chance: float


def probe_domains(
    train: tuple[NDArray[np.floating], NDArray[np.integer], NDArray[np.integer]],
    test: tuple[NDArray[np.floating], NDArray[np.integer], NDArray[np.integer]],
) -> ProbeResult:
    """Fit a probe of the domain within each group, and measure it on other examples.

    Groups are classes: between classes, the class itself would tell the domain.

    Parameters
    ----------
    train, test : tuple of features (n, channels), domains (n,), groups (n,)
        Examples of group -1 are left out.
    """
    accuracies, chances = [], []
    features, domains, groups = train
    for group in np.unique(groups[groups >= 0]):
        chosen, tested = groups == group, test[2] == group
        names, counts = np.unique(domains[chosen], return_counts=True)
        names = names[counts >= _FEWEST_EXAMPLES]
        chosen &= np.isin(domains, names)
        tested &= np.isin(test[1], names)
        if len(names) < 2 or len(np.unique(test[1][tested])) < 2:
            continue
        centre, spread = features[chosen].mean(axis=0), features[chosen].std(axis=0) + 1e-6
        weights = fit_logistic(
            (features[chosen] - centre) / spread,
            np.searchsorted(names, domains[chosen]),
            num_classes=len(names),
        )
        scores = _with_ones((test[0][tested] - centre) / spread) @ weights
        confusion = confusion_counts(
            np.searchsorted(names, test[1][tested]), scores.argmax(axis=1), num_classes=len(names)
        )
        accuracies.append(balanced_accuracy(confusion))
        chances.append(1 / len(np.unique(test[1][tested])))
    if not accuracies:
        return ProbeResult(accuracy=float("nan"), chance=float("nan"))
    return ProbeResult(accuracy=float(np.mean(accuracies)), chance=float(np.mean(chances)))


def fit_logistic(
    features: NDArray[np.floating], labels: NDArray[np.integer], *, num_classes: int
) -> Floats:
    """Fit a multinomial logistic regression in which all classes count alike.

    Parameters
    ----------
    features : ndarray of shape (n, channels)
        Of similar spread.
    labels : ndarray of shape (n,)
    num_classes : int

    Returns
    -------
    ndarray of shape (channels + 1, num_classes)
        The last row is the offset.
    """
    design = _with_ones(features)
    target = np.eye(num_classes)[labels]
    weight = (1.0 / np.bincount(labels, minlength=num_classes).clip(1))[labels] / num_classes
    shape = (design.shape[1], num_classes)

    def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        logits = design @ weights
        logits -= logits.max(axis=1, keepdims=True)
        log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        penalised = weights.copy()
        penalised[-1] = 0.0
        loss = -(weight[:, None] * target * log_probabilities).sum()
        loss += 0.5 * _PENALTY * (penalised**2).sum()
        residual = weight[:, None] * (np.exp(log_probabilities) - target)
        return float(loss), (design.T @ residual + _PENALTY * penalised).ravel()

    found = minimize(
        loss_and_gradient,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 300},
    )
    return np.asarray(found.x, dtype=np.float64).reshape(shape)


def _with_ones(features: NDArray[np.floating]) -> Floats:
    return np.column_stack([features, np.ones(len(features))]).astype(np.float64)
