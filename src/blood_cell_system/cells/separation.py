"""Network outputs in, a table of single cells out; :func:`separate_cells` lists the steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.halves import pairs_of_halves
from blood_cell_system.cells.measures import measure_cells
from blood_cell_system.cells.neighbours import Crop, crops_of
from blood_cell_system.cells.nucleus_evidence import cells_without_nucleus
from blood_cell_system.cells.peaks import find_peaks, label_by_nearest_ellipse
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.watershed import disc, fill_round_holes, separate_by_shape
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.taxonomy import BUILT_IN, MaskClass, Taxonomy

SHAPE_ONLY: Final = 0.5
"""Factor on the confidence of a cell that no heat map knows of."""
_MIN_THICKNESS: Final = 0.4
"""Radius of the largest disc in a piece, in radii of a typical cell, from which it is a cell."""
_BORDER_ALLOWANCE: Final = 0.4
"""At the image's border a piece needs only this part of the least area and thickness: the rest of
the cell may lie outside."""
_CLOSING_SHARE: Final = 0.2
"""Radius of the closing, in diameters of the cell: bays less than twice as wide are closed."""
_RIM_SHARE: Final = 0.03
"""In diameters of the cell: what is thinner is the roughness of a rim, not a bay."""
_RED_FOR_WHITE: Final = (MaskClass.BACKGROUND, MaskClass.WBC, MaskClass.RBC)
"""Channels of the probabilities with red and white cells exchanged."""
_LARGEST_HOLE_SHARE: Final = 1.0
"""Largest hole that is closed, of the area of the rest: a ring around more is no cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparationSettings:
    """How foreground becomes cells.

    Parameters
    ----------
    min_area_px : int
        Anything smaller is a speck, not a cell, where red cells are ``TRAINING_DIAMETER_PX`` wide.
    min_area_share : float
        Nor is a piece without a peak that has less than this share of the median cell's area.
    red_cell_area_px : float, optional
        Area of a usual red cell where it is known, as of a whole scan; by default the median of the
        image's. Whether a piece is a cell then does not depend on how an image was cut up.
    """

    min_area_px: int = 30
    min_area_share: float = 0.25
    red_cell_area_px: float | None = None

    def for_diameter(self, diameter_px: float) -> Self:
        """Give the same settings for images whose red cells are ``diameter_px`` wide.

        Examples
        --------
        >>> SeparationSettings(min_area_px=40).for_diameter(50).min_area_px
        10
        """
        ratio = diameter_px / TRAINING_DIAMETER_PX
        return replace(self, min_area_px=max(1, round(self.min_area_px * ratio**2)))


def most_likely_class(class_probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Class mask of the largest probability; of equals the first in ``MaskClass`` order.

    Parameters
    ----------
    class_probabilities : ndarray of shape (height, width, 3), dtype float32

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``.
    """
    # Three comparisons are ten times as fast as argmax over so short an axis.
    background, rbc, wbc = (class_probabilities[:, :, value] for value in MaskClass)
    class_mask = (rbc > background).astype(np.uint8)
    class_mask[wbc > np.maximum(background, rbc)] = MaskClass.WBC
    return class_mask


def separate_cells(
    class_probabilities: NDArray[np.float32],
    centres: NDArray[np.float32] | None,
    log_size: NDArray[np.float32] | None,
    settings: SeparationSettings | None = None,
    taxonomy: Taxonomy = BUILT_IN,
    *,
    image: NDArray[np.uint8] | None = None,
) -> Cells:
    """Find the single cells in what a segmenter gives for an image.

    With heat maps: (1) their peaks, one a cell; (2) every pixel of class RBC or WBC goes to the
    nearest ellipse of its class within reach, cells without a channel, such as platelets, take
    their ellipse's background; (3) what is left over, or cut off from its cell, becomes a cell of
    its own where it is as large and as thick as one, else goes to the neighbour that it touches
    most, and belongs to no cell where it touches none; (4) white cells without a nucleus become red
    ones, where the image is there to show it; (5) red cells that together have the outline of one
    are joined; (6) bays and holes of white cells are closed. Without heat maps touching cells are
    cut apart by their shape (from step 3 on), and all are of the main types of the channels.

    Parameters
    ----------
    class_probabilities : ndarray of shape (height, width, 3), dtype float32
        In ``MaskClass`` order. Where a white cell becomes a red one, changed in place.
    centres : ndarray of shape (ceil(height / 4), ceil(width / 4), types), dtype float32, or None
        Centre heat maps in the order of the taxonomy.
    log_size : ndarray of shape (ceil(height / 4), ceil(width / 4), 2), dtype float32, or None
        ln(width_px / 64) and ln(height_px / 64).
    taxonomy : Taxonomy
        Of the model.
    image : ndarray of shape (height, width, 3), dtype uint8, optional
        What the network saw, RGB.
    """
    settings = settings or SeparationSettings()
    class_mask = most_likely_class(class_probabilities)
    for value in (MaskClass.RBC, MaskClass.WBC):
        is_class = (class_mask == value).astype(np.uint8)
        filled = fill_round_holes(is_class, always_below_px=settings.min_area_px)
        class_mask[(filled > 0) & (class_mask == MaskClass.BACKGROUND)] = value
    if centres is None or log_size is None:
        labels = np.zeros(class_mask.shape, dtype=np.int32)
        types: list[str] = []
        heights: list[float] = []
        predicted = np.zeros((0, 4))
    else:
        peaks = find_peaks(centres, log_size, class_mask, taxonomy)
        labels = label_by_nearest_ellipse(class_mask, peaks, taxonomy)
        types = [taxonomy.names[index] for index in peaks.type_index]
        heights = peaks.score.tolist()
        predicted = peaks.corners
    found = _place_leftovers(class_mask, labels, types, settings, taxonomy)
    heights += [SHAPE_ONLY] * (len(found) - len(heights))
    if image is not None:
        for row in cells_without_nucleus(image, labels, found, heights, taxonomy):
            inside = labels == row + 1
            class_mask[inside] = MaskClass.RBC
            class_probabilities[inside] = class_probabilities[inside][:, _RED_FOR_WHITE]
            found[row] = taxonomy.main_types[MaskClass.RBC].name
    predicted = _join_halves(labels, found, heights, predicted, taxonomy)
    close_white_cell_concavities(labels, found, class_mask, taxonomy)
    return _cells_of(labels, found, heights, predicted, class_probabilities, settings, taxonomy)


def _join_halves(
    labels: NDArray[np.int32],
    types: Sequence[str],
    heights: list[float],
    predicted: NDArray[np.float64],
    taxonomy: Taxonomy,
) -> NDArray[np.float64]:
    """Give the second of two halves to the first, in place; returns the predicted boxes."""
    red = taxonomy.main_types[MaskClass.RBC].name
    is_red = np.array([name == red for name in types], dtype=bool)
    predicted = predicted.copy()
    for first, second in pairs_of_halves(labels, is_red):
        labels[labels == second + 1] = first + 1
        heights[first] = max(heights[first], heights[second])
        if second < len(predicted):
            predicted[first, :2] = np.minimum(predicted[first, :2], predicted[second, :2])
            predicted[first, 2:] = np.maximum(predicted[first, 2:], predicted[second, 2:])
    return predicted


def _place_leftovers(
    class_mask: NDArray[np.uint8],
    labels: NDArray[np.int32],
    types: list[str],
    settings: SeparationSettings,
    taxonomy: Taxonomy,
) -> list[str]:
    """Make cells of what is left over where it is one; give the rest to neighbours.

    ``labels`` holds the cells so far, of the given types, and is changed in place. Returns the
    types of all cells, the new ones last: a piece is of the main type of its channel.
    """
    types, peak_count = list(types), len(types)
    _release_islands(labels, len(types))
    known = np.bincount(labels.ravel(), minlength=len(types) + 1)[1:]
    known_areas, pieces = {}, {}
    for value, main in taxonomy.main_types.items():
        known_areas[main.name] = known[[other == main.name for other in types]]
        is_left = ((class_mask == value) & (labels == 0)).astype(np.uint8)
        pieces[main.name] = separate_by_shape(is_left, min_neck=main.detection.min_neck)
    piece_areas = {
        cell_type: np.bincount(labelled.ravel())[1:] for cell_type, labelled in pieces.items()
    }
    scraps: list[tuple[Crop, NDArray[np.bool_]]] = []
    for value, main in taxonomy.main_types.items():
        cell_type, labelled = main.name, pieces[main.name]
        known_area = settings.red_cell_area_px if value == MaskClass.RBC else None
        typical_area = known_area or _typical_area(
            cell_type, known_areas, piece_areas, settings.min_area_px
        )
        min_radius = _MIN_THICKNESS * np.sqrt(typical_area / np.pi)
        for index, crop in enumerate(crops_of(labelled, len(piece_areas[cell_type]))):
            is_piece = labelled[crop] == index + 1
            # Of a cell at the image's border only a slice may be seen.
            share = _BORDER_ALLOWANCE if _touches_border(crop, labels.shape) else 1.0
            min_area = max(settings.min_area_px, share * settings.min_area_share * typical_area)
            # A crescent beside a cell is that cell's rim; alone it may be a sickle cell.
            if piece_areas[cell_type][index] >= min_area and (
                _inner_radius(is_piece) >= share * min_radius
                or not (_touched(labels, crop, is_piece) <= peak_count).any()
            ):
                types.append(cell_type)
                labels[crop][is_piece] = len(types)
            else:
                scraps.append((crop, is_piece))
    for crop, is_piece in scraps:
        _give_to_neighbour(labels, crop, is_piece)
    return types


def _typical_area(
    cell_type: str,
    known: dict[str, NDArray[np.int64]],
    pieces: dict[str, NDArray[np.int64]],
    min_area_px: int,
) -> float:
    """Median area of the cells of a type, by the best evidence that the image has."""

    def median(*areas: NDArray[np.int64]) -> float:
        joined = np.concatenate(areas)
        joined = joined[joined >= min_area_px]
        return float(np.median(joined)) if len(joined) else 0.0

    # Without a cell of the type that is sure, its pieces may all be specks; other cells then say
    # how large a cell is.
    return median(known[cell_type]) or max(
        median(pieces[cell_type]), median(*known.values(), *pieces.values())
    )


def _release_islands(labels: NDArray[np.int32], count: int) -> None:
    """Of every cell keep the largest connected part; the others are left over."""
    for index, crop in enumerate(crops_of(labels, count)):
        is_cell = (labels[crop] == index + 1).astype(np.uint8)
        if not is_cell.size:
            continue
        part_count, parts, stats, _ = cv2.connectedComponentsWithStats(is_cell)
        if part_count > 2:
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            labels[crop][(parts > 0) & (parts != largest)] = 0


def _touches_border(crop: Crop, shape: tuple[int, ...]) -> bool:
    return any(
        part.start == 0 or part.stop == length for part, length in zip(crop, shape, strict=True)
    )


def _inner_radius(is_piece: NDArray[np.bool_]) -> float:
    """Radius of the largest disc that fits into a piece, in pixels."""
    padded = cv2.copyMakeBorder(is_piece.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5).max())


def _give_to_neighbour(labels: NDArray[np.int32], crop: Crop, is_piece: NDArray[np.bool_]) -> None:
    """Give a piece to the cell that it touches most, if it touches one."""
    touched = _touched(labels, crop, is_piece)
    if touched.size:
        values, contacts = np.unique(touched, return_counts=True)
        labels[crop][is_piece] = values[contacts.argmax()]


def _touched(
    labels: NDArray[np.int32], crop: Crop, is_piece: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Labels of the cells' pixels around a piece."""
    rows, columns = crop
    top, left = max(rows.start - 1, 0), max(columns.start - 1, 0)
    around = labels[top : rows.stop + 1, left : columns.stop + 1]
    padded = np.zeros(around.shape, dtype=np.uint8)
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    padded[inside] = is_piece
    is_rim = (cv2.dilate(padded, np.ones((3, 3), np.uint8)) > 0) & (around > 0)
    touched: NDArray[np.int32] = around[is_rim]
    return touched


def close_white_cell_concavities(
    labels: NDArray[np.int32],
    types: Sequence[str],
    class_mask: NDArray[np.uint8],
    taxonomy: Taxonomy = BUILT_IN,
) -> None:
    """Close the bays and holes of white cells, in place.

    Where the cytoplasm is as pale as the slide, a network may see the lobes of the nucleus alone.
    That does not change the counts, but measures and classifiers need the whole cell.

    A bay is closed where the slide is seen in it and no other cell. A hole becomes part of the cell
    whatever it was taken for: no red cell lies within a white one.

    Parameters
    ----------
    labels : ndarray of shape (height, width), dtype int32
        Changed in place. A cell that lies in a hole of a white one may lose all its pixels.
    types : sequence of str
        Type of cell ``i + 1``.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``.
    """
    crops = crops_of(labels, len(types))
    for label, (cell_type, crop) in enumerate(zip(types, crops, strict=True), start=1):
        if taxonomy[cell_type].mask_class != MaskClass.WBC:
            continue
        area = int(np.count_nonzero(labels[crop] == label))
        if not area:
            continue
        diameter = np.sqrt(4 * area / np.pi)
        radius = max(1, round(_CLOSING_SHARE * diameter))
        around = labels[crop]
        own = (around == label).astype(np.uint8)
        is_slide = (around == 0) & (class_mask[crop] == MaskClass.BACKGROUND)
        bays = (_closed(own, radius) & is_slide).astype(np.uint8)
        bays = cv2.morphologyEx(bays, cv2.MORPH_OPEN, disc(max(1, round(_RIM_SHARE * diameter))))
        whole = (own > 0) | (bays > 0)
        around[whole | _small_holes(whole, largest=_LARGEST_HOLE_SHARE * area)] = label


def _closed(mask: NDArray[np.uint8], radius: int) -> NDArray[np.bool_]:
    """Close a mask as if there was room around it; else it would run out to the window's edge."""
    room = 2 * radius
    wide = cv2.copyMakeBorder(mask, room, room, room, room, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.morphologyEx(wide, cv2.MORPH_CLOSE, disc(radius)) > 0)[
        room:-room, room:-room
    ]


def _small_holes(mask: NDArray[np.bool_], *, largest: float) -> NDArray[np.bool_]:
    """Holes of up to ``largest`` pixels."""
    # Background that no path over sides of pixels connects with the outside.
    background = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    _, regions = cv2.connectedComponents(background, connectivity=4)
    holes = ((regions != regions[0, 0]) & (background > 0))[1:-1, 1:-1]
    count, parts, stats, _ = cv2.connectedComponentsWithStats(holes.astype(np.uint8))
    is_small = stats[:, cv2.CC_STAT_AREA] <= largest
    is_small[0] = False
    return np.asarray(is_small[parts]) if count > 1 else holes


def _cells_of(
    labels: NDArray[np.int32],
    types: list[str],
    heights: list[float],
    predicted: NDArray[np.float64],
    class_probabilities: NDArray[np.float32],
    settings: SeparationSettings,
    taxonomy: Taxonomy,
) -> Cells:
    """Measure labelled cells; those that are too small become background, in place.

    ``heights`` are those of the peaks, ``predicted`` the boxes of the first ``n`` cells.
    """
    border_areas = _least_areas_at_border(labels, types, settings, taxonomy)
    classes = taxonomy.mask_classes
    kept, touching, whole_boxes, confidences = [], [], [], []
    for row, crop in enumerate(crops_of(labels, len(types))):
        is_cell = labels[crop] == row + 1
        touches = _touches_border(crop, labels.shape)
        least = border_areas[types[row]] if touches else settings.min_area_px
        if np.count_nonzero(is_cell) < least:
            labels[crop][is_cell] = 0
            continue
        probability = class_probabilities[crop][:, :, classes[types[row]]][is_cell].mean()
        is_covered = row < len(predicted) and _touches_another(labels, crop, row + 1)
        kept.append(row)
        touching.append(touches)
        whole_boxes.append(predicted[row] if is_covered else np.full(4, np.nan))
        confidences.append(float(probability) * heights[row])
    table = np.zeros(len(types) + 1, dtype=np.int32)
    table[np.array(kept, dtype=np.intp) + 1] = np.arange(1, len(kept) + 1)
    cells = Cells(label_image=table[labels], taxonomy=taxonomy).with_columns(
        cell_type=[types[row] for row in kept],
        whole_box=whole_boxes,
        confidence=confidences,
        touches_border=touching,
    )
    cells = measure_cells(cells, "box", "centroid", "area", "equivalent_diameter_area")
    whole = hull(cells["box"], cells["whole_box"], labels.shape)
    return in_reading_order(cells.with_columns(whole_box=whole))


def _least_areas_at_border(
    labels: NDArray[np.int32],
    types: Sequence[str],
    settings: SeparationSettings,
    taxonomy: Taxonomy,
) -> dict[str, float]:
    """Area in pixels from which a piece at the image's border is a cell, by type."""
    areas = np.bincount(labels.ravel(), minlength=len(types) + 1)[1:]
    least = {}
    red = taxonomy.main_types[MaskClass.RBC].name
    for cell_type in taxonomy:
        of_type = areas[[other == cell_type.name for other in types]]
        of_type = of_type[of_type >= settings.min_area_px]
        median = float(np.median(of_type)) if len(of_type) else 0.0
        if cell_type.name == red:
            median = settings.red_cell_area_px or median
        share = cell_type.detection.min_border_share
        least[cell_type.name] = max(settings.min_area_px, share * median)
    return least


def _touches_another(labels: NDArray[np.int32], crop: Crop, label: int) -> bool:
    rows, columns = crop
    around = labels[
        max(rows.start - 1, 0) : rows.stop + 1, max(columns.start - 1, 0) : columns.stop + 1
    ]
    others = ((around > 0) & (around != label)).astype(np.uint8)
    if not others.any():
        return False
    near = cv2.dilate((around == label).astype(np.uint8), np.ones((3, 3), np.uint8))
    return bool((near & others).any())


def hull(
    boxes: NDArray[np.float64], others: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Smallest boxes around two each, within an image of ``(height, width)``.

    Parameters
    ----------
    boxes, others : ndarray of shape (n, 4), dtype float64
        x_min, y_min, x_max, y_max. NaN in ``others`` stands for no second box.
    """
    low = np.maximum(np.fmin(boxes[:, :2], others[:, :2]), 0.0)
    high = np.minimum(np.fmax(boxes[:, 2:], others[:, 2:]), (float(shape[1]), float(shape[0])))
    return np.hstack([low, high])


def in_reading_order(cells: Cells) -> Cells:
    """Order cells from top to bottom, and from left to right."""
    box = cells["box"]
    return cells.select(np.lexsort((box[:, 0], box[:, 1])))
