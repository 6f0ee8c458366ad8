"""An evaluation as tables for a terminal."""

import math
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.text import Text

from blood_cell_system.cells.counts import CountError
from blood_cell_system.cells.scoring import CellScores, TruthKind
from blood_cell_system.classes import CELL_TYPES, CellClass
from blood_cell_system.inference.evaluation import Evaluation
from blood_cell_system.reports.tables import figures_table

_CLASS_NAMES: Final = {
    CellClass.BACKGROUND: "background",
    CellClass.RBC: "RBC",
    CellClass.WBC: "WBC",
}
_SHOWN_THRESHOLDS: Final = (0.5, 0.7, 0.9)
_TRUTH_NAMES: Final = {
    TruthKind.OUTLINES: "exact outlines, by IoU of pixels",
    TruthKind.BOXES: "boxes, by IoU of boxes",
}


def evaluation_tables(evaluation: Evaluation, *, title: str) -> RenderableType:
    """Lay an evaluation out for ``rich.console.Console.print``.

    Parameters
    ----------
    evaluation : Evaluation
    title : str
        What was measured.
    """
    parts: list[RenderableType] = [Text(title, style="bold"), *_pixel_part(evaluation)]
    for scores in evaluation.cells:
        parts += [Text(), *_match_part(scores), Text(), *_count_part(scores)]
    if not evaluation.cells:
        parts.append(Text("No cells were compared: the folder has no annotations.json."))
    if evaluation.failures:
        parts += [Text(), Text(f"{len(evaluation.failures)} pictures failed:", style="bold red")]
        parts += [Text(f"  {failure.stem}: {failure.reason}") for failure in evaluation.failures]
    return Group(*parts)


def evaluation_text(evaluation: Evaluation, *, title: str, width: int = 100) -> str:
    """Lay an evaluation out as plain text, without colours."""
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(evaluation_tables(evaluation, title=title))
    return capture.get()


def _pixel_part(evaluation: Evaluation) -> list[RenderableType]:
    confusion = evaluation.confusion
    words = f"Pixels of {len(evaluation.pictures)} pictures, all scored ones together"
    if evaluation.mean_iou_interval is not None:
        low, high = evaluation.mean_iou_interval
        words += f"; 95 % interval of the mean IoU {low:.3f} to {high:.3f}"
    table = figures_table("class", "IoU", "Dice")
    for value in CellClass:
        table.add_row(
            _CLASS_NAMES[value], _share(confusion.iou[value]), _share(confusion.dice[value])
        )
    table.add_section()
    table.add_row("mean IoU", _share(confusion.mean_iou), "", style="bold")
    return [Text(words), table]


def _match_part(scores: CellScores) -> list[RenderableType]:
    origins = ", ".join(f"{count} {origin}" for origin, count in scores.origins.items() if count)
    f1_names = [f"F1@{threshold:.1f}" for threshold in _SHOWN_THRESHOLDS]
    strict_name = f"{f1_names[0]}*"
    table = figures_table("cell", "true", "found", "out", strict_name, *f1_names, "AP", "PQ")
    for cell_type in CELL_TYPES:
        by_iou = scores.matches[cell_type]
        loose = by_iou[_SHOWN_THRESHOLDS[0]]
        table.add_row(
            cell_type,
            str(loose.matched + loose.missed),
            str(loose.matched + loose.false_found),
            str(loose.left_out),
            _share(loose.with_left_out_as_false().f1),
            *(_share(by_iou[threshold].f1) for threshold in _SHOWN_THRESHOLDS),
            _share(loose.average_precision),
            _share(loose.panoptic_quality),
        )
    return [
        Text(f"Cells against {_TRUTH_NAMES[scores.truth]} ({origins or 'no cells'})"),
        table,
        Text(
            "out: found where nobody has said what is there, and matching nothing; * counts these "
            "as false. Where boxes are incomplete, neither is the whole truth. AP is TP / (TP + FP "
            "+ FN), as StarDist has it, and PQ is F1 × mean IoU of the pairs; both at "
            f"IoU {_SHOWN_THRESHOLDS[0]}.",
            style="dim",
        ),
    ]


def _count_part(scores: CellScores) -> list[RenderableType]:
    table = figures_table("cell", "answer", "MAE", "bias", "relative", "exact")
    table.columns[1].justify = "left"
    for cell_type in CELL_TYPES:
        report = scores.counts[cell_type]
        table.add_row(cell_type, "model", *_count_row(report.error))
        if scores.all_counts[cell_type] != report.error:
            error = scores.all_counts[cell_type]
            table.add_row("", "model, with those left out", *_count_row(error))
        if report.training_constant_error is not None:
            table.add_row(
                "",
                f"always {report.training_constant} (median of training)",
                *_count_row(report.training_constant_error),
            )
        table.add_row(
            "",
            f"always {report.best_constant} (best constant)",
            *_count_row(report.best_constant_error),
        )
        table.add_section()
    return [
        Text(f"Counts a picture, over {scores.picture_count} pictures"),
        table,
        Text(
            "What does not beat the constants has not learned to count. Where boxes are "
            "incomplete, leaving out flatters the model (the truth tells which to leave out), and "
            "counting all blames it for cells that nobody has boxed.",
            style="dim",
        ),
    ]


def _count_row(error: CountError) -> tuple[str, str, str, str]:
    relative = "-" if math.isnan(error.relative_error) else f"{error.relative_error:.1%}"
    return (
        f"{error.mean_absolute_error:.2f}",
        f"{error.bias:+.2f}",
        relative,
        f"{error.exact_share:.0%}",
    )


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
