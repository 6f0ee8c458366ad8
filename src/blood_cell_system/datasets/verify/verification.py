"""Step 4: the report, and the images that deserve a look on one sheet."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.verify.checks import Finding, Severity, finding
from blood_cell_system.datasets.verify.folder_checks import (
    DuplicateGroup,
    check_classes,
    check_copies,
    check_magnifications,
    check_sizes,
    check_stain,
    class_pixels_by_split,
    duplicate_finding,
    find_duplicates,
    scored_shares,
    side_of,
    whole_cells,
)
from blood_cell_system.datasets.verify.folder_survey import FolderSurvey, survey_folder
from blood_cell_system.datasets.verify.image_checks import ImageFacts, measure_image
from blood_cell_system.datasets.verify.mask_diagnosis import MaskFault, diagnose_mask, fit_to_shape
from blood_cell_system.errors import BloodCellError
from blood_cell_system.imaging.contact_sheet import Tile, contact_sheet
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.imaging.overlay import draw_boxes, draw_overlay
from blood_cell_system.parallel import with_progress
from blood_cell_system.taxonomy import NOT_SCORED, MaskClass, Taxonomy

REPORT_VERSION = 1  # Of the JSON that --json writes.
_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """What verifying a folder has found.

    Parameters
    ----------
    findings : tuple of Finding
        The worst first.
    statistics : dict
        Counts and shares, ready for JSON.
    images : tuple of ImageFacts
        Every pair, ordered by stem.
    """

    root: Path
    findings: tuple[Finding, ...]
    statistics: dict[str, Any]
    survey: FolderSurvey
    images: tuple[ImageFacts, ...]
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
        for one in self.findings:
            groups.setdefault((one.severity, one.check), []).append(one)
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


def _statistics_of(images: Sequence[ImageFacts], taxonomy: Taxonomy) -> dict[str, Any]:
    pixels = class_pixels_by_split(images)
    present = {image.split for image in images}
    splits = [split for split in (*Split, None) if split in present]
    per_split: dict[str, Any] = {}
    for split in splits:
        members = [image for image in images if image.split == split]
        entry: dict[str, Any] = {
            "images": len(members),
            "augmented_copies": sum(image.is_augmented for image in members),
            "cells": _cells_per_type(members, taxonomy),
        }
        if split in pixels:
            entry |= _shares(pixels[split])
        per_split[str(split or "no split")] = entry
    everything = sum(pixels.values(), start=np.zeros(4, dtype=np.int64))
    return {
        "images": len(images),
        "splits": per_split,
        **_shares(everything),
        "cells": _cells_per_type(images, taxonomy),
        "median_cell_side_px": _median_sides(images, taxonomy),
        "image_sizes": _sizes(images),
    }


def _shares(class_pixels: NDArray[np.int64]) -> dict[str, Any]:
    shares = scored_shares(class_pixels)
    return {
        "class_shares": {c.name.lower(): round(float(shares[c]), 6) for c in MaskClass},
        "not_scored_share": round(float(class_pixels[3] / max(1, class_pixels.sum())), 6),
    }


def _cells_per_type(images: Sequence[ImageFacts], taxonomy: Taxonomy) -> dict[str, int] | None:
    """Cells by type, None where nobody has said where cells are."""
    known = [image.cells for image in images if image.cells is not None]
    if not known:
        return None
    counts = Counter(box.cell_type for boxes in known for box in boxes)
    return {name: counts[name] for name in taxonomy.names}


def _median_sides(images: Sequence[ImageFacts], taxonomy: Taxonomy) -> dict[str, float]:
    originals = [image for image in images if not image.is_augmented]
    cells = [box for image in originals for box in whole_cells(image)]
    sides = {
        name: [side_of(box) for box in cells if box.cell_type == name] for name in taxonomy.names
    }
    return {name: round(float(np.median(values)), 1) for name, values in sides.items() if values}


def _sizes(images: Sequence[ImageFacts]) -> dict[str, int]:
    counts = Counter(image.image_shape for image in images if image.image_shape)
    return {f"{width}×{height}": number for (height, width), number in counts.most_common(10)}


def verify_folder(root: Path, *, jobs: int | None = None) -> VerificationReport:
    """Check a prepared folder, in whatever state it is.

    Parameters
    ----------
    root : Path
        With images/ and masks/; instances/, annotations.json and manifest.json are checked where
        they are there.
    jobs : int, optional
        Images read at a time; as many as there are processors by default.

    Returns
    -------
    VerificationReport
        What is wrong with the folder becomes a finding, never an exception.

    Raises
    ------
    MissingDataError
        There is no such folder.
    """
    survey = survey_folder(Path(root))
    stems = survey.paired
    # Decoding and OpenCV let go of the interpreter, so threads are enough and need no copies.
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        measured: Iterable[ImageFacts] = pool.map(lambda stem: measure_image(survey, stem), stems)
        images = list(with_progress(measured, total=len(stems), description="Verifying"))
    # All-black gray masks are background among index masks; else nothing is scored.
    is_index = any(image.mask_fault == MaskFault.INDEX for image in images)
    images = [_resolved(i, is_index=is_index) if i.is_black_gray else i for i in images]
    duplicates = find_duplicates(images)
    findings = [
        *survey.findings,
        *(one for image in images for one in image.findings),
        *map(duplicate_finding, duplicates),
        *check_copies(images),
        *check_classes(images),
        *check_stain(images),
        *check_sizes(images),
        *check_magnifications(images),
    ]
    return VerificationReport(
        root=survey.root,
        findings=tuple(
            sorted(
                findings,
                key=lambda f: (_SEVERITIES.index(f.severity), f.check, f.stems, f.message),
            )
        ),
        statistics=_statistics_of(images, survey.taxonomy),
        survey=survey,
        images=tuple(images),
        duplicates=duplicates,
    )


def _resolved(image: ImageFacts, *, is_index: bool) -> ImageFacts:
    name = image.mask_path.name
    if not is_index or image.class_pixels is None:
        one = finding(
            "nothing-scored",
            f"masks/{name} is black: no pixel has a class, so that the image teaches nothing",
            image.stem,
        )
        return replace(image, findings=(*image.findings, one))
    class_pixels = np.zeros_like(image.class_pixels)
    class_pixels[MaskClass.BACKGROUND] = image.class_pixels.sum()
    one = finding(
        str(MaskFault.INDEX),
        f"masks/{name} holds only the class number 0 in one channel, as other masks here "
        "hold numbers",
        image.stem,
    )
    return replace(
        image,
        mask_fault=MaskFault.INDEX,
        class_pixels=class_pixels,
        findings=(*image.findings, one),
    )


# An error weighs as much as ten warnings.
_WEIGHTS = {Severity.ERROR: 100, Severity.WARNING: 10, Severity.INFO: 0}
# More images than this in one finding say something about the folder, not about each image.
_FEW_IMAGES = 12


def overlay_sheet(report: VerificationReport, *, at_most: int = 24) -> NDArray[np.uint8]:
    """Draw the images of a report, the most suspicious first, and then some usual ones.

    Parameters
    ----------
    at_most : int
        Number of images.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
    """
    by_stem: defaultdict[str, list[Finding]] = defaultdict(list)
    for one in report.findings:
        for stem in one.stems if len(one.stems) <= _FEW_IMAGES else ():
            by_stem[stem].append(one)
    stems = _chosen(report.survey, by_stem, at_most)
    title = (
        f"{report.root.name}: {report.count(Severity.ERROR)} errors, "
        f"{report.count(Severity.WARNING)} warnings; hatched is not scored"
    )
    tiles = [_tile(report, stem, by_stem[stem]) for stem in stems]
    return contact_sheet(tiles, columns=4, tile_width=360, title=title)


def _chosen(survey: FolderSurvey, by_stem: dict[str, list[Finding]], at_most: int) -> list[str]:
    weights = {
        stem: sum(_WEIGHTS[finding.severity] for finding in findings)
        for stem, findings in by_stem.items()
        if stem in survey.images
    }
    suspicious = [stem for stem, weight in weights.items() if weight]
    # Images of one finding, a pair of duplicates for instance, stand side by side.
    suspicious.sort(key=lambda s: (-weights[s], by_stem[s][0].check, by_stem[s][0].stems, s))
    usual = sorted(survey.images.keys() - set(suspicious))
    room = max(0, at_most - len(suspicious))
    spread = np.linspace(0, len(usual) - 1, num=min(room, len(usual))).round().astype(int)
    return [*suspicious[:at_most], *(usual[index] for index in spread)]


def _tile(report: VerificationReport, stem: str, findings: list[Finding]) -> Tile:
    row = report.survey.rows.get(stem)
    split = f" ({row.split})" if row and row.split else ""
    checks = dict.fromkeys(finding.check for finding in findings)
    regions = [region for finding in findings for region in finding.regions]
    image = _overlay(report.survey, stem)
    boxes = np.array(regions, dtype=np.float64).reshape(-1, 4)
    return Tile(
        image=draw_boxes(image, boxes),
        caption=f"{stem}{split}\n{', '.join(checks)}",
        is_bad=any(finding.severity == Severity.ERROR for finding in findings),
    )


def _overlay(survey: FolderSurvey, stem: str) -> NDArray[np.uint8]:
    """Image with what of its mask can be understood; gray where it cannot be read."""
    try:
        image = read_image(survey.images[stem])
    except (BloodCellError, OSError):
        return np.full((240, 320, 3), 160, dtype=np.uint8)
    unknown = np.full(image.shape[:2], NOT_SCORED, dtype=np.uint8)
    try:
        class_mask = diagnose_mask(survey.masks[stem]).class_mask if stem in survey.masks else None
    except (BloodCellError, OSError):
        class_mask = None
    if class_mask is not None and class_mask.shape != image.shape[:2]:
        class_mask = fit_to_shape(class_mask, (image.shape[0], image.shape[1]))
    return draw_overlay(image, unknown if class_mask is None else class_mask)
