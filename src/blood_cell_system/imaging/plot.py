"""Plots by Matplotlib, without a display."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blood_cell_system.atomic_files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI: Final = 110
"""Pixels an inch of plots."""


@contextmanager
def plot_file(path: Path, *, size_inches: tuple[float, float]) -> Iterator["Figure"]:
    """Give an empty figure, which is written when it has been drawn.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    # Figure without pyplot: no display, no global state, safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI)
