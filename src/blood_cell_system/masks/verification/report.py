"""What verifying a folder has found, with figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import CELL_TYPES, CellClass
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.masks.verification.duplicate_checks import DuplicateGroup
from blood_cell_system.masks.verification.findings import Finding, Severity
from blood_cell_system.masks.verification.folder_survey import FolderSurvey
from blood_cell_system.masks.verification.picture_facts import PictureFacts
from blood_cell_system.masks.verification.size_checks import side_of, whole_cells
from blood_cell_system.masks.verification.split_checks import class_pixels_by_split, scored_shares

REPORT_VERSION = 1
_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """What verifying a folder has found.

    Parameters
    ----------
    root : Path
    findings : tuple of Finding
        The worst first.
    statistics : dict
        Counts and shares, ready for JSON.
    survey : FolderSurvey
    pictures : tuple of PictureFacts
        Every pair, ordered by stem.
    duplicates : tuple of DuplicateGroup
    """

    root: Path
    findings: tuple[Finding, ...]
    statistics: dict[str, Any]
    survey: FolderSurvey
    pictures: tuple[PictureFacts, ...]
    duplicates: tuple[DuplicateGroup, ...]

    @property
    def is_ok(self) -> bool:
        """Whether there is no error; warnings are allowed."""
        return all(finding.severity != Severity.ERROR for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """Count the findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def by_check(self) -> list[list[Finding]]:
        """Group the findings by severity and check, the worst first."""
        groups: dict[tuple[Severity, str], list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault((finding.severity, finding.check), []).append(finding)
        return list(groups.values())

    def to_json(self) -> dict[str, Any]:
        """Return a value that ``json`` can write."""
        return {
            "format_version": REPORT_VERSION,
            "root": str(self.root),
            "is_ok": self.is_ok,
            "counts": {str(severity): self.count(severity) for severity in Severity},
            "findings": [finding.to_json() for finding in self.findings],
            "statistics": self.statistics,
        }


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Order findings by severity, then check, then picture."""
    return tuple(
        sorted(findings, key=lambda f: (_SEVERITIES.index(f.severity), f.check, f.stems, f.message))
    )


def statistics_of(pictures: Sequence[PictureFacts]) -> dict[str, Any]:
    """Count pictures, pixels and cells, ready for JSON."""
    pixels = class_pixels_by_split(pictures)
    present = {picture.split for picture in pictures}
    splits = [split for split in (*Split, None) if split in present]
    per_split: dict[str, Any] = {}
    for split in splits:
        members = [picture for picture in pictures if picture.split == split]
        entry: dict[str, Any] = {
            "pictures": len(members),
            "augmented_copies": sum(picture.is_augmented for picture in members),
            "cells": _cells_per_type(members),
        }
        if split in pixels:
            entry |= _shares(pixels[split])
        per_split[str(split or "no split")] = entry
    everything = sum(pixels.values(), start=np.zeros(4, dtype=np.int64))
    return {
        "pictures": len(pictures),
        "splits": per_split,
        **_shares(everything),
        "cells": _cells_per_type(pictures),
        "median_cell_side_px": _median_sides(pictures),
        "picture_sizes": _sizes(pictures),
    }


def _shares(class_pixels: NDArray[np.int64]) -> dict[str, Any]:
    shares = scored_shares(class_pixels)
    return {
        "class_shares": {c.name.lower(): round(float(shares[c]), 6) for c in CellClass},
        "not_scored_share": round(float(class_pixels[3] / max(1, class_pixels.sum())), 6),
    }


def _cells_per_type(pictures: Sequence[PictureFacts]) -> dict[str, int] | None:
    """Cells by type, None where nobody has said where cells are."""
    known = [picture.cells for picture in pictures if picture.cells is not None]
    if not known:
        return None
    counts = Counter(box.cell_type for boxes in known for box in boxes)
    return {str(cell_type): counts[cell_type] for cell_type in CELL_TYPES}


def _median_sides(pictures: Sequence[PictureFacts]) -> dict[str, float]:
    originals = [picture for picture in pictures if not picture.is_augmented]
    cells = [box for picture in originals for box in whole_cells(picture)]
    sides = {
        str(cell_type): [side_of(box) for box in cells if box.cell_type == cell_type]
        for cell_type in CELL_TYPES
    }
    return {name: round(float(np.median(values)), 1) for name, values in sides.items() if values}


def _sizes(pictures: Sequence[PictureFacts]) -> dict[str, int]:
    counts = Counter(picture.image_shape for picture in pictures if picture.image_shape)
    return {f"{width}×{height}": number for (height, width), number in counts.most_common(10)}
