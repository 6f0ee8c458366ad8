"""Settings of the laboratory's figures: what is reported, and by which limits.

``docs/lab_figures.yaml`` states all of them with their defaults; ``--figures FILE`` reads such a
file.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, ValidationError, model_validator

from blood_cell_system.errors import SettingsError
from blood_cell_system.input_files import read_bytes
from blood_cell_system.reports.findings import MIN_RED_CELLS, Record
from blood_cell_system.text_encoding import decoded

_GRADES: Final = ("1+", "2+", "3+")
_REMEDY: Final = "Correct the file; docs/lab_figures.md lists the settings."

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
RedCount = Annotated[
    float,
    Field(ge=100_000, le=15_000_000, description="red cells per µL, as an analyser counted them"),
]
WhiteCount = Annotated[
    float,
    Field(ge=10, le=2_000_000, description="white cells per µL, nucleated red cells included"),
]
Cut = Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)]


class _Group(Record):
    """Settings of a group of figures."""

    is_reported: bool = True


class Differential(_Group):
    """Five-part differential with immature granulocytes and blast-like cells: a list of 100 %."""

    min_cells: Annotated[int, Field(ge=1, le=10_000)] = 100
    advised_cells: Annotated[int, Field(ge=1, le=10_000)] = 200


class NucleatedRedCells(_Group):
    """Nucleated red cells per 100 white cells, and the white count without them."""

    min_cells: Annotated[int, Field(ge=1, le=10_000)] = 100
    correct_from: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 5.0


class CountPerField(_Group):
    """Count per microlitre from cells a field; both numbers belong together."""

    factor: Annotated[float | None, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = None
    field_area_um2: Annotated[float | None, Field(ge=100, le=10_000_000, allow_inf_nan=False)] = (
        None
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.factor is None) != (self.field_area_um2 is None):
            raise ValueError(
                "factor and field_area_um2 belong together: the factor holds for the area of the "
                "field that it was found with"
            )
        return self


class Platelets(CountPerField):
    """Platelets: per 100 red cells, clumps, count per microlitre."""

    min_red_cells: Annotated[int, Field(ge=1, le=100_000)] = 500
    clump_from: Annotated[int, Field(ge=2, le=100)] = 3
    clump_reach: Annotated[float, Field(gt=0, le=5)] = 1.3


class Parasitaemia(_Group):
    """Share of red cells with parasites, and parasites per microlitre."""

    min_cells: Annotated[int, Field(ge=1, le=100_000)] = MIN_RED_CELLS
    advised_cells: Annotated[int, Field(ge=1, le=100_000)] = 1000


class RedCellSize(_Group):
    """Diameters of red cells: median, spread, large and small ones."""

    min_cells: Annotated[int, Field(ge=2, le=100_000)] = 100
    normal_um: Annotated[
        tuple[Positive, Positive] | None,
        Field(description="smallest and largest normal diameter; null: the smear's own median"),
    ] = None
    small_below: Annotated[float, Field(gt=0, lt=1)] = 0.85
    large_above: Annotated[float, Field(gt=1, le=3)] = 1.15

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.normal_um is not None and not 2 <= self.normal_um[0] < self.normal_um[1] <= 20:
            raise ValueError(
                f"normal_um {list(self.normal_um)}; expected two diameters in µm from 2 to 20, the "
                "smaller one first"
            )
        return self


class Hypochromia(_Group):
    """Red cells with a large central pallor."""

    min_cells: Annotated[int, Field(ge=1, le=100_000)] = 100
    pallor_above: Annotated[float, Field(gt=0, lt=1, description="part of the cell's area")] = 0.35


class RedCellShapes(_Group):
    """Share of each shape that a classifier knows, with grades."""

    min_cells: Annotated[int, Field(ge=1, le=100_000)] = MIN_RED_CELLS
    advised_cells: Annotated[int, Field(ge=1, le=100_000)] = 1000
    grades: dict[str, dict[str, Cut]] = Field(
        default_factory=dict,
        description="by shape: the per cent from which a grade such as 2+ holds",
    )
    suspicious_above: dict[str, Cut] = Field(
        default_factory=lambda: {"schistocyte": 1.0}, description="by shape: per cent"
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for shape, cuts in self.grades.items():
            if unknown := set(cuts).difference(_GRADES):
                raise ValueError(
                    f"grades of {shape}: {', '.join(sorted(unknown))}; expected 1+, 2+, 3+"
                )
            limits = [cuts[grade] for grade in sorted(cuts)]
            if limits != sorted(set(limits)):
                raise ValueError(f"grades of {shape}: {cuts}; expected limits that rise")
        return self


class Rouleaux(_Group):
    """Red cells in chains."""

    min_cells: Annotated[int, Field(ge=1, le=100_000)] = 100
    chain_from: Annotated[int, Field(ge=2, le=100)] = 4
    reach: Annotated[float, Field(gt=0, le=2)] = 0.9
    max_breadth: Annotated[float, Field(gt=0, le=1)] = 0.25


class EnteredCounts(Record):
    """Counts of an analyser, of one slide or one patient."""

    red_cells_per_ul: RedCount | None = None
    white_cells_per_ul: WhiteCount | None = None


class FiguresSettings(Record):
    """Which figures are reported, and by which limits; ``docs/lab_figures.yaml`` has them all."""

    differential: Differential = Field(default_factory=Differential)
    nucleated_red_cells: NucleatedRedCells = Field(default_factory=NucleatedRedCells)
    white_cells: CountPerField = Field(default_factory=CountPerField)
    platelets: Platelets = Field(default_factory=Platelets)
    parasitaemia: Parasitaemia = Field(default_factory=Parasitaemia)
    red_cell_size: RedCellSize = Field(default_factory=RedCellSize)
    hypochromia: Hypochromia = Field(default_factory=Hypochromia)
    red_cell_shapes: RedCellShapes = Field(default_factory=RedCellShapes)
    rouleaux: Rouleaux = Field(default_factory=Rouleaux)
    counts: dict[str, EnteredCounts] = Field(
        default_factory=dict, description="of an analyser, by slide or patient"
    )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a YAML or JSON file; what it leaves out has its default.

        Raises
        ------
        MissingDataError
            There is no such file.
        SettingsError
            It is not YAML, or a setting is unknown or out of range.
        """
        import yaml

        data = read_bytes(path, error=SettingsError)
        try:
            value = yaml.safe_load(decoded(data, path))
        except (ValueError, yaml.YAMLError) as error:
            finding = " ".join(str(error).split())
            raise SettingsError(f"{path}: not YAML: {finding}. {_REMEDY}") from error
        if value is not None and not isinstance(value, dict):
            raise SettingsError(f"{path}: no settings by name. {_REMEDY}")
        try:
            return cls.model_validate(value or {})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            expected = first["msg"].removeprefix("Value error, ")
            expected = expected.replace("Input should be", "expected").replace(
                "Extra inputs are not permitted", "no such setting"
            )
            received = first["input"]
            found = f"received {received!r}; " if not isinstance(received, dict) else ""
            raise SettingsError(f"{path}: {place}: {found}{expected}. {_REMEDY}") from error

    def entered(self, *names: str | None) -> EnteredCounts:
        """Give an analyser's counts of a slide or, failing that, of its patient."""
        return next((self.counts[name] for name in names if name in self.counts), EnteredCounts())

    def check_names(self, names: Iterable[str | None]) -> None:
        """Refuse counts of what is neither a slide nor a patient.

        Raises
        ------
        SettingsError
            Naming them, and what there is.
        """
        known = sorted(set(filter(None, names)))
        if strangers := sorted(set(self.counts).difference(known)):
            raise SettingsError(
                f"--figures: counts of {', '.join(strangers)}, which is no slide and no patient; "
                f"expected any of {', '.join(known)}. Correct the names under counts."
            )
