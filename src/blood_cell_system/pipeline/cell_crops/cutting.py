"""Cells of one picture, cut out by the method of the plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import Box, BoxOrigin, LabelledBox, corners_of, pairwise_box_iou
from blood_cell_system.cells.cell_picture import cell_picture
from blood_cell_system.cells.lone_cell import lone_cell_picture
from blood_cell_system.cells.nucleated_cells import NucleatedCell, find_nucleated_cells
from blood_cell_system.classes import CELL_TYPES, CellType
from blood_cell_system.datasets.cell_fields import MarkedCell
from blood_cell_system.errors import CellPictureError
from blood_cell_system.image_io import read_image
from blood_cell_system.inference.cell_finding import find_cells
from blood_cell_system.inference.runtimes import Runtime
from blood_cell_system.inference.scale import settle_scale, vote_on_diameter
from blood_cell_system.masks.ellipses import clip_to_pixels
from blood_cell_system.pipeline.cell_crops.extras import find_extras
from blood_cell_system.pipeline.cell_crops.plan import (
    OUTLIER,
    CellClass,
    CutMethod,
    CutPlan,
    CutTask,
    Extra,
)
from blood_cell_system.pipeline.cell_crops.smear import Piece, Smear
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.seeding import generator_for
from blood_cell_system.segmenter_contract import TRAINING_DIAMETER_PX

_RED: Final = 0
_NUCLEUS_DENSITY: Final = 0.45
_NUCLEUS_SHARE: Final = 0.12
_WINDOW_TRIES: Final = 12
_CONTAINED: Final = 0.6
_SAME_OVERLAP: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CutCell:
    """One cell that was cut.

    Parameters
    ----------
    picture : ndarray of shape (130, 130, 4), dtype uint8
        See ``cell_picture_format``.
    cell_class : CellClass
    what : str
        For its file's name: its number in the picture, or its kind.
    origin : BoxOrigin
        Who says where the cell is.
    """

    picture: NDArray[np.uint8]
    cell_class: CellClass
    what: str
    origin: BoxOrigin


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """A cell that was found, before it is cut."""

    piece: Piece
    cell_class: CellClass
    what: str
    origin: BoxOrigin


def cut_picture(task: CutTask) -> list[CutCell]:
    """Cut what the plan wants out of a picture.

    Which cells are taken where there are more than wanted depends on the seed and the picture's
    name alone.

    Parameters
    ----------
    task : CutTask

    Returns
    -------
    list of CutCell

    Raises
    ------
    ImageReadError, MissingDataError
        The picture cannot be read.
    CellPictureError
        It should show one cell and shows none.
    """
    plan = task.plan
    image = read_image(task.field.image_path)
    if plan.method is CutMethod.LONE:
        cell_class = plan.classes.get(task.field.label)
        if cell_class is None:
            return []
        picture = lone_cell_picture(image, cell_type=plan.cell_type)
        origin = BoxOrigin.STAIN
        return [CutCell(picture=picture, cell_class=cell_class, what="cell", origin=origin)]
    generator = generator_for(task.seed, "cut", task.name)
    smear = Smear.of(image)
    marks: list[MarkedCell] = []
    white = None
    if plan.method is CutMethod.NUCLEI:
        nucleated = find_nucleated_cells(smear.image)
        white = _pixels_of(nucleated, smear.field.shape)
        found = _by_nuclei(nucleated, task.field.label, plan, generator)
    elif plan.method is CutMethod.BOXES:
        marks = list(task.field.cells or ())
        others = _neighbours(smear, marks, plan.window_px) if plan.window_px else []
        found = _by_boxes(smear, marks, plan, generator, origin=BoxOrigin.ANNOTATED, others=others)
    else:
        smear, marks = _segmented(smear, task, generator)
        found = _by_boxes(smear, marks, plan, generator, origin=BoxOrigin.PREDICTED)
    extras = find_extras(
        smear, plan.extras, generator, cell_area_px=_cell_area_px(marks), white=white
    )
    found += [
        _Found(piece=piece, cell_class=OUTLIER, what=kind, origin=BoxOrigin.STAIN)
        for kind, piece in extras
    ]
    return [cut for cell in found if (cut := _cut(smear, cell)) is not None]


def _cell_area_px(marks: Sequence[MarkedCell]) -> float | None:
    """Area of a typical cell; None where none is marked."""
    areas = [
        (mark.box.x_max - mark.box.x_min) * (mark.box.y_max - mark.box.y_min) for mark in marks
    ]
    return float(np.median(areas)) * np.pi / 4 if areas else None


def _cut(smear: Smear, cell: _Found) -> CutCell | None:
    corner, outline = cell.piece
    try:
        picture = cell_picture(smear.image, outline, corner=corner, light=smear.light)
    except CellPictureError:
        return None
    return CutCell(picture=picture, cell_class=cell.cell_class, what=cell.what, origin=cell.origin)


def _by_boxes(
    smear: Smear,
    marks: Sequence[MarkedCell],
    plan: CutPlan,
    generator: np.random.Generator,
    *,
    origin: BoxOrigin,
    others: Sequence[LabelledBox] = (),
) -> list[_Found]:
    """Outline the cells in boxes that the border does not cut."""
    boxes = [_labelled(mark, plan.cell_type) for mark in marks]
    look = smear.look(boxes)
    found: list[_Found] = []
    for label in sorted({mark.label for mark in marks} & set(plan.classes)):
        whole = [
            index
            for index, mark in enumerate(marks)
            if mark.label == label and smear.is_whole(boxes[index])
        ]
        most = plan.most_a_picture.get(label, len(whole))
        for index in generator.permutation(whole).tolist()[:most]:
            is_white = boxes[index].cell_type is CellType.WBC
            piece = (
                smear.white_outline(boxes[index], look)
                if is_white
                else smear.blob_outline(boxes[index], [*boxes, *others])
            )
            if piece is None:
                continue
            what = f"{index + 1:03d}"
            found.append(
                _Found(piece=piece, cell_class=plan.classes[label], what=what, origin=origin)
            )
    return found


def _labelled(mark: MarkedCell, cell_type: CellType) -> LabelledBox:
    named = [kind for kind in CELL_TYPES if kind == mark.label]
    return LabelledBox(
        cell_type=named[0] if named else cell_type,
        x_min=mark.box.x_min,
        y_min=mark.box.y_min,
        x_max=mark.box.x_max,
        y_max=mark.box.y_max,
    )


def _pixels_of(cells: Sequence[NucleatedCell], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    pixels = np.zeros(shape, dtype=bool)
    for cell in cells:
        x, y = cell.corner
        height, width = cell.outline.shape
        pixels[y : y + height, x : x + width] |= cell.outline
    return pixels


def _by_nuclei(
    nucleated: Sequence[NucleatedCell],
    label: str,
    plan: CutPlan,
    generator: np.random.Generator,
) -> list[_Found]:
    """Choose among the white cells that the border does not cut, and one smudge or clump."""
    cells = [
        (f"{number:03d}", cell)
        for number, cell in enumerate(nucleated, start=1)
        if not cell.touches_border
    ]
    found: list[_Found] = []
    cell_class = plan.classes.get(label)
    single = [(what, cell) for what, cell in cells if cell.is_single]
    if cell_class is not None:
        most = plan.most_a_picture.get(label, len(single))
        for index in generator.permutation(len(single)).tolist()[:most]:
            what, cell = single[index]
            piece = cell.corner, cell.outline
            found.append(
                _Found(piece=piece, cell_class=cell_class, what=what, origin=BoxOrigin.STAIN)
            )
    smudges = [(what, cell) for what, cell in cells if not cell.is_single]
    if smudges and plan.extras.get(Extra.CLUMP):
        what, cell = smudges[int(generator.integers(len(smudges)))]
        piece = cell.corner, cell.outline
        found.append(_Found(piece=piece, cell_class=OUTLIER, what=what, origin=BoxOrigin.STAIN))
    return found


def _segmented(
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
        red_density = smear.density[:, :, _RED][cells.label_image == cell.label]
        is_white = bool((red_density > _NUCLEUS_DENSITY).mean() > _NUCLEUS_SHARE)
        if is_white == (plan.cell_type is CellType.WBC):
            box = Box(cell.box.x_min, cell.box.y_min, cell.box.x_max, cell.box.y_max)
            marks.append(MarkedCell(label=task.field.label, box=box))
    return smear, marks


def _neighbours(smear: Smear, marks: Sequence[MarkedCell], window_px: int) -> list[LabelledBox]:
    """Boxes of the cells around those that are marked, where people have not marked all cells."""
    found: list[LabelledBox] = []
    if not marks:
        return found
    magnification = _magnification(smear)
    for mark in marks:
        box = _labelled(mark, CellType.RBC)
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
