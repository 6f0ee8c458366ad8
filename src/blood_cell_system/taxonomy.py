"""The classes that the program knows, as data: cell types, their conditions and subtypes.

A ``Taxonomy`` names each cell type once, with its colour, its channel of the class mask, its
conditions and subtypes. It travels in model metadata, prepared folders, cell folders and reports.
The built-in one is :data:`BUILT_IN`; a laboratory's own one is a small YAML or JSON file.
"""

from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

NOT_SCORED: Final = 255
"""Value of a class mask's pixel that neither losses nor metrics look at."""

NOT_LABELLED: Final = -1
"""Class index of a cell whose condition, type or source nobody knows; losses leave it out."""


class MaskClass(IntEnum):
    """Value of a pixel in a class mask, and index of its channel in masks and probabilities."""

    BACKGROUND = 0
    RBC = 1
    WBC = 2


NUM_CLASSES: Final = len(MaskClass)

RBC: Final = "RBC"
WBC: Final = "WBC"
PLATELET: Final = "Platelet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A state of a cell that a classifier tells from others of its type.

    Parameters
    ----------
    name : str
        As in class folders, model metadata and reports, for instance ``malaria_RBC``.
    display_name : str
        As people read it, in the plural: ``red cells with malaria parasites``.
    is_healthy : bool
    """

    name: str
    display_name: str
    is_healthy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtype:
    """A kind of a cell type, such as a neutrophil among white cells.

    Parameters
    ----------
    name : str
    display_name : str
        In the plural.
    """

    name: str
    display_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellType:
    """One type of cell.

    Parameters
    ----------
    name : str
        As in annotations, tables and reports.
    display_name : str
        In the plural: ``red cells``.
    colour : tuple of int
        RGB of outlines.
    mask_class : MaskClass
        Its class in the guide's three-channel mask; ``BACKGROUND`` for a type without a channel,
        such as platelets.
    synonyms : tuple of str
        Labels of annotation files that mean this type, in small letters, with single spaces.
    conditions : tuple of Condition
    subtypes : tuple of Subtype
    parent : str or None
        Type that this one is a special case of.
    """

    name: str
    display_name: str
    colour: tuple[int, int, int]
    mask_class: MaskClass = MaskClass.BACKGROUND
    synonyms: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    subtypes: tuple[Subtype, ...] = ()
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Cell types in the order of the centre heat maps.

    Parameters
    ----------
    cell_types : tuple of CellType
    """

    cell_types: tuple[CellType, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cell types; the index of a name is its channel in the heat maps."""
        return tuple(cell_type.name for cell_type in self.cell_types)

    def __getitem__(self, name: str) -> CellType:
        """Cell type of a name.

        Raises
        ------
        KeyError
            There is no such type.
        """
        for cell_type in self.cell_types:
            if cell_type.name == name:
                return cell_type
        raise KeyError(name)


BUILT_IN: Final = Taxonomy(
    (
        CellType(
            name=RBC,
            display_name="red cells",
            colour=(213, 94, 0),
            mask_class=MaskClass.RBC,
            synonyms=(
                "rbc", "rbcs", "red blood cell", "red blood cells", "red cell", "red cells",
                "erythrocyte", "erythrocytes", "healthy rbc", "malaria rbc", "sickle rbc",
                "sickle cell", "sickle", "elliptocyte", "spherocyte", "target cell",
                "reticulocyte", "infected rbc", "uninfected rbc", "ring", "trophozoite",
                "schizont", "gametocyte",
            ),
            conditions=(
                Condition(name="healthy_RBC", display_name="healthy red cells", is_healthy=True),
                Condition(
                    name="malaria_RBC",
                    display_name="red cells with malaria parasites",
                ),
                Condition(name="sickle_RBC", display_name="sickle cells"),
            ),
        ),
        CellType(
            name=WBC,
            display_name="white cells",
            colour=(0, 90, 200),
            mask_class=MaskClass.WBC,
            synonyms=(
                "wbc", "wbcs", "white blood cell", "white blood cells", "white cell",
                "white cells", "leukocyte", "leukocytes", "leucocyte", "leucocytes",
                "neutrophil", "neutrophils", "eosinophil", "eosinophils", "basophil",
                "basophils", "lymphocyte", "lymphocytes", "monocyte", "monocytes",
                "immature granulocyte", "ig", "promyelocyte", "myelocyte", "metamyelocyte",
                "band", "segmented neutrophil", "blast", "lymphoblast", "myeloblast",
                "erythroblast", "normoblast", "healthy wbc", "cancer wbc", "leukemia",
                "leukaemia", "baso", "eosi", "lymp", "mono", "neut",
            ),
            conditions=(
                Condition(
                    name="healthy_WBC",
                    display_name="white cells without leukaemia",
                    is_healthy=True,
                ),
                Condition(name="cancer_WBC", display_name="leukaemia-suspect white cells"),
            ),
            subtypes=(
                Subtype(name="neutrophil", display_name="neutrophils"),
                Subtype(name="eosinophil", display_name="eosinophils"),
                Subtype(name="basophil", display_name="basophils"),
                Subtype(name="lymphocyte", display_name="lymphocytes"),
                Subtype(name="monocyte", display_name="monocytes"),
                Subtype(name="immature_granulocyte", display_name="immature granulocytes"),
                Subtype(name="erythroblast", display_name="erythroblasts"),
            ),
        ),
        CellType(
            name=PLATELET,
            display_name="platelets",
            colour=(20, 170, 80),
            synonyms=("platelet", "platelets", "thrombocyte", "thrombocytes", "plt"),
        ),
    )
)  # fmt: skip
"""Types, conditions and subtypes of the models in the package. Colours are vermilion, blue and
green after Okabe & Ito's palette, which people with any common colour blindness tell apart; the
blue is stronger, to stand out on purple nuclei."""

CELL_TYPES: Final = BUILT_IN.names
"""Names of the built-in types, in the order of the heat maps."""

MASK_CLASS: Final = MappingProxyType({kind.name: kind.mask_class for kind in BUILT_IN.cell_types})
"""What a cell of a built-in type is in the three-channel mask."""

RBC_CONDITIONS: Final = tuple(condition.name for condition in BUILT_IN[RBC].conditions)
"""What the classifier of red cells tells apart, in the order of its probabilities."""

WBC_CONDITIONS: Final = tuple(condition.name for condition in BUILT_IN[WBC].conditions)
"""What the classifier of white cells tells apart; cancer is leukaemia."""

WBC_TYPES: Final = tuple(subtype.name for subtype in BUILT_IN[WBC].subtypes)
"""Types of nucleated cells of blood, in the order of the classifier's probabilities."""


def known_type(name: str) -> str:
    """Give a name back if it is a built-in type's.

    Raises
    ------
    ValueError
        It is not.
    """
    if name not in CELL_TYPES:
        raise ValueError(f"{name!r} is no cell type; expected one of {', '.join(CELL_TYPES)}")
    return name
