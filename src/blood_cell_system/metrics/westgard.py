"""Westgard's rules: whether a measurement that is repeated every day is in control.

J. O. Westgard et al., *A multi-rule Shewhart chart for quality control in clinical chemistry*,
Clin Chem 27 (1981). A control is measured once a run here, so that R-4s compares two runs that
follow each other; with two controls a run it would compare those.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Self


class Rule(StrEnum):
    """A rule, with what it finds; all but the first reject a run."""

    words: str

    def __new__(cls, value: str, words: str) -> Self:
        """Make a member of its name, and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member

    TWO_S = "1-2s", "more than 2 standard deviations away: a warning"
    THREE_S = "1-3s", "more than 3 standard deviations away"
    TWO_OF_TWO = "2-2s", "two runs more than 2 standard deviations away, on one side"
    RANGE = "R-4s", "two runs more than 2 standard deviations away, on both sides"
    FOUR_OF_FOUR = "4-1s", "four runs more than 1 standard deviation away, on one side"
    TEN_ASIDE = "10-x", "ten runs on one side of the mean"

    @property
    def is_rejecting(self) -> bool:
        """Whether a run that breaks it is out of control."""
        return self is not Rule.TWO_S


_RUNS: Final = {Rule.TWO_OF_TWO: (2, 2.0), Rule.FOUR_OF_FOUR: (4, 1.0), Rule.TEN_ASIDE: (10, 0.0)}
"""Runs in a row, and beyond how many standard deviations on one side all of them are."""


def broken_rules(deviations: Sequence[float]) -> tuple[Rule, ...]:
    """Name the rules that the last run breaks.

    Parameters
    ----------
    deviations : sequence of float
        Of each run from the mean, in standard deviations, in the order of time.

    Examples
    --------
    >>> [str(rule) for rule in broken_rules([0.3, 2.2, 2.4])]
    ['1-2s', '2-2s']
    """
    if not deviations:
        return ()
    last = deviations[-1]
    found = {Rule.TWO_S: abs(last) > 2, Rule.THREE_S: abs(last) > 3}
    pair = deviations[-2:]
    found[Rule.RANGE] = len(pair) == 2 and min(pair) < -2 and max(pair) > 2
    for rule, (runs, limit) in _RUNS.items():
        recent = deviations[-runs:]
        is_aside = all(one > limit for one in recent) or all(one < -limit for one in recent)
        found[rule] = len(recent) == runs and is_aside
    return tuple(rule for rule in Rule if found[rule])
