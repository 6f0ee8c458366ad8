"""A classifier's evaluation as JSON, and the short form that goes into its facts."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from blood_cell_system.inference.classifier_evaluation import ClassifierEvaluation
from blood_cell_system.inference.classifier_scores import HeadScores
from blood_cell_system.inference.field_bootstrap import Figure

FORMAT_VERSION = 1


def classifier_evaluation_to_json(
    evaluation: ClassifierEvaluation, *, subject: Mapping[str, str]
) -> dict[str, Any]:
    """Turn an evaluation into what ``write_json`` takes.

    Parameters
    ----------
    evaluation : ClassifierEvaluation
    subject : mapping of str
        What was measured: model, data folder, split.
    """
    return {
        "format_version": FORMAT_VERSION,
        **subject,
        "kind": str(evaluation.facts.kind),
        "cells": evaluation.cells,
        "diseases": [asdict(scores) for scores in evaluation.diseases],
        "conditions": [_head(scores) for scores in evaluation.conditions],
        "types": [_head(scores) for scores in evaluation.types],
        "known": None if evaluation.known is None else asdict(evaluation.known),
        "controls": [asdict(scores) for scores in evaluation.controls],
    }


def short_figures(evaluation: ClassifierEvaluation) -> dict[str, Any]:
    """Give the figures that a person asks for first, for the classifier's facts.

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


def _head(scores: HeadScores) -> dict[str, Any]:
    table = scores.reliability
    return {
        "where": scores.where,
        "names": list(scores.names),
        "confusion_matrix": scores.confusion.tolist(),
        "by_class": scores.by_class,
        "accuracy": asdict(scores.accuracy),
        "balanced_accuracy": asdict(scores.balanced_accuracy),
        "macro_f1": asdict(scores.macro_f1),
        "calibration_error": asdict(scores.calibration_error),
        "constant_answer": {
            "class": scores.constant,
            "accuracy": scores.constant_accuracy,
            "balanced_accuracy": scores.constant_balanced_accuracy,
        },
        "conformal": {"coverage": scores.coverage, "single_share": scores.single_share},
        "reliability": {
            "edges": table.edges.tolist(),
            "cells": table.weight.tolist(),
            "confidence": table.confidence.tolist(),
            "accuracy": table.accuracy.tolist(),
        },
    }
