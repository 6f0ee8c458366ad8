"""Cells of one image, cut out by the method of the plan."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.scale import MIN_AGREEMENT, estimate_diameter, estimate_scale
from blood_cell_system.analysis.segmentation import find_cells
from blood_cell_system.analysis.trained_models import Runtime
from blood_cell_system.annotation.sample import Annotation, Origin, corners_of
from blood_cell_system.boxes import Box, pairwise_box_iou
from blood_cell_system.cells.cut_out import MIN_EXTENT_PX, Piece, cell_image, touches_border
from blood_cell_system.cells.nucleated_cells import find_nucleated_cells, nuclear_pixels
from blood_cell_system.cells.single_cell import has_no_slide, single_cell_image
from blood_cell_system.cells.watershed import separate_by_shape
from blood_cell_system.datasets.cell_folder import FRAME, MEASURES, NOT_A_CELL, CellRecord
from blood_cell_system.errors import CellImageError
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.masks.ellipses import clip_to_pixels
from blood_cell_system.masks.red_cells import median_red_cell_density
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.pipeline.cell_crops.measured_smear import Smear
from blood_cell_system.pipeline.cell_crops.plan import (
    OUTLIER,
    CropClass,
    CutMethod,
    CutPlan,
    CutTask,
    Extra,
)
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.seeding import generator_for
from blood_cell_system.stain.optical_density import GREEN, RED
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC

UNLABELLED: Final = "unlabelled"
"""Folder of cells without a class."""

_TRIES: Final = 40
"""Random places that are tried for empty slide in an image."""
_BORDER_PX: Final = 2
"""What is nearer to the image's border may be cut off, in pixels."""
_MIN_NECK: Final = 0.15
"""How much narrower than the smaller cell a neck is at least where pieces are parted."""
_FRAGMENT_SHARE: Final = 0.2
"""Part of a typical cell's area from which a part of a piece counts as a cell."""
_DEBRIS_SHARES: Final = (0.03, 0.35)
"""Least and largest area of debris, in areas of a typical cell."""
_CELL_SHARES: Final = (0.5, 1.6)
"""Least and largest area of one cell, in areas of a typical cell."""
_CLUMP_SHARES: Final = (1.8, 9.0)
"""Least and largest area of a clump, in areas of a typical cell."""
_MIN_SOLIDITY: Final = 0.9
"""Area over that of the convex hull, at least, of a single red cell."""
_NUCLEUS_DENSITY: Final = 0.45
"""Optical density in red from which a pixel belongs to a nucleus."""
_CORNERS: Final = 9
"""Corners of a random outline."""
_FREE_SHARE: Final = 0.995
"""Part of an outline that must be empty slide; less would hold a cell's rim."""


_NUCLEUS_SHARE: Final = 0.12
"""Part of a cell that is as dense as a nucleus in a white cell."""
_WINDOW_TRIES: Final = 12
"""Random windows, of which the one with most of the field of view is taken."""
_CONTAINED: Final = 0.6
"""Part of a found box that lies in an annotated one where it is a part of that cell."""
_SAME_OVERLAP: Final = 0.4
"""IoU from which a found box is that of an annotated cell."""
_OFF_CENTRE: Final = 0.25
"""How far a point may be from the middle of its cell, in square roots of the cell's area: a point
on a half of a cell, or on a clump, is farther off."""
_FEWEST_BOXES: Final = 5
"""Boxes of red cells from which their diameter is taken."""


class _Cell(NamedTuple):
    """A cell to be cut: its pixels, class, name in the image, who says so, and its label."""

    piece: Piece
    cell_class: CropClass
    name: str
    origin: Origin
    label: str = ""


CutCell = tuple[CellRecord, NDArray[np.uint8]]
"""Row of ``cells.csv``, and the cell image of shape (130, 130, 4)."""


_SUBTYPES: Final = tuple(subtype.name for subtype in BUILT_IN.subtypes)
"""Subtypes that have a class folder each; any other word beside a condition has none."""


def cut_image(task: CutTask, *, subtypes: Collection[str] = _SUBTYPES) -> list[CutCell]:
    """Cut what the plan wants out of an image.

    Which cells are taken where there are more than wanted depends on the seed and the task's name
    alone.

    Raises
    ------
    ImageReadError, MissingDataError
        The image cannot be read.
    CellImageError
        It should show one cell and shows none.
    """
    image = read_image(task.field.image_path)
    # What the image shows without any cell, by the columns of ``cells.csv``.
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])[:, :3]
    values = image.shape[1], image.shape[0], *np.round(border.mean(axis=0), 2).tolist()
    frame: dict[str, Any] = dict(zip(FRAME, map(float, values), strict=True))
    return [(replace(record, **frame), shown) for record, shown in _cut(image, task, subtypes)]


def _check_shows_a_cell(image: NDArray[np.uint8], diameter_px: float | None) -> None:
    """Refuse an image of one cell that is smaller than half a red cell of its data set."""
    height, width = image.shape[:2]
    if diameter_px is not None and max(height, width) < diameter_px / 2:
        raise CellImageError(
            f"the image has {width}×{height} px, less than half a red cell ({diameter_px:.0f} px "
            "here); expected a whole cell. Cut it again from its smear, or leave it out."
        )


def _cut(image: NDArray[np.uint8], task: CutTask, subtypes: Collection[str]) -> list[CutCell]:
    plan, label = task.plan, task.field.label
    if plan.method is CutMethod.LONE:
        if label not in plan.classes:
            return []
        _check_shows_a_cell(image, task.field.red_cell_diameter_px)
        shown = single_cell_image(image, cell_type=plan.cell_type)
        is_filled = has_no_slide(image)
        record = replace(
            _record(task, plan.classes[label], "cell", Origin.STAIN, subtypes, label=label),
            surround_filled=is_filled,
            **({} if is_filled else _standard(Smear.of(image), task)),
        )
        return [(record, shown)]
    generator = generator_for(task.seed, "cut", task.name)
    smear = Smear.of(image)
    annotations: list[Annotation] = []
    white = None
    if plan.method is CutMethod.NUCLEI:
        pieces, is_single = find_nucleated_cells(smear.image)
        white = _pixels_of(pieces, smear.field.shape)
        cells = _by_nuclei(pieces, is_single, white.shape, label, plan, generator)
    elif plan.method is CutMethod.BOXES:
        annotations = list(task.field.cells or ())
        others = _neighbours_of(smear, annotations, plan.window_px) if plan.window_px else []
        cells = _by_boxes(smear, annotations, plan, generator, Origin.ANNOTATED, others)
    elif plan.method is CutMethod.POINTS:
        cells = _by_points(smear, task, generator)
    else:
        smear, annotations = _segmented_window(smear, task, generator)
        cells = _by_boxes(smear, annotations, plan, generator, Origin.PREDICTED)
    areas = [one.width * one.height for one in annotations]
    typical = float(np.median(areas)) * np.pi / 4 if areas else None
    standard = _standard(smear, task)
    extras = find_extras(smear, plan.extras, generator, cell_area_px=typical, white=white)
    cells += [_Cell(piece, OUTLIER, name, Origin.STAIN) for name, piece in extras]
    found = []
    for cell in cells:
        # A cell of a few pixels has no image.
        with suppress(CellImageError):
            corner, outline = cell.piece
            image = cell_image(smear.image, outline, corner=corner, light=smear.light)
            record = _record(task, *cell[1:4], subtypes, label=cell.label)
            found.append((replace(record, **standard), image))
    return found


def _record(
    task: CutTask,
    cell_class: CropClass,
    name: str,
    origin: Origin,
    subtypes: Collection[str],
    *,
    label: str,
) -> CellRecord:
    condition, cell_type, is_outlier = cell_class
    if is_outlier:
        folder = NOT_A_CELL
    elif cell_type in subtypes:
        folder = str(cell_type)
    else:
        folder = condition or UNLABELLED
    file = f"{task.source}_{task.field.name}_{name}".replace("/", "_").replace(" ", "_")
    return CellRecord(
        file=f"{folder}/{file}.png",
        condition=condition,
        cell_type=cell_type,
        is_outlier=is_outlier,
        source=task.source,
        field=task.field.name,
        block=f"{task.source}/{task.field.block}",
        split=task.field.split,
        origin=origin,
        source_label=label,
    )


def _standard(smear: Smear, task: CutTask) -> dict[str, Any]:
    """Measure what relates a cell to its smear: width and density of red cells in the image."""
    diameter = task.field.red_cell_diameter_px
    is_red = task.plan.cell_type == RBC
    classes = task.plan.classes.items()
    labels = (RBC, *(label for label, one in classes if is_red and not one.is_outlier))
    widths = [
        float(np.sqrt(one.width * one.height))
        for one in task.field.cells or ()
        if one.box is not None and one.cell_type in labels and smear.is_whole(one)
    ]
    if diameter is None and len(widths) >= _FEWEST_BOXES:
        diameter = float(np.median(widths))
    if diameter is None:
        vote = estimate_diameter(smear.image, smear.field)
        if vote is not None and vote.agreement >= MIN_AGREEMENT:
            diameter = vote.diameter_px
    stained = (smear.density[:, :, GREEN] > smear.threshold) & smear.field
    density = median_red_cell_density(smear.density, stained, diameter_px=diameter)
    measured = (diameter, *((None,) * 3 if density is None else density))
    return {
        name: None if value is None else round(float(value), 4)
        for name, value in zip(MEASURES, measured, strict=True)
    }


def _drawn(
    whole: Mapping[str, Sequence[int]], plan: CutPlan, generator: np.random.Generator
) -> Iterator[tuple[str, int]]:
    """Draw from the whole cells of each label as many as the plan takes; label and index."""
    for label in sorted(whole.keys() & plan.classes.keys()):
        most = plan.most_an_image.get(label, len(whole[label]))
        for index in generator.permutation(whole[label]).tolist()[:most]:
            yield label, index


def _by_boxes(
    smear: Smear,
    annotations: Sequence[Annotation],
    plan: CutPlan,
    generator: np.random.Generator,
    origin: Origin,
    others: Sequence[Annotation] = (),
) -> list[_Cell]:
    """Outline the cells in boxes that the border does not cut."""
    boxes = [_labelled_box(one, plan.cell_type) for one in annotations]
    red_cells = smear.red_cells(boxes)
    whole = defaultdict[str, list[int]](list)
    for index, one in enumerate(annotations):
        if smear.is_whole(boxes[index]):
            whole[one.cell_type].append(index)
    found: list[_Cell] = []
    for label, index in _drawn(whole, plan, generator):
        if boxes[index].cell_type == WBC:
            piece = smear.white_outline(boxes[index], red_cells)
        else:
            piece = smear.blob_outline(boxes[index], [*boxes, *others])
        if piece is not None:
            found.append(_Cell(piece, plan.classes[label], f"{index + 1:03d}", origin, label))
    return found


def _by_points(smear: Smear, task: CutTask, generator: np.random.Generator) -> list[_Cell]:
    """Outline the cells around points, but those that the border cuts or that have two points."""
    plan, points = task.plan, [one for one in task.field.cells or () if one.point is not None]
    magnification = _magnification(smear, task.field.red_cell_diameter_px)
    labels = find_cells(_runtime(), smear.image, magnification=magnification).cells.label_image
    parts = separate_by_shape(smear.foreground(), min_neck=_MIN_NECK)
    pieces: dict[int, Piece] = {}
    # Which cell each point is on; parts are counted apart from the segmenter's cells.
    numbers = []
    for index, one in enumerate(points):
        x, y = (int(place) for place in one.point or ())
        is_inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
        number = int(labels[y, x]) if is_inside else 0
        piece = _piece_around(labels, (x, y)) if number else None
        if piece is None and is_inside:
            piece, number = _piece_around(parts, (x, y)), -int(parts[y, x])
        numbers.append(number)
        if piece is not None and not touches_border(piece, labels.shape):
            pieces[index] = piece
    taken = Counter(numbers)
    whole = defaultdict[str, list[int]](list)
    for index in pieces:
        if taken[numbers[index]] == 1:
            whole[points[index].cell_type].append(index)
    return [
        _Cell(pieces[index], plan.classes[label], f"{index + 1:03d}", Origin.POINT, label)
        for label, index in _drawn(whole, plan, generator)
    ]


def _piece_around(labels: NDArray[np.int32], point: tuple[int, int]) -> Piece | None:
    """Cell at a point; None where there is none, or where its middle is elsewhere."""
    number = labels[point[1], point[0]]
    if number == 0:
        return None
    is_cell = labels == number
    x, y, width, height = cv2.boundingRect(is_cell.view(np.uint8))
    inside = is_cell[y : y + height, x : x + width]
    rows, columns = np.nonzero(inside)
    off = np.hypot(x + columns.mean() - point[0], y + rows.mean() - point[1])
    return ((x, y), inside) if off <= _OFF_CENTRE * np.sqrt(len(rows)) else None


def _labelled_box(annotation: Annotation, cell_type: str) -> Annotation:
    """Box of an annotated cell; of ``cell_type`` where its label is no type of cell."""
    name = annotation.cell_type
    return Annotation(cell_type=name if name in BUILT_IN else cell_type, box=annotation.bounds)


def _segmented_window(
    whole: Smear, task: CutTask, generator: np.random.Generator
) -> tuple[Smear, list[Annotation]]:
    """Choose a window of an image, and find its cells; they have the image's label.

    A network may take a red cell of an odd stain for a white one, or vice versa: whether
    there is a nucleus decides.
    """
    plan = task.plan
    magnification = _magnification(whole, task.field.red_cell_diameter_px)
    smear = whole.window(*_window(whole.field, plan.window_px, generator))
    cells = find_cells(_runtime(), smear.image, magnification=magnification).cells
    annotations = []
    is_nucleus = (nuclear_pixels(smear.density) > 0) & (
        smear.density[:, :, RED] > _nucleus_density(smear, task.field.red_cell_diameter_px)
    )
    for row in np.flatnonzero(~cells["touches_border"] & cells.has_channel):
        is_white = bool(is_nucleus[cells.label_image == row + 1].mean() > _NUCLEUS_SHARE)
        if is_white == (plan.cell_type == WBC):
            box = Box(*cells["box"][row].tolist())
            annotations.append(Annotation(cell_type=task.field.label, box=box))
    return smear, annotations


def _nucleus_density(smear: Smear, diameter_px: float | None) -> float:
    """Density in red of a nucleus at least, above that of the image's own red cells."""
    stained = (smear.density[:, :, GREEN] > smear.threshold) & smear.field
    found = median_red_cell_density(smear.density, stained, diameter_px=diameter_px)
    return _NUCLEUS_DENSITY if found is None else max(_NUCLEUS_DENSITY, 1.5 * float(found[RED]))


def _neighbours_of(
    smear: Smear, annotations: Sequence[Annotation], window_px: int
) -> list[Annotation]:
    """Boxes of the cells around the annotated ones, where not all cells are annotated."""
    found: list[Annotation] = []
    if not annotations:
        return found
    magnification = _magnification(smear)
    for annotation in annotations:
        box = _labelled_box(annotation, RBC)
        margin = max(0.0, (window_px - max(box.width, box.height)) / 2)
        rows, columns = clip_to_pixels(box, smear.field.shape, margin=margin)
        part = np.ascontiguousarray(smear.image[rows, columns])
        cells = find_cells(_runtime(), part, magnification=magnification).cells
        boxes = cells["box"] + (columns.start, rows.start, columns.start, rows.start)
        around = [
            Annotation(cell_type=cell_type, box=Box(x_min, y_min, x_max, y_max))
            for cell_type, (x_min, y_min, x_max, y_max) in zip(
                cells["cell_type"], boxes.tolist(), strict=True
            )
        ]
        found += [other for other in around if not _is_same(box, other)]
    return found


def _is_same(box: Annotation, other: Annotation) -> bool:
    """Whether a cell that was found is the annotated one, or a part of it."""
    both = corners_of([box]), corners_of([other])
    overlap = float(pairwise_box_iou(*both)[0, 0])
    areas = [side.width * side.height for side in (box, other)]
    # From the overlap's share of the union to its share of the smaller box.
    common = overlap / (1 + overlap) * sum(areas)
    return overlap > _SAME_OVERLAP or common > _CONTAINED * max(areas[1], 1.0)


def _magnification(smear: Smear, cell_diameter_px: float | None = None) -> float:
    """How far the network wants an image resampled."""
    is_known = cell_diameter_px is not None
    scale = estimate_scale(
        None if is_known else estimate_diameter(smear.image, smear.field),
        cell_diameter_px=cell_diameter_px,
        training_diameter_px=getattr(_runtime(), "training_diameter_px", TRAINING_DIAMETER_PX),
    )
    return scale.magnification_applied


def _window(
    field: NDArray[np.bool_], side: int | None, generator: np.random.Generator
) -> tuple[slice, slice]:
    """Choose a square of the image that lies in the field of view, as far as that can be."""
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
    # One a process: loading it takes longer than an image.
    return BloodCellAnalysisSystem().segmentation_runtime()


def _pixels_of(pieces: Sequence[Piece], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    pixels = np.zeros(shape, dtype=bool)
    for (x, y), outline in pieces:
        height, width = outline.shape
        pixels[y : y + height, x : x + width] |= outline
    return pixels


def _by_nuclei(
    pieces: Sequence[Piece],
    is_single: NDArray[np.bool_],
    shape: tuple[int, ...],
    label: str,
    plan: CutPlan,
    generator: np.random.Generator,
) -> list[_Cell]:
    """Choose among the white cells that the border does not cut, and one smudge or clump."""
    whole = [index for index in range(len(pieces)) if not touches_border(pieces[index], shape)]
    single = [index for index in whole if is_single[index]]
    smudges = [index for index in whole if not is_single[index]]
    found = [
        _Cell(pieces[index], plan.classes[label], f"{index + 1:03d}", Origin.STAIN, label)
        for _, index in _drawn({label: single}, plan, generator)
    ]
    if smudges and plan.extras.get(Extra.CLUMP):
        index = smudges[int(generator.integers(len(smudges)))]
        found.append(_Cell(pieces[index], OUTLIER, f"{index + 1:03d}", Origin.STAIN))
    return found


def find_extras(
    smear: Smear,
    wanted: Mapping[Extra, int],
    generator: np.random.Generator,
    *,
    cell_area_px: float | None = None,
    white: NDArray[np.bool_] | None = None,
) -> list[tuple[str, Piece]]:
    """Find outliers in a smear, chosen at random: kind with a number, and where each is.

    Parameters
    ----------
    wanted : mapping of Extra to int
        How many of each kind at most.
    cell_area_px : float, optional
        Area of a typical cell; estimated from the stain by default.
    white : ndarray of shape (height, width), dtype bool, optional
        Pixels of known white cells, which are no red cells.
    """
    if not any(wanted.values()):
        return []
    foreground = smear.foreground()
    parts = separate_by_shape(foreground, min_neck=_MIN_NECK)
    areas = np.bincount(parts.ravel())[1:]
    if not len(areas):
        return []
    # Half of all that is stained lies in pieces of this size or more: specks are many but small.
    ordered = np.sort(areas)
    median = float(ordered[np.searchsorted(np.cumsum(ordered), ordered.sum() / 2)])
    typical = cell_area_px or median
    pieces = _pieces(smear, foreground, parts, typical, white)
    if wanted.get(Extra.SLIDE):
        side = int(2 * np.sqrt(typical / np.pi))
        pieces[Extra.SLIDE] = _empty_places(smear, foreground, side, wanted[Extra.SLIDE], generator)
    found = []
    for kind, most in wanted.items():
        order = generator.permutation(len(pieces[kind])).tolist()
        chosen = [pieces[kind][index] for index in order][:most]
        found += [(f"{kind}{number}", piece) for number, piece in enumerate(chosen, start=1)]
    return found


def _pieces(
    smear: Smear,
    foreground: NDArray[np.uint8],
    parts: NDArray[np.int32],
    typical: float,
    white: NDArray[np.bool_] | None,
) -> dict[Extra, list[Piece]]:
    """Sort the connected pieces of stained matter that no border cuts."""
    pieces: dict[Extra, list[Piece]] = {kind: [] for kind in Extra}
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground)
    height, width = foreground.shape
    for label in range(1, count):
        x, y, columns, rows, area = (int(value) for value in stats[label])
        is_cut = min(x, y) < _BORDER_PX or x + columns > width - _BORDER_PX
        if is_cut or y + rows > height - _BORDER_PX or max(rows, columns) < MIN_EXTENT_PX:
            continue
        window = slice(y, y + rows), slice(x, x + columns)
        inside = labels[window] == label
        if not smear.field[window][inside].all():
            continue
        cells = np.bincount(parts[window][inside])[1:]
        several = bool(np.count_nonzero(cells > _FRAGMENT_SHARE * typical) > 1)
        kind = _kind(smear.density[window], inside, area / typical, several=several)
        is_white = white is not None and bool(white[window][inside].any())
        if kind is not None and not (kind is Extra.RED_CELL and is_white):
            pieces[kind].append(((x, y), inside))
    return pieces


def _kind(
    density: NDArray[np.float32], inside: NDArray[np.bool_], share: float, *, several: bool
) -> Extra | None:
    if _DEBRIS_SHARES[0] <= share <= _DEBRIS_SHARES[1]:
        return Extra.DEBRIS
    if several and _CLUMP_SHARES[0] <= share <= _CLUMP_SHARES[1]:
        return Extra.CLUMP
    is_one = not several and _CELL_SHARES[0] <= share <= _CELL_SHARES[1]
    if is_one and _solidity(inside) >= _MIN_SOLIDITY:
        has_nucleus = np.quantile(density[:, :, RED][inside], 0.9) > _NUCLEUS_DENSITY
        return None if has_nucleus else Extra.RED_CELL
    return None


def _solidity(inside: NDArray[np.bool_]) -> float:
    contours, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    hull = float(cv2.contourArea(cv2.convexHull(contour)))
    return float(cv2.contourArea(contour)) / max(hull, 1.0)


def _empty_places(
    smear: Smear,
    foreground: NDArray[np.uint8],
    side: int,
    wanted: int,
    generator: np.random.Generator,
) -> list[Piece]:
    """Outlines as of cells, where there is nothing."""
    height, width = foreground.shape
    side = max(side, MIN_EXTENT_PX + 2)
    if side + 2 * _BORDER_PX >= min(height, width):
        return []
    is_free = (foreground == 0) & smear.field
    found: list[Piece] = []
    for _ in range(_TRIES):
        top = int(generator.integers(_BORDER_PX, height - side - _BORDER_PX))
        left = int(generator.integers(_BORDER_PX, width - side - _BORDER_PX))
        outline = _random_outline(side, generator)
        if is_free[top : top + side, left : left + side][outline].mean() > _FREE_SHARE:
            found.append(((left, top), outline))
        if len(found) >= wanted:
            break
    return found


def _random_outline(side: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a roundish outline with bumps."""
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    radii = generator.uniform(0.7, 1.0, _CORNERS) * (side / 2 - 1)
    corners = side / 2 + radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    canvas = np.zeros((side, side), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    return canvas.astype(bool)
