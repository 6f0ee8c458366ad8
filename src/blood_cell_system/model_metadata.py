"""What a model file says about itself, in one record, and what networks take and give.

:class:`ModelMetadata` is written into every model: in an ``.onnx`` file as one metadata property,
in a ``.keras`` file as one member of the archive, which ``load_model`` ignores. Files of earlier
versions are read through :func:`upgraded`. Nothing here needs Keras.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from blood_cell_system.errors import CheckpointError, UnknownNameError, value_words
from blood_cell_system.taxonomy import BUILT_IN, MALARIA, PARASITE_STAGES, CellType, Taxonomy

STRIDE: Final = 32
"""Heights and widths of the segmenter's input are multiples of it, in pixels."""

HEAD_STRIDE: Final = 4
"""Pixels a side of one place of the instance head's maps: place (r, c) stands for the point
x = 4 (c + 0.5), y = 4 (r + 0.5)."""

SIZE_UNIT_PX: Final = 64.0
"""The instance head predicts ln(width / 64 px) and ln(height / 64 px)."""

TRAINING_DIAMETER_PX: Final = 100.0
"""Diameter of a red cell in the images that a network learned from, where nothing else is known:
the median of BCCD's."""

CELL_SIDE_PX: Final = 130
"""Side of a cell image: one cell in the middle of a square, opaque within its outline alone, its
colours divided by the light of the empty slide. What is around keeps its colours below
transparency, for networks that see the surround."""

CELL_EXTENT_PX: Final = 100
"""Longer side of the box around a cell's outline in its image. It is the same for every cell, so
that the size gives away neither the class nor the laboratory."""

CONDITION_OUTPUT: Final = "condition"
TYPE_OUTPUT: Final = "type"
KNOWN_OUTPUT: Final = "known"
"""Names of a classifier's outputs: softmax over conditions, over subtypes, and whether the cell is
in distribution."""


def on_white(cell_image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay an image on the white of an empty slide.

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


def network_input(cell_image: NDArray[np.uint8], *, sees_surround: bool) -> NDArray[np.uint8]:
    """Give a cell image as a network sees it: with what lies around the cell, or on white.

    Parameters
    ----------
    cell_image : ndarray of shape (..., height, width, 4), dtype uint8
        RGBA.

    Returns
    -------
    ndarray of shape (..., height, width, 3), dtype uint8
        RGB.
    """
    return cell_image[..., :3] if sees_surround else on_white(cell_image)


@dataclass(frozen=True, slots=True)
class ClassifierKind:
    """What a classifier is for: the cells of one type, with their conditions and subtypes.

    Parameters
    ----------
    cell_type : str
        A type of the taxonomy, in capital or small letters.
    taxonomy : Taxonomy
        Names the conditions and subtypes.

    Raises
    ------
    SettingsError
        There is no such type, or it has fewer than two conditions.

    Examples
    --------
    >>> kind = ClassifierKind("rbc")
    >>> str(kind), kind.cell_type, kind.conditions
    ('rbc', 'RBC', ('healthy_RBC', 'malaria_RBC', 'sickle_RBC'))
    """

    cell_type: str
    taxonomy: Taxonomy = BUILT_IN

    def __post_init__(self) -> None:
        known = {entry.name.lower(): entry.name for entry in self.taxonomy if _is_classified(entry)}
        if self.cell_type.lower() not in known:
            remedy = (
                "A kind is a cell type with two conditions or more; types of your own are known "
                "to the model's file (--model), or to a file of classes (--classes)."
            )
            raise UnknownNameError.of("kind", self.cell_type, known, remedy=remedy)
        object.__setattr__(self, "cell_type", known[self.cell_type.lower()])

    def __str__(self) -> str:
        return self.cell_type.lower()

    @property
    def conditions(self) -> tuple[str, ...]:
        """Conditions of the type, in the order of a classifier's probabilities."""
        return tuple(condition.name for condition in self.taxonomy[self.cell_type].conditions)

    @property
    def healthy(self) -> str:
        """Condition that diseases are compared with."""
        conditions = self.taxonomy[self.cell_type].conditions
        return next((one.name for one in conditions if one.is_healthy), conditions[0].name)

    def condition_of(self, subtype: str) -> str:
        """Condition of a cell of which only the subtype is known; a parasite's stage is malaria.

        Examples
        --------
        >>> [ClassifierKind("rbc").condition_of(name) for name in ("teardrop", "ring")]
        ['healthy_RBC', 'malaria_RBC']
        """
        is_infected = subtype in PARASITE_STAGES and MALARIA in self.conditions
        return MALARIA if is_infected else self.healthy

    @property
    def types(self) -> tuple[str, ...]:
        """Subtypes beside the condition."""
        return tuple(subtype.name for subtype in self.taxonomy[self.cell_type].subtypes)

    @property
    def file_stem(self) -> str:
        """Name of its files in a folder of models, without the suffix."""
        return f"{self}_classifier"


def classifier_kinds(taxonomy: Taxonomy = BUILT_IN) -> tuple[ClassifierKind, ...]:
    """Give the kinds that a taxonomy has: of each type with two conditions or more."""
    return tuple(ClassifierKind(t.name, taxonomy) for t in taxonomy if _is_classified(t))


def _is_classified(cell_type: CellType) -> bool:
    return len(cell_type.conditions) > 1


class _Part(BaseModel):
    """What a file holds: it cannot be changed, and has nothing that it does not declare."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Architecture(_Part):
    """A registered architecture and the arguments that a model was built with."""

    name: str
    arguments: dict[str, Any] = {}

    @field_validator("arguments")
    @classmethod
    def _as_in_a_file(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Make lists of tuples, so that a record equals itself when it is read back."""
        plain: dict[str, Any] = json.loads(json.dumps(arguments))
        return plain


NO_HASH: Final = "0" * 64
"""Stands in an ONNX file while the hash of the file is taken."""


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Interval = tuple[Share, Share]
"""A 95 % interval, bootstrapped by group."""


class UnseenSource(_Part):
    """How well one class is recognised in a laboratory that the network never saw.

    Figures that cannot be measured are None, such as the AUROC of a source of one class alone.
    """

    source: str
    positives: int | None = Field(default=None, ge=0)
    """Cells of the class; None where nobody recorded it, as below."""
    negatives: int | None = Field(default=None, ge=0)
    """Cells of other classes: healthy ones of a condition, other subtypes of a subtype."""
    groups: int | None = Field(default=None, ge=0)
    """Patients, slides or fields that the cells are of."""
    auroc: Share | None = None
    auroc_interval: Interval | None = None
    sensitivity: Share | None = None
    """Share of the positives that a report calls so, with the thresholds of the model file."""
    sensitivity_interval: Interval | None = None
    false_alarm_rate: Share | None = None
    """Share of the negatives that a report calls so."""
    false_alarm_interval: Interval | None = None


PROVEN_AUROC: Final = 0.85
"""Worst AUROC over unseen laboratories from which a class is reported as a finding. Below it one
pair of a sick and a healthy cell in seven is ordered wrongly."""


class Standing(StrEnum):
    """How a class stands in laboratories that its model never saw."""

    PROVEN = "proven outside its laboratory"
    UNMEASURED = "not measured outside its laboratory"
    """No laboratory there has cells of the class and others."""
    UNPROVEN = "not validated outside its laboratory"
    """It was measured, and the worst AUROC is below :data:`PROVEN_AUROC`."""


class Validation(_Part):
    """What is known of one class outside of the laboratories that a model learned from."""

    sources: tuple[UnseenSource, ...] = ()
    method: str = ""
    """How the sources were unseen: left out one by one, or in no training at all."""
    is_asked_for: bool = False
    """Whether a user counts the class without proof, as for images of the laboratory that the
    model learned from."""

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        names = [one.source for one in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"sources {', '.join(names)}; expected each once")
        return self

    @property
    def aurocs(self) -> tuple[float, ...]:
        """AUROC of each source that has cells of the class and others."""
        return tuple(one.auroc for one in self.sources if one.auroc is not None)

    @property
    def mean_auroc(self) -> float | None:
        """Mean over the sources; None without one."""
        return sum(self.aurocs) / len(self.aurocs) if self.aurocs else None

    @property
    def worst_auroc(self) -> float | None:
        """Smallest over the sources; None without one."""
        return min(self.aurocs, default=None)

    @property
    def standing(self) -> Standing:
        """How the class stands elsewhere: reports and lists of models go by this alone."""
        if self.worst_auroc is None:
            return Standing.UNMEASURED
        return Standing.PROVEN if self.worst_auroc >= PROVEN_AUROC else Standing.UNPROVEN


class NucleusEvidence(_Part):
    """What the form of a nucleus says about the subtype, beside the network's answer.

    A regression on the terms of ``cells/nucleus_terms.py``, learned from several laboratories.
    """

    subtypes: tuple[str, ...]
    """Those that it tells apart; about others it says nothing."""
    means: tuple[float, ...]
    scales: tuple[float, ...]
    """Of each term."""
    coefficients: tuple[tuple[float, ...], ...]
    """A row for the intercept and each term, a column for each subtype."""
    weight: float = Field(ge=0, allow_inf_nan=False)
    """Of its log odds beside those of the network."""


class Quantisation(_Part):
    """How a network of 8 bits was made of one in float32, and what that costs in accuracy."""

    of_sha256: str
    """``content_sha256`` of the network in float32."""
    kept: str
    """Layers that stay in float32, in words."""
    calibrated_on: str
    measured_on: str
    falls: dict[str, float]
    """By figure: by how much it is worse than with float32; below 0 where it is better."""
    bounds: dict[str, float]
    """By figure: how much worse it may be."""

    @property
    def passes(self) -> bool:
        """Whether no figure falls by more than its bound; one that is not there has failed."""
        falls = (self.falls.get(name, np.inf) <= bound for name, bound in self.bounds.items())
        return bool(self.bounds) and all(falls)


class Interface(_Part):
    """What another program needs to run an exported network; ``bloodcells export`` writes it."""

    normalisation: str
    """What to do with the values of an image."""
    stride_px: int = Field(ge=1)
    """Heights and widths are multiples of it; 1 where the network takes one size alone."""
    padding: str
    """How an image is brought to such a size."""
    outputs: dict[str, tuple[str, ...]]
    """By output: what its channels are, in their order."""
    peak_thresholds: dict[str, float] = {}
    """By cell type: how high a peak of its heat map must be to be a cell."""


class ModelMetadata(_Part):
    """Everything that a model file says about itself.

    A field of unknown value is empty or None: of a model from elsewhere only ``kind`` is needed.
    Thresholds, coverage and figures are those of a classifier.
    """

    format_version: Literal[2] = 2
    kind: Literal["segmenter", "classifier"]
    architecture: Architecture | None = None
    """None for a network that is not one of this package's architectures."""
    taxonomy: Taxonomy | None = None
    """None for the built-in one."""
    input: str = "float32 (batch, height, width, 3), RGB of 0..255; normalised inside the network"
    """What the network takes, for people who want to run it elsewhere."""
    training_diameter_px: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Diameter of a red cell in the images that a segmenter learned from."""

    cell_type: str = ""
    """Name of the cells that a classifier is for; empty for a segmenter."""
    sees_surround: bool = False
    """Whether the classifier sees what lies around a cell; else each lies on white."""
    conditions: tuple[str, ...] = ()
    """In the order of the output ``condition``."""
    subtypes: tuple[str, ...] = ()
    """In the order of the output ``type``; empty without such an output."""
    condition_thresholds: dict[str, Share] = {}
    subtype_thresholds: dict[str, Share] = {}
    """Conformal: a class is possible when its probability reaches its threshold. Empty where
    nothing was calibrated."""
    call_thresholds: dict[str, Share] = {}
    """A condition that is the likeliest is called where its probability reaches this; below, the
    cell is undecided. One that is not here is called wherever it is the likeliest."""
    coverage: Share | None = None
    """Share of the sets of possible classes that hold the true one, as calibrated."""
    nucleus_evidence: NucleusEvidence | None = None
    """Is added to the network's answer about subtypes; thresholds and figures include it."""
    in_distribution_threshold: Share | None = None
    """A cell whose output ``known`` is below belongs to none of the classes."""
    temperatures: dict[str, float] = {}
    """By output: what its logits were divided by. The weights hold it already."""

    preset: str = ""
    seed: int | None = None
    measured: dict[str, Any] = {}
    """Figures by name, such as ``{"test": {"auroc": 0.99}}``."""
    validation: dict[str, Validation] = {}
    """By condition or subtype: figures in laboratories never seen. A class that is not here was
    never validated outside of its own."""
    data: str = ""
    """Sources of the data that it learned from."""
    data_sha256: str = ""
    licence: str = ""
    software_version: str = ""
    interface: Interface | None = None
    """Of an exported network."""
    quantisation: Quantisation | None = None
    """Of a network of 8 bits; None in float32."""
    source_sha256: str = ""
    """Of the ``.keras`` file that an ONNX file was made of."""
    content_sha256: str = ""
    """Of the weights and their configuration: see :func:`content_hash` and
    :func:`archive_hash`."""

    @classmethod
    def of_classifier(cls, kind: ClassifierKind, **fields: Any) -> Self:
        """Metadata of a classifier; conditions and subtypes are those of the kind by default."""
        taxonomy = None if kind.taxonomy == BUILT_IN else kind.taxonomy
        usual = {"conditions": kind.conditions, "subtypes": kind.types, "taxonomy": taxonomy}
        return cls(kind="classifier", cell_type=kind.cell_type, **(usual | fields))

    @model_validator(mode="after")
    def _check_interface(self) -> Self:
        types = (self.taxonomy or BUILT_IN).names
        outputs = self.interface.outputs if self.interface else {}
        for output, expected in (
            ("centres", types),
            (CONDITION_OUTPUT, self.conditions),
            (TYPE_OUTPUT, self.subtypes),
        ):
            if outputs.get(output, expected) != tuple(expected):
                raise ValueError(
                    f"output {output} of {', '.join(outputs[output])}; expected "
                    f"{', '.join(expected) or 'none'}, as the classes are"
                )
        return self

    @model_validator(mode="after")
    def _check_classifier(self) -> Self:
        if self.kind == "segmenter":
            return self
        try:
            cell_type = (self.taxonomy or BUILT_IN)[self.cell_type]
        except KeyError:
            names = ", ".join((self.taxonomy or BUILT_IN).names)
            raise ValueError(f"cell_type {self.cell_type}; expected one of {names}") from None
        for what, names_, known, thresholds in (
            ("condition", self.conditions, cell_type.conditions, self.condition_thresholds),
            ("subtype", self.subtypes, cell_type.subtypes, self.subtype_thresholds),
        ):
            expected = [entry.name for entry in known]
            if set(names_) - set(expected) or len(set(names_)) < len(names_):
                raise ValueError(
                    f"{what}s {', '.join(names_) or 'none'}; expected each at most once, of "
                    f"{', '.join(expected) or 'none'}"
                )
            if thresholds and set(thresholds) != set(names_):
                raise ValueError(
                    f"{what}_thresholds of {', '.join(thresholds)}; expected {', '.join(names_)}"
                )
        if len(self.conditions) < 2:
            raise ValueError(f"{len(self.conditions)} conditions; expected two or more")
        if strangers := set(self.validation) - {*self.conditions, *self.subtypes}:
            raise ValueError(
                f"validation of {', '.join(sorted(strangers))}; expected classes of the model, of "
                f"{', '.join((*self.conditions, *self.subtypes))}"
            )
        if strangers := set(self.call_thresholds) - set(self.conditions):
            raise ValueError(
                f"call_thresholds of {', '.join(sorted(strangers))}; expected conditions of the "
                f"model, of {', '.join(self.conditions)}"
            )
        return self

    @property
    def classifier_kind(self) -> ClassifierKind:
        """Kind of cells that a classifier is for."""
        return ClassifierKind(self.cell_type, self.taxonomy or BUILT_IN)

    def replace(self, **changes: Any) -> Self:
        """Give a copy with other values, checked like a new one."""
        return type(self)(**(dict(self) | changes))

    def to_json(self) -> dict[str, Any]:
        """Give the record as it is written to files."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what :meth:`to_json` or version 0.2.0 gave.

        Raises
        ------
        ValueError
            It is something else, in one line.
        """
        if not isinstance(value, dict):
            raise ValueError(f"{type(value).__name__}; expected an object")
        if value.get("format_version") not in (1, 2):
            raise ValueError(f"format_version {value.get('format_version')!r}; expected 2 or 1")
        try:
            return cls.model_validate(upgraded(value))
        except ValidationError as error:
            raise ValueError(value_words(error)) from error

    @classmethod
    def from_text(cls, text: str | bytes) -> Self:
        """Read JSON text; raises ``ValueError`` as :meth:`from_json` does."""
        return cls.from_json(json.loads(text))


# --- Files of version 0.2.0 ---

_OLD: Final = "blood_cell_system."
OLD_CLASSIFIER_KEY: Final = f"{_OLD}classifier"
"""ONNX property of version 0.2.0 with the JSON of a classifier."""
_OLD_HASH_KEY: Final = f"{_OLD}content_sha256"
_OLD_NAMES: Final = {
    "types": "subtypes",
    "type_thresholds": "subtype_thresholds",
    "known_threshold": "in_distribution_threshold",
}
_NAME_WITH_DIAMETER: Final = re.compile(r"blood_cell_segmenter_([1-9]\d*)px")


def upgraded(value: Mapping[str, Any]) -> dict[str, Any]:
    """Give the record of any version as that of the present one.

    Version 1 was the JSON of a classifier; a segmenter's few properties are brought to it.
    """
    if value.get("format_version") != 1:
        return dict(value)
    new = {_OLD_NAMES.get(key, key): entry for key, entry in value.items()}
    kind = new.pop("kind", None)
    new |= {"format_version": 2, "kind": "segmenter" if kind == "segmenter" else "classifier"}
    if kind != "segmenter":
        new["cell_type"] = next(
            (k.cell_type for k in classifier_kinds() if str(k) == kind), str(kind)
        )
    return new


def model_name(training_diameter_px: float | None) -> str:
    """Name of a segmenter as a Keras object, with the diameter of red cells in its training.

    Only the name goes with a Keras object that ``load_model`` gave to a user.

    Examples
    --------
    >>> model_name(63.8), model_name(None)
    ('blood_cell_segmenter_64px', 'blood_cell_segmenter')
    """
    diameter = "" if training_diameter_px is None else f"_{max(1, round(training_diameter_px))}px"
    return f"blood_cell_segmenter{diameter}"


def diameter_in_name(name: str) -> float | None:
    """Diameter in pixels that a Keras model's name gives; None where it gives none.

    Examples
    --------
    >>> diameter_in_name("blood_cell_segmenter_64px"), diameter_in_name("model_1")
    (64.0, None)
    """
    found = _NAME_WITH_DIAMETER.fullmatch(name)
    return float(found[1]) if found else None


def _of_layers(config: Mapping[str, Any]) -> ModelMetadata | None:
    """Metadata of a segmenter that version 0.2.0 saved; None for any other model."""
    inner = config.get("config")
    if not isinstance(inner, dict) or not isinstance(inner.get("layers"), list):
        return None
    layers = {
        layer.get("name"): layer.get("config", {})
        for layer in inner["layers"]
        if isinstance(layer, dict)
    }
    widths: list[int] = []
    while (name := f"down_{len(widths)}_a_conv") in layers:
        widths.append(layers[name]["filters"])
    diameter = diameter_in_name(str(inner.get("name")))
    if len(widths) < 2 or "class_logits" not in layers:
        if diameter is None:
            return None
        return ModelMetadata(kind="segmenter", training_diameter_px=diameter)
    arguments = {
        "widths": widths,
        "d_reduced": layers.get("reynolds_reduce", {}).get("filters", 0),
        "dropout": layers.get("dropout", {}).get("rate", 0.0),
        "has_instance_head": "centre_logits" in layers,
        "num_cell_types": layers.get("centre_logits", {}).get("filters", len(BUILT_IN.names)),
    }
    return ModelMetadata(
        kind="segmenter",
        architecture=Architecture(name="reynolds_unet", arguments=arguments),
        training_diameter_px=diameter,
    )


# --- Within the files ---

MODEL_KEY: Final = "blood_cell_system.model"
"""Metadata property of an ``.onnx`` file that holds the record as JSON."""
MEMBER: Final = "blood_cell_system.json"
"""Member of a ``.keras`` archive that holds the record as JSON."""
_HASHED_MEMBERS: Final = ("config.json", "model.weights.h5")
NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Equal models are equal files: no member of an archive has the time of its writing."""


def metadata_in_properties(properties: Mapping[str, str]) -> ModelMetadata | None:
    """Read the metadata properties of an ``.onnx`` file; None for one of another program.

    Raises
    ------
    ValueError
        They make no sense.
    """
    if MODEL_KEY in properties:
        return ModelMetadata.from_text(properties[MODEL_KEY])
    content = properties.get(_OLD_HASH_KEY)
    if OLD_CLASSIFIER_KEY in properties:
        old = ModelMetadata.from_text(properties[OLD_CLASSIFIER_KEY])
        return old.replace(content_sha256=content or "")
    if content is None:
        return None
    diameter = float(properties.get(f"{_OLD}training_diameter_px", "nan"))
    return ModelMetadata.from_json(
        {
            "format_version": 1,
            "kind": "segmenter",
            "training_diameter_px": diameter,
            "software_version": properties.get(f"{_OLD}software_version", ""),
            "source_sha256": properties.get(f"{_OLD}source_sha256", ""),
            "content_sha256": content,
        }
    )


def as_properties(metadata: ModelMetadata) -> dict[str, str]:
    """Give the metadata properties of an ``.onnx`` file, before its hash is taken."""
    return {MODEL_KEY: as_text(metadata.replace(content_sha256=NO_HASH))}


_MAX_WORDS: Final = 100_000_000  # Bytes of a JSON file in an archive, unpacked.
_SUSPICIOUS_BYTES: Final = 500_000_000  # Unpacked bytes from which the ratio is checked.
# Unpacked to packed bytes; weights hardly shrink at all.
_SUSPICIOUS_RATIO: Final = 50


def check_archive_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse a ``.keras`` file that would fill the memory, before it is unpacked.

    Raises
    ------
    CheckpointError
        Naming how large it would become.
    """
    members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    packed = max(1, sum(member.compress_size for member in members))
    is_bomb = unpacked > _SUSPICIOUS_BYTES and unpacked > _SUSPICIOUS_RATIO * packed
    words = max((one.file_size for one in members if one.filename.endswith(".json")), default=0)
    if is_bomb or words > _MAX_WORDS:
        raise CheckpointError(
            f"{path}: {packed:,} bytes would become {unpacked:,}, as of files made to fill the "
            "memory; expected a model. Use a file whose source you know."
        )


def metadata_in_archive(archive: zipfile.ZipFile) -> ModelMetadata | None:
    """Read the record of a ``.keras`` archive; None for a model of another program.

    Raises
    ------
    ValueError
        It makes no sense, or is not of the weights beside it.
    """
    if MEMBER not in archive.namelist():
        with suppress(KeyError, TypeError, AttributeError, ValueError):
            return _of_layers(json.loads(archive.read("config.json")))
        return None
    metadata = ModelMetadata.from_text(archive.read(MEMBER))
    if metadata.content_sha256 not in ("", archive_hash(archive)):
        raise ValueError("its content is not what was saved")
    return metadata


def add_to_archive(path: Path, metadata: ModelMetadata) -> None:
    """Write the record into a ``.keras`` file, in the place of one that is there."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
        metadata = metadata.replace(content_sha256=archive_hash(archive))
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in members:
            if info.filename != MEMBER:
                archive.writestr(info, data)
        archive.writestr(zipfile.ZipInfo(MEMBER, NO_TIME), as_text(metadata, indent=1))


def archive_hash(archive: zipfile.ZipFile) -> str:
    """SHA-256 of a ``.keras`` archive's configuration and weights."""
    digest = hashlib.sha256()
    for name in _HASHED_MEMBERS:
        if name in archive.namelist():
            digest.update(archive.read(name))
    return digest.hexdigest()


def content_hash(data: bytes) -> str:
    """SHA-256 of an ``.onnx`` file with zeros in the place of the hash that it holds."""
    start, stop = _hash_place(data)
    return hashlib.sha256(data[:start] + NO_HASH.encode() + data[stop:]).hexdigest()


def with_content_hash(data: bytes) -> bytes:
    """Write its own hash into an ``.onnx`` file."""
    start, stop = _hash_place(data)
    return data[:start] + content_hash(data).encode() + data[stop:]


# In protocol buffers the value of a property follows its key, two bytes between: version 0.2.0.
_HASH_PLACES: Final = (
    re.compile(rb'"content_sha256": "([0-9a-f]{64})'),
    re.compile(_OLD_HASH_KEY.encode() + rb"\x12@([0-9a-f]{64})"),
)


def _hash_place(data: bytes) -> tuple[int, int]:
    for place in _HASH_PLACES:
        if found := list(place.finditer(data)):
            return found[-1].span(1)
    return len(data), len(data)


def seal_of(parts: Iterable[bytes]) -> str:
    """SHA-256 of the parts of an exported model, with zeros where the hash itself will stand."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sealed(text: str, parts: Iterable[bytes]) -> ModelMetadata:
    """Read the record of an exported model, and compare its hash with the parts of the model.

    Parameters
    ----------
    text : str
        The record.
    parts : iterable of bytes
        As for :func:`seal_of`, with the hash in its place.

    Raises
    ------
    ValueError
        The record makes no sense, or is not of these parts.
    """
    metadata = ModelMetadata.from_text(text)
    recorded = metadata.content_sha256.encode()
    if not recorded or seal_of(part.replace(recorded, NO_HASH.encode()) for part in parts) != (
        metadata.content_sha256
    ):
        raise ValueError("its content is not what was exported")
    return metadata


def as_text(metadata: ModelMetadata, *, indent: int | None = None) -> str:
    """Give the record as it stands in a model file."""
    return json.dumps(metadata.to_json(), indent=indent, sort_keys=True, ensure_ascii=False)
