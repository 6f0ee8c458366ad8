"""A histogram as a drawing of the page."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np

_WIDTH: Final = 320
_HEIGHT: Final = 150
_BASE: Final = 124
_TOP: Final = 14
_BINS: Final = 24


def histogram_svg(values: Sequence[float], *, css_class: str, unit: str) -> str:
    """Draw how often values occur, as scalable graphics that need no script.

    Parameters
    ----------
    values : sequence of float
        One at least.
    css_class : str
        Of the bars.
    unit : str
        Of the values, for the axis.
    """
    low, high = _round_range(min(values), max(values))
    # Rounding may have put a limit a hair inside of a value.
    counts, edges = np.histogram(np.clip(values, low, high), bins=_BINS, range=(low, high))
    largest = int(counts.max())
    step = _WIDTH / _BINS
    bars = []
    for place, count in enumerate(counts):
        height = (_BASE - _TOP) * int(count) / largest
        told = f"{edges[place]:.3g}–{edges[place + 1]:.3g} {unit}: {_cells(int(count))}"
        bars.append(
            f'<rect class="{escape(css_class)}" x="{place * step + 0.5:.2f}" '
            f'y="{_BASE - height:.2f}" width="{step - 1:.2f}" height="{height:.2f}" rx="1">'
            f"<title>{escape(told)}</title></rect>"
        )
    middle = (low + high) / 2
    labels = "".join(
        f'<text x="{x}" y="{_BASE + 16}" text-anchor="{anchor}">{value:.4g}{words}</text>'
        for x, anchor, value, words in (
            (0, "start", low, ""),
            (_WIDTH / 2, "middle", middle, f" {escape(unit)}"),
            (_WIDTH, "end", high, ""),
        )
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Histogram">'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_BASE}" y2="{_BASE}"/>'
        f'<text x="0" y="10">{_cells(largest)}</text>{"".join(bars)}{labels}</svg>'
    )


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


def _round_range(low: float, high: float) -> tuple[float, float]:
    """Limits around values that are multiples of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 0.1 * abs(high), 1e-6)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 8)
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    return first, last if last > first else first + step
