"""Confusion matrix and reliability diagram of a classifier as PNG files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blood_cell_system.atomic_files import replacing
from blood_cell_system.inference.classifier_scores import HeadScores


def write_confusion_plot(path: Path, heads: Sequence[HeadScores]) -> None:
    """Draw confusion matrices side by side: numbers of cells, shaded by the share of their row.

    Parameters
    ----------
    path : Path
    heads : sequence of HeadScores
    """
    # Figure without pyplot: no display, no global state, safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * max(len(heads), 1), 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    for place, head in enumerate(heads, start=1):
        axes = figure.add_subplot(1, len(heads), place)
        rows = head.confusion.sum(axis=1, keepdims=True)
        share = np.divide(head.confusion, rows, out=np.zeros_like(head.confusion), where=rows > 0)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        ticks = range(len(head.names))
        names = [name.replace("_", " ") for name in head.names]
        axes.set_xticks(ticks, names, rotation=35, ha="right")
        axes.set_yticks(ticks, names)
        axes.set(xlabel="answer", ylabel="true", title=f"{head.where}, {int(rows.sum())} cells")
        for row in ticks:
            for column in ticks:
                axes.text(
                    column,
                    row,
                    f"{head.confusion[row, column]:.0f}",
                    ha="center",
                    va="center",
                    color="white" if share[row, column] > 0.6 else "black",
                )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def write_reliability_plot(path: Path, heads: Sequence[tuple[str, HeadScores]]) -> None:
    """Draw how often answers of a confidence are right, and how many answers have it.

    Parameters
    ----------
    path : Path
    heads : sequence of (str, HeadScores)
        With the name of each.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * max(len(heads), 1), 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, head) in enumerate(heads, start=1):
        table = head.reliability
        axes = figure.add_subplot(1, len(heads), place)
        width = float(table.edges[1] - table.edges[0])
        middle = (table.edges[:-1] + table.edges[1:]) / 2
        total = max(float(table.weight.sum()), 1.0)
        axes.bar(middle, table.weight / total, width, color="0.85", label="share of the cells")
        axes.plot([0, 1], [0, 1], color="0.5", linestyle="--", label="means what it says")
        axes.plot(table.confidence, table.accuracy, "o-", label="right answers")
        error = table.expected_calibration_error
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1.02),
            xlabel="confidence",
            ylabel="share",
            title=f"{name}, {head.where}: calibration error {error:.3f}",
        )
        axes.legend(loc="upper left")
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
