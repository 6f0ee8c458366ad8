"""Labels of a network for images without annotations, from which it then learns.

On a stain that it has never seen a network is right about most of an image. Where it is wrong, its
output often changes when the image is flipped or enlarged a little. Only what it gives in every
view becomes a label; the rest is not scored. Two checks use the stain instead, so that an error in
all views does not become a label: a white cell needs a nucleus, and what is clearly stained is no
empty slide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.analysis.image_analysis import (
    AnalysisSettings,
    ImageAnalysis,
    analyze_image,
)
from blood_cell_system.analysis.trained_models import Runtime
from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.boxes import Box
from blood_cell_system.cells.cut_out import Piece
from blood_cell_system.cells.nucleated_cells import find_nucleated_cells
from blood_cell_system.cells.table import Cells
from blood_cell_system.stain.optical_density import (
    GREEN,
    RED,
    StainSettings,
    foreground_threshold,
    optical_density,
)
from blood_cell_system.taxonomy import NOT_SCORED, WBC, MaskClass

__all__ = ["SelfLabels", "self_label"]

_VIEWS: Final[tuple[tuple[int | None, float], ...]] = ((1, 0.88), (0, 1.14), (-1, 1.0))
"""How OpenCV turns the image over (None: not at all), and how much larger the network sees it."""
_SAME_CELL: Final = 0.65
"""IoU from which two views, or network and stain, have found the same cell."""
_COVERED: Final = 0.3
"""Part of a cell that lies in nuclei's outlines from which the two are about the same pixels."""
_CLEARLY_STAINED: Final = 1.6
"""Density in green, in thresholds of the foreground, that is certainly no empty slide."""
_NUCLEUS_RATIO: Final = 1.3
"""Density of a nucleus in red light over that of the image's red cells, at least."""
_NUCLEUS_LEAD: Final = 0.12
"""By how much it is denser, at least."""
_NUCLEUS_PERCENTILE: Final = 75
"""Percentile of a white cell's density in red that stands for its nucleus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfLabels:
    """What a network is sure of in an image, in the image's own pixels.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``; 255 wherever there is doubt.
    label_image : ndarray of shape (height, width), dtype uint16
        ``i + 1`` in the pixels of ``cells[i]``.
    """

    class_mask: NDArray[np.uint8]
    label_image: NDArray[np.uint16]
    cells: tuple[Annotation, ...]
    red_cell_diameter_px: float


def self_label(
    runtime: Runtime, image: NDArray[np.uint8], *, trusts_nuclei: bool = False
) -> SelfLabels | None:
    """Label an image by what a network gives in all of four views.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    trusts_nuclei : bool
        Whether the purple of nuclei decides on white cells: right for images that are
        known to show some, in which a network may take them for red cells.

    Returns
    -------
    SelfLabels or None
        None where nothing shows how large red cells are.
    """
    first = analyze_image(runtime, image, AnalysisSettings(keeps_pose=True))
    diameter = first.scale.red_cell_diameter_px
    if diameter is None:
        return None
    others = [
        _seen_as(runtime, image, flip, cell_diameter_px=diameter / zoom) for flip, zoom in _VIEWS
    ]
    class_mask = first.class_mask.copy()
    for mask, _ in others:
        class_mask[mask != first.class_mask] = NOT_SCORED
    density = optical_density(image)
    is_kept = _is_confirmed(first.cells, [found for _, found in others])
    kept = first.cells.select(is_kept & _has_its_stain(first, density))
    label_image = kept.label_image.astype(np.uint16)
    is_cell = first.cells.label_image > 0
    class_mask[is_cell & (label_image == 0)] = NOT_SCORED
    is_stained = density[:, :, GREEN] > _CLEARLY_STAINED * foreground_threshold(
        density, settings=StainSettings()
    )
    is_empty = (class_mask == MaskClass.BACKGROUND) & (label_image == 0)
    class_mask[is_empty & is_stained] = NOT_SCORED
    labels = SelfLabels(
        class_mask=class_mask,
        label_image=label_image,
        cells=tuple(
            Annotation(
                cell_type=cell_type, box=Box(x_min, y_min, x_max, y_max), origin=Origin.PREDICTED
            )
            for cell_type, (x_min, y_min, x_max, y_max) in zip(
                kept["cell_type"], kept["whole_box"].tolist(), strict=True
            )
        ),
        red_cell_diameter_px=diameter,
    )
    return _corrected_by_nuclei(labels, *find_nucleated_cells(image)) if trusts_nuclei else labels


def _corrected_by_nuclei(
    labels: SelfLabels, nucleated: Sequence[Piece], is_single: NDArray[np.bool_]
) -> SelfLabels:
    """White cells are where nuclei are; what contradicts them is dropped."""
    class_mask, label_image = labels.class_mask.copy(), labels.label_image.copy()
    cells: list[Annotation | None] = list(labels.cells)
    is_nucleated = np.zeros(class_mask.shape, dtype=bool)
    for ((x, y), outline), is_one in zip(nucleated, is_single, strict=True):
        window = (slice(y, y + outline.shape[0]), slice(x, x + outline.shape[1]))
        is_nucleated[window] |= outline
        below = label_image[window]
        for label in np.unique(below[outline]):
            cell = cells[label - 1] if label else None
            if cell is None:
                continue
            covered = int((below[outline] == label).sum())
            area = int((label_image == label).sum())
            is_same = covered >= _SAME_CELL * (area + int(outline.sum()) - covered)
            if not (is_same and cell.cell_type == WBC) and covered > _COVERED * area:
                class_mask[label_image == label] = NOT_SCORED
                label_image[label_image == label] = 0
                cells[label - 1] = None
        if np.count_nonzero(label_image[window][outline]) > _COVERED * outline.sum():
            continue
        class_mask[window][outline] = NOT_SCORED
        label_image[window][outline] = 0
        if is_one:
            rows, columns = np.nonzero(outline)
            cells.append(
                Annotation(
                    cell_type=WBC,
                    box=Box(
                        float(x + columns.min()),
                        float(y + rows.min()),
                        float(x + columns.max() + 1),
                        float(y + rows.max() + 1),
                    ),
                    origin=Origin.STAIN,
                )
            )
            # The last pixels of an outline are a guess.
            sure = cv2.erode(outline.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            class_mask[window][sure] = MaskClass.WBC
            label_image[window][outline] = len(cells)
    for label, cell in enumerate(cells, start=1):
        is_cell = label_image == label
        if cell is not None and cell.cell_type == WBC:
            if is_nucleated[is_cell].mean() >= _COVERED:
                continue
            class_mask[is_cell] = NOT_SCORED
            label_image[is_cell] = 0
            cells[label - 1] = None
    return _without_gaps(replace(labels, class_mask=class_mask, label_image=label_image), cells)


def _without_gaps(labels: SelfLabels, cells: Sequence[Annotation | None]) -> SelfLabels:
    table = np.zeros(len(cells) + 1, np.uint16)
    kept = []
    for label, cell in enumerate(cells, start=1):
        if cell is not None:
            kept.append(cell)
            table[label] = len(kept)
    return replace(labels, label_image=table[labels.label_image], cells=tuple(kept))


def _seen_as(
    runtime: Runtime, image: NDArray[np.uint8], flip: int | None, *, cell_diameter_px: float
) -> tuple[NDArray[np.uint8], Cells]:
    """Class mask and cells of an image turned over, brought back to how it lies."""
    settings = AnalysisSettings(cell_diameter_px=cell_diameter_px, keeps_pose=True)
    if flip is None:
        found = analyze_image(runtime, image, settings)
        return found.class_mask, found.cells
    found = analyze_image(runtime, np.ascontiguousarray(cv2.flip(image, flip)), settings)
    labels = cv2.flip(found.cells.label_image, flip)
    return (
        np.asarray(cv2.flip(found.class_mask, flip)),
        replace(found.cells, label_image=np.asarray(labels)),
    )


def _is_confirmed(cells: Cells, others: Sequence[Cells]) -> NDArray[np.bool_]:
    """Whether every other view has a cell of this type in much the same pixels, for each cell."""
    crops = ndimage.find_objects(cells.label_image, max_label=len(cells))
    return np.array(
        [
            all(_has_same(cells, row, cells.label_image[crop] == row + 1, crop, o) for o in others)
            for row, crop in enumerate(crops)
        ],
        dtype=np.bool_,
    )


def _has_same(
    cells: Cells, row: int, inside: NDArray[np.bool_], crop: tuple[slice, slice], other: Cells
) -> bool:
    below = other.label_image[crop][inside]
    counts = np.bincount(below[below > 0])
    if not len(counts):
        return False
    same = int(counts.argmax()) - 1
    overlap = int(counts.max())
    if other["cell_type"][same] != cells["cell_type"][row]:
        return False
    union = int(cells["area"][row]) + int(other["area"][same]) - overlap
    return overlap >= _SAME_CELL * union


def _has_its_stain(analysis: ImageAnalysis, density: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each white cell has something that red light passes less than through red cells."""
    cells = analysis.cells
    has_it = ~cells.is_type(WBC)
    red = density[:, :, RED]
    of_red_cells = red[analysis.class_mask == MaskClass.RBC]
    usual = float(np.median(of_red_cells)) if len(of_red_cells) else 0.0
    for row in np.flatnonzero(~has_it):
        inside = red[cells.label_image == row + 1]
        darkest = float(np.percentile(inside, _NUCLEUS_PERCENTILE)) if len(inside) else 0.0
        has_it[row] = darkest > max(_NUCLEUS_RATIO * usual, usual + _NUCLEUS_LEAD)
    return has_it
