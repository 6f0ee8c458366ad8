"""Findings: shares of cells with their intervals, and what classifiers found, by cell type.

A finding is a row of a registry, :class:`Ratio`: which cells it counts, and among which. The
report's JSON, its text, the page, the tables and the sums of a batch all follow from the row. The
rows of conditions, subtypes and neighbours come from the taxonomy; :data:`RATIOS` has those that
follow a rule of their own. Cells that the border rule leaves out count nowhere.
"""

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    computed_field,
    model_validator,
)

from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.metrics.intervals import independent_total, wilson_interval
from blood_cell_system.metrics.method_error import ErrorRate, true_share_interval
from blood_cell_system.model_metadata import Validation
from blood_cell_system.reports.claims import (
    Proof,
    Verdict,
    cells_for,
    classes_claimed,
    explained_by_false_alarms,
    half_width_for,
    verdict_of,
    why_not_claimed,
)
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC, CellType, Taxonomy
from blood_cell_system.wording import counted

MIN_CELLS: Final = 100
"""Cells: shares of fewer are not reported, as a differential is counted on 100 (CLSI H20)."""

MIN_RED_CELLS: Final = 500
"""Cells: the fewest red ones on which parasitaemia is counted (CDC DPDx)."""

BLAST: Final = "cancer_WBC"
"""Condition of blasts: immature white cells, which have no subtype."""

ERYTHROBLAST: Final = "erythroblast"
"""Subtype of nucleated red cells, which a differential reports beside the white cells."""

Rows = Callable[[Cells], NDArray[np.bool_]]
"""Which cells of a table are meant; shape (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A finding that is a share of cells.

    Parameters
    ----------
    name : str
        For programs; also the name of its column in the table of a batch.
    label : str
        For people.
    of, among : callable
        Numerator and denominator. Numerator are those of ``of`` that are also ``among``.
    min_cells : int
        The share of fewer cells in the denominator is not reported.
    source : str
        Where the rule comes from.
    cell_type : str or None
        Type under whose findings it is listed; None where it stands by itself.
    needs : tuple of str
        Columns that it needs, such as ``malaria_RBC_prob``.
    advised_cells : int or None
        Better than ``min_cells``, where a source says so.
    per : float
        100 for "platelets per 100 red cells": the denominator then does not hold the numerator.
    """

    name: str
    label: str
    of: Rows
    among: Rows
    min_cells: int = MIN_CELLS
    source: str
    cell_type: str | None = None
    needs: tuple[str, ...] = ()
    advised_cells: int | None = None
    per: float | None = None

    def rate(self, cells: Cells) -> "Rate":
        """Count both in the cells of an image, or of several, which the column ``image`` names."""
        total = self.among(cells) & cells["is_counted"]
        found = self.of(cells) & total
        is_classes = f"{self.name}_prob" in cells
        # Healthy is what none of the conditions is: the claims are theirs.
        healthy = {one.name for one in cells.taxonomy.conditions if one.is_healthy}
        unknown = None if self.name in healthy else Validation()
        validation = cells.validation.get(self.name, unknown)
        proof = Proof.of(validation) if is_classes and validation is not None else None
        is_unsure = are_uncertain(cells) if is_classes else np.zeros_like(found)
        has_images = "image" in cells and len(cells) > 0
        by_field = (cells.by_image(found), cells.by_image(total)) if has_images else None
        return Rate(
            name=self.name,
            label=self.label,
            count=cells.number(found),
            total=cells.number(total),
            min_total=self.min_cells,
            uncertain=cells.number(found & is_unsure),
            images=len(by_field[0]) if by_field else 1,
            independent_total=independent_total(*by_field) if by_field else None,
            proof=proof,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Conditions and subtypes that it needs."""
        return tuple(one.removesuffix("_prob") for one in self.needs if one.endswith("_prob"))


def given(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a column of objects is not None."""
    return np.array([value is not None for value in values], dtype=np.bool_)


def are_uncertain(cells: Cells) -> NDArray[np.bool_]:
    """Cells that a person should review."""
    return np.array(["uncertain" in flags for flags in cells["flags"]], dtype=np.bool_)


def of_types(*names: str) -> Rows:
    """Cells of any of these types."""
    return lambda cells: np.isin(cells["cell_type"].astype(str), names)


def assessed(cell_type: str) -> Rows:
    """Cells of a type that are called one of the classifier's conditions."""
    return lambda cells: (
        cells.is_type(cell_type) & given(cells["condition"]) & ~given(cells["reason"])
    )


def with_condition(cell_type: str, *conditions: str) -> Rows:
    """Assessed cells of a type that have any of these conditions."""
    return lambda cells: (
        assessed(cell_type)(cells) & np.isin(cells["condition"].astype(str), conditions)
    )


def with_subtype(*subtypes: str) -> Rows:
    """Cells of any of these subtypes."""
    return lambda cells: np.isin(cells["subtype"].astype(str), subtypes)


def nucleated(cells: Cells) -> NDArray[np.bool_]:
    """Cells of a differential, and nucleated red cells."""
    has_subtype = given(cells["subtype"])
    return (has_subtype & cells.is_type(WBC)) | with_condition(WBC, BLAST)(cells)


def leukocytes(cells: Cells) -> NDArray[np.bool_]:
    """Cells of a differential: white cells with a subtype, and blasts."""
    return nucleated(cells) & ~with_subtype(ERYTHROBLAST)(cells)


_DIFFERENTIAL: Final = "Blasts belong to the differential; erythroblasts are reported beside it."

RATIOS: Final[tuple[Ratio, ...]] = (
    Ratio(
        name="malaria_RBC",
        label="parasitaemia (red cells with malaria parasites)",
        of=with_condition(RBC, "malaria_RBC"),
        among=assessed(RBC),
        min_cells=MIN_RED_CELLS,
        source="CDC DPDx: infected red cells among 500 or more.",
        cell_type=RBC,
        needs=("malaria_RBC_prob",),
    ),
    Ratio(
        name=BLAST,
        label="leukaemia-suspect (blast-like) cells among white cells",
        of=with_condition(WBC, BLAST),
        among=assessed(WBC),
        source="ICSH, 2015: blasts are counted among 100 or more nucleated cells.",
        cell_type=WBC,
        needs=(f"{BLAST}_prob",),
    ),
    *(
        Ratio(
            name=subtype.name,
            label=f"{subtype.display_name} among white cells",
            of=with_subtype(subtype.name),
            among=leukocytes,
            source=f"CLSI H20. {_DIFFERENTIAL}",
            cell_type=WBC,
            needs=(f"{subtype.name}_prob",),
        )
        for subtype in BUILT_IN[WBC].subtypes
        if subtype.name != ERYTHROBLAST
    ),
    Ratio(
        name=ERYTHROBLAST,
        label="nucleated red cells (erythroblasts) among nucleated cells",
        of=with_subtype(ERYTHROBLAST),
        among=nucleated,
        source=f"CLSI H20. {_DIFFERENTIAL}",
        cell_type=WBC,
        needs=(f"{ERYTHROBLAST}_prob",),
    ),
)
"""Findings with a rule of their own; one of a name that the taxonomy gives takes its place."""


def ratios_of(taxonomy: Taxonomy) -> tuple[Ratio, ...]:
    """All findings of a taxonomy, in the order of the report."""
    classes = {one.name for one in taxonomy.classes}
    rows = {ratio.name: ratio for ratio in _of_taxonomy(taxonomy)}
    for ratio in RATIOS:
        has_type = ratio.cell_type is None or ratio.cell_type in taxonomy
        if has_type and classes.issuperset(ratio.classes):
            rows[ratio.name] = ratio
    return tuple(rows.values())


def rates_in(cells: Cells, cell_type: str | None = None) -> "tuple[Rate, ...]":
    """Every finding that the columns allow: of one type, or those that stand by themselves.

    What needs a condition that failed in laboratories never seen is left out.
    """
    claimed = {name for kind in cells.taxonomy for name in classes_claimed(cells, kind)}
    return tuple(
        ratio.rate(cells)
        for ratio in ratios_of(cells.taxonomy)
        if ratio.cell_type == cell_type
        and all(name in cells for name in ratio.needs)
        and claimed.issuperset(ratio.classes)
    )


def _of_taxonomy(taxonomy: Taxonomy) -> Iterator[Ratio]:
    for kind in taxonomy:
        if kind.rate_among is not None:
            among = taxonomy[kind.rate_among]
            word = "platelets" if kind.name == PLATELET else kind.name.lower()
            yield Ratio(
                name=f"{word}_of_{among.name.lower()}_and_{word}",
                label=f"{kind.display_name} among all {_both(among, kind)}",
                of=of_types(kind.name),
                among=of_types(kind.name, among.name),
                min_cells=kind.min_cells,
                source="The taxonomy: rate_among.",
            )
    for kind in taxonomy:
        for condition in kind.conditions:
            yield Ratio(
                name=condition.name,
                label=_among(condition.display_name, kind),
                of=with_condition(kind.name, condition.name),
                among=assessed(kind.name),
                min_cells=kind.min_cells,
                source="The taxonomy: conditions.",
                cell_type=kind.name,
                needs=(f"{condition.name}_prob",),
            )
        for subtype in kind.subtypes:
            yield Ratio(
                name=subtype.name,
                label=_among(subtype.display_name, kind),
                of=with_subtype(subtype.name),
                among=with_subtype(*(one.name for one in kind.subtypes)),
                min_cells=kind.min_cells,
                source="The taxonomy: subtypes.",
                cell_type=kind.name,
                needs=(f"{subtype.name}_prob",),
            )


def _both(first: CellType, second: CellType) -> str:
    """Name two types in short: red and white cells.

    Examples
    --------
    >>> _both(BUILT_IN["RBC"], BUILT_IN["WBC"]), _both(BUILT_IN["RBC"], BUILT_IN["Platelet"])
    ('red and white cells', 'red cells and platelets')
    """
    one, other = first.display_name, second.display_name
    if one.endswith(" cells") and other.endswith(" cells"):
        one = one.removesuffix(" cells")
    return f"{one} and {other}"


def _among(name: str, kind: CellType) -> str:
    return name if kind.display_name in name else f"{name} among {kind.display_name}"


class Record(BaseModel):
    """A part of a report: it cannot be changed, and holds nothing that it does not declare."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        json_schema_serialization_defaults_required=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_computed(cls, value: Any) -> Any:
        """Leave out what follows from the rest, so that a file can be read back."""
        computed = _computed_fields(cls)
        if not isinstance(value, Mapping) or computed.isdisjoint(value):
            return value
        return {k: v for k, v in value.items() if k not in computed}

    def to_json(self) -> dict[str, Any]:
        """Give the record as it is written to a file."""
        return self.model_dump()


@cache
def _computed_fields(record: type[BaseModel]) -> frozenset[str]:
    return frozenset(record.model_computed_fields)


def rounded(digits: int) -> PlainSerializer:
    """Round a number where it is written."""
    return PlainSerializer(lambda value: None if value is None else round(value, digits))


_ALL_CELLS: Final = 1e7
"""So many that the chance of counting them is nothing beside the method's error."""

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Rate(Record):
    """A share of cells, with a refusal where there are too few."""

    name: str
    label: str
    count: Count
    total: Count
    min_total: Annotated[int, Field(ge=0, description="the share of fewer is null")] = MIN_CELLS
    uncertain: Annotated[Count, Field(description="of the count: a person should review them")] = 0
    images: Annotated[int, Field(ge=1, description="that the cells are of")] = 1
    independent_total: Annotated[
        float | None,
        Field(
            ge=0,
            description="cells that would be as good evidence if they were not of the same fields; "
            "null for one image",
        ),
        rounded(1),
    ] = None
    proof: Annotated[
        Proof | None, Field(description="of the class; null where it rests on no classifier")
    ] = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def is_enough(self) -> bool:
        """Whether there are cells enough for a share."""
        return self.total >= self.min_total

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> Annotated[Share | None, rounded(6)]:
        """0 to 1; null where there are too few cells."""
        return self.count / self.total if self.is_enough and self.total else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def interval_95(
        self,
    ) -> Annotated[
        tuple[Share, Share] | None,
        PlainSerializer(lambda ends: None if ends is None else [round(end, 6) for end in ends]),
    ]:
        """Of the true share, 0 to 1; null without a cell.

        It holds the method's own error where the proof has one; else it is Wilson's, from 0 on
        where false alarms alone explain what was found.
        """
        if not self.total:
            return None
        total = self.total if self.independent_total is None else self.independent_total
        count = min(total, self.count * (total / self.total))
        if self.errors:
            return true_share_interval(count, total, *self.errors)
        low, high = wilson_interval(count, total)
        return (0.0, high) if self.is_within_false_alarms else (low, high)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> Verdict:
        """What the share amounts to."""
        return verdict_of(
            self.count,
            self.total,
            is_enough=self.is_enough,
            uncertain=self.uncertain,
            proof=self.proof,
        )

    @property
    def is_within_false_alarms(self) -> bool:
        """Whether false alarms alone explain what was found, of however many cells."""
        return self.count > 0 and explained_by_false_alarms(self.count, self.total, self.proof)

    @property
    def errors(self) -> tuple[ErrorRate, ErrorRate] | None:
        """Sensitivity and false alarms of the class, where both are known."""
        if self.proof is None or self.proof.sensitivity is None or self.proof.false_alarms is None:
            return None
        return self.proof.sensitivity, self.proof.false_alarms

    @property
    def half_width(self) -> float:
        """Half width of the interval at which one may stop counting, 0 to 1."""
        return half_width_for(self.count / max(self.total, 1))

    @property
    def more_images(self) -> int | None:
        """Images like these to add until one may stop counting; None where no number is enough.

        First until there are cells enough for a share, then until the interval is narrow.
        """
        if not self.total:
            return None
        share = self.count / self.total
        wanted = float(self.min_total)
        if self.is_enough:
            # Cells of the same fields are worth fewer independent ones.
            worth = (self.independent_total or self.total) / self.total
            wanted = cells_for(share, self.half_width) / worth
        if self.errors and self.is_enough:
            # As if so many cells had been counted that nothing but the method's error is left.
            low, high = true_share_interval(share * _ALL_CELLS, _ALL_CELLS, *self.errors)
            if high - low > 2 * self.half_width:
                return None
        return max(0, math.ceil((wanted - self.total) * self.images / self.total))

    def __add__(self, other: Self) -> Self:
        """Give the same finding of the cells of both."""
        both = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("count", "total", "uncertain", "images")
        }
        return self.model_copy(update=both | {"independent_total": None})


_NOT_LOADED: Final = "no classifier is loaded"


def why_none(reasons: Container[Reason | None], otherwise: str = _NOT_LOADED) -> str:
    """Say why no cell has any class, by the reasons of the cells."""
    if Reason.NO_COLOUR in reasons:
        return "the image has no colour, and classes rest on the stain's colours"
    return otherwise


def _in_order(counts: Mapping[Reason, int]) -> dict[Reason, int]:
    """Bring counts into the order of the reasons: a file has them by the alphabet."""
    return {why: counts[why] for why in Reason if counts.get(why)}


class FindingCounts(Record):
    """How many counted cells of a type have which condition and subtype."""

    state: Literal["assessed", "not assessed"] = "not assessed"
    reason: str = _NOT_LOADED
    assessed: Annotated[Count, Field(description="cells that have a condition")] = 0
    counts: Annotated[dict[str, Count], Field(description="assessed cells by condition")] = {}
    types: Annotated[dict[str, Count], Field(description="by subtype; blasts have none")] = {}
    not_validated: Annotated[
        dict[str, str],
        Field(description="classes that are not counted, as they were not proven, and why"),
    ] = {}
    not_assessed: Annotated[
        dict[Reason, Count],
        AfterValidator(_in_order),
        Field(description="counted cells without a condition, by reason"),
    ] = {}
    suspected: Annotated[
        dict[str, Count],
        Field(description="undecided cells by likeliest condition: a person should look at them"),
    ] = {}
    uncertain: Annotated[Count, Field(description="assessed; a person should review them")] = 0
    maybe_blasts: Annotated[
        Count,
        Field(
            description="typed cells that are likeliest blasts, where blasts are not validated: "
            "uncertain, as a normal type is not theirs"
        ),
    ] = 0

    @property
    def is_assessed(self) -> bool:
        """Whether there was a classifier."""
        return self.state == "assessed"

    @model_validator(mode="before")
    @classmethod
    def _with_assessed(cls, value: Any) -> Any:
        """Add up what files of version 0.3 leave to the reader."""
        if not isinstance(value, Mapping) or "assessed" in value or "counts" not in value:
            return value
        counts = value["counts"]
        return {**value, "assessed": sum(counts.values()) if isinstance(counts, Mapping) else 0}

    @property
    def seen(self) -> int:
        """Counted cells of this type, assessed or not."""
        return self.assessed + sum(self.not_assessed.values())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def none_of_these(self) -> Annotated[Count, Field(description="of none of the classes")]:
        """Counted cells of none of the classes."""
        return self.not_assessed.get(Reason.NOT_IN_DISTRIBUTION, 0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cut_off(self) -> Annotated[Count, Field(description="cut off, covered or too small")]:
        """Counted cells that could not be classified, for whatever reason of their own."""
        others = (Reason.NOT_IN_DISTRIBUTION, Reason.NO_CLASSIFIER, Reason.NO_COLOUR)
        return sum(count for why, count in self.not_assessed.items() if why not in others)


class Findings(FindingCounts):
    """What a classifier found among the counted cells of one type."""

    rates: Annotated[
        tuple[Rate, ...], Field(description="share of each condition and each subtype")
    ] = ()

    def __add__(self, other: Self) -> Self:
        """Sum up the findings of two images."""
        total = type(self)(
            assessed=self.assessed + other.assessed,
            counts=_sum(self.counts, other.counts),
            types=_sum(self.types, other.types),
            not_validated={**self.not_validated, **other.not_validated},
            not_assessed=_sum(self.not_assessed, other.not_assessed),
            suspected=_sum(self.suspected, other.suspected),
            uncertain=self.uncertain + other.uncertain,
            maybe_blasts=self.maybe_blasts + other.maybe_blasts,
            rates=sum_rates((self.rates, other.rates)),
        )
        if not (self.is_assessed or other.is_assessed):
            return total.model_copy(update={"reason": why_none(total.not_assessed)})
        reason = f"{total.assessed} of {counted(total.seen, 'cell')}"
        return total.model_copy(update={"state": "assessed", "reason": reason})


NO_CLASSIFIER: Final = Findings()


def findings_in(cells: Cells, kind: CellType) -> Findings:
    """Sum up what a classifier found among the cells of a type."""
    of_type = cells.is_type(kind.name) & cells["is_counted"]
    reasons = cells["reason"]
    seen = {why: cells.number(of_type & (reasons == why)) for why in Reason}
    not_assessed = {why: count for why, count in seen.items() if count}
    if all(f"{one.name}_prob" not in cells for one in kind.conditions):
        return Findings(not_assessed=not_assessed, reason=why_none(not_assessed))
    claimed = classes_claimed(cells, kind)
    conditions = [one.name for one in kind.conditions if one.name in claimed]
    subtypes = [one.name for one in kind.subtypes if one.name in claimed]
    has_condition = of_type & assessed(kind.name)(cells)
    open_ones = of_type & (reasons == Reason.UNDECIDED)
    suspected = {
        name: cells.number(open_ones & (cells["condition"] == name)) for name in conditions
    }
    return Findings(
        state="assessed",
        assessed=cells.number(has_condition),
        reason=f"{cells.number(has_condition)} of {counted(cells.number(of_type), 'cell')}",
        counts={
            name: cells.number(has_condition & (cells["condition"] == name)) for name in conditions
        },
        types={name: cells.number(has_condition & (cells["subtype"] == name)) for name in subtypes},
        not_assessed=not_assessed,
        suspected={name: count for name, count in suspected.items() if count},
        uncertain=cells.number(has_condition & are_uncertain(cells)),
        maybe_blasts=cells.number(
            has_condition & given(cells["subtype"]) & (cells["condition"] == BLAST)
        ),
        not_validated=why_not_claimed(cells, kind),
        rates=rates_in(cells, kind.name),
    )


def sum_findings(findings: Iterable[Findings]) -> Findings:
    """Sum up the findings of many images."""
    return reduce(lambda one, other: one + other, findings, NO_CLASSIFIER)


def sum_rates(rates: Iterable[Iterable[Rate]]) -> tuple[Rate, ...]:
    """Sum up the findings of the same name of many images."""
    total: dict[str, Rate] = {}
    for rate in (one for of_image in rates for one in of_image):
        total[rate.name] = total[rate.name] + rate if rate.name in total else rate
    return tuple(total.values())


_Name = TypeVar("_Name", bound=str)


def _sum(first: Mapping[_Name, int], second: Mapping[_Name, int]) -> dict[_Name, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in {**first, **second}}
