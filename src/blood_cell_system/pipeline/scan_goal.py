"""When enough of a scan is counted: numbers of cells, or how precisely a share is known."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from blood_cell_system.errors import SettingsError
from blood_cell_system.reports.findings import Rate, sum_rates
from blood_cell_system.reports.report import DiagnosticReport
from blood_cell_system.taxonomy import Taxonomy

_DIFFERENTIAL: Final = "_differential"
"""Ending of a share that stands for those of all subtypes of a cell type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """How many cells are enough.

    Parameters
    ----------
    counts : mapping of str to int
        Cells by type, all of which are to be counted.
    precision : tuple of (str, float) or None
        A finding, or ``TYPE_differential``, and half the width of its 95 % interval at most.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    precision: tuple[str, float] | None = None

    @classmethod
    def read(cls, until: str | None, precision_of: str | None) -> "Goal | None":
        """Read ``rbc=2000,wbc=200`` and ``wbc_differential=3%``; None where neither is given.

        Raises
        ------
        SettingsError
            One of them is something else.

        Examples
        --------
        >>> Goal.read("rbc=2000", "wbc_differential=3%")
        Goal(counts={'rbc': 2000}, precision=('wbc_differential', 0.03))
        """
        if until is None and precision_of is None:
            return None
        counts = {}
        for part in (until or "").split(",") if until is not None else ():
            name, _, number = (word.strip() for word in part.partition("="))
            if not name or not number.isdecimal() or int(number) < 1:
                raise SettingsError(
                    f"--until: received {until!r}; expected numbers of cells, for instance "
                    "rbc=2000,wbc=200."
                )
            counts[name.casefold()] = int(number)
        precision = None
        if precision_of is not None:
            found = re.fullmatch(r"\s*([\w-]+)\s*=\s*([\d.]+)\s*%?\s*", precision_of)
            value = float(found[2]) if found and found[2].count(".") < 2 else 0.0
            if found is None or not 0 < value < 50:
                raise SettingsError(
                    f"--precision-of: received {precision_of!r}; expected a share and half the "
                    "width of its interval, for instance wbc_differential=3%."
                )
            precision = found[1], value / 100
        return cls(counts=counts, precision=precision)

    def check(self, taxonomy: Taxonomy) -> None:
        """Refuse names of no cell type.

        Raises
        ------
        SettingsError
            A name is of no type.
        """
        known = {name.casefold() for name in taxonomy.names}
        if strange := sorted(set(self.counts) - known):
            expected = ", ".join(sorted(known))
            raise SettingsError(
                f"--until: {', '.join(strange)} is no cell type; expected one of {expected}."
            )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has been counted of a scan so far."""

    goal: Goal
    counts: dict[str, int] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()
    subtypes: frozenset[str] = frozenset()

    def add(self, report: DiagnosticReport) -> None:
        """Add a field."""
        if not report.quality.is_smear:
            return
        for name, count in report.counts.items():
            self.counts[name.casefold()] = self.counts.get(name.casefold(), 0) + count
        found = [report.rates, *(part.rates for part in report.findings.values())]
        self.rates = sum_rates([self.rates, *found])
        if self.goal.precision and self.goal.precision[0].casefold().endswith(_DIFFERENTIAL):
            kind = self.goal.precision[0].casefold().removesuffix(_DIFFERENTIAL)
            self.subtypes |= {
                subtype.name
                for one in report.cells.taxonomy
                if one.name.casefold() == kind
                for subtype in one.subtypes
            }

    @property
    def is_enough(self) -> bool:
        """Whether the goal is reached."""
        if any(self.counts.get(name, 0) < count for name, count in self.goal.counts.items()):
            return False
        return self.goal.precision is None or self._is_precise(*self.goal.precision)

    def _is_precise(self, name: str, half_width: float) -> bool:
        wanted = self.subtypes or {name}
        widths = [
            (rate.interval_95[1] - rate.interval_95[0]) / 2
            for rate in self.rates
            if rate.name in wanted and rate.interval_95 is not None
        ]
        return bool(widths) and max(widths) <= half_width
