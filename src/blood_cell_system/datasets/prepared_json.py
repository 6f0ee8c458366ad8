"""The two JSON files of a prepared folder: boxes, and where its pictures come from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import blood_cell_system
from blood_cell_system.atomic_files import write_json
from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.errors import DatasetError

FORMAT_VERSION: Final = 1


def write_annotations(root: Path, cells_by_stem: Mapping[str, Iterable[LabelledBox]]) -> None:
    """Write ``annotations.json`` of a prepared folder."""
    images = {
        stem: [
            {
                "cell_type": str(cell.cell_type),
                "bbox": [cell.x_min, cell.y_min, cell.x_max, cell.y_max],
                "origin": str(cell.origin),
            }
            for cell in cells
        ]
        for stem, cells in cells_by_stem.items()
    }
    write_json(root / "annotations.json", {"format_version": FORMAT_VERSION, "images": images})


def write_manifest(
    root: Path, images: Sequence[Mapping[str, Any]], details: Mapping[str, Any]
) -> None:
    """Write ``manifest.json`` of a prepared folder: the last file, which says that it is whole.

    Parameters
    ----------
    root : Path
    images : sequence of mapping
        Of every picture ``stem``, ``split``, ``source`` and ``original``, and what else there is.
    details : mapping
        Whatever else there is to know: ``command``, ``settings``, ``seed``, ``source_hash``,
        ``dropped`` and so on. No times of day: equal input gives an equal file.
    """
    manifest = {
        "format_version": FORMAT_VERSION,
        "software_version": blood_cell_system.__version__,
        **details,
        "images": sorted(images, key=lambda row: str(row["stem"])),
    }
    write_json(root / "manifest.json", manifest)


def read_versioned_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a prepared folder; an empty object where there is none.

    Raises
    ------
    DatasetError
        The file is not JSON, or of another version of the format.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path}: not a JSON file ({error}). Prepare the folder again, or remove the file."
        ) from error
    if not isinstance(value, dict) or value.get("format_version") != FORMAT_VERSION:
        raise DatasetError(
            f"{path}: expected an object with format_version {FORMAT_VERSION}. "
            "Prepare the folder again with this version."
        )
    return value


def read_annotations(root: Path) -> dict[str, tuple[LabelledBox, ...]]:
    """Read ``annotations.json`` of a prepared folder; nothing where there is none.

    Returns
    -------
    dict of str to tuple of LabelledBox
        By stem; a stem that is not there is a picture about whose cells nothing is known.

    Raises
    ------
    DatasetError
        The file is not JSON, of another version of the format, or a cell cannot be read.
    """
    path = root / "annotations.json"
    try:
        return {
            stem: tuple(_cell(row) for row in rows)
            for stem, rows in read_versioned_json(path).get("images", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"{path}: a cell cannot be read ({error!r}); expected 'cell_type' of "
            f"{[str(t) for t in CellType]} and 'bbox' [x_min, y_min, x_max, y_max]."
        ) from error


def _cell(row: Mapping[str, Any]) -> LabelledBox:
    x_min, y_min, x_max, y_max = map(float, row["bbox"])
    return LabelledBox(
        cell_type=CellType(row["cell_type"]),
        x_min=x_min,
        y_min=y_min,
        x_max=x_max,
        y_max=y_max,
        origin=BoxOrigin(row.get("origin", BoxOrigin.ANNOTATED)),
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
