"""The models that come with this package, or lie in a folder, and what their metadata say."""

import re
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from blood_cell_system.analysis.opened_networks import int8_file, read_metadata
from blood_cell_system.datasets.source_licences import sources_against
from blood_cell_system.errors import CheckpointError, ImageReadError, MissingDataError
from blood_cell_system.imaging.image_folders import is_folder
from blood_cell_system.model_metadata import (
    ClassifierKind,
    ModelMetadata,
    Validation,
    classifier_kinds,
)
from blood_cell_system.pipeline.model_slots import SEGMENTER_STEM, sha256_of
from blood_cell_system.reports.report import DISCLAIMER

_SUFFIXES: Final = (".onnx", ".keras")
_SHOWN: Final = ("preset", "data", "licence", "measured", "validation")
_WHAT: Final = {
    SEGMENTER_STEM: "outlines red and white cells, finds platelets",
    ClassifierKind("RBC").file_stem: "distinguishes healthy red cells, malaria and sickle cells",
    ClassifierKind("WBC").file_stem: "distinguishes leukaemia, healthy white cells and subtypes",
}


NO_COMMERCIAL: Final = (
    "no model there learned only from data whose licence allows commercial use. The repository of "
    "this program has such a set: --models commercial_weights. To train one: bloodcells train on "
    "BCCD or drawn smears, bloodcells train-classifier --sources permissive "
    "(docs/commercial_use.md)."
)
"""What to do where no such weights are installed."""


class InstalledModel(BaseModel):
    """A model's file and what its metadata say; empty where they say nothing."""

    model_config = ConfigDict(frozen=True)

    name: str
    what: str
    """What it does."""
    file: str
    size_bytes: int
    sha256: str = ""
    version: str = ""
    """Of the software that wrote it."""
    preset: str = ""
    data: str = ""
    licence: str = ""
    sources_against: tuple[str, ...] = ()
    """Sources, each with its licence, that keep it from commercial use."""
    measured: dict[str, Any] = {}
    """Figures by name."""
    validation: dict[str, Validation] = {}
    """Figures by class in laboratories never seen."""
    problem: str = ""
    """Why it cannot be used; empty for one that can."""
    use: str = DISCLAIMER
    """What it may be used for."""

    @property
    def is_commercial(self) -> bool:
        """Whether all that it learned from allows commercial use."""
        return not self.problem and not self.sources_against

    def to_json(self) -> dict[str, Any]:
        """Give everything, for programs."""
        return self.model_dump(mode="json")


def installed_models(folder: Path) -> tuple[InstalledModel, ...]:
    """List the models of a folder, also those of other names; a damaged one with its problem.

    Raises
    ------
    MissingDataError
        There is no model.
    """
    known = [folder / f"{stem}{suffix}" for stem in _WHAT for suffix in _SUFFIXES]
    others = sorted(folder.iterdir()) if is_folder(folder) else []
    # A file of 8 bits is another form of the one beside it.
    forms = {int8_file(path) for path in others if path.suffix == ".onnx"}
    others = [path for path in others if path.suffix in _SUFFIXES and path not in {*known, *forms}]
    files = [*known, *others]
    found = tuple(_described(path) for path in files if path.is_file() and path.name[0] != ".")
    if not found:
        raise MissingDataError(
            f"{folder}: no models there; expected one of "
            f"{', '.join(f'{stem}.onnx' for stem in _WHAT)}, or .keras. Train them, or name "
            "another folder."
        )
    return found


def _described(path: Path) -> InstalledModel:
    stem, facts = path.stem, card_of(path)
    kind = next((kind for kind in classifier_kinds() if kind.file_stem == stem), None)
    what = _WHAT.get(stem, "a model that does not say what it is for")
    try:
        facts["sha256"] = sha256_of(path)
        if metadata := read_metadata(path, kind=kind):
            facts |= {name: value for name in _SHOWN if (value := getattr(metadata, name))}
            facts["version"] = metadata.software_version
            facts["sources_against"] = sources_against(
                metadata.data,
                architecture=metadata.architecture.name if metadata.architecture else "",
            )
            if stem not in _WHAT:
                what = _purpose(metadata)
    except (CheckpointError, ImageReadError) as error:
        facts["problem"] = str(error)
    return InstalledModel(
        name=stem, what=what, file=str(path), size_bytes=path.stat().st_size, **facts
    )


def _purpose(metadata: ModelMetadata) -> str:
    if metadata.kind == "segmenter":
        return _WHAT[SEGMENTER_STEM]
    classes = ", ".join(metadata.conditions)
    return f"distinguishes {classes} of {metadata.cell_type} cells"


def card_of(path: Path) -> dict[str, Any]:
    """Read rows such as ``| Data | … |`` of the model card that names a file in its title."""
    for card in sorted(path.parent.glob("*.md")):
        sections = re.split(r"^(?=# )", card.read_text("utf-8", errors="replace"), flags=re.M)
        for section in sections:
            if path.name in section.partition("\n")[0]:
                rows = dict(re.findall(r"^\| (\w+) \| (.+?) \|$", section, re.M))
                wanted = {"Data": "data", "Licence": "licence", "Preset": "preset"}
                found: dict[str, Any] = {
                    key: rows[name] for name, key in wanted.items() if name in rows
                }
                if "Measured" in rows:
                    found["measured"] = {"in short": rows["Measured"]}
                return found
    return {}
