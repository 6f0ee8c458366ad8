"""What the classifiers find among the red and the white cells, as counts and rates.

Cells count where the border rule counts them, the border does not cut them off, and they are one
of the classes at all. A share is told from a stated number of such cells on: 100 white cells, as a
manual differential has (CLSI H20), and 500 red cells, the fewest on which parasitaemia is counted
(CDC DPDx).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata
from blood_cell_system.reports.rates import MIN_CELLS, Rate
from blood_cell_system.taxonomy import RBC_CONDITIONS, WBC_CONDITIONS, WBC_TYPES

NOT_ASSESSED: Final = "not assessed"
ASSESSED: Final = "assessed"
NONE_OF_THESE: Final = "none of these"
"""Condition of a cell that is none of the classes, such as a smudge."""

MIN_RED_CELLS: Final = 500
"""A share of fewer red cells is not told."""

HEALTHY: Final = frozenset({RBC_CONDITIONS[0], WBC_CONDITIONS[0]})
"""Conditions of healthy cells."""

_CANCER: Final = "cancer_WBC"
_ERYTHROBLAST: Final = "erythroblast"
_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "healthy_RBC": "healthy red cells",
        "malaria_RBC": "parasitaemia: red cells with malaria parasites",
        "sickle_RBC": "sickle cells among red cells",
        "healthy_WBC": "white cells without leukaemia",
        "cancer_WBC": "blasts: white cells with leukaemia",
        "neutrophil": "neutrophils among white cells",
        "eosinophil": "eosinophils among white cells",
        "basophil": "basophils among white cells",
        "lymphocyte": "lymphocytes among white cells",
        "monocyte": "monocytes among white cells",
        "immature_granulocyte": "immature granulocytes among white cells",
        "erythroblast": "erythroblasts among nucleated cells",
    }
)
_NO_COUNTS: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCell:
    """What findings need to know of a cell.

    Parameters
    ----------
    condition : str
        ``not assessed``, ``none of these``, or a classifier's.
    wbc_type : str or None
    is_uncertain : bool
    """

    condition: str
    wbc_type: str | None = None
    is_uncertain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a classifier says of the cells of one type.

    Parameters
    ----------
    state : str
        ``assessed``, or ``not assessed`` without a classifier.
    reason : str
        Why, in words.
    counts : mapping of str to int
        Assessed cells by condition.
    types : mapping of str to int
        White cells that are no blasts, by type; empty where the classifier knows no types.
    none_of_these : int
        Cells that are none of the classes, and count nowhere.
    cut_off : int
        Cells that were not looked at, as the border cuts them off, others cover them, or they are
        too small.
    uncertain : int
        Assessed cells that a person should look at; they count as what is most likely.
    """

    state: str
    reason: str
    counts: Mapping[str, int] = field(default_factory=lambda: _NO_COUNTS)
    types: Mapping[str, int] = field(default_factory=lambda: _NO_COUNTS)
    none_of_these: int = 0
    cut_off: int = 0
    uncertain: int = 0

    @property
    def is_assessed(self) -> bool:
        """Whether a classifier looked at the cells."""
        return self.state == ASSESSED

    @property
    def assessed(self) -> int:
        """Cells that have a condition."""
        return sum(self.counts.values())

    @property
    def seen(self) -> int:
        """Counted cells of this type, assessed or not."""
        return self.assessed + self.none_of_these + self.cut_off

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Share of each condition; of white cells also the differential."""
        return (*_condition_rates(self.counts), *_type_rates(self.counts, self.types))

    def __add__(self, other: "Findings") -> "Findings":
        """Sum up the findings of two images; those that were not assessed add nothing."""
        if not (self.is_assessed and other.is_assessed):
            return self if self.is_assessed else other
        return Findings(
            state=ASSESSED,
            reason=self.reason,
            counts=_sum(self.counts, other.counts),
            types=_sum(self.types, other.types),
            none_of_these=self.none_of_these + other.none_of_these,
            cut_off=self.cut_off + other.cut_off,
            uncertain=self.uncertain + other.uncertain,
        )


NO_CLASSIFIER: Final = Findings(state=NOT_ASSESSED, reason="no classifier is loaded")


def find(cells: Iterable[JudgedCell], metadata: ModelMetadata | None) -> Findings:
    """Sum up what a classifier says of cells.

    Parameters
    ----------
    cells : iterable of JudgedCell
        Every counted cell of the classifier's type.
    metadata : ModelMetadata or None
        Of the classifier; None without one.
    """
    if metadata is None:
        return NO_CLASSIFIER
    cells = list(cells)
    conditions = Counter(cell.condition for cell in cells)
    types = Counter(cell.wbc_type for cell in cells if cell.wbc_type is not None)
    assessed = sum(conditions[name] for name in metadata.conditions)
    cut_off = conditions[NOT_ASSESSED]
    return Findings(
        state=ASSESSED,
        reason=f"{assessed} of {len(cells)} cells",
        counts=MappingProxyType({name: conditions[name] for name in metadata.conditions}),
        types=MappingProxyType({name: types[name] for name in metadata.subtypes}),
        none_of_these=conditions[NONE_OF_THESE],
        cut_off=cut_off,
        uncertain=sum(
            cell.is_uncertain and cell.condition in metadata.conditions for cell in cells
        ),
    )


def findings_of_json(value: Mapping[str, object]) -> Findings:
    """Read the findings of a report's JSON."""
    return Findings(
        state=str(value["state"]),
        reason=str(value["reason"]),
        counts=MappingProxyType(_counts(value["counts"])),
        types=MappingProxyType(_counts(value["types"])),
        none_of_these=int(str(value["none_of_these"])),
        cut_off=int(str(value["cut_off"])),
        uncertain=int(str(value["uncertain"])),
    )


def total_of(findings: Iterable[Findings]) -> Findings:
    """Sum up the findings of many images."""
    total = NO_CLASSIFIER
    for one in findings:
        total = total + one
    if not total.is_assessed:
        return total
    return Findings(
        state=ASSESSED,
        reason=f"{total.assessed} of {total.seen} cells",
        counts=total.counts,
        types=total.types,
        none_of_these=total.none_of_these,
        cut_off=total.cut_off,
        uncertain=total.uncertain,
    )


def _counts(value: object) -> dict[str, int]:
    return dict(value) if isinstance(value, Mapping) else {}


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> Mapping[str, int]:
    names = (*first, *(name for name in second if name not in first))
    return MappingProxyType({name: first.get(name, 0) + second.get(name, 0) for name in names})


def _condition_rates(counts: Mapping[str, int]) -> Iterable[Rate]:
    total = sum(counts.values())
    for name, count in counts.items():
        is_red = name in ClassifierKind.RBC.conditions
        yield Rate(
            name=name,
            label=_LABELS[name],
            count=count,
            total=total,
            min_total=MIN_RED_CELLS if is_red else MIN_CELLS,
        )


def _type_rates(counts: Mapping[str, int], types: Mapping[str, int]) -> Iterable[Rate]:
    """Differential: blasts are white cells, erythroblasts are told beside them."""
    nucleated = sum(types.values()) + counts.get(_CANCER, 0)
    white = nucleated - types.get(_ERYTHROBLAST, 0)
    for name in WBC_TYPES:
        if name in types:
            total = nucleated if name == _ERYTHROBLAST else white
            yield Rate(name=name, label=_LABELS[name], count=types[name], total=total)
