"""Cells of other images, pasted into a crop: clumps with known truth, and rare cells more often.

Dye upon dye absorbs twice: optical densities add up where red cells overlap, so that a pasted cell
lets the one below shine through. Flattened cells of many smears do so only in part, down to a mere
line where one's rim crosses the other, so that the share that shines through is drawn anew for
every cell. Boxes of the cells below stay whole, and teach the network the size of cells of which
only a part is seen.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import DecodedImage
from blood_cell_system.stain.optical_density import DENSITY_OF_LEVEL
from blood_cell_system.taxonomy import BUILT_IN, CellType, MaskClass, Taxonomy

_MOST_CELLS: Final = 4  # Cells pasted into one crop.
# Part of its box that an outline covers when the cell lies alone; an ellipse has 0.785.
_FILL: Final = (0.62, 0.9)
# Smallest and largest random factor of a pasted cell's size.
_SCALE: Final = (0.85, 1.18)
# Of the sum of both radii: from two thirds over the other to just beside it.
_DISTANCE: Final = (0.35, 1.1)
_NEAR_SHARE: Final = 0.75  # Share of the pasted cells that are put beside or over another one.
_MOST_COVERED: Final = 0.65  # Of a cell: what a pasted one hides more of could not be marked.
# Share of the weaker of two densities that adds to the stronger where red cells overlap.
_SHINES_THROUGH: Final = (0.1, 1.0)
_TRIES: Final = 6  # Places tried before a cell is given up.


def paste_cells(
    crop: DecodedImage,
    donor: DecodedImage,
    generator: np.random.Generator,
    *,
    scale: float,
    taxonomy: Taxonomy = BUILT_IN,
) -> DecodedImage:
    """Paste up to four cells of an image into a crop.

    Parameters
    ----------
    donor : DecodedImage
        Of the same laboratory, so that stain and sharpness agree.
    scale : float
        Magnification of the crop.

    Returns
    -------
    DecodedImage
        The given one where nothing can be pasted.
    """
    candidates = _single_cells(donor)
    slide = crop.class_mask == MaskClass.BACKGROUND
    donor_slide = donor.class_mask == MaskClass.BACKGROUND
    if not candidates or slide.sum() < 100 or donor_slide.sum() < 100:
        return crop
    if crop.label_image is None or crop.cells is None:
        return crop
    # Every 8th pixel gives the same median for a fraction of the work.
    donor_light = DENSITY_OF_LEVEL[np.median(donor.pixels[donor_slide][::8], axis=0).astype(int)]
    density = cv2.LUT(crop.pixels, DENSITY_OF_LEVEL)
    light = DENSITY_OF_LEVEL[np.median(crop.pixels[slide][::8], axis=0).astype(int)]
    class_mask, label_image = crop.class_mask.copy(), crop.label_image.copy()
    cells = list(crop.cells)
    next_label = int(label_image.max()) + 1
    for _ in range(int(generator.integers(1, _MOST_CELLS + 1))):
        position = _draw(candidates, generator, taxonomy)
        if position is None or donor.cells is None or next_label >= np.iinfo(np.uint16).max:
            continue
        cell = donor.cells[position]
        cell_type = taxonomy[cell.cell_type]
        patch, alpha = _cut_out(donor, position, cell, donor_light, generator, scale)
        place = _find_place(alpha, cells, label_image, generator)
        if place is None:
            continue
        window = (slice(place[1], place[1] + len(alpha)), slice(place[0], place[0] + len(alpha[0])))
        share = (
            generator.uniform(*_SHINES_THROUGH) if cell_type.mask_class == MaskClass.RBC else 1.0
        )
        below = np.maximum(density[window] - light, 0)
        added = patch * alpha[:, :, None]
        density[window] += added - (1 - share) * np.minimum(below, added)
        inside = alpha > 0.5
        _label(class_mask[window], label_image[window], inside, cell_type, next_label)
        rows, columns = np.nonzero(inside)
        cells.append(
            replace(
                cell,
                box=Box(
                    float(place[0] + columns.min()),
                    float(place[1] + rows.min()),
                    float(place[0] + columns.max() + 1),
                    float(place[1] + rows.max() + 1),
                ),
            )
        )
        next_label += 1
    pixels = np.clip(255 * cv2.exp(-density) + 0.5, 0, 255).astype(np.uint8)
    return replace(
        crop, pixels=pixels, class_mask=class_mask, label_image=label_image, cells=tuple(cells)
    )


def _single_cells(donor: DecodedImage) -> dict[str, list[int]]:
    """Positions of cells that lie whole and alone, by type; their label is one more."""
    found: dict[str, list[int]] = {}
    if donor.label_image is None or donor.cells is None:
        return found
    height, width = donor.class_mask.shape
    for position, cell in enumerate(donor.cells):
        x_min, y_min, x_max, y_max = _corners(cell)
        if min(x_min, y_min) < 2 or x_max > width - 2 or y_max > height - 2:
            continue
        window = donor.label_image[y_min:y_max, x_min:x_max]
        fill = float((window == position + 1).mean()) if window.size else 0.0
        others = float(((window > 0) & (window != position + 1)).mean()) if window.size else 1.0
        if _FILL[0] <= fill <= _FILL[1] and others < 0.03:
            found.setdefault(cell.cell_type, []).append(position)
    return found


def _draw(
    candidates: dict[str, list[int]], generator: np.random.Generator, taxonomy: Taxonomy
) -> int | None:
    types = taxonomy.bottom_up
    choice = generator.random() * max(1.0, sum(t.sampling.paste_share for t in types))
    for cell_type in types:
        choice -= cell_type.sampling.paste_share
        if choice < 0:
            positions = candidates.get(cell_type.name)
            return positions[int(generator.integers(len(positions)))] if positions else None
    return None


def _corners(cell: Annotation) -> tuple[int, int, int, int]:
    return (
        int(np.floor(cell.x_min)),
        int(np.floor(cell.y_min)),
        int(np.ceil(cell.x_max)),
        int(np.ceil(cell.y_max)),
    )


def _cut_out(
    donor: DecodedImage,
    position: int,
    cell: Annotation,
    light: NDArray[np.float32],
    generator: np.random.Generator,
    scale: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Density of a cell above its slide, turned at random, and how much of each pixel is cell."""
    assert donor.label_image is not None
    x_min, y_min, x_max, y_max = _corners(cell)
    margin = 3
    window = (
        slice(max(0, y_min - margin), y_max + margin),
        slice(max(0, x_min - margin), x_max + margin),
    )
    patch = cv2.LUT(donor.pixels[window], DENSITY_OF_LEVEL) - light
    alpha = (donor.label_image[window] == position + 1).astype(np.float32)
    factor = scale * np.exp(generator.uniform(*np.log(_SCALE)))
    angle = generator.uniform(0, 360)
    height, width = alpha.shape
    side = int(np.ceil(factor * np.hypot(height, width))) + 2
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), angle, factor)
    matrix[:, 2] += side / 2 - np.array([width / 2, height / 2])
    if generator.random() < 0.5:
        patch, alpha = patch[:, ::-1], alpha[:, ::-1]
    patch = cv2.warpAffine(np.ascontiguousarray(patch), matrix, (side, side))
    alpha = cv2.warpAffine(np.ascontiguousarray(alpha), matrix, (side, side))
    rows, columns = np.nonzero(alpha > 0.5)
    if not len(rows):
        return patch, alpha
    tight = (
        slice(max(0, rows.min() - 2), rows.max() + 3),
        slice(max(0, columns.min() - 2), columns.max() + 3),
    )
    alpha = cv2.GaussianBlur(np.ascontiguousarray(alpha[tight]), (0, 0), 0.8)
    return np.maximum(patch[tight], 0), alpha


def _find_place(
    alpha: NDArray[np.float32],
    cells: Sequence[Annotation],
    label_image: NDArray[np.uint16],
    generator: np.random.Generator,
) -> tuple[int, int] | None:
    """Upper left corner for a patch, mostly beside or upon another cell; None where none fits."""
    height, width = label_image.shape
    patch_height, patch_width = alpha.shape
    if patch_height >= height or patch_width >= width or not (alpha > 0.5).any():
        return None
    radius = (patch_height + patch_width) / 4
    for _ in range(_TRIES):
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        if cells and generator.random() < _NEAR_SHARE:
            other = cells[int(generator.integers(len(cells)))]
            other_radius = (other.width + other.height) / 4
            distance = generator.uniform(*_DISTANCE) * (radius + other_radius)
            direction = generator.uniform(0, 2 * np.pi)
            x = other.centre[0] + distance * np.cos(direction)
            y = other.centre[1] + distance * np.sin(direction)
        left, top = round(x - patch_width / 2), round(y - patch_height / 2)
        if left < 0 or top < 0 or left + patch_width > width or top + patch_height > height:
            continue
        inside = alpha > 0.5
        below = label_image[top : top + patch_height, left : left + patch_width]
        if (below[inside] > 0).mean() > _MOST_COVERED:
            continue
        if _hides_a_cell(below, inside, label_image):
            continue
        return left, top
    return None


def _hides_a_cell(
    below: NDArray[np.uint16], inside: NDArray[np.bool_], label_image: NDArray[np.uint16]
) -> bool:
    """Whether a cell would have less than a third of its visible part left."""
    for label in np.unique(below[inside]):
        if label and (below[inside] == label).sum() > _MOST_COVERED * (label_image == label).sum():
            return True
    return False


def _label(
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16],
    inside: NDArray[np.bool_],
    cell_type: CellType,
    label: int,
) -> None:
    """Write a pasted cell into mask and labels, in place; white cells keep their pixels."""
    is_free = inside & (class_mask != MaskClass.WBC)
    if not cell_type.has_channel:
        # It is background in the class mask; over a red cell that would be wrong.
        is_free &= class_mask == MaskClass.BACKGROUND
        label_image[is_free] = label
        return
    class_mask[is_free] = cell_type.mask_class
    label_image[is_free] = label
