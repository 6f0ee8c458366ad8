"""Step 2: read a pair once, check what one image can show, and keep its figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.clean import DUPLICATE_IOU, TINY_SIDE_PX
from blood_cell_system.annotation.sample import Annotation, Origin, corners_of
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import pairwise_box_iou
from blood_cell_system.datasets.duplicates.groups import FieldPrint, field_print, hash_of_pixels
from blood_cell_system.datasets.prepared import original_by_name
from blood_cell_system.datasets.verify.checks import Finding, Region, finding
from blood_cell_system.datasets.verify.folder_survey import FolderSurvey
from blood_cell_system.datasets.verify.mask_diagnosis import (
    LOSSY_SUFFIXES,
    MaskDiagnosis,
    MaskFault,
    diagnose_mask,
    fit_to_shape,
)
from blood_cell_system.errors import BloodCellError
from blood_cell_system.imaging.damage import damage_of
from blood_cell_system.imaging.image_file import read_file_bytes, read_image, read_label_image
from blood_cell_system.taxonomy import (
    NOT_SCORED,
    NUM_CLASSES,
    MaskClass,
    Taxonomy,
)
from blood_cell_system.wording import counted

# A box may reach over the edge by this much: annotation programs round differently.
_EDGE_TOLERANCE_PX = 1.5
# A box says something about the mask only where the mask says something.
_SCORED_SHARE = 0.5
# An ellipse fills 0.79 of its box, and a white cell may cover most of a red one.
_CLASS_SHARE = 0.03


def _check_boxes(
    stem: str,
    boxes: Sequence[Annotation],
    image_shape: tuple[int, ...],
    class_mask: NDArray[np.uint8] | None,
    taxonomy: Taxonomy,
) -> list[Finding]:
    """Check the boxes of an image; a class mask of another size than the image is not compared."""
    height, width = image_shape
    broken, outside, over_edge, tiny = [], [], [], []
    sound: list[Annotation] = []
    for box in boxes:
        if not is_whole(box):
            broken.append(box)
        elif is_outside(box, image_shape):
            outside.append(box)
        elif min(box.width, box.height) <= TINY_SIDE_PX:
            tiny.append(box)
        else:
            sound.append(box)
            reach = max(-box.x_min, -box.y_min, box.x_max - width, box.y_max - height)
            # The size of a box around a person's point is a guess.
            if reach > _EDGE_TOLERANCE_PX and box.origin is not Origin.POINT:
                over_edge.append(box)
    found = [
        _finding("broken-box", "without area or inside out", stem, broken),
        _finding("box-outside", "outside the image", stem, outside),
        _finding("box-over-edge", "reaching over the edge of the image", stem, over_edge),
        _finding("tiny-box", f"of {TINY_SIDE_PX} px or less", stem, tiny),
        _finding(
            "duplicate-box",
            f"of one type over another (IoU above {DUPLICATE_IOU})",
            stem,
            _doubled(sound, taxonomy),
        ),
    ]
    if class_mask is not None and class_mask.shape == (height, width):
        found += [
            _finding(
                "box-without-mask",
                "where the mask has no pixel of that type",
                stem,
                [box for box in sound if _disagrees(box, class_mask, taxonomy)],
            ),
            _white_cells_without_box(stem, sound, class_mask, taxonomy),
        ]
    return [one for one in found if one is not None]


def is_whole(box: Annotation) -> bool:
    """Whether a box has finite corners and an area."""
    is_finite = all(map(math.isfinite, region_of(box)))
    return is_finite and box.width > 0 and box.height > 0


def is_outside(box: Annotation, image_shape: tuple[int, ...]) -> bool:
    """Whether a box has no point in common with the image."""
    height, width = image_shape
    return box.x_min >= width or box.y_min >= height or box.x_max <= 0 or box.y_max <= 0


def _finding(check: str, what: str, stem: str, boxes: Sequence[Annotation]) -> Finding | None:
    if not boxes:
        return None
    first = boxes[0]
    corners = ", ".join(f"{value:g}" for value in region_of(first))
    count = counted(len(boxes), "box", "boxes") if len(boxes) > 1 else "a box"
    others = " and others" if len(boxes) > 1 else ""
    message = f"{stem} has {count} {what}: {first.cell_type} [{corners}]{others}"
    return finding(check, message, stem, regions=tuple(region_of(box) for box in boxes))


def region_of(box: Annotation) -> Region:
    """Corners of a box as a finding holds them."""
    return (box.x_min, box.y_min, box.x_max, box.y_max)


def _doubled(boxes: Sequence[Annotation], taxonomy: Taxonomy) -> list[Annotation]:
    doubled = []
    for cell_type in taxonomy.names:
        same = [box for box in boxes if box.cell_type == cell_type]
        overlap = np.triu(pairwise_box_iou(corners_of(same), corners_of(same)), k=1)
        doubled += [same[index] for index in np.flatnonzero((overlap > DUPLICATE_IOU).any(axis=0))]
    return doubled


def _disagrees(box: Annotation, class_mask: NDArray[np.uint8], taxonomy: Taxonomy) -> bool:
    wanted = taxonomy[box.cell_type].mask_class
    if wanted == MaskClass.BACKGROUND:
        # Such cells, as platelets, are background in the mask, or lie on a red cell.
        return False
    left, top = max(0, round(box.x_min)), max(0, round(box.y_min))
    inside = class_mask[top : max(0, round(box.y_max)), left : max(0, round(box.x_max))]
    scored = np.count_nonzero(inside != NOT_SCORED)
    if inside.size == 0 or scored < _SCORED_SHARE * inside.size:
        return False
    return bool(np.count_nonzero(inside == wanted) < _CLASS_SHARE * scored)


def _white_cells_without_box(
    stem: str, boxes: Sequence[Annotation], class_mask: NDArray[np.uint8], taxonomy: Taxonomy
) -> Finding | None:
    """White cells of the mask that no box of any white cell touches.

    Those at the edge are passed over: many annotate no cell that the edge cuts.
    """
    height, width = class_mask.shape
    classes = taxonomy.mask_classes
    white = corners_of([box for box in boxes if classes[box.cell_type] == MaskClass.WBC])
    is_white = (class_mask == MaskClass.WBC).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(is_white)
    # Row 0 is everything that is not white; the last column is the area.
    places = stats[1:, :4].astype(np.float64)
    places = places[places[:, 2:].min(axis=1) > TINY_SIDE_PX]
    places[:, 2:] += places[:, :2]
    is_cut = (places[:, :2] <= 0).any(axis=1) | (places[:, 2:] >= (width, height)).any(axis=1)
    places = places[~is_cut]
    strays = places[~(pairwise_box_iou(places, white) > 0).any(axis=1)]
    if len(strays) == 0:
        return None
    left, top, right, bottom = strays[0]
    return finding(
        "mask-without-box",
        f"{stem}: no box marks {len(strays)} of the white cells in the mask, one at "
        f"[{left:g}, {top:g}, {right:g}, {bottom:g}]",
        stem,
        regions=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in strays),
    )


NOT_SCORED_LIMIT = 0.6
"""Share of not-scored pixels above which an image teaches little."""


def _check_mask(
    path: Path, stem: str, diagnosis: MaskDiagnosis, image_shape: tuple[int, ...] | None
) -> list[Finding]:
    """Check a mask that could be read; the shape is None where the image could not."""
    findings = []

    def note(check: str, message: str) -> None:
        findings.append(finding(check, f"masks/{path.name} {message}", stem))

    if diagnosis.fault is not None:
        note(str(diagnosis.fault), diagnosis.detail)
    elif path.suffix.lower() in LOSSY_SUFFIXES:
        what = f"is a {path.suffix} file, which can blur classes each time it is saved"
        note("lossy-mask-file", what)
    class_mask = diagnosis.class_mask
    if class_mask is None:
        return findings
    if image_shape is not None and class_mask.shape != image_shape:
        is_fitting = fit_to_shape(class_mask, (image_shape[0], image_shape[1])) is not None
        turned = class_mask.shape == image_shape[::-1]
        note(
            "mask-size",
            f"has (height, width) {class_mask.shape}, the image {tuple(image_shape)}"
            + (": an exact multiple" if is_fitting else "")
            + ("; the mask seems to lie on its side" if turned else ""),
        )
    findings_before_classes = len(findings)
    unscored_share = float(np.count_nonzero(class_mask == NOT_SCORED)) / class_mask.size
    if unscored_share == 1 and not diagnosis.is_black_gray:
        note("nothing-scored", "is black: no pixel has a class, so that the image teaches nothing")
    elif unscored_share > NOT_SCORED_LIMIT and not diagnosis.is_black_gray:
        note(
            "mostly-not-scored",
            f"has no class on {unscored_share:.0%} of its pixels; expected {NOT_SCORED_LIMIT:.0%} "
            "at most",
        )
    is_sound = len(findings) == findings_before_classes and not diagnosis.is_black_gray
    if is_sound and not np.isin(class_mask, (MaskClass.RBC, MaskClass.WBC)).any():
        note("no-cells", "has no cells, which is normal for some fields")
    return findings


SMALLEST_SIDE_PX = 64  # Smaller images are cut-out cells rather than fields.
# Standard deviation of the gray values of an image that shows nothing.
_BLANK_DEVIATION = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known about a pair after reading it.

    Parameters
    ----------
    original : str
        Stem of what it is a copy of; its own stem for an original.
    image_shape, mask_shape : tuple of int, or None
        ``(height, width)``; None when the file cannot be read or, for a mask, understood.
    is_black_gray : bool
        The mask has one channel, all 0.
    class_pixels : ndarray of shape (4,), or None
        Pixels of background, RBC, WBC and not scored.
    field_print : FieldPrint or None
        What its field is known by; None when the image cannot be read.
    mask_hash : str
        Of the decoded pixels; empty when unread.
    stain_gap, swapped_gap : float
        How much brighter background is than cells, in gray values, as the mask stands and with red
        and blue exchanged; NaN where there are not both.
    """

    stem: str
    image_path: Path
    mask_path: Path
    split: Split | None = None
    source: str = "unknown"
    original: str
    cells: tuple[Annotation, ...] | None = None
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


def measure_image(survey: FolderSurvey, stem: str) -> ImageFacts:
    """Read a pair and check it; whatever is wrong becomes a finding."""
    findings: list[Finding] = []
    image = _read_image(survey.images[stem], stem, findings)
    diagnosis = _read_mask(survey.masks[stem], stem, findings)
    if image is not None:
        findings += _check_image(image, stem)
        findings += _check_instances(survey, stem, image.shape[:2])
    class_mask = diagnosis.class_mask if diagnosis else None
    if diagnosis is not None:
        shape = image.shape[:2] if image is not None else None
        findings += _check_mask(survey.masks[stem], stem, diagnosis, shape)
    boxes = survey.cells.get(stem)
    if boxes is not None and image is not None:
        findings += _check_boxes(stem, boxes, image.shape[:2], class_mask, survey.taxonomy)
    row = survey.rows.get(stem)
    by_name = stem if survey.rows else original_by_name(stem, survey.images)
    stain_gap, swapped_gap = _stain_gaps(image, class_mask)
    class_pixels = None
    if class_mask is not None:
        counts = np.bincount(class_mask.ravel(), minlength=256)
        class_pixels = np.array([*counts[:NUM_CLASSES], counts[NOT_SCORED]], dtype=np.int64)
    return ImageFacts(
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
        class_pixels=class_pixels,
        field_print=None if image is None else field_print(image),
        mask_hash="" if class_mask is None else hash_of_pixels(class_mask),
        stain_gap=stain_gap,
        swapped_gap=swapped_gap,
        findings=tuple(findings),
    )


def _read_image(path: Path, stem: str, findings: list[Finding]) -> NDArray[np.uint8] | None:
    try:
        data = read_file_bytes(path)
        image = read_image(path, data=data)
        if damage := damage_of(path, data):
            findings.append(finding("damaged-image", f"{path}: is damaged: {damage}", stem))
        return image
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
    return finding("unreadable", _without_folder(error, path), stem)


def _without_folder(error: Exception, path: Path) -> str:
    return str(error).replace(str(path), f"{path.parent.name}/{path.name}")


def _check_image(image: NDArray[np.uint8], stem: str) -> list[Finding]:
    findings = []
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE_PX:
        findings.append(
            finding(
                "small-image",
                f"{stem} is {width}×{height} px; expected {SMALLEST_SIDE_PX} or more each way",
                stem,
            )
        )
    if image[::2, ::2].std() < _BLANK_DEVIATION:
        findings.append(
            finding("blank-image", f"{stem} shows nothing: all its pixels are nearly equal", stem)
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
        message = f"instances/{path.name} has (height, width) {shape}, the image {image_shape}"
    except (BloodCellError, OSError) as error:
        message = _without_folder(error, path)
    return [finding("broken-instances", message, stem)]


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
    for ground in (MaskClass.BACKGROUND, MaskClass.WBC):
        cells = counts.sum() - counts[ground]
        if counts[ground] == 0 or cells == 0:
            return nothing
        gaps.append(sums[ground] / counts[ground] - (sums.sum() - sums[ground]) / cells)
    return float(gaps[0]), float(gaps[1])
