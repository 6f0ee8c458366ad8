"""Heights of the heat maps' peaks, calibrated on validation images.

The height that separates cells from chance depends on how long a network has learned: of BCCD's
red cells half have peaks below 0.43 after the 300 steps of the preset ``fast``, and below 0.77 with
the network that comes with the package. Separation uses one threshold a type. So the bias of the
layer that makes the peaks is moved until the best threshold on the validation images is that one.
As with a temperature, nothing else changes for users of the network.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation, Origin, corners_of
from blood_cell_system.cells.peaks import CellPeaks, find_peaks
from blood_cell_system.cells.separation import most_likely_class
from blood_cell_system.datasets.prepared import DecodedImage
from blood_cell_system.errors import CheckpointError
from blood_cell_system.metrics.matching import MatchCounts, Overlaps, match
from blood_cell_system.model_metadata import HEAD_STRIDE, STRIDE
from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, CellType, Taxonomy

PeakFinder = Callable[[NDArray[np.uint8], Taxonomy], CellPeaks]
"""Gives the peaks of an image of shape (height, width, 3)."""

THRESHOLDS: Final = (0.08, 0.1, 0.12, 0.15, 0.18, 0.22, 0.26, 0.3, 0.35, 0.4, 0.45, 0.5, 0.56, 0.62)
"""Heights that are tried: from below the weakest useful peak, in steps of a sixth."""

_LEAST_CELLS: Final = 40
"""Cells of a type from which its threshold is chosen; fewer say too little."""

_AS_GOOD: Final = 0.01
"""Thresholds whose F1 is this close to the best are as good, within what these images can show."""

_MIN_IOU: Final = 0.5
"""Overlap of boxes from which a peak has found a cell: that of the usual F1."""


def best_thresholds(
    images: Iterable[DecodedImage], peaks_in: PeakFinder, *, taxonomy: Taxonomy = BUILT_IN
) -> dict[str, float]:
    """Find the thresholds at which most cells are found and fewest invented.

    A peak that matches no box is neither right nor wrong where nothing is scored, and on pixels of
    its class that no box holds: boxes are seldom complete.

    Returns
    -------
    dict of str to float
        The middle one of those that are as good as the best; types with few cells are not in it.
    """
    lowest = taxonomy.with_detection(peak_threshold=THRESHOLDS[0])
    matches = {name: [MatchCounts() for _ in THRESHOLDS] for name in taxonomy.names}
    for image in images:
        if image.cells is None:
            continue
        peaks = peaks_in(image.pixels, lowest)
        for index, cell_type in enumerate(taxonomy.names):
            if cell_type not in image.unmarked_types:
                # Weak peaks do not keep strong ones away: those below a threshold may go later.
                own = peaks.take(peaks.type_index == index)
                found = _matches_by_threshold(own, image, taxonomy[cell_type])
                matches[cell_type] = [a + b for a, b in zip(matches[cell_type], found, strict=True)]
    return {
        cell_type: _middle_of_the_best([counts.f1 for counts in found])
        for cell_type, found in matches.items()
        if found[0].matched + found[0].missed >= _LEAST_CELLS
    }


def _matches_by_threshold(
    peaks: CellPeaks, image: DecodedImage, cell_type: CellType
) -> list[MatchCounts]:
    cells = [
        cell
        for cell in image.cells or ()
        if cell.cell_type == cell_type.name and cell.origin is not Origin.POINT
    ]
    height, width = image.class_mask.shape
    true_corners = corners_of(cells)
    # As people draw boxes: up to the border.
    corners = np.clip(peaks.corners, 0, [width, height, width, height])
    is_excused = _is_unknown(peaks, image.class_mask, cells, cell_type)
    return [
        match(
            Overlaps.of_boxes(true_corners, corners[peaks.score >= threshold]),
            _MIN_IOU,
            is_excused=is_excused[peaks.score >= threshold],
        )
        for threshold in THRESHOLDS
    ]


def _is_unknown(
    peaks: CellPeaks,
    class_mask: NDArray[np.uint8],
    cells: list[Annotation],
    cell_type: CellType,
) -> NDArray[np.bool_]:
    """Whether the annotation leaves open if there is a cell at each peak."""
    height, width = class_mask.shape
    columns, rows = peaks.centre.astype(np.intp).T
    under = class_mask[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    is_unknown: NDArray[np.bool_] = under == NOT_SCORED
    if cell_type.has_channel:
        corners = corners_of(cells)
        low, high = corners[:, :2], corners[:, 2:]
        centres = peaks.centre[:, None]
        is_inside = np.all((centres >= low) & (centres < high), axis=2)
        is_unknown = is_unknown | ((under == cell_type.mask_class) & ~np.any(is_inside, axis=1))
    return is_unknown


def _middle_of_the_best(scores: list[float]) -> float:
    values = np.nan_to_num(scores)
    best = int(values.argmax())
    first = last = best
    while first > 0 and values[first - 1] >= values[best] - _AS_GOOD:
        first -= 1
    while last < len(values) - 1 and values[last + 1] >= values[best] - _AS_GOOD:
        last += 1
    return THRESHOLDS[(first + last) // 2]


def bake_thresholds(
    model: Any, found: Mapping[str, float], *, taxonomy: Taxonomy = BUILT_IN
) -> None:
    """Move the heights of peaks so that the thresholds found become the usual ones.

    Parameters
    ----------
    model : keras.Model
        A segmenter with an instance head; changed in place.
    found : mapping of str to float
        Types that are not in it stay as they are.
    taxonomy : Taxonomy
        Of the model; has the usual thresholds.

    Raises
    ------
    CheckpointError
        The model has no layer of centres with a bias a type.
    """
    layer = next((layer for layer in model.layers if layer.name == "centre_logits"), None)
    bias = getattr(layer, "bias", None)
    if bias is None or tuple(bias.shape) != (len(taxonomy),):
        raise CheckpointError(
            f"{model.name}: has no layer 'centre_logits' with a bias for each of {len(taxonomy)} "
            "types of cells; expected a segmenter of this package with an instance head."
        )
    shift = [
        _logit(cell_type.detection.peak_threshold) - _logit(found[cell_type.name])
        if cell_type.name in found
        else 0.0
        for cell_type in taxonomy
    ]
    bias.assign(np.asarray(bias) + np.array(shift, np.float32))


def _logit(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability))


def peak_finder(model: Any) -> PeakFinder:
    """Give what finds the peaks of images with a Keras segmenter that has an instance head."""

    def peaks_in(pixels: NDArray[np.uint8], taxonomy: Taxonomy) -> CellPeaks:
        height, width = pixels.shape[:2]
        padding = ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0))
        padded = np.pad(pixels, padding, mode="reflect").astype(np.float32)
        outputs = {name: maps[0] for name, maps in model.predict_on_batch(padded[None]).items()}
        rows, columns = -(-height // HEAD_STRIDE), -(-width // HEAD_STRIDE)
        return find_peaks(
            outputs["centres"][:rows, :columns],
            outputs["log_size"][:rows, :columns],
            most_likely_class(outputs["classes"][:height, :width]),
            taxonomy,
        )

    return peaks_in
