"""Step 2: read a pair once, check what one picture can show, and keep its figures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import NOT_SCORED, NUM_CLASSES, CellClass
from blood_cell_system.datasets.prepared import Split, original_by_name
from blood_cell_system.errors import BloodCellError
from blood_cell_system.image_io import read_image, read_label_image
from blood_cell_system.masks.mask_diagnosis import MaskDiagnosis, MaskFault, diagnose_mask
from blood_cell_system.masks.verification.box_checks import check_boxes
from blood_cell_system.masks.verification.findings import Finding, Severity
from blood_cell_system.masks.verification.folder_survey import FolderSurvey
from blood_cell_system.masks.verification.mask_checks import check_mask
from blood_cell_system.same_fields.field_print import FieldPrint, field_print, hash_of_pixels

SMALLEST_SIDE_PX = 64
# Standard deviation of the gray values of a picture that shows nothing.
_BLANK_DEVIATION = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """What is known about a pair after reading it.

    Parameters
    ----------
    stem : str
    image_path, mask_path : Path
    split : Split or None
    source : str
    original : str
        Stem of what it is a copy of; its own stem for an original.
    cells : tuple of LabelledBox or None
    image_shape, mask_shape : tuple of int, or None
        ``(height, width)``; None when the file cannot be read or, for a mask, understood.
    mask_fault : MaskFault or None
    is_black_gray : bool
        The mask has one channel, all 0.
    class_pixels : ndarray of shape (4,), or None
        Pixels of background, RBC, WBC and not scored.
    field_print : FieldPrint or None
        What its field is known by; None when the picture cannot be read.
    mask_hash : str
        Of the decoded pixels; empty when unread.
    stain_gap, swapped_gap : float
        How much brighter background is than cells, in gray values, as the mask stands and with red
        and blue exchanged; NaN where there are not both.
    findings : tuple of Finding
    """

    stem: str
    image_path: Path
    mask_path: Path
    split: Split | None = None
    source: str = "unknown"
    original: str
    cells: tuple[LabelledBox, ...] | None = None
    image_shape: tuple[int, int] | None = None
    mask_shape: tuple[int, int] | None = None
    mask_fault: MaskFault | None = None
    is_black_gray: bool = False
    class_pixels: NDArray[np.int64] | None = None
    field_print: FieldPrint | None = None
    mask_hash: str = ""
    stain_gap: float = float("nan")
    swapped_gap: float = float("nan")
    findings: tuple[Finding, ...] = ()

    @property
    def is_augmented(self) -> bool:
        """Whether this is an augmented copy."""
        return self.original != self.stem

    @property
    def is_readable(self) -> bool:
        """Whether picture and mask could both be read and understood."""
        return self.image_shape is not None and self.mask_shape is not None


def measure_picture(survey: FolderSurvey, stem: str) -> PictureFacts:
    """Read a pair and check it; whatever is wrong becomes a finding."""
    findings: list[Finding] = []
    image = _read_picture(survey.images[stem], stem, findings)
    diagnosis = _read_mask(survey.masks[stem], stem, findings)
    if image is not None:
        findings += _check_image(image, stem)
        findings += _check_instances(survey, stem, image.shape[:2])
    class_mask = diagnosis.class_mask if diagnosis else None
    if diagnosis is not None:
        shape = image.shape[:2] if image is not None else None
        findings += check_mask(survey.masks[stem], stem, diagnosis, shape)
    boxes = survey.cells.get(stem)
    if boxes is not None and image is not None:
        findings += check_boxes(stem, boxes, image.shape[:2], class_mask)
    row = survey.rows.get(stem)
    by_name = stem if survey.rows else original_by_name(stem, survey.images)
    stain_gap, swapped_gap = _stain_gaps(image, class_mask)
    return PictureFacts(
        stem=stem,
        image_path=survey.images[stem],
        mask_path=survey.masks[stem],
        split=row.split if row else None,
        source=row.source if row else "unknown",
        original=(row.original if row else None) or by_name,
        cells=boxes,
        image_shape=None if image is None else (image.shape[0], image.shape[1]),
        mask_shape=None if class_mask is None else (class_mask.shape[0], class_mask.shape[1]),
        mask_fault=diagnosis.fault if diagnosis else None,
        is_black_gray=bool(diagnosis and diagnosis.is_black_gray),
        class_pixels=None if class_mask is None else count_classes(class_mask),
        field_print=None if image is None else field_print(image),
        mask_hash="" if class_mask is None else hash_of_pixels(class_mask),
        stain_gap=stain_gap,
        swapped_gap=swapped_gap,
        findings=tuple(findings),
    )


def count_classes(class_mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels of background, RBC, WBC and not scored."""
    counts = np.bincount(class_mask.ravel(), minlength=256)
    return np.array([*counts[:NUM_CLASSES], counts[NOT_SCORED]], dtype=np.int64)


def _read_picture(path: Path, stem: str, findings: list[Finding]) -> NDArray[np.uint8] | None:
    try:
        return read_image(path)
    except (BloodCellError, OSError) as error:
        findings.append(_unreadable(error, path, stem))
        return None


def _read_mask(path: Path, stem: str, findings: list[Finding]) -> MaskDiagnosis | None:
    try:
        return diagnose_mask(path)
    except (BloodCellError, OSError) as error:
        findings.append(_unreadable(error, path, stem))
        return None


def _unreadable(error: Exception, path: Path, stem: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        check="unreadable",
        message=_without_folder(error, path),
        remedy="Copy the file again from its source; --fix leaves the pair out.",
        stems=(stem,),
    )


def _without_folder(error: Exception, path: Path) -> str:
    return str(error).replace(str(path), f"{path.parent.name}/{path.name}")


def _check_image(image: NDArray[np.uint8], stem: str) -> list[Finding]:
    findings = []
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE_PX:
        findings.append(
            Finding(
                severity=Severity.WARNING,
                check="small-picture",
                message=f"{stem} is {width}×{height} px; expected {SMALLEST_SIDE_PX} or more each "
                "way",
                remedy="Use whole fields rather than cut-out cells.",
                stems=(stem,),
            )
        )
    if image[::2, ::2].std() < _BLANK_DEVIATION:
        findings.append(
            Finding(
                severity=Severity.WARNING,
                check="blank-picture",
                message=f"{stem} shows nothing: all its pixels are nearly equal",
                remedy="Take the picture again, or remove the pair.",
                stems=(stem,),
            )
        )
    return findings


def _check_instances(
    survey: FolderSurvey, stem: str, image_shape: tuple[int, ...]
) -> list[Finding]:
    path = survey.instances.get(stem)
    if path is None:
        return []
    try:
        shape = read_label_image(path).shape
        if shape == image_shape:
            return []
        message = f"instances/{path.name} has (height, width) {shape}, the picture {image_shape}"
    except (BloodCellError, OSError) as error:
        message = _without_folder(error, path)
    return [
        Finding(
            severity=Severity.ERROR,
            check="broken-instances",
            message=message,
            remedy="Make the label picture again, or remove it; --fix leaves it out.",
            stems=(stem,),
        )
    ]


def _stain_gaps(
    image: NDArray[np.uint8] | None, class_mask: NDArray[np.uint8] | None
) -> tuple[float, float]:
    """Brightness of background minus that of cells, as labelled and with red and blue exchanged."""
    nothing = float("nan"), float("nan")
    if image is None or class_mask is None or image.shape[:2] != class_mask.shape:
        return nothing
    green = image[::2, ::2, 1]
    classes = class_mask[::2, ::2]
    counts = np.bincount(classes.ravel(), minlength=256)[:NUM_CLASSES]
    sums = np.bincount(classes.ravel(), weights=green.ravel(), minlength=256)[:NUM_CLASSES]
    gaps = []
    for ground in (CellClass.BACKGROUND, CellClass.WBC):
        cells = counts.sum() - counts[ground]
        if counts[ground] == 0 or cells == 0:
            return nothing
        gaps.append(sums[ground] / counts[ground] - (sums.sum() - sums[ground]) / cells)
    return float(gaps[0]), float(gaps[1])
