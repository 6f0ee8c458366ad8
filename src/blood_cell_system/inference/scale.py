"""How far a picture must be resampled for the network.

A network knows cells of about the size that it was trained on. How large they are in a picture is
said by who gives it, or found by ``diameter_vote``.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.inference.diameter_vote import DiameterVote, vote_on_diameter
from blood_cell_system.inference.survey import find_field
from blood_cell_system.segmenter_contract import TRAINING_DIAMETER_PX

RED_CELL_DIAMETER_UM: Final = 7.5
"""Diameter of a person's red cell on a dried smear, in micrometres."""

MIN_AGREEMENT: Final = 0.07
"""How well outlines must agree on a size: 0.08 to 0.57 in smears, up to 0.06 in coloured noise."""

AS_IT_IS: Final = (0.87, 1.1)
"""Magnifications that are not worth resampling for. Training varies the size by more, but cells
that are shown too small are missed sooner than those shown too large."""

MAX_MAGNIFICATION: Final = 8.0
"""A picture is resampled no further, whatever the size of its cells."""

MIN_MAGNIFICATION: Final = 1 / 16


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


def settle_scale(
    vote: DiameterVote | None,
    *,
    cell_diameter_px: float | None = None,
    pixel_size_um: float | None = None,
    training_diameter_px: float = TRAINING_DIAMETER_PX,
) -> ScaleEstimate:
    """Decide how large red cells are, and how far to resample.

    A diameter that was given goes first, then the pixel size, then the vote.

    Parameters
    ----------
    vote : DiameterVote or None
    cell_diameter_px : float, optional
    pixel_size_um : float, optional
    training_diameter_px : float
        Diameter of a red cell in the pictures that the network learned from.

    Returns
    -------
    ScaleEstimate
    """
    diameter, source = cell_diameter_px, ScaleSource.GIVEN
    if diameter is None and pixel_size_um is not None:
        diameter = RED_CELL_DIAMETER_UM / pixel_size_um
    if diameter is None and vote is not None and vote.agreement >= MIN_AGREEMENT:
        diameter, source = vote.diameter_px, ScaleSource.ESTIMATED
    if diameter is None:
        return ScaleEstimate(
            red_cell_diameter_px=None,
            magnification_applied=1.0,
            source=ScaleSource.UNKNOWN,
            pixel_size_um=pixel_size_um,
        )
    magnification = float(
        np.clip(training_diameter_px / diameter, MIN_MAGNIFICATION, MAX_MAGNIFICATION)
    )
    return ScaleEstimate(
        red_cell_diameter_px=diameter,
        magnification_applied=1.0 if AS_IT_IS[0] <= magnification <= AS_IT_IS[1] else magnification,
        source=source,
        pixel_size_um=pixel_size_um,
    )


def magnification_for(
    image: NDArray[np.uint8],
    *,
    training_diameter_px: float | None,
    cell_diameter_px: float | None = None,
) -> float:
    """By how much to resample a picture for a network.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    training_diameter_px : float or None
        Diameter of a red cell in the pictures that the network learned from; a network of which
        nobody knows it gets the picture as it is.
    cell_diameter_px : float, optional
        Diameter of a red cell in the picture; estimated by default.

    Returns
    -------
    float
        Pixels that the network sees for each pixel of the picture.
    """
    if training_diameter_px is None:
        return 1.0
    is_given = cell_diameter_px is not None
    scale = settle_scale(
        None if is_given else vote_on_diameter(image, find_field(image)),
        cell_diameter_px=cell_diameter_px,
        training_diameter_px=training_diameter_px,
    )
    return scale.magnification_applied
