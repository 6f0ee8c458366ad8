"""Everything that is written of a classifier's evaluation, in one folder."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.text import Text

from blood_cell_system.analysis.classifier_evaluation import (
    ClassifierEvaluation,
    HeadScores,
    occlusion_map,
)
from blood_cell_system.analysis.trained_models import ClassifierRuntime
from blood_cell_system.atomic_files import make_folder, write_json, write_text
from blood_cell_system.imaging.contact_sheet import Tile, contact_sheet
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.plot import plot_file
from blood_cell_system.metrics.intervals import Figure
from blood_cell_system.model_metadata import network_input
from blood_cell_system.reports.segmenter_sheets import (
    as_json,
    figures_table,
    share_words,
    text_of,
)
from blood_cell_system.taxonomy import NOT_LABELLED
from blood_cell_system.training.classifier_data import CellSet
from blood_cell_system.wording import counted


def _evaluation_to_json(
    evaluation: ClassifierEvaluation, subject: Mapping[str, str]
) -> dict[str, Any]:
    """Give an evaluation as ``evaluation.json`` holds it."""
    return as_json(
        **subject,
        kind=evaluation.metadata.cell_type.lower(),
        cells=evaluation.cells,
        diseases=evaluation.diseases,
        conditions=[_head_to_json(scores) for scores in evaluation.conditions],
        types=[_head_to_json(scores) for scores in evaluation.types],
        known=evaluation.known,
        controls=evaluation.controls,
    )


def _head_to_json(scores: HeadScores) -> dict[str, Any]:
    table = scores.reliability
    return {
        "where": scores.where,
        "names": scores.names,
        "confusion_matrix": scores.confusion,
        "by_class": scores.by_class,
        "accuracy": scores.accuracy,
        "balanced_accuracy": scores.balanced_accuracy,
        "macro_f1": scores.macro_f1,
        "calibration_error": scores.calibration_error,
        "constant_answer": {
            "class": scores.constant,
            "accuracy": scores.constant_accuracy,
            "balanced_accuracy": scores.constant_balanced_accuracy,
        },
        "conformal": {"coverage": scores.coverage, "single_share": scores.single_share},
        "reliability": {
            "edges": table.edges,
            "cells": table.weight,
            "confidence": table.confidence,
            "accuracy": table.accuracy,
        },
    }


def short_figures(evaluation: ClassifierEvaluation) -> dict[str, Any]:
    """Give the figures that a person asks for first, for the classifier's metadata.

    Returns
    -------
    dict
        By name, each with ``value`` and ``interval`` (null where there is none).
    """
    figures: dict[str, Figure] = {}
    for scores in evaluation.diseases:
        name = f"{scores.condition} {scores.where}"
        figures[f"auroc {name}"] = scores.auroc
        figures[f"sensitivity at 95 % specificity {name}"] = scores.sensitivity
    for output, heads in (("condition", evaluation.conditions), ("type", evaluation.types)):
        if heads:
            figures[f"{output} accuracy"] = heads[0].accuracy
            figures[f"{output} macro f1"] = heads[0].macro_f1
            figures[f"{output} calibration error"] = heads[0].calibration_error
    if evaluation.known is not None:
        figures["known auroc"] = evaluation.known.auroc
    return {"cells": evaluation.cells} | {
        name: _rounded(figure) for name, figure in figures.items()
    }


def _rounded(figure: Figure) -> dict[str, Any]:
    # NaN, which JSON does not know, is the only value unequal to itself.
    return {
        "value": round(figure.value, 4) if figure.value == figure.value else None,
        "interval": None
        if figure.interval is None
        else [round(bound, 4) for bound in figure.interval],
    }


def classifier_evaluation_tables(evaluation: ClassifierEvaluation, *, title: str) -> RenderableType:
    """Lay an evaluation out."""
    parts: list[RenderableType] = [
        Text(f"{title}, {counted(evaluation.cells, 'cell')}", style="bold")
    ]
    if evaluation.diseases:
        parts += _disease_part(evaluation)
    for name, heads in (("Condition", evaluation.conditions), ("Type", evaluation.types)):
        if heads:
            parts += _head_part(name, heads)
    parts += _known_part(evaluation)
    parts += _control_part(evaluation)
    return Group(*parts)


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
            *(share_words(values[key]) for key in ("precision", "recall", "f1")),
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
            share_words(scores.condition),
            share_words(scores.condition_chance),
            share_words(scores.cell_type),
            share_words(scores.type_chance),
        )
    return [
        table,
        Text(
            "Balanced accuracy when the cell is taken away (blanked: must be chance) and when only "
            "its outline is left (silhouette: what the shape alone gives away).",
            style="dim",
        ),
    ]


def _figure(figure: Figure) -> str:
    words = share_words(figure.value)
    if figure.interval is not None:
        words += f"\n{figure.interval[0]:.3f}-{figure.interval[1]:.3f}"
    return words


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


def write_confusion_plot(path: Path, heads: Sequence[HeadScores]) -> None:
    """Draw confusion matrices side by side: numbers of cells, shaded by the share of their row."""
    with plot_file(path, size_inches=(6.5 * len(heads), 5.5)) as figure:
        for place, head in enumerate(heads, start=1):
            axes = figure.add_subplot(1, len(heads), place)
            counts = head.confusion
            rows = counts.sum(axis=1, keepdims=True)
            share = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)
            axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
            names = [name.replace("_", " ") for name in head.names]
            axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
            axes.set_yticks(range(len(names)), names)
            axes.set(xlabel="answer", ylabel="true", title=f"{head.where}, {int(rows.sum())} cells")
            for (row, column), count in np.ndenumerate(counts):
                colour = "white" if share[row, column] > 0.6 else "black"
                axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=colour)


def write_reliability_plot(path: Path, heads: Sequence[tuple[str, HeadScores]]) -> None:
    """Draw how often answers of a confidence are right, and how many answers have it.

    Parameters
    ----------
    heads : sequence of (str, HeadScores)
        With the name of each.
    """
    with plot_file(path, size_inches=(5.5 * len(heads), 5.5)) as figure:
        for place, (name, head) in enumerate(heads, start=1):
            table = head.reliability
            axes = figure.add_subplot(1, len(heads), place)
            width = float(table.edges[1] - table.edges[0])
            middle = (table.edges[:-1] + table.edges[1:]) / 2
            shares = table.weight / max(float(table.weight.sum()), 1.0)
            axes.bar(middle, shares, width, color="0.85", label="share of the cells")
            axes.plot([0, 1], [0, 1], color="0.5", linestyle="--", label="perfectly calibrated")
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


_WRONG: Final = 12
"""Wrong answers that are shown, at most."""

_RIGHT: Final = 4
"""Right answers that are shown, at most: so many of the surest, and of the least sure."""

_SMALLEST_DROP: Final = 0.05
"""Fall of a probability that is coloured in full: changes of a few per cent are noise."""


def occlusion_sheet(
    evaluation: ClassifierEvaluation, cell_set: CellSet, classifier: ClassifierRuntime
) -> NDArray[np.uint8]:
    """Draw pairs: the cell, and what speaks for the answer (red) and against it (blue).

    Wrong answers come first, the surest of them at the top; then the surest and the least sure of
    the right ones. Types are shown where the classifier knows any, conditions otherwise.

    Parameters
    ----------
    cell_set : CellSet
        That was measured.
    classifier : ClassifierRuntime
        That was measured.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    tiles: list[Tile] = []
    heads = [
        ("condition", evaluation.predictions.condition, cell_set.labels.condition),
        ("type", evaluation.predictions.cell_type, cell_set.labels.cell_type),
    ]
    for output, probabilities, y_true in heads:
        if probabilities is None:
            continue
        metadata = evaluation.metadata
        names = metadata.conditions if output == "condition" else metadata.subtypes
        answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        for position in chosen_cells(answers, y_true, confidence):
            image = cell_set.cells[position]
            seen = network_input(image, sees_surround=metadata.sees_surround)
            heat = occlusion_map(classifier, image, output=output, index=int(answers[position]))
            is_wrong = bool(answers[position] != y_true[position])
            record = cell_set.cells.records[position]
            words = (
                f"{confidence[position]:.2f} {names[answers[position]]}\n"
                f"true {names[y_true[position]]}\n{record.source} {record.field}"
            )
            tiles += [
                Tile(image=seen, caption=words, is_bad=is_wrong),
                Tile(image=_overlaid(seen, heat), caption=f"{output}\n\n"),
            ]
    title = "Answers, the worst first; red speaks for the answer, blue against it"
    return contact_sheet(tiles, columns=8, tile_width=150, title=title)


def chosen_cells(
    answers: NDArray[np.integer], y_true: NDArray[np.integer], confidence: NDArray[np.floating]
) -> list[int]:
    """Choose cells to show: the surest wrong answers, then the surest and least sure right ones."""
    order = np.argsort(-confidence, kind="stable")
    wrong = [int(i) for i in order if y_true[i] != NOT_LABELLED and answers[i] != y_true[i]]
    right = [int(i) for i in order if answers[i] == y_true[i]]
    few = right[:_RIGHT] + right[max(_RIGHT, len(right) - _RIGHT) :]
    return wrong[:_WRONG] + few


def _overlaid(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    smooth = cv2.GaussianBlur(heat, (0, 0), 6)
    strength = np.clip(smooth / max(float(np.abs(smooth).max()), _SMALLEST_DROP), -1, 1)
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colour = np.where(strength[..., None] > 0, (220, 30, 30), (30, 60, 220))
    share = 0.7 * np.abs(strength)[..., None]
    return np.asarray(grey * (1 - share) + colour * share).astype(np.uint8)


def write_evaluation_files(
    evaluation: ClassifierEvaluation,
    cells: CellSet,
    classifier: ClassifierRuntime,
    folder: Path,
    *,
    subject: Mapping[str, str],
) -> list[Path]:
    """Write tables, numbers and images of an evaluation.

    Parameters
    ----------
    cells : CellSet
        That was measured.
    classifier : ClassifierRuntime
        That was measured; it runs once more on the cells shown.
    subject : mapping of str
        What was measured: model, data folder, split.

    Returns
    -------
    list of Path
        What was written: ``evaluation.json``, ``evaluation.txt``, ``confusion_matrix.png``,
        ``reliability.png`` and ``answers.png``.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    """
    make_folder(folder)
    tables = classifier_evaluation_tables(evaluation, title=", ".join(subject.values()))
    write_json(folder / "evaluation.json", _evaluation_to_json(evaluation, subject))
    write_text(folder / "evaluation.txt", text_of(tables))
    written = ["evaluation.json", "evaluation.txt"]
    named = [("condition", head) for head in evaluation.conditions[:1]]
    named += [("type", head) for head in evaluation.types[:1]]
    if named:
        write_confusion_plot(folder / "confusion_matrix.png", [head for _, head in named])
        write_reliability_plot(folder / "reliability.png", named)
        written += ["confusion_matrix.png", "reliability.png"]
    sheet = np.ascontiguousarray(occlusion_sheet(evaluation, cells, classifier))
    write_image(folder / "answers.png", sheet)
    return [folder / name for name in (*written, "answers.png")]
