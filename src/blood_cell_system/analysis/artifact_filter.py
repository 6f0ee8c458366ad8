"""Dust is no platelet: it is grey, and everything that a blood stain colours is not.

Out-of-focus dust on a camera or a lens has the size and the softness of a platelet, and comes at
the same place in image after image. It takes the same share from red, green and blue light.
Azure and eosin dyes let blue light through that they keep back in green.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.separation import in_reading_order
from blood_cell_system.cells.table import Cells
from blood_cell_system.stain.optical_density import BLUE, GREEN
from blood_cell_system.taxonomy import PLATELET

LEAST_COLOUR: Final = 0.3
"""Share of its density in green that a stained body is less dense in blue, at least. Platelets of
BCCD have 0.45 and more, dust up to 0.25."""

_REACH: Final = 0.5
"""Width of the surroundings whose light is compared, in extents of the body."""
_MIN_PIXELS: Final = 12
"""Fewer pixels of body or slide give no colour, and the body is kept."""
_GREY_IMAGE: Final = 3.0
"""Mean difference of an image's brightest and darkest channel, of 255, below which it has no
colours to judge by."""


def without_artifacts(cells: Cells, image: NDArray[np.uint8]) -> Cells:
    """Leave out platelets that have no colour.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB, the image that the cells were found in.

    Returns
    -------
    Cells
        The given ones where all platelets have colour, or the image has none.
    """
    is_dust = np.zeros(len(cells), dtype=np.bool_)
    for row in np.flatnonzero(cells.is_type(PLATELET)):
        is_dust[row] = _is_grey(cells.label_image, image, cells["box"][row], row + 1)
    if not is_dust.any() or _has_no_colours(image):
        return cells
    return in_reading_order(cells.select(~is_dust))


def _is_grey(
    label_image: NDArray[np.int32],
    image: NDArray[np.uint8],
    box: NDArray[np.float64],
    label: int | np.intp,
) -> bool:
    x_min, y_min, x_max, y_max = box.astype(int).tolist()
    height, width = label_image.shape
    margin = max(2, round(_REACH * max(x_max - x_min, y_max - y_min)))
    window = (
        slice(max(0, y_min - margin), min(height, y_max + margin)),
        slice(max(0, x_min - margin), min(width, x_max + margin)),
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
