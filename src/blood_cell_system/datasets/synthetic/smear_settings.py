"""What a drawn smear is to look like."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import OutOfRangeError, UnknownNameError

MIXED: Final = "mixed"
"""Stain name that draws a stain for every smear."""

Colour = tuple[float, float, float]
Range = tuple[float, float]


class Dye(IntEnum):
    """What absorbs light in a stained cell; the index of its plane in the dye amounts."""

    HAEMOGLOBIN = 0
    CHROMATIN = 1
    NEUTRAL = 2
    RNA = 3
    EOSIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stain:
    """Colours of one laboratory's stain, as its microscope shows them.

    Parameters
    ----------
    glass : tuple of float
        RGB of the empty field, 0..255.
    haemoglobin, chromatin, neutral, rna, eosin : tuple of float
        Optical density (natural logarithm) in red, green and blue of a red cell, a nucleus, a
        neutrophil's cytoplasm, a lymphocyte's cytoplasm and an eosinophil's granules.
    """

    glass: Colour
    haemoglobin: Colour
    chromatin: Colour
    neutral: Colour
    rna: Colour
    eosin: Colour

    def absorption(self) -> NDArray[np.float32]:
        """Optical density of each dye at amount 1.

        Returns
        -------
        ndarray of shape (5, 3), dtype float32
            Rows in the order of ``Dye``, columns red, green, blue.
        """
        rows = (self.haemoglobin, self.chromatin, self.neutral, self.rna, self.eosin)
        return np.array(rows, dtype=np.float32)


# fmt: off
STAINS: Final[Mapping[str, Stain]] = MappingProxyType({
    "wright-giemsa": Stain(
        glass=(201, 204, 197), haemoglobin=(0.12, 0.28, 0.25), chromatin=(0.52, 0.92, 0.00),
        neutral=(0.09, 0.28, 0.03), rna=(0.27, 0.22, 0.02), eosin=(0.10, 0.52, 0.33)),
    "wright-rose": Stain(
        glass=(198, 200, 195), haemoglobin=(0.12, 0.26, 0.15), chromatin=(0.48, 0.90, 0.00),
        neutral=(0.10, 0.30, 0.02), rna=(0.32, 0.24, 0.00), eosin=(0.09, 0.50, 0.26)),
    "may-grunwald": Stain(
        glass=(250, 228, 203), haemoglobin=(0.22, 0.34, 0.23), chromatin=(1.15, 1.75, 0.60),
        neutral=(0.13, 0.26, 0.06), rna=(0.52, 0.50, 0.10), eosin=(0.20, 0.72, 0.62)),
    "leishman": Stain(
        glass=(185, 215, 190), haemoglobin=(0.03, 0.66, 0.33), chromatin=(1.15, 1.35, 0.50),
        neutral=(0.13, 0.24, 0.09), rna=(0.50, 0.46, 0.16), eosin=(0.05, 0.72, 0.48)),
    "giemsa-magenta": Stain(
        glass=(195, 224, 200), haemoglobin=(0.25, 1.22, 0.45), chromatin=(0.95, 1.80, 0.62),
        neutral=(0.22, 0.48, 0.16), rna=(0.55, 0.62, 0.14), eosin=(0.16, 1.05, 0.60)),
    "giemsa-pink": Stain(
        glass=(186, 201, 184), haemoglobin=(0.17, 0.50, 0.26), chromatin=(0.62, 1.25, 0.34),
        neutral=(0.12, 0.30, 0.09), rna=(0.36, 0.38, 0.08), eosin=(0.10, 0.62, 0.42)),
    "giemsa-grey": Stain(
        glass=(198, 222, 204), haemoglobin=(0.25, 0.37, 0.27), chromatin=(0.62, 1.05, 0.36),
        neutral=(0.14, 0.26, 0.09), rna=(0.34, 0.34, 0.12), eosin=(0.17, 0.52, 0.38)),
    "bluish": Stain(
        glass=(214, 211, 226), haemoglobin=(0.30, 0.36, 0.17), chromatin=(1.00, 1.50, 0.40),
        neutral=(0.20, 0.34, 0.06), rna=(0.46, 0.42, 0.08), eosin=(0.18, 0.62, 0.42)),
    "azure": Stain(
        glass=(208, 201, 206), haemoglobin=(0.46, 0.74, 0.10), chromatin=(1.25, 1.65, 0.55),
        neutral=(0.30, 0.46, 0.06), rna=(0.55, 0.52, 0.08), eosin=(0.24, 0.80, 0.38)),
})
# fmt: on
"""Stains by name: those of public smear collections, read off as background and densities."""

MIN_SIDE_PX: Final = 32  # Of a side, at least.
MAX_SIDE_PX: Final = 8192  # Of a side, at most.
MAX_CELLS: Final = 10_000  # Of a smear, at most.


@dataclass(frozen=True, slots=True, kw_only=True)
class SmearSettings:
    """Settings of a drawn smear; a range is drawn from anew for every smear.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` in pixels.
    stain : str
        A name of ``STAINS``, or ``"mixed"``.
    cell_diameter_px : float
        Mean diameter of a red cell.
    coverage : tuple of float
        Range of the share of the field that red cells would cover without overlaps.
    clumping : tuple of float
        Range of the share of red cells that touch or overlap another, 0..1.
    white_cell_counts : tuple of float
        Chances of 0, 1, 2, … white cells in the field.
    platelet_rate : float
        Mean number of platelets for every 20 red cells.
    dirt_rate : float
        Mean number of specks of dirt in the field.
    defocus : tuple of float
        Range of the blur's standard deviation, as a share of the cells' diameter.
    noise : tuple of float
        Range of the sensor noise's standard deviation, in gray levels.
    jpeg_quality : tuple of int
        Range of the quality of the JPEG that the camera keeps, 1..100.
    malaria_share, sickle_share : float
        Chance of a red cell to hold a malaria parasite, or to be a sickle.
    white_kinds : tuple of str
        Values of ``WhiteCellKind`` that are as likely as each other; none for those of normal
        blood, as often as data sets have them.

    Raises
    ------
    SettingsError
        A value makes no sense.
    """

    shape: tuple[int, int] = (480, 640)
    stain: str = MIXED
    cell_diameter_px: float = 95.0
    coverage: Range = (0.35, 0.85)
    clumping: Range = (0.2, 0.85)
    white_cell_counts: tuple[float, ...] = (0.06, 0.78, 0.16)
    platelet_rate: float = 1.6
    dirt_rate: float = 1.2
    defocus: Range = (0.004, 0.024)
    noise: Range = (1.0, 2.6)
    jpeg_quality: tuple[int, int] = (72, 95)
    malaria_share: float = 0.0
    sickle_share: float = 0.0
    white_kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in self.shape):
            height, width = self.shape
            raise OutOfRangeError(
                f"Smear size: {width}×{height} pixels; expected sides of {MIN_SIDE_PX} to "
                f"{MAX_SIDE_PX} pixels, for instance 640x480."
            )
        if self.stain != MIXED and self.stain not in STAINS:
            raise UnknownNameError.of("stain", self.stain, (MIXED, *STAINS))
        if not 8 <= self.cell_diameter_px <= 400:
            raise OutOfRangeError(
                f"Cell diameter: {self.cell_diameter_px} pixels; expected 8 to 400. "
                "Images from a microscope have 35 to 130."
            )
        height, width = self.shape
        if height * width / self.cell_diameter_px**2 > MAX_CELLS:
            raise OutOfRangeError(
                f"Smear: {width}×{height} pixels hold more than {MAX_CELLS:,} cells of "
                f"{self.cell_diameter_px} pixels; expected fewer. Take larger cells, or several "
                "smaller images."
            )
        _check_range("Coverage", self.coverage, lowest=0.0, highest=1.0)
        _check_range("Clumping", self.clumping, lowest=0.0, highest=1.0)
        _check_range("Defocus", self.defocus, lowest=0.0, highest=0.2)
        _check_range("Noise", self.noise, lowest=0.0, highest=50.0)
        _check_range("JPEG quality", self.jpeg_quality, lowest=1, highest=100)
        chances = self.white_cell_counts
        if min(chances, default=-1.0) < 0 or abs(sum(chances) - 1) > 1e-6:
            raise OutOfRangeError(
                f"Chances of 0, 1, 2, … white cells: {chances}; expected numbers of 0 or more "
                "that add up to 1."
            )
        ill = self.malaria_share, self.sickle_share
        if min(ill) < 0 or sum(ill) > 1:
            raise OutOfRangeError(
                f"Shares of cells with malaria and of sickle cells: {ill}; expected 0 or more of "
                "each, and 1 or less together."
            )
        for name, rate in (("Platelet", self.platelet_rate), ("Dirt", self.dirt_rate)):
            if not 0 <= rate <= 100:
                raise OutOfRangeError(f"{name} rate: {rate}; expected 0 to 100.")


def _check_range(name: str, found: Range, *, lowest: float, highest: float) -> None:
    first, last = found
    if not lowest <= first <= last <= highest:
        raise OutOfRangeError(
            f"{name}: the range {first} to {last}; expected two values from {lowest} to "
            f"{highest}, the smaller one first."
        )
