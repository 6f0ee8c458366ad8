"""What a trained classifier knows of itself, beside its weights; needs no Keras.

A classifier comes as ``rbc_classifier.keras`` with ``rbc_classifier.json`` beside it, or as
``rbc_classifier.onnx``, which holds the same JSON in its metadata.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from blood_cell_system.cell_picture_format import CELL_SIDE_PX as CELL_SIDE_PX
from blood_cell_system.classes import RBC_CONDITIONS, WBC_CONDITIONS, WBC_TYPES, CellType

FORMAT_VERSION: Final = 1
FACTS_KEY: Final = "blood_cell_system.classifier"
"""Key of the JSON in an ONNX file's metadata."""

CONDITION_OUTPUT: Final = "condition"
TYPE_OUTPUT: Final = "type"
KNOWN_OUTPUT: Final = "known"
"""Names of a classifier's outputs: softmax over conditions, over types, and whether it is any."""


class ClassifierKind(StrEnum):
    """Which cells a classifier looks at."""

    RBC = "rbc"
    WBC = "wbc"

    @property
    def cell_type(self) -> CellType:
        """Of the cells that it looks at."""
        return CellType.RBC if self is ClassifierKind.RBC else CellType.WBC

    @property
    def conditions(self) -> tuple[str, ...]:
        """What this package's own classifiers of this kind tell apart."""
        return RBC_CONDITIONS if self is ClassifierKind.RBC else WBC_CONDITIONS

    @property
    def types(self) -> tuple[str, ...]:
        """Types beside the condition; none for red cells."""
        return () if self is ClassifierKind.RBC else WBC_TYPES

    @property
    def file_stem(self) -> str:
        """What its files are called in a folder of models."""
        return f"{self}_classifier"


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierFacts:
    """What a classifier knows of itself.

    Parameters
    ----------
    kind : ClassifierKind
    conditions : tuple of str
        In the order of its probabilities.
    types : tuple of str
        In the order of its type probabilities; empty without such an output.
    known_threshold : float or None
        A cell whose ``known`` is below is none of the classes; None without such an output.
    condition_thresholds, type_thresholds : mapping of str to float
        Conformal: a class belongs to a cell's "not sure" set when its probability reaches its
        threshold. Empty where nothing was calibrated.
    coverage : float or None
        Share of the sets that hold the true class, as calibrated.
    preset : str
    seed : int or None
    data_sha256 : str
        Hash of the cell folder that it learned from.
    measured : mapping
        Figures by name, such as ``{"test": {"auroc": 0.99}}``.
    data, licence, software_version : str
        For people: what it learned from, under which licence, by which version.

    Raises
    ------
    ValueError
        A name occurs twice or is not known, or a threshold is not within 0..1.
    """

    kind: ClassifierKind
    conditions: tuple[str, ...]
    types: tuple[str, ...] = ()
    known_threshold: float | None = None
    condition_thresholds: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    type_thresholds: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    coverage: float | None = None
    preset: str = ""
    seed: int | None = None
    data_sha256: str = ""
    measured: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    data: str = ""
    licence: str = ""
    software_version: str = ""

    def __post_init__(self) -> None:
        for what, names, known in (
            ("conditions", self.conditions, self.kind.conditions),
            ("types", self.types, self.kind.types),
        ):
            unknown = [name for name in names if name not in known]
            if unknown or len(set(names)) < len(names):
                raise ValueError(
                    f"{what} {', '.join(names) or 'none'}; expected each at most once, of "
                    f"{', '.join(known) or 'none'}"
                )
        if len(self.conditions) < 2:
            raise ValueError(f"{len(self.conditions)} conditions; expected two or more")
        for what, thresholds, names in (
            ("condition_thresholds", self.condition_thresholds, self.conditions),
            ("type_thresholds", self.type_thresholds, self.types),
        ):
            if thresholds and set(thresholds) != set(names):
                raise ValueError(f"{what} of {', '.join(thresholds)}; expected {', '.join(names)}")
        given = [*self.condition_thresholds.values(), *self.type_thresholds.values()]
        given += [value for value in (self.known_threshold, self.coverage) if value is not None]
        if not all(0 <= value <= 1 for value in given):
            raise ValueError(f"thresholds and coverage of {given}; expected numbers from 0 to 1")

    def to_json(self) -> dict[str, Any]:
        """Tell everything, in a fixed order."""
        return {
            "format_version": FORMAT_VERSION,
            "kind": str(self.kind),
            "conditions": list(self.conditions),
            "types": list(self.types),
            "known_threshold": self.known_threshold,
            "condition_thresholds": dict(self.condition_thresholds),
            "type_thresholds": dict(self.type_thresholds),
            "coverage": self.coverage,
            "preset": self.preset,
            "seed": self.seed,
            "data_sha256": self.data_sha256,
            "measured": dict(self.measured),
            "data": self.data,
            "licence": self.licence,
            "software_version": self.software_version,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what :meth:`to_json` gave.

        Raises
        ------
        ValueError
            It is something else, or of another version.
        """
        if not isinstance(value, dict):
            raise ValueError(f"{type(value).__name__}; expected an object")
        if value.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"format_version {value.get('format_version')!r}; expected {FORMAT_VERSION}"
            )
        try:
            return cls(
                kind=ClassifierKind(value["kind"]),
                conditions=tuple(map(str, value["conditions"])),
                types=tuple(map(str, value.get("types", ()))),
                known_threshold=_number_or_none(value.get("known_threshold")),
                condition_thresholds=_numbers(value.get("condition_thresholds", {})),
                type_thresholds=_numbers(value.get("type_thresholds", {})),
                coverage=_number_or_none(value.get("coverage")),
                preset=str(value.get("preset", "")),
                seed=None if value.get("seed") is None else int(value["seed"]),
                data_sha256=str(value.get("data_sha256", "")),
                measured=MappingProxyType(dict(value.get("measured", {}))),
                data=str(value.get("data", "")),
                licence=str(value.get("licence", "")),
                software_version=str(value.get("software_version", "")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error

    @classmethod
    def from_text(cls, text: str | bytes) -> Self:
        """Read the JSON of a file.

        Raises
        ------
        ValueError
            It is no JSON, or not of this kind.
        """
        return cls.from_json(json.loads(text))


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def _numbers(value: Mapping[str, Any]) -> Mapping[str, float]:
    return MappingProxyType({str(name): float(number) for name, number in value.items()})
