"""The error of a method itself: how often it misses and how often it raises a false alarm.

Both rates differ from laboratory to laboratory, more than the number of cells explains. What was
measured in some laboratories therefore says what to expect in another one: a distribution of the
rate there, :class:`ErrorRate`, and with it an interval of the true share of cells
(:func:`true_share_interval`) and a test against false alarms (:func:`chance_of_false_alarms`).
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from blood_cell_system.seeding import generator_for

USUAL_SPREAD: Final = 0.7
"""Standard deviation, in log odds, of an error rate between laboratories, where few are known:
that of the false alarms of malaria on IML and five other collections (0.5 to 2 % of cells)."""

USUAL_SPREAD_WEIGHT: Final = 4
"""Laboratories that the usual spread counts as, beside those that were measured: three laboratories
tell a spread within a factor of six."""

DRAWS: Final = 4000
"""Draws of each rate: bounds of an interval vary by some hundredths of its width with the seed."""


_KEPT: Final = 4096
"""Answers that are kept: report, text and page of an image ask for the same ones."""


class ErrorRate(BaseModel):
    """What to expect of an error rate in a laboratory that was not measured.

    Its log odds are ``location + scale * t``, with Student's t of ``degrees`` of freedom.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(ge=0, le=1)
    """Mean of the laboratories that were measured."""
    interval_95: tuple[float, float]
    """Where the rate of another laboratory lies."""
    location: float
    scale: float = Field(gt=0)
    degrees: int = Field(gt=0)

    @classmethod
    def of_laboratories(cls, rates: Sequence[tuple[float, int | None]]) -> Self | None:
        """Pool the rates of some laboratories; None without any.

        Parameters
        ----------
        rates : sequence of tuple
            Of each laboratory the rate and the number of cells that it was measured on; None where
            the number is unknown, which counts as a hundred.

        Notes
        -----
        Log odds of each laboratory, with half a cell added to either side, weighted by the inverse
        of their variance within and between laboratories (R. DerSimonian and N. Laird, *Controlled
        Clinical Trials* 7, 1986). The variance between them is shrunk to a usual one, as few
        laboratories tell it badly.
        """
        if not rates:
            return None
        cells = np.array([100 if n is None else max(n, 1) for _, n in rates], dtype=np.float64)
        share = np.array([rate for rate, _ in rates])
        odds = np.log((share * cells + 0.5) / ((1 - share) * cells + 0.5))
        within = 1 / (share * cells + 0.5) + 1 / ((1 - share) * cells + 0.5)
        count = len(rates)
        between = USUAL_SPREAD**2
        degrees = USUAL_SPREAD_WEIGHT + count - 1
        if count > 1:
            excess = max(0.0, float(np.var(odds, ddof=1) - within.mean()))
            between = (USUAL_SPREAD_WEIGHT * between + (count - 1) * excess) / degrees
        weights = 1 / (between + within)
        location = float(np.sum(weights * odds) / np.sum(weights))
        scale = math.sqrt(between + 1 / float(np.sum(weights)))
        drawn = _logistic(location + scale * _standard_t(degrees, "pooled"))
        low, high = np.percentile(drawn, (2.5, 97.5))
        return cls(
            rate=round(float(share.mean()), 6),
            interval_95=(round(float(low), 6), round(float(high), 6)),
            location=round(location, 6),
            scale=round(scale, 6),
            degrees=degrees,
        )

    def draws(self, name: str) -> NDArray[np.float64]:
        """Draw the rate of a laboratory; ``name`` tells independent draws apart."""
        return _logistic(self.location + self.scale * _standard_t(self.degrees, name))


@lru_cache(maxsize=_KEPT)
def true_share_interval(
    count: float, total: float, sensitivity: ErrorRate, false_alarms: ErrorRate
) -> tuple[float, float]:
    """95 % interval of the true share of cells of which ``count`` of ``total`` were called so.

    Notes
    -----
    W. J. Rogan and B. Gladen, *Estimating prevalence from the results of a screening test*,
    American Journal of Epidemiology 107 (1978): (called - false alarms) / (sensitivity - false
    alarms), cut to 0..1. All three are drawn: the share called so from its posterior under
    Jeffreys' prior, the two error rates as of a laboratory never seen.
    """
    generator = generator_for(0, "share of cells called so")
    called = generator.beta(count + 0.5, total - count + 0.5, DRAWS)
    missed, alarms = sensitivity.draws("sensitivity"), false_alarms.draws("false alarms")
    difference = missed - alarms
    # Where the method does not tell the cells apart, what it calls says nothing.
    informs = difference > 1e-3
    share = np.where(informs, (called - alarms) / np.where(informs, difference, 1.0), called)
    low, high = np.percentile(np.clip(share, 0.0, 1.0), (2.5, 97.5))
    return float(low), float(high)


@lru_cache(maxsize=_KEPT)
def chance_of_false_alarms(count: int, total: int, false_alarms: ErrorRate) -> float:
    """Give the probability of ``count`` false alarms or more among ``total`` cells without any.

    One-sided: a binomial distribution whose rate is that of a laboratory never seen.
    """
    generator = generator_for(0, "false alarms among cells")
    drawn = generator.binomial(total, false_alarms.draws("false alarms"))
    return float(np.mean(drawn >= count))


@cache
def _standard_t(degrees: int, name: str) -> NDArray[np.float64]:
    return generator_for(0, f"laboratories: {name}").standard_t(degrees, DRAWS)


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))
