"""White cells without a nucleus are none: late malaria parasites and dark, crenated red cells.

A network tells classes by texture, and a red cell full of a parasite has a white cell's. But the
nucleus of a small white cell fills most of it, and is far denser than red cells. A schizont is many
small dots in a cell that is no denser, or paler, than its neighbours; trophozoites and gametocytes
are hardly denser. And a red cell with a parasite keeps its haemoglobin, which absorbs blue light;
a pale white cell has none. What is paler than red cells in green light, which nuclei and cytoplasm
of white cells absorb, needs no such proof.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.neighbours import Crop, crops_of
from blood_cell_system.stain.optical_density import (
    BLUE,
    GREEN,
    RED,
    median_density,
    optical_density,
)
from blood_cell_system.taxonomy import BUILT_IN, MaskClass, Taxonomy

_RED_RATIO: Final = 2.0
"""Density in red light that a fifth of a small white cell has at least, in medians of the image's
red cells: up to 1.8 in 35 parasites of IML's training and validation fields that the network takes
for white cells; from 2.4 in whole white cells of four laboratories that absorb as much blue
(``benchmarks/late_parasites.py``)."""
_GREEN_RATIO: Final = 2.7
"""The same in green light; either is enough. Up to 2.6 in these parasites."""
_GREEN_OF_RED: Final = 1.85
"""Ratio in green light over that in red from which it is a nucleus as well: up to 1.7 in these
parasites, 2.06 to 2.8 in white cells among red cells that absorb much red (Raabin)."""
_PALE_GREEN: Final = 1.0
"""Density in green light up to which a cell has no nucleus whatever its other densities: schizonts
among very dense red cells have 0.56 to 0.8, white cells and their pieces 1.7 and more."""
_BLUE_SHARE: Final = 0.8
"""Density in blue light that a red cell has at least, in medians of the red cells', as part of its
density in red light in theirs: 0.84 to 1.1 in 13 parasites of IML, 0.43 to 0.77 in the pale white
cells of seven fields of acrs."""
_QUANTILE: Final = 0.8
"""Of the densities of a cell's pixels: the nucleus fills the rest or more."""
_LEAST_USUAL: Final = 0.05
"""Density of red cells, at least, that ratios are taken of."""
_MAX_AREA: Final = 2.0
"""Area in medians of the red cells' up to which a cell may be a red one. Larger white cells may
have a pale nucleus: promyelocytes of acrs are 1.2 times as dense, and 2.3 times as large."""
_PALE_AREAS: Final = (0.5, 2.6)
"""The same of a cell that is pale in green light, least and most: schizonts have 1.0 to 2.0. Pieces
of white cells of acrs are as pale, but smaller than a tenth; the smallest whole one has 3.0."""
_SURE: Final = 0.8
"""Confidence from which a cell is white whatever its stain. Parasites have up to 0.61 in IML's
training and validation fields, 0.73 in its test fields; no white cell of five laboratories becomes
red by it."""
_RIM_PX: Final = 2
"""Rim of red cells that is not measured, in pixels."""
_MIN_RED_PX: Final = 1500
"""Red cells' pixels from which they are a measure; half a cell of the training diameter."""


def cells_without_nucleus(
    image: NDArray[np.uint8],
    labels: NDArray[np.int32],
    types: Sequence[str],
    confidence: Sequence[float],
    taxonomy: Taxonomy = BUILT_IN,
) -> list[int]:
    """Find the white cells that show no nucleus.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB, at the size that the network saw.
    labels : ndarray of shape (height, width), dtype int32
    types : sequence of str
        Type of cell ``i + 1``.
    confidence : sequence of float
        Of the same cells, 0 to 1.

    Returns
    -------
    list of int
        Their rows; none where too few red cells are seen to compare with.
    """
    classes = [taxonomy[cell_type].mask_class for cell_type in types]
    areas = np.bincount(labels.ravel(), minlength=len(types) + 1)[1:]
    doubtful = [
        row
        for row, value in enumerate(classes)
        if value == MaskClass.WBC and areas[row] and confidence[row] < _SURE
    ]
    if not doubtful:
        return []
    of_label = np.array([MaskClass.BACKGROUND, *classes], dtype=np.uint8)
    is_red = (of_label[labels] == MaskClass.RBC).astype(np.uint8)
    inner = cv2.erode(is_red, np.ones((2 * _RIM_PX + 1,) * 2, np.uint8)) > 0
    if np.count_nonzero(inner) < _MIN_RED_PX:
        return []
    is_cut = np.zeros(len(types) + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        is_cut[edge] = True
    red_cells = (of_label[1:] == MaskClass.RBC) & (areas > 0)
    whole = red_cells & ~is_cut[1:]
    usual_area = float(np.median(areas[whole if whole.any() else red_cells]))
    density = optical_density(image)
    # Channel by channel, which is thrice as fast as along an axis.
    medians = [median_density(density[:, :, channel][inner]) for channel in range(3)]
    usual = np.maximum(medians, _LEAST_USUAL)
    crops = crops_of(labels, len(types))
    found = []
    for row in doubtful:
        pixels = density[crops[row]][labels[crops[row]] == row + 1]
        ratio = np.quantile(pixels, _QUANTILE, axis=0) / usual
        red, green, blue = (ratio[channel] for channel in (RED, GREEN, BLUE))
        has_nucleus = red >= _RED_RATIO or green >= _GREEN_RATIO or green >= _GREEN_OF_RED * red
        has_haemoglobin = blue >= _BLUE_SHARE * red
        area = areas[row] / usual_area
        is_pale = green <= _PALE_GREEN and _PALE_AREAS[0] <= area <= _PALE_AREAS[1]
        is_small = area <= _MAX_AREA
        if not has_nucleus and (is_pale or (is_small and has_haemoglobin)):
            found.append(row)
    is_white = of_label == MaskClass.WBC
    is_white[np.array(found, dtype=np.intp) + 1] = False
    return [row for row in found if not _touches(labels, crops[row], row + 1, is_white)]


def _touches(
    labels: NDArray[np.int32], crop: Crop, label: int, is_other: NDArray[np.bool_]
) -> bool:
    """Whether a cell touches one of the others: beside a white cell lie pieces of white cells."""
    rows, columns = crop
    around = labels[
        max(rows.start - 1, 0) : rows.stop + 1, max(columns.start - 1, 0) : columns.stop + 1
    ]
    near = cv2.dilate((around == label).astype(np.uint8), np.ones((3, 3), np.uint8))
    return bool(is_other[around[near > 0]].any())
