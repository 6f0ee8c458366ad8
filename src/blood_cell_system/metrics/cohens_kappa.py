r"""How far two raters agree on classes, beyond what chance alone gives.

Cohen's :math:`\kappa = (p_o - p_e) / (1 - p_e)`, where :math:`p_o` is the share of units that both
call the same, and :math:`p_e` what raters give who draw classes at random, each with the shares
that it has [1]_.

References
----------
.. [1] J. Cohen, "A coefficient of agreement for nominal scales", *Educ Psychol Meas* 20, 1960.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.metrics.intervals import Figure, Statistic, with_interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RaterAgreement:
    """Answers of two raters about the same units.

    Parameters
    ----------
    classes : tuple of str
        Those that any of them named.
    counts : ndarray of shape (classes, classes), dtype int64
        Rows are the first rater's classes, columns the second's.
    observed : Figure
        Share of units that both call the same.
    kappa : Figure
        NaN where both name one and the same class always.
    by_class : tuple of Figure
        Of each class, twice the units that both call so over those that either does, counted for
        each: the share of one's calls that the other repeats.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    observed: Figure
    kappa: Figure
    by_class: tuple[Figure, ...]

    @classmethod
    def of(cls, first: Sequence[str], second: Sequence[str], fields: Sequence[Hashable]) -> Self:
        """Compare two raters.

        Parameters
        ----------
        first, second : sequence of str
            Class of each unit; one or more units.
        fields : sequence
            Field of each unit: intervals draw whole fields.
        """
        classes = tuple(dict.fromkeys([*first, *second]))
        places = {name: place for place, name in enumerate(classes)}
        size = len(classes)
        pairs = np.array([places[a] * size + places[b] for a, b in zip(first, second, strict=True)])

        def table(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            counts = np.bincount(pairs, weights, minlength=size * size).astype(np.float64)
            return counts.reshape(size, size)

        def repeated(place: int) -> Statistic:
            return lambda weights: _repeated(table(weights), place)

        return cls(
            classes=classes,
            counts=table(np.ones(len(pairs))).astype(np.int64),
            observed=with_interval(lambda weights: _observed(table(weights)), fields),
            kappa=with_interval(lambda weights: cohens_kappa(table(weights)), fields),
            by_class=tuple(with_interval(repeated(place), fields) for place in range(size)),
        )

    @property
    def total(self) -> int:
        """Number of units."""
        return int(self.counts.sum())


def cohens_kappa(counts: NDArray[np.integer] | NDArray[np.float64]) -> float:
    """Cohen's kappa of a square table of counts; NaN where chance alone gives full agreement.

    Examples
    --------
    >>> round(cohens_kappa(np.array([[20, 5], [10, 15]])), 2)
    0.4
    """
    total = counts.sum()
    if total <= 0:
        return float("nan")
    by_chance = float((counts.sum(axis=0) * counts.sum(axis=1)).sum()) / float(total) ** 2
    if by_chance >= 1:
        return float("nan")
    return (_observed(counts) - by_chance) / (1 - by_chance)


def _observed(counts: NDArray[np.integer] | NDArray[np.float64]) -> float:
    total = float(counts.sum())
    return float(np.trace(counts)) / total if total > 0 else float("nan")


def _repeated(counts: NDArray[np.float64], place: int) -> float:
    either = float(counts[place].sum() + counts[:, place].sum())
    return 2 * float(counts[place, place]) / either if either > 0 else float("nan")
