"""What is written of a segmenter's evaluation: JSON, tables, and its worst images."""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from blood_cell_system.analysis.segmenter_evaluation import (
    Evaluation,
    EvaluationSettings,
    ImageRecord,
    cells_in,
)
from blood_cell_system.analysis.trained_models import Runtime
from blood_cell_system.annotation.sample import corners_of
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.imaging.contact_sheet import Tile, contact_sheet
from blood_cell_system.imaging.overlay import draw_boxes, draw_overlay
from blood_cell_system.metrics.confusion import ConfusionMatrix
from blood_cell_system.metrics.matching import (
    CellScores,
    CountError,
    CountReport,
    TruthKind,
)
from blood_cell_system.taxonomy import MaskClass
from blood_cell_system.wording import counted


def figures_table(first: str, *others: str) -> Table:
    """Make an empty table: names in the first column, figures in the others."""
    # Without walls all columns fit into 80 places.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def text_of(tables: RenderableType, *, width: int = 100) -> str:
    """Lay tables out as plain text, without colours."""
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(tables)
    return capture.get()


def as_json(**parts: Any) -> dict[str, Any]:
    """Give the parts of an evaluation as plain values, with null for what is no number."""
    data = to_json(
        {"format_version": 1, **parts}, inf_nan_mode="null", fallback=lambda array: array.tolist()
    )
    value: dict[str, Any] = json.loads(data)
    return value


def evaluation_to_json(evaluation: Evaluation, *, subject: Mapping[str, str]) -> dict[str, Any]:
    """Give an evaluation as ``bloodcells evaluate --json`` writes it: ``docs/data_formats.md``.

    Parameters
    ----------
    subject : mapping of str
        What was measured: model, data folder, split.
    """
    return as_json(
        **subject,
        image_count=len(evaluation.images),
        failures=evaluation.failures,
        pixels={
            **_pixel_scores(evaluation.confusion),
            "mean_iou_95_interval": evaluation.mean_iou_interval,
            "confusion_matrix": evaluation.confusion.counts,
        },
        cells=[_truth_scores(scores) for scores in evaluation.cells],
        images=[_image_scores(record) for record in evaluation.images],
    )


def _pixel_scores(confusion: ConfusionMatrix) -> dict[str, Any]:
    names = [value.name.lower() for value in MaskClass]
    return {
        "mean_iou": confusion.mean_iou,
        "accuracy": confusion.accuracy,
        "iou": dict(zip(names, confusion.iou.tolist(), strict=True)),
        "dice": dict(zip(names, confusion.dice.tolist(), strict=True)),
    }


_OF_MATCHES: Final = {
    "matched": "matched",
    "false_found": "false_found",
    "missed": "missed",
    "left_out": "left_out",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "f1_with_left_out_as_false": "strict_f1",
    "ap_tp_over_tp_fp_fn": "average_precision",
    "sq": "segmentation_quality",
    "pq": "panoptic_quality",
}
"""Figures of a matching in a file, and their names in ``MatchCounts``."""


def _truth_scores(scores: CellScores) -> dict[str, Any]:
    types = {}
    for cell_type, by_iou in scores.matching.matches.items():
        counts = scores.counts[cell_type]
        types[cell_type] = {
            "matching": {
                f"{iou:.2f}": {key: getattr(found, name) for key, name in _OF_MATCHES.items()}
                for iou, found in by_iou.items()
            },
            "counts": {
                "model": counts.error,
                "training_constant": counts.training_constant,
                "training_constant_error": counts.training_constant_error,
                "best_constant": counts.best_constant,
                "best_constant_error": counts.best_constant_error,
                "model_with_left_out": scores.all_counts[cell_type],
            },
        }
    return {
        "truth": scores.matching.truth,
        "image_count": scores.image_count,
        "true_cells_by_origin": {str(o): n for o, n in scores.matching.origins.items() if n},
        "types": types,
    }


def _image_scores(record: ImageRecord) -> dict[str, Any]:
    pixels = {"stem": record.stem, **_pixel_scores(record.confusion)}
    if record.cells is None:
        return pixels
    counts = ("true_counts", "all_found_counts", "found_counts")
    return pixels | {name: dict(getattr(record.cells, name)) for name in counts}


_CLASS_NAMES: Final = {
    MaskClass.BACKGROUND: "background",
    MaskClass.RBC: "RBC",
    MaskClass.WBC: "WBC",
}
_SHOWN_THRESHOLDS: Final = (0.5, 0.7, 0.9)
"""IoU that make a match in the tables: loose, usual, strict."""
_TRUTH_NAMES: Final = {
    TruthKind.OUTLINES: "exact outlines, by IoU of pixels",
    TruthKind.BOXES: "boxes, by IoU of boxes",
}


def evaluation_tables(evaluation: Evaluation, *, title: str) -> RenderableType:
    """Lay an evaluation out for ``rich.console.Console.print``.

    Parameters
    ----------
    title : str
        What was measured.
    """
    parts: list[RenderableType] = [Text(title, style="bold"), *_pixel_part(evaluation)]
    for scores in evaluation.cells:
        parts += [Text(), *_match_part(scores), Text(), *_count_part(scores)]
    if not evaluation.cells:
        parts.append(Text("No cells were compared: the folder has no annotations.json."))
    if evaluation.failures:
        parts += [
            Text(),
            Text(f"{counted(len(evaluation.failures), 'image')} failed:", style="bold red"),
        ]
        parts += [Text(f"  {failure.stem}: {failure.reason}") for failure in evaluation.failures]
    return Group(*parts)


def _pixel_part(evaluation: Evaluation) -> list[RenderableType]:
    confusion = evaluation.confusion
    words = f"Pixels of {counted(len(evaluation.images), 'image')}, all scored ones together"
    if evaluation.mean_iou_interval is not None:
        low, high = evaluation.mean_iou_interval
        words += f"; 95 % interval of the mean IoU {low:.3f} to {high:.3f}"
    table = figures_table("class", "IoU", "Dice")
    for value in MaskClass:
        table.add_row(
            _CLASS_NAMES[value],
            share_words(confusion.iou[value]),
            share_words(confusion.dice[value]),
        )
    table.add_section()
    table.add_row("mean IoU", share_words(confusion.mean_iou), "", style="bold")
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
            share_words(loose.with_left_out_as_false().f1),
            *(share_words(by_iou[threshold].f1) for threshold in _SHOWN_THRESHOLDS),
            share_words(loose.average_precision),
            share_words(loose.panoptic_quality),
        )
    return [
        Text(f"Cells against {_TRUTH_NAMES[scores.matching.truth]} ({origins or 'no cells'})"),
        table,
        Text(
            "out: found where no annotation says what is there, without a match; * counts these "
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
        Text(f"Counts an image, over {counted(scores.image_count, 'image')}"),
        table,
        Text("\n".join(beside_constant(*item) for item in scores.counts.items())),
        Text(
            "always N: the same answer for every image, hard to beat where all have about as many "
            "cells. Where boxes are incomplete, leaving out flatters the model (the truth decides "
            "which), and counting all blames it for cells without a box.",
            style="dim",
        ),
    ]


def beside_constant(cell_type: str, report: CountReport) -> str:
    """Say whether the counts of a type come nearer than the best constant answer."""
    found = report.error.mean_absolute_error
    constant = report.best_constant_error.mean_absolute_error
    words = (
        "better than" if found < constant else "as good as" if found == constant else "worse than"
    )
    return f"{cell_type}: {words} the best constant answer (MAE {found:.2f} against {constant:.2f})"


def _count_row(error: CountError) -> tuple[str, str, str, str]:
    relative = "-" if math.isnan(error.relative_error) else f"{error.relative_error:.1%}"
    return (
        f"{error.mean_absolute_error:.2f}",
        f"{error.bias:+.2f}",
        relative,
        f"{error.exact_share:.0%}",
    )


def share_words(value: float) -> str:
    """Write a share with three digits; a dash where there is none."""
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
    images : mapping of str to PreparedImage
        By stem; those of the evaluation at least.
    runtime : Runtime
        The model that was measured; it runs once more on the images shown.
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
        taxonomy=found.cells.taxonomy,
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
