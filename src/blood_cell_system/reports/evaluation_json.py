"""An evaluation as JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from blood_cell_system.cells.counts import CountReport
from blood_cell_system.cells.matching import MatchCounts
from blood_cell_system.cells.scoring import CellScores
from blood_cell_system.classes import CellClass
from blood_cell_system.inference.evaluation import Evaluation, PictureRecord
from blood_cell_system.models.confusion import ConfusionMatrix

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
        "picture_count": len(evaluation.pictures),
        "failures": [asdict(failure) for failure in evaluation.failures],
        "pixels": {
            **_pixel_scores(evaluation.confusion),
            "mean_iou_95_interval": None if interval is None else list(interval),
            "confusion_matrix": evaluation.confusion.counts.tolist(),
        },
        "cells": [_cell_scores(scores) for scores in evaluation.cells],
        "pictures": [_picture(record) for record in evaluation.pictures],
    }
    result: dict[str, Any] = _without_nan(value)
    return result


def _pixel_scores(confusion: ConfusionMatrix) -> dict[str, Any]:
    names = [value.name.lower() for value in CellClass]
    return {
        "mean_iou": confusion.mean_iou,
        "accuracy": confusion.accuracy,
        "iou": dict(zip(names, confusion.iou.tolist(), strict=True)),
        "dice": dict(zip(names, confusion.dice.tolist(), strict=True)),
    }


def _cell_scores(scores: CellScores) -> dict[str, Any]:
    return {
        "truth": str(scores.truth),
        "picture_count": scores.picture_count,
        "true_cells_by_origin": {str(o): count for o, count in scores.origins.items() if count},
        "types": {
            str(cell_type): {
                "matching": {f"{t:.2f}": match_scores(counts) for t, counts in by_iou.items()},
                "counts": _count_report(scores.counts[cell_type])
                | {"model_with_left_out": asdict(scores.all_counts[cell_type])},
            }
            for cell_type, by_iou in scores.matches.items()
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


def _picture(record: PictureRecord) -> dict[str, Any]:
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
