"""Intervals of figures, drawn by field: cells of one field are no independent evidence."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.seeding import generator_for

Statistic = Callable[[NDArray[np.float64]], float]
"""A figure of all cells, as a function of how often each counts."""

RESAMPLES: Final = 400
"""Draws of fields: bounds of an interval then vary by a few thousandths from seed to seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with its 95 % interval.

    Parameters
    ----------
    value : float
        NaN where there is nothing to measure.
    interval : tuple of float or None
        None for a single field, and where there is no value.
    """

    value: float
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        words = f"{self.value:.3f}"
        if self.interval is not None:
            words += f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})"
        return words


def with_interval(
    statistic: Statistic,
    fields: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figure:
    """Give a figure of cells and its percentile bootstrap interval.

    Parameters
    ----------
    statistic : callable
        Of the weights of the cells.
    fields : sequence
        Field of each cell.
    """
    value = statistic(np.ones(len(fields)))
    number = {name: index for index, name in enumerate(dict.fromkeys(fields))}
    count = len(number)
    if count < 2 or not np.isfinite(value):
        return Figure(value=value)
    place = np.array([number[name] for name in fields])
    draws = generator_for(seed, "field bootstrap").multinomial(
        count, np.full(count, 1 / count), size=resamples
    )
    drawn = np.array([statistic(draw[place].astype(np.float64)) for draw in draws])
    # A draw without any cell of a class has no figure.
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return Figure(value=value)
    low, high = np.percentile(finite, (2.5, 97.5))
    return Figure(value=value, interval=(float(low), float(high)))
