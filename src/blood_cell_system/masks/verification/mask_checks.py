"""Checks of one mask: its format, its size and how much of it is scored."""

from pathlib import Path

import numpy as np

from blood_cell_system.classes import NOT_SCORED, CellClass
from blood_cell_system.masks.mask_diagnosis import (
    LOSSY_SUFFIXES,
    MaskDiagnosis,
    MaskFault,
    fit_to_shape,
)
from blood_cell_system.masks.verification.findings import Finding, Severity

NOT_SCORED_LIMIT = 0.6
"""Share of not-scored pixels above which a picture teaches little."""

_FORMAT = "a pixel is (255, 0, 0), (0, 255, 0), (0, 0, 255) or, not scored, (0, 0, 0)"
_REMEDIES = {
    MaskFault.ZERO_ONE: "--fix multiplies by 255.",
    MaskFault.INDEX: "--fix turns the numbers into red, green and blue.",
    MaskFault.BLURRED: "--fix takes the strongest channel and scores no pixel in doubt. Save masks "
    "as PNG and scale them with nearest neighbour.",
    MaskFault.SEVERAL_CLASSES: "--fix scores no pixel with several classes.",
    MaskFault.TRANSPARENT: "--fix leaves the transparency out.",
    MaskFault.FOREIGN: f"Make the mask again: {_FORMAT}. --fix leaves the pair out.",
}


def check_mask(
    path: Path, stem: str, diagnosis: MaskDiagnosis, image_shape: tuple[int, ...] | None
) -> list[Finding]:
    """Check a mask that could be read.

    Parameters
    ----------
    path : Path
        Of the mask.
    stem : str
    diagnosis : MaskDiagnosis
    image_shape : tuple of int, or None
        ``(height, width)`` of the picture, where that is known.
    """
    findings = []

    def note(severity: Severity, check: str, message: str, remedy: str) -> None:
        findings.append(
            Finding(
                severity=severity,
                check=check,
                message=f"masks/{path.name} {message}",
                remedy=remedy,
                stems=(stem,),
            )
        )

    if diagnosis.fault is not None:
        remedy = _REMEDIES[diagnosis.fault]
        note(Severity.ERROR, str(diagnosis.fault), diagnosis.detail, remedy)
    elif path.suffix.lower() in LOSSY_SUFFIXES:
        note(
            Severity.WARNING,
            "lossy-mask-file",
            f"is a {path.suffix} file, which can blur classes each time it is saved",
            "Save masks as PNG; --fix does.",
        )
    class_mask = diagnosis.class_mask
    if class_mask is None:
        return findings
    if image_shape is not None and class_mask.shape != image_shape:
        is_fitting = fit_to_shape(class_mask, (image_shape[0], image_shape[1])) is not None
        turned = class_mask.shape == image_shape[::-1]
        note(
            Severity.ERROR,
            "mask-size",
            f"has (height, width) {class_mask.shape}, the picture {tuple(image_shape)}"
            + (": an exact multiple" if is_fitting else "")
            + ("; the mask seems to lie on its side" if turned else ""),
            "Make the mask again in the picture's size; --fix scales exact multiples and leaves "
            "other pairs out.",
        )
    findings_before_classes = len(findings)
    unscored_share = float(np.count_nonzero(class_mask == NOT_SCORED)) / class_mask.size
    if unscored_share == 1 and not diagnosis.is_black_gray:
        note(
            Severity.ERROR,
            "nothing-scored",
            "is black: no pixel has a class, so that the picture teaches nothing",
            f"Make the mask again: {_FORMAT}. --fix leaves the pair out.",
        )
    elif unscored_share > NOT_SCORED_LIMIT and not diagnosis.is_black_gray:
        note(
            Severity.WARNING,
            "mostly-not-scored",
            f"has no class on {unscored_share:.0%} of its pixels; expected {NOT_SCORED_LIMIT:.0%} "
            "at most",
            "If black was meant as background, paint it red (255, 0, 0).",
        )
    if len(findings) == findings_before_classes and not _has_cells(diagnosis):
        note(
            Severity.INFO,
            "no-cells",
            "has no cells, which is normal for some fields",
            "Nothing, when the picture shows none.",
        )
    return findings


def _has_cells(diagnosis: MaskDiagnosis) -> bool:
    mask = diagnosis.class_mask
    if mask is None or diagnosis.is_black_gray:
        return True
    return bool(((mask == CellClass.RBC) | (mask == CellClass.WBC)).any())
