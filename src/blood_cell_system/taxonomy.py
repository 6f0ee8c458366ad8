"""The classes that the program knows, as data: cell types, their conditions and subtypes.

A ``Taxonomy`` names each cell type once, with its colour, its channel of the class mask, its
conditions, its subtypes and the settings that differ by type. It travels in prepared folders, model
metadata, cell folders and reports. The built-in one is :data:`BUILT_IN`; a laboratory's own one is
a small YAML or JSON file, read by :meth:`Taxonomy.read`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Self

from blood_cell_system.errors import MissingDataError, SettingsError
from blood_cell_system.text_encoding import decoded

FORMAT_VERSION: Final = 1
"""Of a taxonomy in a file."""

NOT_SCORED: Final = 255
"""Value of a class mask's pixel that neither losses nor metrics use."""

NOT_LABELLED: Final = -1
"""Class index of a cell whose condition, subtype or source is unknown; losses leave it out."""


class MaskClass(IntEnum):
    """Value of a pixel in a class mask, and index of its channel in masks and probabilities."""

    BACKGROUND = 0
    RBC = 1
    WBC = 2


NUM_CLASSES: Final = len(MaskClass)

RBC: Final = "RBC"
WBC: Final = "WBC"
PLATELET: Final = "Platelet"

MaskChannel = Literal["RBC", "WBC", "none"]
"""Channel of the guide's three-channel mask, as files name it."""

# Names become columns of tables and names of folders.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,39}")
_HEX_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_MAX_FILE_BYTES: Final = 1_000_000
"""A longer file is no taxonomy; the built-in one has 5,000 bytes."""

# What a file may hold beside the fields below is a mistake, such as a misspelt name.
_STRICT: Final = MappingProxyType({"extra": "forbid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A state of a cell that a classifier distinguishes within a cell type.

    Parameters
    ----------
    name : str
        As in class folders, model metadata and reports, for instance ``malaria_RBC``.
    display_name : str
        As people read it, in the plural: ``red cells with malaria parasites``.
    is_healthy : bool
    one : str
        Of one cell, in a word or two: ``malaria``; by default the name.
    """

    __pydantic_config__: ClassVar = _STRICT

    name: str
    display_name: str
    is_healthy: bool = False
    one: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtype:
    """A kind of a cell type, such as a neutrophil among white cells.

    Parameters
    ----------
    name : str
    display_name : str
        In the plural.
    one : str
        Of one cell; by default the name.
    """

    __pydantic_config__: ClassVar = _STRICT

    name: str
    display_name: str
    one: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How cells of a type are found in what a network gives; every number has no unit.

    The defaults suit a type of which nothing is known yet. The built-in values of the first five
    were chosen on the validation images of BCCD with every cell boxed (``benchmarks/cells.py``),
    and so that red cells of other laboratories are not missed.

    Parameters
    ----------
    peak_threshold : float
        Lowest height of a peak of the heat map, 0 to 1; a model's own calibration replaces it.
    min_agreement : float
        Share of a cell's predicted box that the class mask must give to the type's channel.
    same_cell_within : float
        A centre nearer than this to the centre of a larger cell of its type is that cell seen
        again; 1 is the larger cell's rim. White cells hardly ever overlap, red ones do.
    reach : float
        How far beyond its predicted ellipse a cell may reach; 1 is the ellipse's rim. The network
        is less sure of a white cell's size, and the space around is rarely another's.
    min_border_share : float
        A piece at the image's border is left out when it is smaller than this share of the median
        area of its type. Most small things at a border are bits of larger ones, not platelets.
    min_neck : float
        Where touching cells are cut apart by shape alone: how much narrower than the smaller of two
        cells their neck is at least.
    """

    __pydantic_config__: ClassVar = _STRICT

    peak_threshold: float = 0.4
    min_agreement: float = 0.2
    same_cell_within: float = 0.8
    reach: float = 1.0
    min_border_share: float = 0.15
    min_neck: float = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a type takes part in the training of a segmenter; every number has no unit.

    Parameters
    ----------
    crop_share : float
        Share of crops that are centred near such a cell, when the image has one. White cells and
        platelets are a few per cent of all cells and would hardly be seen otherwise.
    paste_share : float
        Share of such cells among those that are pasted into crops.
    centre_sigma : float
        Standard deviation of a centre's Gaussian, of the cell's width and height. A white cell's
        middle is harder to agree on; a platelet is only a few places of the heat map wide.
    usual_diameter : float
        Diameter of a cell of which only the centre was marked, in diameters of a red cell.
    """

    __pydantic_config__: ClassVar = _STRICT

    crop_share: float = 0.1
    paste_share: float = 0.1
    centre_sigma: float = 0.15
    usual_diameter: float = 1.0


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
        RGB of outlines; in a file also ``"#d55e00"``.
    mask_channel : {"RBC", "WBC", "none"}
        Its channel in the guide's three-channel mask; ``none`` for a type that is background there,
        such as platelets.
    synonyms : tuple of str
        Labels of annotation files that mean this type, in small letters, with single spaces.
    conditions : tuple of Condition
    subtypes : tuple of Subtype
    parent : str or None
        Type that this one is a special case of.
    layer : int
        Where outlines overlap, a type of a higher layer lies on top.
    rate_among : str or None
        Type beside which its cells are counted: the report gives their share among both.
    min_cells : int
        Shares of fewer cells are not reported. 100, as a manual differential has (CLSI H20);
        500 for red cells, the fewest on which parasitaemia is counted (WHO, 2016).
    detection : Detection
    sampling : Sampling
    """

    __pydantic_config__: ClassVar = _STRICT

    name: str
    display_name: str
    colour: tuple[int, int, int]
    mask_channel: MaskChannel = "none"
    synonyms: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    subtypes: tuple[Subtype, ...] = ()
    parent: str | None = None
    layer: int = 1
    rate_among: str | None = None
    min_cells: int = 100
    detection: Detection = Detection()
    sampling: Sampling = Sampling()

    @property
    def mask_class(self) -> MaskClass:
        """Its class in the three-channel mask; ``BACKGROUND`` for a type without a channel."""
        return MaskClass.BACKGROUND if self.mask_channel == "none" else MaskClass[self.mask_channel]

    @property
    def has_channel(self) -> bool:
        """Whether the class mask shows it."""
        return self.mask_channel != "none"


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Cell types in the order of the centre heat maps.

    Parameters
    ----------
    cell_types : tuple of CellType

    Raises
    ------
    ValueError
        A name is used twice or is no name, a parent is unknown, a number is out of range, or a
        channel has no type.
    """

    cell_types: tuple[CellType, ...]

    def __post_init__(self) -> None:
        _check(self.cell_types)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cell types; the index of a name is its channel in the heat maps."""
        return tuple(cell_type.name for cell_type in self.cell_types)

    @property
    def mask_classes(self) -> Mapping[str, MaskClass]:
        """Class of each type in the three-channel mask, by name."""
        return {cell_type.name: cell_type.mask_class for cell_type in self.cell_types}

    @property
    def with_channel(self) -> tuple[CellType, ...]:
        """Types that the class mask shows."""
        return tuple(cell_type for cell_type in self.cell_types if cell_type.has_channel)

    @property
    def main_types(self) -> Mapping[MaskClass, CellType]:
        """First type of each channel: what its pixels are where nothing says more."""
        return {
            value: next(cell_type for cell_type in self.cell_types if cell_type.mask_class == value)
            for value in (MaskClass.RBC, MaskClass.WBC)
        }

    @property
    def bottom_up(self) -> tuple[CellType, ...]:
        """Types in the order of their layers."""
        return tuple(sorted(self.cell_types, key=lambda cell_type: cell_type.layer))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Conditions of all types."""
        return tuple(c for cell_type in self.cell_types for c in cell_type.conditions)

    @property
    def subtypes(self) -> tuple[Subtype, ...]:
        """Subtypes of all types."""
        return tuple(s for cell_type in self.cell_types for s in cell_type.subtypes)

    def __len__(self) -> int:
        return len(self.cell_types)

    def __iter__(self) -> Iterator[CellType]:
        return iter(self.cell_types)

    def __contains__(self, name: object) -> bool:
        return name in self.names

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

    def index(self, name: str) -> int:
        """Channel of a type in the heat maps."""
        return self.names.index(name)

    def checked(self, name: str) -> str:
        """Give a name back if it is a type's.

        Raises
        ------
        ValueError
            It is not.
        """
        if name not in self.names:
            raise ValueError(f"{name!r} is no cell type; expected one of {', '.join(self.names)}")
        return name

    def extended(self, cell_types: Collection[CellType]) -> Self:
        """Give the same types and further ones; one of a known name takes its place."""
        rows = {cell_type.name: cell_type for cell_type in (*self.cell_types, *cell_types)}
        return type(self)(tuple(rows.values()))

    def with_classes_of(self, cell_type: CellType) -> Self:
        """Give the same types, one of them with the conditions and subtypes of its namesake."""
        if cell_type.name not in self:
            return self
        own = self[cell_type.name]
        return self.extended(
            [replace(own, conditions=cell_type.conditions, subtypes=cell_type.subtypes)]
        )

    def with_detection(self, **numbers: float) -> Self:
        """Give the same types with other numbers in their ``detection``."""
        return type(self)(
            tuple(replace(t, detection=replace(t.detection, **numbers)) for t in self.cell_types)
        )

    @classmethod
    def joined(cls, taxonomies: Iterable[Self]) -> Self:
        """Types of several taxonomies, each once, in the order of their first mention.

        Raises
        ------
        ValueError
            Two define a type of one name differently.
        """
        types: dict[str, CellType] = {}
        for cell_type in (t for taxonomy in taxonomies for t in taxonomy):
            if types.setdefault(cell_type.name, cell_type) != cell_type:
                raise ValueError(
                    f"the type {cell_type.name!r} is defined in two ways; expected one"
                )
        return cls(tuple(types.values()))

    @property
    def classes(self) -> tuple[Condition | Subtype, ...]:
        """Conditions and subtypes of all types."""
        return self.conditions + self.subtypes

    def word(self, name: str) -> str:
        """Give what people call one cell of a condition or subtype; another name as it is."""
        return next((c.one for c in self.classes if c.name == name and c.one), name)

    def display_name(self, name: str) -> str:
        """Give what people call the cells of a condition or subtype; another name as it is."""
        return next((c.display_name for c in self.classes if c.name == name), name)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values, as :meth:`from_dict` reads them."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read what :meth:`to_dict` gave, or what a file of a laboratory holds.

        Parameters
        ----------
        value : dict
            ``cell_types`` is a list of types; fields that are missing have their defaults. With
            ``extends: built-in`` the types are added to the built-in ones, and one of the same name
            changes the fields of the built-in type that it holds.

        Raises
        ------
        ValueError
            It is something else, or of a later version.
        """
        if not isinstance(value, dict) or not isinstance(value.get("cell_types"), list | tuple):
            raise ValueError("no list 'cell_types'; expected one entry a cell type")
        if unknown := value.keys() - {"format_version", "extends", "cell_types"}:
            raise ValueError(
                f"unknown keys {', '.join(sorted(map(str, unknown)))}; expected format_version, "
                "extends and cell_types"
            )
        if value.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            raise ValueError(f"format_version {value['format_version']!r}; expected 1")
        if value.get("extends") not in (None, "built-in"):
            raise ValueError(f"extends {value['extends']!r}; expected built-in, or no such line")
        extends = bool(value.get("extends"))
        types = _cell_types(value["cell_types"], changed=BUILT_IN if extends else None)
        return cls(BUILT_IN.extended(types).cell_types if extends else types)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a laboratory's own taxonomy, a YAML or JSON file; see ``docs/adding.md``.

        Raises
        ------
        MissingDataError
            The file is not there.
        SettingsError
            It is not YAML or JSON, or not a taxonomy.
        """
        import yaml

        path = Path(path)
        if not path.is_file():
            raise MissingDataError(
                f"{path}: there is no such file. Expected a YAML or JSON file with the list "
                "'cell_types'; docs/adding.md shows one."
            )
        try:
            data = path.read_bytes()
            if len(data) > _MAX_FILE_BYTES:
                raise ValueError(f"{len(data)} bytes; expected at most {_MAX_FILE_BYTES}")
            return cls.from_dict(yaml.safe_load(decoded(data, path)))
        except (OSError, ValueError, yaml.YAMLError) as error:
            finding = " ".join(str(error).split())
            raise SettingsError(
                f"{path}: not a taxonomy: {finding}. Correct the file; docs/adding.md shows one."
            ) from error


def _cell_types(rows: Collection[Any], *, changed: Taxonomy | None) -> tuple[CellType, ...]:
    """Check rows of a file against the records' fields."""
    from pydantic import TypeAdapter, ValidationError

    complete = []
    for row in rows:
        if isinstance(row, dict):
            colour = str(row.get("colour"))
            if _HEX_COLOUR.fullmatch(colour):
                row = {**row, "colour": tuple(bytes.fromhex(colour[1:]))}
            if changed is not None and row.get("name") in changed:
                row = {**asdict(changed[row["name"]]), **row}
        complete.append(row)
    try:
        return TypeAdapter(tuple[CellType, ...]).validate_python(complete)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"cell_types.{place}: {first['input']!r}: {first['msg']}") from error


def _check(cell_types: tuple[CellType, ...]) -> None:
    if not cell_types:
        raise ValueError("no cell types; expected one or more")
    for channel in ("RBC", "WBC"):
        if all(t.mask_channel != channel for t in cell_types):
            raise ValueError(
                f"no type has mask_channel {channel}; expected one or more, or the line "
                "'extends: built-in'"
            )
    names = [t.name for t in cell_types]
    everything = [
        *names,
        *(c.name for t in cell_types for c in t.conditions),
        *(s.name for t in cell_types for s in t.subtypes),
    ]
    for name in everything:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"name {name!r}; expected up to 40 letters, digits, '_', '+' and '-', a letter or "
                "digit first"
            )
        if everything.count(name) > 1:
            owners = [
                t.name
                for t in cell_types
                if name in (t.name, *(c.name for c in t.conditions), *(s.name for s in t.subtypes))
            ]
            raise ValueError(
                f"the name {name!r} is used twice, by {' and '.join(owners)}; expected a name for "
                "each. Rename your own: built-in names have a meaning of their own"
            )
    owner: dict[str, str] = {}
    for t in cell_types:
        for what, other in (("parent", t.parent), ("rate_among", t.rate_among)):
            if other is not None and (other not in names or other == t.name):
                raise ValueError(
                    f"{t.name}: {what} {other!r}; expected another of {', '.join(names)}"
                )
        if len(t.colour) != 3 or not all(0 <= part <= 255 for part in t.colour):
            raise ValueError(f"{t.name}: colour {t.colour}; expected three numbers from 0 to 255")
        for group in (t.detection, t.sampling):
            for key, number in asdict(group).items():
                if not 0 <= number <= _LARGEST_SETTING:
                    raise ValueError(
                        f"{t.name}: {key} {number}; expected 0 to {_LARGEST_SETTING:g}"
                    )
        if t.min_cells < 0:
            raise ValueError(f"{t.name}: min_cells {t.min_cells}; expected 0 or more")
        for label in t.synonyms:
            if owner.setdefault(label, t.name) != t.name:
                raise ValueError(
                    f"the label {label!r} means both {owner[label]} and {t.name}; expected one"
                )


_LARGEST_SETTING: Final = 10.0
"""Shares and ratios of a taxonomy lie far below; a larger number is a slip."""


MALARIA: Final = "malaria_RBC"
GAMETOCYTE: Final = "gametocyte"
PARASITE_STAGES: Final = ("ring", "trophozoite", "schizont", GAMETOCYTE)
"""Subtypes of red cells that are no shapes: what a malaria parasite in them has grown to."""

BUILT_IN: Final = Taxonomy(
    (
        CellType(
            name=RBC,
            display_name="red cells",
            colour=(213, 94, 0),
            mask_channel="RBC",
            layer=0,
            min_cells=500,
            detection=Detection(same_cell_within=0.5, reach=1.5),
            sampling=Sampling(
                crop_share=0.25, paste_share=0.65, centre_sigma=0.12, usual_diameter=1.0
            ),
            synonyms=(
                "rbc", "rbcs", "red blood cell", "red blood cells", "red cell", "red cells",
                "erythrocyte", "erythrocytes", "healthy rbc", "malaria rbc", "sickle rbc",
                "sickle cell", "sickle", "elliptocyte", "spherocyte", "target cell",
                "reticulocyte", "infected rbc", "uninfected rbc", "ring", "trophozoite",
                "schizont", "gametocyte",
            ),
            conditions=(
                Condition(
                    name="healthy_RBC",
                    display_name="red cells without malaria or sickling",
                    is_healthy=True,
                    one="healthy",
                ),
                Condition(
                    name=MALARIA,
                    display_name="red cells with malaria parasites",
                    one="malaria",
                ),
                Condition(name="sickle_RBC", display_name="sickle cells", one="sickle"),
            ),
            subtypes=(
                Subtype(name="normal", display_name="red cells of normal shape"),
                Subtype(name="macrocyte", display_name="macrocytes"),
                Subtype(name="microcyte", display_name="microcytes"),
                Subtype(name="spherocyte", display_name="spherocytes"),
                Subtype(name="target", display_name="target cells"),
                Subtype(name="stomatocyte", display_name="stomatocytes"),
                Subtype(name="ovalocyte", display_name="ovalocytes"),
                Subtype(name="teardrop", display_name="teardrop cells"),
                Subtype(name="burr", display_name="burr cells"),
                Subtype(name="schistocyte", display_name="schistocytes"),
                Subtype(name="hypochromic", display_name="hypochromic cells"),
                Subtype(name="elliptocyte", display_name="elliptocytes"),
                Subtype(name="ring", display_name="red cells with rings"),
                Subtype(name="trophozoite", display_name="red cells with trophozoites"),
                Subtype(name="schizont", display_name="red cells with schizonts"),
                Subtype(name=GAMETOCYTE, display_name="red cells with gametocytes"),
            ),
        ),
        CellType(
            name=WBC,
            display_name="white cells",
            colour=(0, 90, 200),
            mask_channel="WBC",
            layer=2,
            rate_among=RBC,
            detection=Detection(
                peak_threshold=0.35, same_cell_within=1.0, reach=3.0, min_neck=0.35
            ),
            sampling=Sampling(
                crop_share=0.3, paste_share=0.1, centre_sigma=0.14, usual_diameter=1.7
            ),
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
                    display_name="white cells that are not suspect of leukaemia",
                    is_healthy=True,
                    one="not suspect",
                ),
                Condition(
                    name="cancer_WBC",
                    display_name="leukaemia-suspect (blast-like) cells",
                    one="leukaemia-suspect",
                ),
            ),
            subtypes=(
                Subtype(name="neutrophil", display_name="neutrophils"),
                Subtype(name="eosinophil", display_name="eosinophils"),
                Subtype(name="basophil", display_name="basophils"),
                Subtype(name="lymphocyte", display_name="lymphocytes"),
                Subtype(name="monocyte", display_name="monocytes"),
                Subtype(
                    name="immature_granulocyte",
                    display_name="immature granulocytes",
                    one="immature granulocyte",
                ),
                Subtype(
                    name="erythroblast",
                    display_name="nucleated red cells (erythroblasts)",
                    one="nucleated red cell",
                ),
            ),
        ),
        CellType(
            name=PLATELET,
            display_name="platelets",
            colour=(20, 170, 80),
            synonyms=("platelet", "platelets", "thrombocyte", "thrombocytes", "plt"),
            rate_among=RBC,
            detection=Detection(peak_threshold=0.5, min_agreement=0.3, min_border_share=0.4),
            sampling=Sampling(
                crop_share=0.25, paste_share=0.25, centre_sigma=0.2, usual_diameter=0.35
            ),
        ),
    )
)  # fmt: skip
"""Types, conditions and subtypes of the models in the package. Colours are vermilion, blue and
green after Okabe & Ito's palette, which people with any common colour blindness tell apart; the
blue is stronger, to stand out on purple nuclei."""


def taxonomy_of_option(path: Path | None) -> Taxonomy:
    """Taxonomy that ``--classes`` names; the built-in one without it."""
    return BUILT_IN if path is None else Taxonomy.read(path)
