"""What a report may claim, in one place: only what was proven outside of a model's laboratories.

1. A class is proven, not measured or *not validated* outside its laboratory, as its
   :class:`~blood_cell_system.model_metadata.Standing` says. A condition that is not validated is
   not counted: its probability stays in the table of cells. What nobody could measure, as sickle
   cells or a classifier of one's own, and subtypes, which add up to a whole, are counted, and each
   share says how it stands.
2. A share carried mostly by cells that are not sure is a warning, not a finding.
3. A share that false alarms alone explain is *within false alarms*.
4. Every interval holds the method's own error, where it was measured.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

from blood_cell_system.cells.table import Cells
from blood_cell_system.metrics.method_error import ErrorRate, chance_of_false_alarms
from blood_cell_system.model_metadata import Standing, Validation
from blood_cell_system.taxonomy import CellType
from blood_cell_system.wording import counted

NOT_VALIDATED: Final = Standing.UNPROVEN.value
"""Why a condition is not counted."""

_MOSTLY: Final = 0.5
"""Share of uncertain cells from which they carry a finding."""

_CHANCE: Final = 0.05
"""Probability of as many false alarms from which they explain what was found, one-sided."""

_HALF_WIDTHS: Final = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Half widths of an interval that one counts on for; the first that is half a share at most."""

_Z_95: Final = 1.96


class Verdict(StrEnum):
    """What a share amounts to."""

    FOUND = "found"
    NONE = "none found"
    TOO_FEW = "too few cells"
    UNCERTAIN = "mostly not sure"
    FALSE_ALARMS = "within false alarms"


def unsure_words(uncertain: int, count: int) -> str:
    """Say how many of the cells of a class are not sure.

    Examples
    --------
    >>> unsure_words(1, 1)
    'the one cell called so is not sure: look at it'
    >>> unsure_words(9, 9)
    'all 9 cells called so are not sure: look at them'
    >>> unsure_words(29, 48)
    '29 of the 48 cells called so are not sure: look at them'
    """
    if count == 1:
        return "the one cell called so is not sure: look at it"
    part = f"all {count:,}" if uncertain == count else f"{uncertain:,} of the {count:,}"
    return f"{part} cells called so are not sure: look at them"


class Proof(BaseModel):
    """How well a class is told in laboratories that its model never saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    laboratories: int = Field(ge=0, description="with cells of the class and others")
    auroc_mean: float | None = Field(description="null without a laboratory")
    auroc_worst: float | None = None
    is_proven: bool = Field(
        default=True,
        description="false: not validated or not measured outside its laboratory, and counted",
    )
    sensitivity: ErrorRate | None = Field(default=None, description="null where not measured")
    false_alarms: ErrorRate | None = Field(
        default=None, description="share of other cells that are called so"
    )

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, validation: Validation) -> Self:
        """Sum up what a model file says of a class."""
        mean, worst = validation.mean_auroc, validation.worst_auroc
        return cls(
            laboratories=len(validation.aurocs),
            auroc_mean=None if mean is None else round(mean, 4),
            auroc_worst=None if worst is None else round(worst, 4),
            is_proven=validation.standing == Standing.PROVEN,
            sensitivity=_pooled(
                (one.sensitivity, one.positives)
                for one in validation.sources
                if one.auroc is not None or one.positives is None or one.positives > 0
            ),
            false_alarms=_pooled(
                (one.false_alarm_rate, one.negatives) for one in validation.sources
            ),
        )

    @property
    def words(self) -> str:
        """In how many laboratories the class was proven, with which figures."""
        if self.auroc_mean is None or self.auroc_worst is None:
            return Standing.UNMEASURED.value
        words = "proven in" if self.is_proven else f"counted though {NOT_VALIDATED}; in"
        words += f" {laboratories(self.laboratories)} never seen: AUROC {self.auroc_mean:.2f}"
        if self.auroc_worst < self.auroc_mean:
            words += f", worst {self.auroc_worst:.2f}"
        if self.false_alarms is None:
            return f"{words}, false alarms not measured"
        return f"{words}, false alarms {100 * self.false_alarms.rate:.2g} %"


def _pooled(rates: Iterable[tuple[float | None, int | None]]) -> ErrorRate | None:
    return ErrorRate.of_laboratories([(rate, n) for rate, n in rates if rate is not None])


def verdict_of(
    count: int, total: int, *, is_enough: bool, uncertain: int, proof: Proof | None
) -> Verdict:
    """Say what a share of cells amounts to.

    Parameters
    ----------
    count, total : int
        Cells called so, and all.
    is_enough : bool
        Whether there are cells enough for a share.
    uncertain : int
        Cells called so that are not sure.
    proof : Proof or None
        Of the class that the share rests on; None where it rests on no classifier.
    """
    if not is_enough or not total:
        return Verdict.TOO_FEW
    if not count:
        return Verdict.NONE
    if uncertain > _MOSTLY * count:
        return Verdict.UNCERTAIN
    if explained_by_false_alarms(count, total, proof):
        return Verdict.FALSE_ALARMS
    return Verdict.FOUND


def explained_by_false_alarms(count: int, total: int, proof: Proof | None) -> bool:
    """Whether so many cells or more would be called so among cells without any."""
    alarms = proof and proof.false_alarms
    return bool(alarms and chance_of_false_alarms(count, total, alarms) >= _CHANCE)


def classes_claimed(cells: Cells, kind: CellType) -> list[str]:
    """Name the conditions and subtypes of a type that a report may count.

    Healthy is what none of the conditions is: it is claimed where all of them are.
    """
    ill = [
        one.name for one in kind.conditions if not one.is_healthy and f"{one.name}_prob" in cells
    ]
    claimed = [name for name in ill if is_claimed(cells, name)]
    healthy = [one.name for one in kind.conditions if one.is_healthy and claimed == ill and ill]
    conditions = [one.name for one in kind.conditions if one.name in (*claimed, *healthy)]
    names = (*conditions, *(one.name for one in kind.subtypes))
    return [name for name in names if f"{name}_prob" in cells]


def is_claimed(cells: Cells, condition: str) -> bool:
    """Whether a condition may be counted: no figure of a laboratory never seen forbids it."""
    found = cells.validation.get(condition, Validation())
    return found.standing != Standing.UNPROVEN or found.is_asked_for


def asked_for(cells: Cells) -> Cells:
    """Let all conditions be counted, also those that failed in laboratories never seen."""
    known = cells.validation.items()
    return replace(
        cells,
        validation={n: one.model_copy(update={"is_asked_for": True}) for n, one in known},
    )


def why_not_claimed(cells: Cells, kind: CellType) -> dict[str, str]:
    """Name the conditions of a type that are not counted, and why."""
    claimed = classes_claimed(cells, kind)
    return {
        one.name: why_unproven(cells, one.name)
        for one in kind.conditions
        if not one.is_healthy and f"{one.name}_prob" in cells and one.name not in claimed
    }


def why_unproven(cells: Cells, condition: str) -> str:
    """Say what was measured of a condition elsewhere, where that is no proof."""
    found = sorted(cells.validation[condition].aurocs)
    words = " to ".join(dict.fromkeys(f"{value:.2f}" for value in (found[0], found[-1])))
    return f"AUROC {words} in {laboratories(len(found))} never seen"


def laboratories(count: int) -> str:
    """Write a number of laboratories."""
    return counted(count, "laboratory", "laboratories")


def half_width_for(share: float) -> float:
    """Half width of the interval at which one may stop counting cells of a share, 0 to 1."""
    return next((width for width in _HALF_WIDTHS if width <= share / 2), _HALF_WIDTHS[-1])


def cells_for(share: float, half_width: float) -> int:
    """Cells on which the interval of a share is of a half width, the method's error left aside.

    Examples
    --------
    >>> cells_for(0.02, 0.01), cells_for(0.0, 0.001)
    (753, 3000)
    """
    if not share:
        # The rule of three: none among 3/p cells excludes a share above p.
        return math.ceil(3 / half_width)
    return math.ceil(share * (1 - share) * (_Z_95 / half_width) ** 2)
