"""Right and wrong answers of a classifier, and the places in the cell that they come from."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cell_picture_format import on_white
from blood_cell_system.classes import NOT_LABELLED
from blood_cell_system.drawing.contact_sheet import Tile, contact_sheet
from blood_cell_system.inference.classifier_evaluation import ClassifierEvaluation
from blood_cell_system.inference.classifier_runtimes import ClassifierRuntime
from blood_cell_system.inference.occlusion import occlusion_map
from blood_cell_system.training.classifier_data import CellSet

_WRONG: Final = 12
_RIGHT: Final = 4
_SMALLEST_DROP: Final = 0.05


def occlusion_sheet(
    evaluation: ClassifierEvaluation, cell_set: CellSet, classifier: ClassifierRuntime
) -> NDArray[np.uint8]:
    """Draw pairs: the cell, and what speaks for the answer (red) and against it (blue).

    Wrong answers come first, the surest of them at the top; then the surest and the least sure of
    the right ones. Types are shown where the classifier knows any, conditions otherwise.

    Parameters
    ----------
    evaluation : ClassifierEvaluation
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
        facts = evaluation.facts
        names = facts.conditions if output == "condition" else facts.types
        answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        for position in chosen_cells(answers, y_true, confidence):
            picture = cell_set.cells[position]
            heat = occlusion_map(classifier, picture, output=output, index=int(answers[position]))
            is_wrong = bool(answers[position] != y_true[position])
            record = cell_set.cells.records[position]
            words = (
                f"{confidence[position]:.2f} {names[answers[position]]}\n"
                f"true {names[y_true[position]]}\n{record.source} {record.field}"
            )
            tiles += [
                Tile(picture=on_white(picture), caption=words, is_bad=is_wrong),
                Tile(picture=_overlaid(on_white(picture), heat), caption=f"{output}\n\n"),
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
    # Changes of a few per cent are noise, and shall not look like evidence.
    strength = np.clip(smooth / max(float(np.abs(smooth).max()), _SMALLEST_DROP), -1, 1)
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colour = np.where(strength[..., None] > 0, (220, 30, 30), (30, 60, 220))
    share = 0.7 * np.abs(strength)[..., None]
    return np.asarray(grey * (1 - share) + colour * share).astype(np.uint8)
