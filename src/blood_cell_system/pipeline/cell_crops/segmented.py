"""Cells that the segmenter finds in a part of a picture."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import Box, LabelledBox, corners_of, pairwise_box_iou
from blood_cell_system.classes import CELL_TYPES, CellType
from blood_cell_system.datasets.cell_fields import MarkedCell
from blood_cell_system.inference.cell_finding import find_cells
from blood_cell_system.inference.diameter_vote import vote_on_diameter
from blood_cell_system.inference.runtimes import Runtime
from blood_cell_system.inference.scale import settle_scale
from blood_cell_system.masks.ellipses import clip_to_pixels
from blood_cell_system.masks.stain import RED
from blood_cell_system.pipeline.cell_crops.plan import CutTask
from blood_cell_system.pipeline.cell_crops.smear import Smear
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.segmenter_contract import TRAINING_DIAMETER_PX

_NUCLEUS_DENSITY: Final = 0.45
_NUCLEUS_SHARE: Final = 0.12
_WINDOW_TRIES: Final = 12
_CONTAINED: Final = 0.6
_SAME_OVERLAP: Final = 0.4


def labelled_box(mark: MarkedCell, cell_type: CellType) -> LabelledBox:
    """Box of a marked cell; of ``cell_type`` where its label is no type of cell."""
    named = [kind for kind in CELL_TYPES if kind == mark.label]
    return LabelledBox(
        cell_type=named[0] if named else cell_type,
        x_min=mark.box.x_min,
        y_min=mark.box.y_min,
        x_max=mark.box.x_max,
        y_max=mark.box.y_max,
    )


def segmented_window(
    whole: Smear, task: CutTask, generator: np.random.Generator
) -> tuple[Smear, list[MarkedCell]]:
    """Look at a window of a picture, and find its cells; they have the picture's label.

    A network may take a red cell of an odd stain for a white one, or the other way round: whether
    there is a nucleus decides.
    """
    plan = task.plan
    magnification = _magnification(whole)
    smear = whole.window(*_window(whole.field, plan.window_px, generator))
    cells = find_cells(_runtime(), smear.image, magnification=magnification).separated
    marks = []
    for cell in cells.cells:
        if cell.touches_border or cell.cell_type is CellType.PLATELET:
            continue
        red_density = smear.density[:, :, RED][cells.label_image == cell.label]
        is_white = bool((red_density > _NUCLEUS_DENSITY).mean() > _NUCLEUS_SHARE)
        if is_white == (plan.cell_type is CellType.WBC):
            box = Box(cell.box.x_min, cell.box.y_min, cell.box.x_max, cell.box.y_max)
            marks.append(MarkedCell(label=task.field.label, box=box))
    return smear, marks


def neighbours_of(smear: Smear, marks: Sequence[MarkedCell], window_px: int) -> list[LabelledBox]:
    """Boxes of the cells around those that are marked, where people have not marked all cells."""
    found: list[LabelledBox] = []
    if not marks:
        return found
    magnification = _magnification(smear)
    for mark in marks:
        box = labelled_box(mark, CellType.RBC)
        margin = max(0.0, (window_px - max(box.width, box.height)) / 2)
        rows, columns = clip_to_pixels(box, smear.field.shape, margin=margin)
        part = np.ascontiguousarray(smear.image[rows, columns])
        cells = find_cells(_runtime(), part, magnification=magnification).separated.cells
        around = [_moved(cell.box, columns.start, rows.start) for cell in cells]
        found += [other for other in around if not _is_same(box, other)]
    return found


def _moved(box: LabelledBox, x: int, y: int) -> LabelledBox:
    return replace(
        box, x_min=box.x_min + x, y_min=box.y_min + y, x_max=box.x_max + x, y_max=box.y_max + y
    )


def _is_same(box: LabelledBox, other: LabelledBox) -> bool:
    """Whether a cell that was found is the marked one, or a part of it."""
    both = corners_of([box]), corners_of([other])
    overlap = float(pairwise_box_iou(*both)[0, 0])
    areas = [side.width * side.height for side in (box, other)]
    # From the overlap's share of the union to its share of the smaller box.
    common = overlap / (1 + overlap) * sum(areas)
    return overlap > _SAME_OVERLAP or common > _CONTAINED * max(areas[1], 1.0)


def _magnification(smear: Smear) -> float:
    """How far the network wants a picture resampled."""
    scale = settle_scale(
        vote_on_diameter(smear.image, smear.field),
        training_diameter_px=getattr(_runtime(), "training_diameter_px", TRAINING_DIAMETER_PX),
    )
    return scale.magnification_applied


def _window(
    field: NDArray[np.bool_], side: int | None, generator: np.random.Generator
) -> tuple[slice, slice]:
    """Choose a square of the picture that lies in the field of view, as far as that can be."""
    height, width = field.shape
    if side is None or side >= max(height, width):
        return slice(0, height), slice(0, width)
    seen_y, seen_x = np.nonzero(field)
    best, share = (slice(0, height), slice(0, width)), -1.0
    for _ in range(_WINDOW_TRIES):
        middle = int(generator.integers(len(seen_y)))
        top = int(np.clip(seen_y[middle] - side // 2, 0, max(height - side, 0)))
        left = int(np.clip(seen_x[middle] - side // 2, 0, max(width - side, 0)))
        window = slice(top, top + side), slice(left, left + side)
        seen = float(field[window].mean())
        if seen > share:
            best, share = window, seen
    return best


@lru_cache(maxsize=1)
def _runtime() -> Runtime:
    # One a process: loading it takes longer than a picture.
    return BloodCellAnalysisSystem().segmentation_runtime()
