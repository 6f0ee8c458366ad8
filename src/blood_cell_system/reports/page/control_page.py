"""The page of the daily control: Levey-Jennings charts."""

from collections.abc import Sequence
from typing import Final

from blood_cell_system.metrics.westgard import Rule
from blood_cell_system.reports.control_chart import Chart, ControlFile, Point, Verdict
from blood_cell_system.reports.page.render import asset, filled

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
