"""Manifest and annotations, read entry by entry so that a broken one does not hide the others."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.datasets.prepared import FORMAT_VERSION, Split
from blood_cell_system.masks.verification.findings import Finding, Severity

Cells = dict[str, tuple[LabelledBox, ...]]

# Of a row, what no check looks at.
_FURTHER = ("unmarked_types", "group")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """What the manifest says about a picture; ``further`` is handed on as it is."""

    split: Split | None = None
    source: str = "unknown"
    original: str | None = None
    further: Mapping[str, Any] = field(default_factory=dict)


def read_manifest(path: Path) -> tuple[dict[str, ManifestRow], dict[str, Any], list[Finding]]:
    """Read a manifest as far as it can be read.

    Returns
    -------
    rows : dict of str to ManifestRow
        By stem.
    details : dict
        Everything else.
    findings : list of Finding
    """
    manifest, findings = _read_json(path)
    details = {key: value for key, value in manifest.items() if key != "images"}
    entries = manifest.get("images", [])
    if not isinstance(entries, list):
        findings.append(_broken(path, "'images' is no list"))
        entries = []
    rows: dict[str, ManifestRow] = {}
    for position, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("stem"), str):
            findings.append(_broken(path, f"entry {position} has no 'stem'"))
            continue
        stem, split, original = entry["stem"], entry.get("split"), entry.get("original")
        if split not in (None, "", *map(str, Split)):
            message = f"{stem} is in the split {split!r}; expected train, val or test"
            findings.append(_broken(path, message, stem))
            split = None
        if stem in rows:
            findings.append(_broken(path, f"{stem} is listed twice", stem))
            continue
        rows[stem] = ManifestRow(
            split=Split(split) if split else None,
            source=str(entry.get("source", "unknown")),
            original=original if isinstance(original, str) else None,
            further={name: entry[name] for name in _FURTHER if name in entry},
        )
    return rows, details, findings


def read_cells(path: Path) -> tuple[Cells, list[Finding]]:
    """Read annotations as far as they can be read.

    Returns
    -------
    cells : dict of str to tuple of LabelledBox
        By stem; their corners may be anything.
    findings : list of Finding
    """
    annotations, findings = _read_json(path)
    images = annotations.get("images", {})
    if not isinstance(images, Mapping):
        return {}, [*findings, _broken(path, "'images' is no object")]
    cells: Cells = {}
    for stem, entries in images.items():
        boxes = []
        for position, entry in enumerate(entries if isinstance(entries, list) else [None]):
            box = _box(entry)
            if box is None:
                message = (
                    f"cell {position} of {stem} cannot be read; expected 'cell_type' of "
                    f"{', '.join(CellType)} and 'bbox' of four numbers"
                )
                findings.append(_broken(path, message, stem))
            else:
                boxes.append(box)
        cells[stem] = tuple(boxes)
    return cells, findings


def _read_json(path: Path) -> tuple[dict[str, Any], list[Finding]]:
    if not path.is_file():
        return {}, []
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return {}, [_broken(path, f"not JSON ({error})")]
    if not isinstance(value, dict):
        return {}, [_broken(path, "expected an object")]
    if value.get("format_version") != FORMAT_VERSION:
        return value, [_broken(path, f"expected format_version {FORMAT_VERSION}")]
    return value, []


def _box(entry: object) -> LabelledBox | None:
    try:
        row: Any = entry
        x_min, y_min, x_max, y_max = (float(value) for value in row["bbox"])
        return LabelledBox(
            cell_type=CellType(row["cell_type"]),
            x_min=x_min,
            y_min=y_min,
            x_max=x_max,
            y_max=y_max,
            origin=BoxOrigin(row.get("origin", BoxOrigin.ANNOTATED)),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _broken(path: Path, message: str, *stems: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        check=f"broken-{path.stem}",
        message=f"{path.name}: {message}",
        remedy="Prepare the folder again, or correct the file; --fix leaves such entries out.",
        stems=stems,
    )
