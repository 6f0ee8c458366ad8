"""What is written of an evaluation with sources left out: tables, JSON and a picture."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from blood_cell_system.analysis.left_out_scores import (
    ConditionScores,
    LeftOutScores,
    TrustScores,
    TypeScores,
)
from blood_cell_system.atomic_files import make_folder, write_json, write_text
from blood_cell_system.imaging.plot import plot_file
from blood_cell_system.metrics.intervals import Figure
from blood_cell_system.reports.segmenter_sheets import as_json
from blood_cell_system.wording import counted

_ROW_INCHES: Final = 0.32
_NOTHING: Final = "–"
_MEASURED: Final = ("conditions", "types", "trust", "calibrations", "validation")
"""Parts of ``results.json``."""


def left_out_markdown(scores: LeftOutScores, *, title: str) -> str:
    """Lay the figures out as tables in Markdown, the trivial answer beside each."""
    lines = [
        f"# {title}",
        "",
        "Each source is answered about by a classifier that was trained on all others. 95 % "
        "intervals by slide or patient. The trivial answer is a regression on the border's colour "
        "and the image's size, measured on left-out slides; the constant answer is the most "
        "frequent class, with AUROC 0.5.",
        "",
        "## Conditions",
        "",
        *_table(
            "source | condition | sick / healthy | slides | AUROC | trivial | "
            "found at 99 % specificity | at 95 % | sick called so | healthy called so",
            (_condition_row(one) for one in scores.conditions),
        ),
    ]
    for name in dict.fromkeys(one.condition for one in scores.conditions):
        if (found := scores.mean_and_worst(name)) is not None:
            mean, worst, count = found
            lines.append(
                f"{name}: mean AUROC {mean:.3f}, worst {worst:.3f}, over "
                f"{counted(count, 'source')}."
            )
    if scores.types:
        lines += [
            "",
            "## Types",
            "",
            *_table(
                "source | cells | slides | types | macro F1 | constant | trivial",
                (_type_row(one) for one in scores.types),
            ),
        ]
        if (found := scores.type_mean_and_worst) is not None:
            mean, worst, count = found
            lines.append(
                f"Mean macro F1 {mean:.3f}, worst {worst:.3f}, over {counted(count, 'source')}."
            )
    lines += [
        "",
        "## Calibration",
        "",
        "Share of conformal sets that hold the true class, with the thresholds of the training and "
        "with thresholds from the other left-out sources; share of cells taken for none of the "
        "classes. The constant answer would hold all classes and take no cell for none of them.",
        "",
        *_table(
            "source | cells | conditions covered | recalibrated | types covered | cells rejected | "
            "outliers rejected",
            (_trust_row(one) for one in scores.trust),
        ),
    ]
    return "\n".join([*lines, ""])


def _table(header: str, rows: Iterator[Sequence[str]]) -> list[str]:
    names = header.split(" | ")
    found = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return [*found, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _condition_row(one: ConditionScores) -> Sequence[str]:
    figures = [one.sensitivity_99, one.sensitivity_95, one.found, one.called]
    return (
        one.source,
        one.condition,
        f"{one.sick} / {one.healthy}",
        str(one.blocks),
        one.note or _words(one.auroc),
        _number(one.trivial_auroc),
        *map(_words, figures),
    )


def _type_row(one: TypeScores) -> Sequence[str]:
    return (
        one.source,
        str(one.cells),
        str(one.blocks),
        ", ".join(one.types) or _NOTHING,
        one.note or _words(one.macro_f1),
        _number(one.constant_macro_f1),
        _number(one.trivial_macro_f1),
    )


def _trust_row(one: TrustScores) -> Sequence[str]:
    return (
        one.source,
        str(one.cells),
        _words(one.condition_coverage),
        _number(one.recalibrated_coverage),
        _words(one.type_coverage),
        _words(one.rejected),
        f"{one.outliers_rejected} of {one.outliers}",
    )


def _words(figure: Figure) -> str:
    return str(figure) if math.isfinite(figure.value) else _NOTHING


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else _NOTHING


def write_left_out_files(
    scores: LeftOutScores, folder: Path, *, kind: str, subject: Mapping[str, Any]
) -> tuple[Path, ...]:
    """Write ``results.json``, ``results.md`` and ``results.png``.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    """
    make_folder(folder)
    paths = folder / "results.json", folder / "results.md", folder / "results.png"
    measured = {name: getattr(scores, name) for name in _MEASURED}
    write_json(paths[0], as_json(**subject, kind=kind, **measured))
    title = f"Classifier of {kind.upper()} cells, each source left out"
    write_text(paths[1], left_out_markdown(scores, title=title))
    write_left_out_plot(paths[2], scores)
    return paths


def write_left_out_plot(path: Path, scores: LeftOutScores) -> None:
    """Draw the figure of each source with its interval, and the trivial answer beside it."""
    rows = [
        (f"{one.source}: {one.condition}", one.auroc, one.trivial_auroc)
        for one in scores.conditions
        if math.isfinite(one.auroc.value)
    ]
    rows += [
        (f"{one.source}: macro F1 of types", one.macro_f1, one.trivial_macro_f1)
        for one in scores.types
        if math.isfinite(one.macro_f1.value)
    ]
    with plot_file(path, size_inches=(7.0, 1.4 + _ROW_INCHES * max(len(rows), 1))) as figure:
        axes = figure.add_subplot()
        for place, (_, value, trivial) in enumerate(rows):
            low, high = value.interval or (value.value, value.value)
            axes.plot([low, high], [place, place], color="#0072b2", linewidth=2)
            axes.plot([value.value], [place], "o", color="#0072b2")
            if math.isfinite(trivial):
                axes.plot([trivial], [place], "o", color="#d55e00", fillstyle="none")
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1.02)
        axes.axvline(0.5, color="#999999", linewidth=0.8, linestyle=":")
        axes.set_xlabel(
            "AUROC or macro F1 in a source that was not seen; open: border and size alone"
        )
