"""The classes of a class mask and the types of a cell."""

from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

NOT_SCORED: Final = 255
"""Value of a class mask's pixel that neither losses nor metrics look at."""


class CellClass(IntEnum):
    """Value of a pixel in a class mask, and index of its channel in masks and probabilities."""

    BACKGROUND = 0
    RBC = 1
    WBC = 2


NUM_CLASSES: Final = len(CellClass)


class CellType(StrEnum):
    """Type of one cell; the index in this order is its channel in the centre heat maps."""

    RBC = "RBC"
    WBC = "WBC"
    PLATELET = "Platelet"


CELL_TYPES: Final = tuple(CellType)

MASK_CLASS: Final = MappingProxyType(
    {
        CellType.RBC: CellClass.RBC,
        CellType.WBC: CellClass.WBC,
        CellType.PLATELET: CellClass.BACKGROUND,
    }
)
"""What a cell of a type is in the three-channel mask: platelets are background there."""
