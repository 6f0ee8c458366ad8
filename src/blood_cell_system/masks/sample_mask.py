"""The class mask of an image, from whatever annotations there are.

What is known best wins: the classes of all pixels, where they are given; then the outlines that
people drew; then the stain, separated by their boxes. A point is a centre and nothing more. What
nobody has said, and the stain does not show clearly, is not scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.outline import Outline
from blood_cell_system.annotation.sample import Annotation, Sample
from blood_cell_system.masks.ellipses import (
    clip_to_pixels,
    leave_out_around_points,
    median_red_diameter,
    nearest_ellipse,
    point_boxes,
    rasterize_ellipses,
)
from blood_cell_system.masks.refine import StainMask, stain_class_mask
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, MaskClass, Taxonomy

_LEAST_LEFT: Final = 0.8
"""Part of a cell found by its stain that no person's mark may cover."""

# Of a cell's longer side: how far beside its edge a careful person may draw.
_RIM_SHARE: Final = 0.08

# Where two boxes' ellipses meet, a pixel may lie this many half-axes from its cell's centre.
_REACH: Final = 1.1


class MaskMethod(StrEnum):
    """How masks come from boxes."""

    STAIN = "stain"
    ELLIPSE = "ellipse"


class Unlabelled(StrEnum):
    """What a cell is that the stain shows and nobody has marked."""

    STAIN = "stain"
    """A red cell where it looks like one, else not scored: people have not marked all cells."""

    UNSCORED = "unscored"
    """Not scored: people have not marked all cells, and the stain is not to be trusted."""

    BACKGROUND = "background"
    """Background: people have marked all cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleMask:
    """What is known about every pixel of an image.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``, and 255 where not scored.
    label_image : ndarray of shape (height, width), dtype uint16, or None
        0 background and cells without a box; pixels of ``cells[i]`` have the value ``i + 1``. None
        where it says nothing that boxes do not.
    cells : tuple of Annotation or None
        None where nobody has said where the cells are.
    """

    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16] | None
    cells: tuple[Annotation, ...] | None


def mask_of_sample(
    image: NDArray[np.uint8],
    sample: Sample,
    *,
    method: MaskMethod = MaskMethod.STAIN,
    unlabelled: Unlabelled = Unlabelled.STAIN,
    taxonomy: Taxonomy = BUILT_IN,
) -> SampleMask:
    """Make the class mask and the label image of one image.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    sample : Sample
        Of the same size.
    method : MaskMethod
        What becomes of boxes.
    unlabelled : Unlabelled
        What becomes of cells that nobody has marked.

    Raises
    ------
    ImageReadError, MaskFormatError
        The sample's mask file cannot be read, or is outside its format.
    """
    marked = [cell for cell in sample.cells or () if cell.box is not None]
    boxes = [_labelled_box(cell) for cell in marked]
    has_outlines = any(cell.outline is not None for cell in marked)
    label_image: NDArray[np.uint16] | None
    diameter_px = median_red_diameter(boxes, sample.shape, taxonomy=taxonomy)
    if sample.class_mask is not None:
        class_mask = sample.class_mask.read(sample.shape)
        label_image = _labels_within(class_mask, boxes, taxonomy) if sample.cells else None
        found = tuple(boxes)
    elif method is MaskMethod.ELLIPSE:
        class_mask = rasterize_ellipses(boxes, sample.shape, taxonomy=taxonomy)
        label_image = _labels_within(class_mask, boxes, taxonomy) if has_outlines else None
        found = tuple(boxes)
    else:
        stain = stain_class_mask(image, boxes, taxonomy=taxonomy)
        stain = _treat_unlabelled(stain, len(boxes), unlabelled)
        class_mask, label_image, found = stain.class_mask, stain.label_image, stain.cells
        diameter_px = stain.red_cell_diameter_px
    if label_image is not None and has_outlines:
        is_exact = sample.class_mask is not None
        _paint_outlines(class_mask, label_image, marked, taxonomy, exact=is_exact)
    for region in sample.unscored:
        _leave_out(region, class_mask, label_image, len(boxes))
    if label_image is not None and len(found) > len(boxes):
        label_image, found = _without_covered(label_image, found, len(boxes))
    points = point_boxes(sample, diameter_px, taxonomy=taxonomy)
    leave_out_around_points(points, class_mask, label_image, taxonomy=taxonomy)
    return SampleMask(
        class_mask=class_mask,
        label_image=label_image,
        cells=None if sample.cells is None else (*found, *points),
    )


def _labelled_box(cell: Annotation) -> Annotation:
    return Annotation(cell_type=cell.cell_type, box=cell.box, origin=cell.origin)


def _labels_within(
    class_mask: NDArray[np.uint8], boxes: Sequence[Annotation], taxonomy: Taxonomy
) -> NDArray[np.uint16]:
    """Give the pixels of each channel to the nearest box of that channel.

    Cells without a channel get none: the mask does not show where they end.
    """
    label_image = np.zeros(class_mask.shape, np.uint16)
    classes = taxonomy.mask_classes
    for value in taxonomy.main_types:
        indices = [index for index, box in enumerate(boxes) if classes[box.cell_type] == value]
        owner, distance = nearest_ellipse([boxes[index] for index in indices], class_mask.shape)
        is_owned = (class_mask == value) & (distance < _REACH**2)
        label_image[is_owned] = np.array([*indices, -1])[owner[is_owned]] + 1
    return label_image


def _treat_unlabelled(stain: StainMask, marked: int, unlabelled: Unlabelled) -> StainMask:
    """Let cells that nobody has marked be what they are to be, in place."""
    if unlabelled is Unlabelled.STAIN:
        return stain
    class_mask, label_image = stain.class_mask, stain.label_image
    label_image[label_image > marked] = 0
    is_free = (label_image == 0) & (class_mask != MaskClass.BACKGROUND)
    if unlabelled is Unlabelled.BACKGROUND:
        # The rim of a marked cell stays in doubt.
        near = cv2.dilate((label_image > 0).view(np.uint8), np.ones((5, 5), np.uint8)) > 0
        class_mask[is_free & ~near] = MaskClass.BACKGROUND
        is_free &= near
    class_mask[is_free] = NOT_SCORED
    return replace(stain, cells=stain.cells[:marked])


def _paint_outlines(
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16],
    marked: Sequence[Annotation],
    taxonomy: Taxonomy,
    *,
    exact: bool,
) -> None:
    """Let people's outlines overrule what the stain says, in place.

    What the stain shows just outside of an outline, in no other cell, is not scored: the person
    says that it is not this cell, but not what it is. Where the class mask is exact, only labels
    are painted.
    """
    for index, cell in enumerate(marked):
        if cell.outline is None:
            continue
        is_left = label_image == index + 1
        label_image[is_left] = 0
        if not exact:
            class_mask[is_left] = NOT_SCORED
    for cell_type in taxonomy.bottom_up:
        for index, cell in enumerate(marked):
            if cell.outline is None or cell.cell_type != cell_type.name:
                continue
            rows, columns, inside = cell.outline.window(class_mask.shape)
            if not exact:
                class_mask[rows, columns][inside] = cell_type.mask_class
            else:
                inside = inside & (class_mask[rows, columns] == cell_type.mask_class)
            label_image[rows, columns][inside] = index + 1
    if not exact:
        _leave_out_rims(class_mask, label_image, marked)


def _leave_out_rims(
    class_mask: NDArray[np.uint8], label_image: NDArray[np.uint16], marked: Sequence[Annotation]
) -> None:
    is_free = (label_image == 0) & (class_mask != MaskClass.BACKGROUND)
    for cell in marked:
        if cell.outline is None:
            continue
        box = _labelled_box(cell)
        rim = max(2, round(_RIM_SHARE * max(box.width, box.height)))
        rows, columns = clip_to_pixels(box, class_mask.shape, margin=rim)
        own_rows, own_columns, inside = cell.outline.window(class_mask.shape)
        near = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        near[
            own_rows.start - rows.start : own_rows.stop - rows.start,
            own_columns.start - columns.start : own_columns.stop - columns.start,
        ] = inside
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
        near = cv2.dilate(near, kernel) > 0
        class_mask[rows, columns][near & is_free[rows, columns]] = NOT_SCORED


def _leave_out(
    region: Outline,
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16] | None,
    marked: int,
) -> None:
    """Let a region be not scored, in place, but for the cells in it that people have marked."""
    rows, columns, inside = region.window(class_mask.shape)
    if label_image is not None:
        labels = label_image[rows, columns]
        inside = inside & ((labels == 0) | (labels > marked))
        labels[inside] = 0
    class_mask[rows, columns][inside] = NOT_SCORED


def _without_covered(
    label_image: NDArray[np.uint16], cells: tuple[Annotation, ...], marked: int
) -> tuple[NDArray[np.uint16], tuple[Annotation, ...]]:
    """Take away what the stain found where a person marked something else."""
    kept = list(range(marked))
    counts = np.bincount(label_image.ravel(), minlength=len(cells) + 1)
    for index in range(marked, len(cells)):
        cell = cells[index]
        # Of what its box must hold at least: such cells are round.
        if counts[index + 1] >= _LEAST_LEFT * 0.6 * cell.width * cell.height:
            kept.append(index)
    if len(kept) == len(cells):
        return label_image, cells
    number = np.zeros(len(cells) + 1, np.uint16)
    number[np.array(kept, np.int64) + 1] = np.arange(1, len(kept) + 1)
    return number[label_image], tuple(cells[index] for index in kept)
