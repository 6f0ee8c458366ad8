"""What a model file says of itself: sizes, classes, thresholds, its origin. Needs no Keras.

What a cell image is: agreed on by those who make, read, train on and classify them.

A cell image shows one cell in the middle of a square. The longer side of its outline is always as
long, so that its size tells neither the class nor the laboratory. Its colours are divided by the
light of the empty slide, so that the slide would be white. It is opaque within the outline, and
there alone: nothing of what lies around the cell reaches a network.

What a trained classifier knows of itself, beside its weights; needs no Keras.

A classifier comes as ``rbc_classifier.keras`` with ``rbc_classifier.json`` beside it, or as
``rbc_classifier.onnx``, which holds the same JSON in its metadata.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.taxonomy import RBC, RBC_CONDITIONS, WBC, WBC_CONDITIONS, WBC_TYPES

STRIDE: Final = 32
"""Heights and widths of the segmenter's input are multiples of it."""

HEAD_STRIDE: Final = 4
"""Pixels a side of one place of the instance head's maps: place (r, c) stands for the point
x = 4 (c + 0.5), y = 4 (r + 0.5)."""

SIZE_UNIT_PX: Final = 64.0
"""The instance head predicts ln(width / 64 px) and ln(height / 64 px)."""

TRAINING_DIAMETER_PX: Final = 100.0
"""Diameter of a red cell in the images that a network learned from, where nothing else is known:
the median of BCCD's."""

_NAME: Final = "blood_cell_segmenter"
_NAME_WITH_DIAMETER: Final = re.compile(rf"{_NAME}_([1-9]\d*)px")


def model_name(training_diameter_px: float | None) -> str:
    """Name of a Keras model, which tells how large red cells were in its training.

    A name goes with a model wherever it is saved, loaded or handed on.

    Parameters
    ----------
    training_diameter_px : float or None
        None where it is not known.

    Examples
    --------
    >>> model_name(63.8), model_name(None)
    ('blood_cell_segmenter_64px', 'blood_cell_segmenter')
    """
    if training_diameter_px is None:
        return _NAME
    return f"{_NAME}_{max(1, round(training_diameter_px))}px"


def diameter_in_name(name: str) -> float | None:
    """Diameter of a red cell in the images that a Keras model learned from, by its name.

    Returns
    -------
    float or None
        Pixels; None for a model whose name says nothing.

    Examples
    --------
    >>> diameter_in_name("blood_cell_segmenter_64px"), diameter_in_name("model_1")
    (64.0, None)
    """
    found = _NAME_WITH_DIAMETER.fullmatch(name)
    return float(found[1]) if found else None


CELL_SIDE_PX: Final = 130
"""Side of a cell image."""

CELL_EXTENT_PX: Final = 100
"""Longer side of the box around a cell's outline in its image."""


def on_white(cell_image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay an image on the white of an empty slide, as a network sees it.

    Parameters
    ----------
    cell_image : ndarray of shape (..., height, width, 4), dtype uint8
        RGBA.

    Returns
    -------
    ndarray of shape (..., height, width, 3), dtype uint8
        RGB.

    Examples
    --------
    >>> on_white(np.array([[[90, 40, 80, 255], [90, 40, 80, 0]]], dtype=np.uint8)).tolist()
    [[[90, 40, 80], [255, 255, 255]]]
    """
    alpha = cell_image[..., 3:].astype(np.uint16)
    # Rounded division by 255 without leaving the whole numbers.
    mixed = cell_image[..., :3] * alpha + np.uint16(255) * (255 - alpha) + np.uint16(127)
    return np.asarray(mixed // np.uint16(255), dtype=np.uint8)


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
    def cell_type(self) -> str:
        """Of the cells that it looks at."""
        return RBC if self is ClassifierKind.RBC else WBC

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


_PREFIX: Final = "blood_cell_system."
HASH_KEY: Final = f"{_PREFIX}content_sha256"
"""Where an exported file keeps the hash of its own content."""
_HASH_DIGITS: Final = 64
NO_HASH: Final = "0" * _HASH_DIGITS
"""Stands in the file while its hash is taken."""

INPUT_CONTRACT: Final = (
    "float32 (batch, height, width, 3), RGB of 0..255, height and width multiples of 32"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxMetadata:
    """What an exported network says of itself.

    Parameters
    ----------
    training_diameter_px : float
        Diameter of a red cell in the images that it learned from.
    software_version : str
        Of this package, when it was exported.
    source_sha256 : str
        Of the ``.keras`` file that it was made of; empty where there was none.
    content_sha256 : str
        Of the file itself, taken while ``NO_HASH`` stands here.
    input_contract : str
        For a person who wants to run it elsewhere.
    """

    training_diameter_px: float
    software_version: str
    source_sha256: str
    content_sha256: str = NO_HASH
    input_contract: str = INPUT_CONTRACT

    def as_properties(self) -> dict[str, str]:
        """As the file holds it."""
        return {
            f"{_PREFIX}training_diameter_px": repr(self.training_diameter_px),
            f"{_PREFIX}software_version": self.software_version,
            f"{_PREFIX}source_sha256": self.source_sha256,
            HASH_KEY: self.content_sha256,
            f"{_PREFIX}input": self.input_contract,
        }

    @classmethod
    def from_properties(cls, properties: dict[str, str]) -> Self | None:
        """Of a file's properties; None for a file that another program has made.

        Raises
        ------
        ValueError
            The diameter is not a positive number.
        """
        if HASH_KEY not in properties:
            return None
        diameter = float(properties.get(f"{_PREFIX}training_diameter_px", "nan"))
        if not 0 < diameter < float("inf"):
            raise ValueError(f"training diameter {diameter}")
        return cls(
            training_diameter_px=diameter,
            software_version=properties.get(f"{_PREFIX}software_version", ""),
            source_sha256=properties.get(f"{_PREFIX}source_sha256", ""),
            content_sha256=properties[HASH_KEY],
            input_contract=properties.get(f"{_PREFIX}input", ""),
        )


def content_hash(data: bytes) -> str:
    """Hash of an exported file, whatever hash it holds itself.

    Parameters
    ----------
    data : bytes
        Of the whole file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    start, stop = _hash_place(data)
    digest = hashlib.sha256(data[:start])
    digest.update(NO_HASH.encode())
    digest.update(data[stop:])
    return digest.hexdigest()


def with_content_hash(data: bytes) -> bytes:
    """Write its own hash into an exported file."""
    start, stop = _hash_place(data)
    return data[:start] + content_hash(data).encode() + data[stop:]


def _hash_place(data: bytes) -> tuple[int, int]:
    """Where the hash stands: in protocol buffers a value follows its key, two bytes between."""
    key = HASH_KEY.encode() + b"\x12" + bytes([_HASH_DIGITS])
    start = data.rfind(key)
    if start < 0:
        return len(data), len(data)
    return start + len(key), start + len(key) + _HASH_DIGITS
