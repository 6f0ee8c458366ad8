"""The pictures on which a model does worst, truth beside prediction."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import corners_of
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.drawing.contact_sheet import Tile, contact_sheet
from blood_cell_system.drawing.overlay import draw_boxes, draw_overlay
from blood_cell_system.inference.evaluation import (
    Evaluation,
    EvaluationSettings,
    PictureRecord,
    cells_in,
)
from blood_cell_system.inference.runtimes import Runtime


def worst_pictures_sheet(
    evaluation: Evaluation,
    images: Mapping[str, PreparedImage],
    runtime: Runtime,
    *,
    count: int = 10,
    settings: EvaluationSettings | None = None,
) -> NDArray[np.uint8]:
    """Draw the worst pictures, each as a pair: truth on the left, prediction on the right.

    Parameters
    ----------
    evaluation : Evaluation
    images : mapping of str to PreparedImage
        By stem; those of the evaluation at least.
    runtime : Runtime
        The model that was measured; it runs once more on the pictures shown.
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
        tiles, columns=4, tile_width=400, title=f"The {len(worst)} worst pictures by mean IoU"
    )


def _pair(
    rank: int,
    record: PictureRecord,
    image: PreparedImage,
    runtime: Runtime,
    settings: EvaluationSettings,
) -> tuple[Tile, Tile]:
    pixels, class_mask = image.read()
    found = cells_in(runtime, pixels, source=image.source, settings=settings)
    predicted = draw_overlay(
        pixels,
        found.class_mask,
        label_image=found.separated.label_image,
        cell_types=[cell.cell_type for cell in found.separated.cells],
    )
    truth = draw_boxes(draw_overlay(pixels, class_mask), corners_of(image.cells or ()))
    true_words = predicted_words = ""
    if record.cells is not None:
        true_words = _counts(record.cells.true_counts)
        predicted_words = _counts(record.cells.all_found_counts)
    return (
        Tile(picture=truth, caption=f"{rank}. {record.stem}: truth\n{true_words}"),
        Tile(
            picture=predicted,
            caption=f"mean IoU {record.confusion.mean_iou:.3f}\n{predicted_words}",
        ),
    )


def _counts(counts: Mapping[CellType, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
