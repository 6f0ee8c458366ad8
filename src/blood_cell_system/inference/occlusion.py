"""Where in a cell a classifier looks: what covering a place does to its answer."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cell_picture_format import CELL_SIDE_PX
from blood_cell_system.inference.classifier_predictions import CellPicture, predict_cells
from blood_cell_system.inference.classifier_runtimes import ClassifierRuntime

PATCH_PX: Final = 26
STEP_PX: Final = 13


def occlusion_map(
    classifier: ClassifierRuntime, picture: CellPicture, *, output: str, index: int
) -> NDArray[np.float32]:
    """Cover a cell place by place with its own mean colour, and see what becomes of an answer.

    Parameters
    ----------
    classifier : ClassifierRuntime
    picture : ndarray of shape (130, 130, 4), dtype uint8
        RGBA.
    output : {"condition", "type"}
    index : int
        Of the class whose probability is watched.

    Returns
    -------
    ndarray of shape (130, 130), dtype float32
        By how much the probability falls when the place is covered, mean of the patches over it;
        negative where the place speaks against the class.
    """
    inside = picture[:, :, 3] > 127
    mean = picture[inside][:, :3].mean(axis=0) if inside.any() else np.full(3, 255.0)
    corners = [
        (top, left)
        for top in range(0, CELL_SIDE_PX - PATCH_PX + 1, STEP_PX)
        for left in range(0, CELL_SIDE_PX - PATCH_PX + 1, STEP_PX)
        if inside[top : top + PATCH_PX, left : left + PATCH_PX].any()
    ]
    shown = [picture]
    for top, left in corners:
        covered = picture.copy()
        covered[top : top + PATCH_PX, left : left + PATCH_PX, :3] = mean
        shown.append(covered)
    predictions = predict_cells(classifier, shown)
    answers = predictions.condition if output == "condition" else predictions.cell_type
    if answers is None:
        raise ValueError(f"Occlusion: the classifier has no output {output!r}.")
    drops = answers[0, index] - answers[1:, index]
    total = np.zeros((CELL_SIDE_PX, CELL_SIDE_PX), dtype=np.float32)
    count = np.zeros_like(total)
    for (top, left), drop in zip(corners, drops, strict=True):
        total[top : top + PATCH_PX, left : left + PATCH_PX] += drop
        count[top : top + PATCH_PX, left : left + PATCH_PX] += 1
    return np.asarray(total / np.maximum(count, 1) * inside, dtype=np.float32)
