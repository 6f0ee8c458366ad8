"""The classes of a class mask, the types of a cell, and what classifiers tell apart."""

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

RBC_CONDITIONS: Final = ("healthy_RBC", "malaria_RBC", "sickle_RBC")
"""What the classifier of red cells tells apart, in the order of its probabilities."""

WBC_CONDITIONS: Final = ("healthy_WBC", "cancer_WBC")
"""What the classifier of white cells tells apart; cancer is leukaemia."""

WBC_TYPES: Final = (
    "neutrophil",
    "eosinophil",
    "basophil",
    "lymphocyte",
    "monocyte",
    "immature_granulocyte",
    "erythroblast",
)
"""Types of nucleated cells of blood, in the order of the classifier's probabilities."""

NOT_LABELLED: Final = -1
"""Class index of a cell whose condition, type or source nobody knows; losses leave it out."""
