"""Cells of one picture, cut out by the method of the plan."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.cells.cell_picture import cell_picture
from blood_cell_system.cells.lone_cell import lone_cell_picture
from blood_cell_system.cells.nucleated_cells import NucleatedCell, find_nucleated_cells
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.cell_fields import MarkedCell
from blood_cell_system.errors import CellPictureError
from blood_cell_system.image_io import read_image
from blood_cell_system.pipeline.cell_crops.extras import find_extras
from blood_cell_system.pipeline.cell_crops.plan import (
    OUTLIER,
    CellClass,
    CutMethod,
    CutPlan,
    CutTask,
    Extra,
)
from blood_cell_system.pipeline.cell_crops.segmented import (
    labelled_box,
    neighbours_of,
    segmented_window,
)
from blood_cell_system.pipeline.cell_crops.smear import Piece, Smear
from blood_cell_system.seeding import generator_for


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
        others = neighbours_of(smear, marks, plan.window_px) if plan.window_px else []
        found = _by_boxes(smear, marks, plan, generator, origin=BoxOrigin.ANNOTATED, others=others)
    else:
        smear, marks = segmented_window(smear, task, generator)
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
    boxes = [labelled_box(mark, plan.cell_type) for mark in marks]
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
