"""The images on which a model does worst, truth beside prediction."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from blood_cell_system.analysis.runtimes import Runtime
from blood_cell_system.analysis.segmenter_evaluation import (
    Evaluation,
    EvaluationSettings,
    ImageRecord,
    cells_in,
)
from blood_cell_system.annotation.sample import corners_of
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.imaging.contact_sheet import Tile, contact_sheet
from blood_cell_system.imaging.overlay import draw_boxes, draw_overlay
from blood_cell_system.metrics.confusion import ConfusionMatrix
from blood_cell_system.metrics.matching import (
    CellScores,
    CountError,
    CountReport,
    MatchCounts,
    TruthKind,
)
from blood_cell_system.taxonomy import MaskClass


def figures_table(first: str, *others: str) -> Table:
    """Make an empty table: names in the first column, figures in the others."""
    # Without walls all columns fit into 80 places.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


FORMAT_VERSION = 1


def evaluation_to_json(evaluation: Evaluation, *, subject: Mapping[str, str]) -> dict[str, Any]:
    """Turn an evaluation into what ``json.dumps`` takes.

    Parameters
    ----------
    evaluation : Evaluation
    subject : mapping of str
        What was measured: model, data folder, split.

    Returns
    -------
    dict
        Shares are 0..1; what has no value (a class that does not occur) is null, never NaN, which
        JSON does not know.
    """
    interval = evaluation.mean_iou_interval
    value = {
        "format_version": FORMAT_VERSION,
        **subject,
        "image_count": len(evaluation.images),
        "failures": [asdict(failure) for failure in evaluation.failures],
        "pixels": {
            **_pixel_scores(evaluation.confusion),
            "mean_iou_95_interval": None if interval is None else list(interval),
            "confusion_matrix": evaluation.confusion.counts.tolist(),
        },
        "cells": [_cell_scores(scores) for scores in evaluation.cells],
        "images": [_image(record) for record in evaluation.images],
    }
    result: dict[str, Any] = _without_nan(value)
    return result


def _pixel_scores(confusion: ConfusionMatrix) -> dict[str, Any]:
    names = [value.name.lower() for value in MaskClass]
    return {
        "mean_iou": confusion.mean_iou,
        "accuracy": confusion.accuracy,
        "iou": dict(zip(names, confusion.iou.tolist(), strict=True)),
        "dice": dict(zip(names, confusion.dice.tolist(), strict=True)),
    }


def _cell_scores(scores: CellScores) -> dict[str, Any]:
    return {
        "truth": str(scores.matching.truth),
        "image_count": scores.image_count,
        "true_cells_by_origin": {
            str(o): count for o, count in scores.matching.origins.items() if count
        },
        "types": {
            str(cell_type): {
                "matching": {f"{t:.2f}": match_scores(counts) for t, counts in by_iou.items()},
                "counts": _count_report(scores.counts[cell_type])
                | {"model_with_left_out": asdict(scores.all_counts[cell_type])},
            }
            for cell_type, by_iou in scores.matching.matches.items()
        },
    }


def match_scores(counts: MatchCounts) -> dict[str, float]:
    """Numbers and shares of a matching."""
    return {
        "matched": counts.matched,
        "false_found": counts.false_found,
        "missed": counts.missed,
        "left_out": counts.left_out,
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "f1_with_left_out_as_false": counts.with_left_out_as_false().f1,
        "ap_tp_over_tp_fp_fn": counts.average_precision,
        "sq": counts.segmentation_quality,
        "pq": counts.panoptic_quality,
    }


def _count_report(report: CountReport) -> dict[str, Any]:
    return {
        "model": asdict(report.error),
        "training_constant": report.training_constant,
        "training_constant_error": (
            None
            if report.training_constant_error is None
            else asdict(report.training_constant_error)
        ),
        "best_constant": report.best_constant,
        "best_constant_error": asdict(report.best_constant_error),
    }


def _image(record: ImageRecord) -> dict[str, Any]:
    row: dict[str, Any] = {"stem": record.stem, **_pixel_scores(record.confusion)}
    if record.cells is not None:
        cells = record.cells
        row["true_counts"] = {str(t): count for t, count in cells.true_counts.items()}
        row["all_found_counts"] = {str(t): count for t, count in cells.all_found_counts.items()}
        row["found_counts"] = {str(t): count for t, count in cells.found_counts.items()}
    return row


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


_CLASS_NAMES: Final = {
    MaskClass.BACKGROUND: "background",
    MaskClass.RBC: "RBC",
    MaskClass.WBC: "WBC",
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
        parts += [Text(), Text(f"{len(evaluation.failures)} images failed:", style="bold red")]
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
    words = f"Pixels of {len(evaluation.images)} images, all scored ones together"
    if evaluation.mean_iou_interval is not None:
        low, high = evaluation.mean_iou_interval
        words += f"; 95 % interval of the mean IoU {low:.3f} to {high:.3f}"
    table = figures_table("class", "IoU", "Dice")
    for value in MaskClass:
        table.add_row(
            _CLASS_NAMES[value], _share(confusion.iou[value]), _share(confusion.dice[value])
        )
    table.add_section()
    table.add_row("mean IoU", _share(confusion.mean_iou), "", style="bold")
    return [Text(words), table]


def _match_part(scores: CellScores) -> list[RenderableType]:
    origins = ", ".join(
        f"{count} {origin}" for origin, count in scores.matching.origins.items() if count
    )
    f1_names = [f"F1@{threshold:.1f}" for threshold in _SHOWN_THRESHOLDS]
    strict_name = f"{f1_names[0]}*"
    table = figures_table("cell", "true", "found", "out", strict_name, *f1_names, "AP", "PQ")
    for cell_type, by_iou in scores.matching.matches.items():
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
        Text(f"Cells against {_TRUTH_NAMES[scores.matching.truth]} ({origins or 'no cells'})"),
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
    for cell_type, report in scores.counts.items():
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
        Text(f"Counts an image, over {scores.image_count} images"),
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


def worst_images_sheet(
    evaluation: Evaluation,
    images: Mapping[str, PreparedImage],
    runtime: Runtime,
    *,
    count: int = 10,
    settings: EvaluationSettings | None = None,
) -> NDArray[np.uint8]:
    """Draw the worst images, each as a pair: truth on the left, prediction on the right.

    Parameters
    ----------
    evaluation : Evaluation
    images : mapping of str to PreparedImage
        By stem; those of the evaluation at least.
    runtime : Runtime
        The model that was measured; it runs once more on the images shown.
    count : int
    settings : EvaluationSettings, optional
        As while measuring.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
    """
    settings = settings or EvaluationSettings()
    tiles: list[Tile] = []
    worst = evaluation.worst(count)
    for rank, record in enumerate(worst, start=1):
        tiles += _pair(rank, record, images[record.stem], runtime, settings)
    return contact_sheet(
        tiles, columns=4, tile_width=400, title=f"The {len(worst)} worst images by mean IoU"
    )


def _pair(
    rank: int,
    record: ImageRecord,
    image: PreparedImage,
    runtime: Runtime,
    settings: EvaluationSettings,
) -> tuple[Tile, Tile]:
    pixels, class_mask = image.read()
    found = cells_in(runtime, pixels, source=image.source, settings=settings)
    predicted = draw_overlay(
        pixels,
        found.class_mask,
        label_image=found.cells.label_image,
        cell_types=found.cells["cell_type"].tolist(),
    )
    truth = draw_boxes(draw_overlay(pixels, class_mask), corners_of(image.cells or ()))
    true_words = predicted_words = ""
    if record.cells is not None:
        true_words = _counts(record.cells.true_counts)
        predicted_words = _counts(record.cells.all_found_counts)
    return (
        Tile(image=truth, caption=f"{rank}. {record.stem}: truth\n{true_words}"),
        Tile(
            image=predicted,
            caption=f"mean IoU {record.confusion.mean_iou:.3f}\n{predicted_words}",
        ),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
