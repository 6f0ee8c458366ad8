"""A classifier's evaluation as tables for the terminal."""

import math
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from blood_cell_system.inference.classifier_evaluation import ClassifierEvaluation
from blood_cell_system.inference.classifier_scores import HeadScores
from blood_cell_system.inference.field_bootstrap import Figure
from blood_cell_system.reports.tables import figures_table


def classifier_evaluation_tables(evaluation: ClassifierEvaluation, *, title: str) -> RenderableType:
    """Lay an evaluation out.

    Parameters
    ----------
    evaluation : ClassifierEvaluation
    title : str
    """
    parts: list[RenderableType] = [Text(f"{title}, {evaluation.cells} cells", style="bold")]
    if evaluation.diseases:
        parts += _disease_part(evaluation)
    for name, heads in (("Condition", evaluation.conditions), ("Type", evaluation.types)):
        if heads:
            parts += _head_part(name, heads)
    parts += _known_part(evaluation)
    parts += _control_part(evaluation)
    return Group(*parts)


def classifier_evaluation_text(
    evaluation: ClassifierEvaluation, *, title: str, width: int = 100
) -> str:
    """Lay an evaluation out as plain text, without colours."""
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(classifier_evaluation_tables(evaluation, title=title))
    return capture.get()


def _disease_part(evaluation: ClassifierEvaluation) -> list[RenderableType]:
    table = figures_table("disease", "against healthy", "cells", "fields", "AUROC", "sensitivity")
    table.columns[1].justify = "left"
    for scores in evaluation.diseases:
        table.add_row(
            scores.condition,
            scores.where,
            f"{scores.diseased}/{scores.healthy}",
            str(scores.fields),
            _figure(scores.auroc),
            _figure(scores.sensitivity),
        )
    return [
        Text("Each disease against healthy cells; 95 % intervals by field"),
        table,
        Text(
            "Sensitivity at 95 % specificity. Where a disease comes from one source only, its row "
            "of all sources compares laboratories as well: believe the row within the source.",
            style="dim",
        ),
    ]


def _head_part(name: str, heads: Sequence[HeadScores]) -> list[RenderableType]:
    table = figures_table(name, "accuracy", "balanced", "macro F1", "calibration", "constant")
    for scores in heads:
        table.add_row(
            scores.where,
            _figure(scores.accuracy),
            _figure(scores.balanced_accuracy),
            _figure(scores.macro_f1),
            _figure(scores.calibration_error),
            f"{scores.constant_accuracy:.3f}\n{scores.constant_balanced_accuracy:.3f}",
        )
    first = heads[0]
    classes = figures_table("class", "cells", "precision", "recall", "F1")
    for class_name, values in first.by_class.items():
        classes.add_row(
            class_name,
            f"{values['cells']:.0f}",
            *(_share(values[key]) for key in ("precision", "recall", "f1")),
        )
    words = (
        "calibration: expected error of the confidence; constant: accuracy and balanced accuracy "
        f"of always answering {first.constant}. "
        f"Sets that may be one class hold the true one in {_percent(first.coverage)} of cells, and "
        f"are a single class in {_percent(first.single_share)}."
    )
    return [table, classes, Text(words, style="dim")]


def _known_part(evaluation: ClassifierEvaluation) -> list[RenderableType]:
    scores = evaluation.known
    if scores is None:
        return []
    return [
        Text(
            f"None of the classes: AUROC {scores.auroc} on {scores.cells} cells and "
            f"{scores.outliers} others; the threshold keeps {_percent(scores.kept)} of the cells "
            f"and catches {_percent(scores.caught)} of the others."
        )
    ]


def _control_part(evaluation: ClassifierEvaluation) -> list[RenderableType]:
    table = figures_table("control", "condition", "chance", "type", "chance")
    for scores in evaluation.controls:
        table.add_row(
            scores.name,
            _share(scores.condition),
            _share(scores.condition_chance),
            _share(scores.cell_type),
            _share(scores.type_chance),
        )
    return [
        table,
        Text(
            "Balanced accuracy when the cell is taken away (blanked: must be chance) and when only "
            "its outline is left (silhouette: tells what the shape alone gives away).",
            style="dim",
        ),
    ]


def _figure(figure: Figure) -> str:
    words = _share(figure.value)
    if figure.interval is not None:
        words += f"\n{figure.interval[0]:.3f}-{figure.interval[1]:.3f}"
    return words


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"
