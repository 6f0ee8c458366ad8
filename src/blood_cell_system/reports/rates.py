"""Shares of cells with their uncertainty, and a refusal where there are too few."""

import math
from dataclasses import dataclass
from typing import Final

MIN_CELLS: Final = 100
"""A share of fewer cells is not told: differentials are counted on 100 cells at least."""

_Z_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of cells.

    Parameters
    ----------
    name : str
        For programs, such as ``wbc_of_blood_cells``.
    label : str
        For people.
    count, total : int
        ``count`` of ``total`` cells.
    min_total : int
        Below so many cells the share is not told.
    """

    name: str
    label: str
    count: int
    total: int
    min_total: int = MIN_CELLS

    @property
    def is_enough(self) -> bool:
        """Whether there are cells enough to tell a share."""
        return self.total >= self.min_total

    @property
    def share(self) -> float | None:
        """0 to 1; None where there are too few cells to say."""
        return self.count / self.total if self.is_enough and self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the share, 0 to 1; None without a cell."""
        return wilson_interval(self.count, self.total) if self.total else None


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """95 % interval of a share, as of cells that were drawn independently.

    Parameters
    ----------
    count, total : int
        ``count`` of ``total``, which is 1 or more.

    Returns
    -------
    tuple of float
        Lower and upper end, 0 to 1.

    Raises
    ------
    ValueError
        ``total`` is less than 1, or ``count`` is not within 0..``total``.

    Notes
    -----
    E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22
    (1927). Unlike the usual "share ± 1.96 standard errors" it stays within 0 to 1, and is right for
    few cells and for rare ones.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(1, 10)]
    [0.0179, 0.4042]
    """
    if total < 1 or not 0 <= count <= total:
        raise ValueError(
            f"Wilson interval: expected 0 <= count <= total, and a total of 1 or more. "
            f"Received: {count}, {total}."
        )
    squared = _Z_95**2
    middle = (count + squared / 2) / (total + squared)
    half = _Z_95 / (total + squared) * math.sqrt(count * (total - count) / total + squared / 4)
    # At the ends the two terms are equal but for rounding.
    low = 0.0 if count == 0 else max(0.0, middle - half)
    high = 1.0 if count == total else min(1.0, middle + half)
    return low, high
