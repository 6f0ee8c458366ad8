"""Step 4: the pictures that deserve a look, on one sheet."""

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import NOT_SCORED
from blood_cell_system.drawing.contact_sheet import Tile, contact_sheet
from blood_cell_system.drawing.overlay import draw_boxes, draw_overlay
from blood_cell_system.errors import BloodCellError
from blood_cell_system.image_io import read_image
from blood_cell_system.masks.mask_diagnosis import diagnose_mask, fit_to_shape
from blood_cell_system.masks.verification.findings import Finding, Severity
from blood_cell_system.masks.verification.folder_survey import FolderSurvey
from blood_cell_system.masks.verification.report import VerificationReport

_WEIGHTS = {Severity.ERROR: 100, Severity.WARNING: 10, Severity.INFO: 0}
# More pictures than this in one finding say something about the folder, not about each picture.
_FEW_PICTURES = 12


def overlay_sheet(report: VerificationReport, *, at_most: int = 24) -> NDArray[np.uint8]:
    """Draw the pictures of a report, the most suspicious first, and then some usual ones.

    Parameters
    ----------
    report : VerificationReport
    at_most : int
        Number of pictures.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
    """
    by_stem: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        for stem in finding.stems if len(finding.stems) <= _FEW_PICTURES else ():
            by_stem[stem].append(finding)
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
    # Pictures of one finding, a pair of duplicates for instance, stand side by side.
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
    picture = _overlay(report.survey, stem)
    boxes = np.array(regions, dtype=np.float64).reshape(-1, 4)
    return Tile(
        picture=draw_boxes(picture, boxes),
        caption=f"{stem}{split}\n{', '.join(checks)}",
        is_bad=any(finding.severity == Severity.ERROR for finding in findings),
    )


def _overlay(survey: FolderSurvey, stem: str) -> NDArray[np.uint8]:
    """Picture with what of its mask can be understood; gray where it cannot be read."""
    image = _read_or_none(survey.images[stem])
    if image is None:
        return np.full((240, 320, 3), 160, dtype=np.uint8)
    unknown = np.full(image.shape[:2], NOT_SCORED, dtype=np.uint8)
    try:
        class_mask = diagnose_mask(survey.masks[stem]).class_mask if stem in survey.masks else None
    except (BloodCellError, OSError):
        class_mask = None
    if class_mask is not None and class_mask.shape != image.shape[:2]:
        class_mask = fit_to_shape(class_mask, (image.shape[0], image.shape[1]))
    return draw_overlay(image, unknown if class_mask is None else class_mask)


def _read_or_none(path: Path) -> NDArray[np.uint8] | None:
    try:
        return read_image(path)
    except (BloodCellError, OSError):
        return None
