"""Dust is no platelet: it is grey, and everything that a blood stain colours is not.

Out-of-focus dust on a camera or a lens has the size and the softness of a platelet, and comes at
the same place in image after image. It takes the same share from red, green and blue light.
Azure and eosin dyes let blue light through that they keep back in green.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.cells.separation import SeparatedCells, in_reading_order
from blood_cell_system.stain.optical_density import BLUE, GREEN
from blood_cell_system.taxonomy import PLATELET

LEAST_COLOUR: Final = 0.3
"""Share of its density in green that a stained body is less dense in blue, at least. Platelets of
BCCD have 0.45 and more, dust up to 0.25."""

_REACH: Final = 0.5
_MIN_PIXELS: Final = 12
# An image without colours cannot tell.
_GREY_IMAGE: Final = 3.0


def without_artifacts(separated: SeparatedCells, image: NDArray[np.uint8]) -> SeparatedCells:
    """Leave out platelets that have no colour.

    Parameters
    ----------
    separated : SeparatedCells
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB, the image that the cells were found in.

    Returns
    -------
    SeparatedCells
        The given one where all platelets have colour, or the image has none.
    """
    dust = {
        cell.label
        for cell in separated.cells
        if cell.cell_type == PLATELET
        and _is_grey(separated.label_image, image, cell.box, cell.label)
    }
    if not dust or _has_no_colours(image):
        return separated
    kept = [cell for cell in separated.cells if cell.label not in dust]
    return in_reading_order(separated.label_image, kept, count=len(separated.cells))


def _is_grey(
    label_image: NDArray[np.int32], image: NDArray[np.uint8], box: Annotation, label: int
) -> bool:
    height, width = label_image.shape
    margin = max(2, round(_REACH * max(box.width, box.height)))
    window = (
        slice(max(0, int(box.y_min) - margin), min(height, int(box.y_max) + margin)),
        slice(max(0, int(box.x_min) - margin), min(width, int(box.x_max) + margin)),
    )
    labels, pixels = label_image[window], image[window].astype(np.float32)
    inside, slide = labels == label, labels == 0
    if inside.sum() < _MIN_PIXELS or slide.sum() < _MIN_PIXELS:
        return False
    light = np.median(pixels[slide], axis=0)
    density = -np.log((pixels[inside].mean(axis=0) + 1) / (light + 1))
    return bool(density[GREEN] - density[BLUE] < LEAST_COLOUR * density[GREEN])


def _has_no_colours(image: NDArray[np.uint8]) -> bool:
    """Whether red, green and blue are nearly the same throughout."""
    sample = image[::8, ::8].astype(np.float32)
    return float(np.mean(sample.max(axis=2) - sample.min(axis=2))) < _GREY_IMAGE
