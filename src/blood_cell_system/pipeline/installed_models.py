"""The models that come with this package, or lie in a folder, and what they say of themselves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from blood_cell_system.analysis.runtimes import read_metadata
from blood_cell_system.errors import CheckpointError, MissingDataError
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.model_slots import SEGMENTER_STEM, sha256_of
from blood_cell_system.reports.report import DISCLAIMER

_SUFFIXES: Final = (".onnx", ".keras")
_WHAT: Final = {
    SEGMENTER_STEM: "outlines red and white cells, finds platelets",
    ClassifierKind.RBC.file_stem: "tells healthy red cells, malaria and sickle cells apart",
    ClassifierKind.WBC.file_stem: "tells leukaemia from healthy white cells, and their types",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model's file and what it says of itself; empty where it does not say.

    Parameters
    ----------
    name : str
    what : str
        What it does.
    file : str
        Path.
    size_bytes : int
    sha256 : str
    version : str
        Of the software that wrote it.
    preset, data, licence : str
        How and of what it was trained.
    measured : mapping
        Figures by name.
    problem : str
        Why it cannot be used; empty for one that can.
    use : str
        What it may be used for.
    """

    name: str
    what: str
    file: str
    size_bytes: int
    sha256: str
    version: str = ""
    preset: str = ""
    data: str = ""
    licence: str = ""
    measured: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    problem: str = ""
    use: str = DISCLAIMER

    def to_json(self) -> dict[str, Any]:
        """Tell everything."""
        told = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return told | {"measured": dict(self.measured)}


def installed_models(folder: Path) -> tuple[InstalledModel, ...]:
    """List the models of a folder; a damaged one is listed with what is wrong with it.

    Parameters
    ----------
    folder : Path
        With ``segmentation_model.onnx``, ``rbc_classifier.keras``, and so on.

    Raises
    ------
    MissingDataError
        There is no model.
    """
    files = [
        (stem, path)
        for stem in _WHAT
        for suffix in _SUFFIXES
        if (path := folder / f"{stem}{suffix}").is_file()
    ]
    if not files:
        raise MissingDataError(
            f"{folder}: no models there; expected one of "
            f"{', '.join(f'{stem}.onnx' for stem in _WHAT)}, or .keras. Train them, or name "
            "another folder."
        )
    return tuple(_described(stem, path) for stem, path in files)


def _described(stem: str, path: Path) -> InstalledModel:
    told: dict[str, Any] = card_of(path)
    try:
        told |= {key: value for key, value in _of_metadata(stem, path).items() if value}
    except CheckpointError as error:
        told["problem"] = str(error)
    return InstalledModel(
        name=stem,
        what=_WHAT[stem],
        file=str(path),
        size_bytes=path.stat().st_size,
        sha256=sha256_of(path),
        **told,
    )


def _of_metadata(stem: str, path: Path) -> dict[str, Any]:
    kind = next((kind for kind in ClassifierKind if kind.file_stem == stem), None)
    metadata = read_metadata(path, kind=kind)
    if metadata is None:
        return {}
    names = ("preset", "data", "licence", "measured")
    known = {name: getattr(metadata, name) for name in names}
    return known | {"version": metadata.software_version}


def card_of(path: Path) -> dict[str, Any]:
    """Read rows such as ``| Data | … |`` of the model card that names a file in its title."""
    for card in sorted(path.parent.glob("*.md")):
        sections = re.split(r"^(?=# )", card.read_text("utf-8", errors="replace"), flags=re.M)
        for section in sections:
            if path.name in section.partition("\n")[0]:
                rows = dict(re.findall(r"^\| (\w+) \| (.+?) \|$", section, re.M))
                wanted = {"Data": "data", "Licence": "licence", "Preset": "preset"}
                told: dict[str, Any] = {
                    key: rows[name] for name, key in wanted.items() if name in rows
                }
                if "Measured" in rows:
                    told["measured"] = {"in short": rows["Measured"]}
                return told
    return {}
