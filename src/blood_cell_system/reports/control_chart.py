"""The daily control: the same slide each day, on Levey-Jennings charts with Westgard's rules.

The first runs, the baseline, give the mean and the spread of each figure; every later run is
compared with them. S. Levey and E. R. Jennings, Am J Clin Pathol 20 (1950).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from blood_cell_system.metrics.westgard import Rule, broken_rules
from blood_cell_system.reports.findings import MIN_CELLS, Count, Record
from blood_cell_system.reports.page.render import asset, filled
from blood_cell_system.reports.report import DISCLAIMER, Sha256, Text

CONTROL_FORMAT_VERSION: Final = 1

BASELINE_RUNS: Final = 20
"""Runs that give mean and spread: the fewest that are advised (CLSI C24)."""
MIN_BASELINE_RUNS: Final = 5
"""With fewer the spread is mostly chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A figure that is no share.

    Parameters
    ----------
    least_spread : float
        Smallest standard deviation that it is judged by, in its unit, or as part of its mean where
        ``is_relative``: what noise of the camera and rounding to pixels give. A baseline of copies
        has none of its own.
    """

    label: str
    unit: str = ""
    least_spread: float
    is_relative: bool = True


MEASURES: Final[Mapping[str, Measure]] = {
    "stain_density": Measure(
        label="density of the stain in red cells, green light", least_spread=0.005
    ),
    "stain_hue": Measure(
        label="hue of the stain in red cells", unit="°", least_spread=0.5, is_relative=False
    ),
    "red_cell_diameter": Measure(
        label="median diameter of red cells", unit="px", least_spread=0.005
    ),
    "slide_brightness": Measure(
        label="brightness of the empty slide, of 255", least_spread=0.5, is_relative=False
    ),
    "focus": Measure(label="width of a cell's edge, part of its diameter", least_spread=0.01),
}
"""Figures that are no shares; all others are per cent of cells."""


class ControlValue(Record):
    """A figure of a run; ``total`` are the cells of a share."""

    value: Annotated[float | None, Field(description="null where it could not be measured")]
    total: Count | None = None

    @field_validator("value")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError("expected a finite number")
        return value


class ControlRun(Record):
    """What one run measured."""

    date: Annotated[str, Field(description="ISO 8601")]
    software_version: str
    images: tuple[Text, ...]
    data_sha256: tuple[Sha256, ...]
    figures: dict[str, ControlValue]
    warnings: tuple[Text, ...] = ()


class ControlFile(Record):
    """What ``control.json`` holds: all runs of one control slide with one model."""

    format_version: Literal[1] = CONTROL_FORMAT_VERSION
    disclaimer: str = DISCLAIMER
    models: dict[Text, Sha256]
    baseline_runs: Annotated[int, Field(ge=MIN_BASELINE_RUNS)]
    runs: tuple[ControlRun, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A run on a chart.

    Parameters
    ----------
    deviation : float or None
        From the mean, in standard deviations; None for runs of the baseline.
    rules : tuple of Rule
        That it breaks.
    """

    date: str
    value: float | None
    deviation: float | None = None
    rules: tuple[Rule, ...] = ()
    is_lost: bool = False

    @property
    def is_rejected(self) -> bool:
        """Whether the run is out of control by this figure."""
        return self.is_lost or any(rule.is_rejecting for rule in self.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure over time.

    Parameters
    ----------
    mean, spread : float or None
        Of the baseline; None while it is not complete, and where it has too few cells or values.
    """

    name: str
    mean: float | None
    spread: float | None
    points: tuple[Point, ...]

    @property
    def label(self) -> str:
        """The figure in words."""
        return MEASURES[self.name].label if self.name in MEASURES else self.name

    @property
    def unit(self) -> str:
        """Unit of its values; empty for pure numbers."""
        return MEASURES[self.name].unit if self.name in MEASURES else "%"


def charts_of(control: ControlFile) -> tuple[Chart, ...]:
    """Compare every run with the baseline."""
    names = dict.fromkeys(name for run in control.runs for name in run.figures)
    return tuple(_chart(name, control) for name in names)


def _chart(name: str, control: ControlFile) -> Chart:
    missing = ControlValue(value=None)
    values = [run.figures.get(name, missing) for run in control.runs]
    dates = [run.date for run in control.runs]
    baseline = values[: control.baseline_runs]
    known = [one.value for one in baseline if one.value is not None]
    totals = [one.total for one in baseline if one.total is not None]
    is_judged = (
        len(baseline) == control.baseline_runs
        and len(known) >= MIN_BASELINE_RUNS
        and (not totals or statistics.fmean(totals) >= MIN_CELLS)
    )
    if not is_judged:
        plain = [Point(date=d, value=v.value) for d, v in zip(dates, values, strict=True)]
        return Chart(name=name, mean=None, spread=None, points=tuple(plain))
    mean = statistics.fmean(known)
    spread = max(statistics.stdev(known), _least_spread(name, mean, totals))
    points: list[Point] = []
    deviations: list[float] = []
    for place, (date, one) in enumerate(zip(dates, values, strict=True)):
        if place < control.baseline_runs:
            points.append(Point(date=date, value=one.value))
        elif one.value is None:
            points.append(Point(date=date, value=None, is_lost=True))
        else:
            deviations.append((one.value - mean) / spread)
            rules = broken_rules(deviations)
            points.append(Point(date=date, value=one.value, deviation=deviations[-1], rules=rules))
    return Chart(name=name, mean=mean, spread=spread, points=tuple(points))


def _least_spread(name: str, mean: float, totals: Sequence[int]) -> float:
    """Give the spread that noise or chance alone causes."""
    if name in MEASURES:
        measure = MEASURES[name]
        return measure.least_spread * (abs(mean) if measure.is_relative else 1) or 1e-9
    total = statistics.fmean(totals)
    share = (mean / 100 * total + 1) / (total + 2)
    return 100 * math.sqrt(share * (1 - share) / total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the last run is in control.

    Parameters
    ----------
    lacking : int
        Runs that the baseline still lacks; nothing is judged before.
    broken : mapping of str to tuple of str
        Rules that reject the run, by the figure in words.
    warned : mapping of str to tuple of str
        Warnings by the figure in words.
    """

    lacking: int
    broken: Mapping[str, tuple[str, ...]]
    warned: Mapping[str, tuple[str, ...]]

    @property
    def is_in_control(self) -> bool:
        """Whether no rule rejects the run."""
        return not self.broken

    def __str__(self) -> str:
        if self.lacking:
            return f"The baseline lacks {self.lacking} more runs: nothing is judged yet."
        if self.is_in_control:
            return "In control."
        listed = "; ".join(f"{name} ({', '.join(rules)})" for name, rules in self.broken.items())
        return f"Out of control: {listed}. Look for the cause before you use other results."


def verdict_of(control: ControlFile, charts: Sequence[Chart]) -> Verdict:
    """Judge the last run by all figures."""
    broken: dict[str, tuple[str, ...]] = {}
    warned: dict[str, tuple[str, ...]] = {}
    for chart in charts:
        last = chart.points[-1]
        if last.is_rejected:
            names = [str(rule) for rule in last.rules if rule.is_rejecting]
            broken[chart.label] = tuple(names) or ("could not be measured",)
        elif last.rules:
            warned[chart.label] = tuple(map(str, last.rules))
    lacking = max(0, control.baseline_runs - len(control.runs))
    return Verdict(lacking=lacking, broken=broken, warned=warned)


_PLOT: Final = (320.0, 110.0)
"""Width and height of a chart's inner part, in units of its drawing."""
_REACH: Final = 4.0
"""Standard deviations on either side that a chart shows; what lies beyond stands at its rim."""


def render_control(control: ControlFile, charts: Sequence[Chart], verdict: Verdict) -> str:
    """Lay the runs of a control slide out as a page of Levey-Jennings charts."""
    return filled(
        "control.html",
        style=asset("page.css"),
        control=control,
        charts=[(chart, _plotted(chart)) for chart in charts],
        verdict=verdict,
        rules=list(Rule),
    )


def _plotted(chart: Chart) -> list[tuple[float, float, Point]]:
    """Give the place of each measured run: x from left to right, y downwards."""
    width, height = _PLOT
    known = [point.value for point in chart.points if point.value is not None]
    if not known:
        return []
    middle, spread = chart.mean, chart.spread
    if middle is None or spread is None:
        middle = (min(known) + max(known)) / 2
        spread = max((max(known) - min(known)) / 2, 1e-9)
    step = width / max(len(chart.points), 2)
    places = []
    for number, point in enumerate(chart.points):
        if point.value is not None:
            aside = max(-_REACH, min(_REACH, (point.value - middle) / spread))
            places.append(((number + 0.5) * step, height / 2 * (1 - aside / _REACH), point))
    return places
