"""How large the cells of a picture are, and how far it must be resampled for the network.

A network knows cells of about the size that it was trained on. The red cell is the ruler of a smear:
most cells are red, and a person's are all of about one size.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

TRAINING_DIAMETER_PX: Final = 100.0
"""Diameter of a red cell in the pictures that the network learned from: BCCD's at 640×480."""

RED_CELL_DIAMETER_UM: Final = 7.5
"""Diameter of a person's red cell on a dried smear, in micrometres."""


class ScaleSource(StrEnum):
    """Where a red-cell diameter comes from."""

    GIVEN = "given"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEstimate:
    """How large a red cell is in a picture.

    Parameters
    ----------
    red_cell_diameter_px : float or None
        In the picture as it was given; None where nothing shows it.
    magnification_applied : float
        By how much the picture was resampled before the network saw it.
    source : ScaleSource
    pixel_size_um : float or None
        Side of a pixel in micrometres, where it was given.
    """

    red_cell_diameter_px: float | None
    magnification_applied: float
    source: ScaleSource
    pixel_size_um: float | None = None


def estimate_scale(
    image: NDArray[np.uint8],
    *,
    cell_diameter_px: float | None = None,
    pixel_size_um: float | None = None,
) -> ScaleEstimate:
    """Find how large a picture's red cells are."""
    diameter, source = cell_diameter_px, ScaleSource.GIVEN
    if diameter is None and pixel_size_um is not None:
        diameter = RED_CELL_DIAMETER_UM / pixel_size_um
    if diameter is None:
        source = ScaleSource.UNKNOWN
    return ScaleEstimate(
        red_cell_diameter_px=diameter,
        magnification_applied=1.0 if diameter is None else TRAINING_DIAMETER_PX / diameter,
        source=source,
        pixel_size_um=pixel_size_um,
    )
