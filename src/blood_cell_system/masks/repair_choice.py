"""Which pictures a repaired copy leaves out, and why."""

from collections.abc import Sequence

import numpy as np

from blood_cell_system.datasets.prepared import Split
from blood_cell_system.masks.mask_diagnosis import fit_to_shape
from blood_cell_system.masks.verification.duplicate_checks import DuplicateGroup
from blood_cell_system.masks.verification.picture_facts import PictureFacts
from blood_cell_system.masks.verification.report import VerificationReport

# Of a picture that is in several splits, the rarer use is kept.
_KEPT_FIRST = (Split.TEST, Split.VAL, Split.TRAIN, None)


def pictures_to_leave_out(report: VerificationReport) -> dict[str, str]:
    """Decide which pictures cannot be in a repaired copy.

    Returns
    -------
    dict of str to str
        The reason by stem.
    """
    survey = report.survey
    left_out: dict[str, str] = {}
    for stem in sorted(survey.images.keys() ^ survey.masks.keys()):
        left_out[stem] = "it has no mask" if stem in survey.images else "it has no picture"
    for picture in report.pictures:
        why = _why_unusable(picture)
        if picture.stem in survey.doubled:
            why = "several files have this name"
        if why:
            left_out[picture.stem] = why
    for group in report.duplicates:
        _leave_out_duplicates(group, report.pictures, left_out)
    return left_out


def _why_unusable(picture: PictureFacts) -> str:
    if picture.image_shape is None:
        return "the picture cannot be read"
    if picture.mask_shape is None or picture.class_pixels is None:
        return "the mask cannot be read or understood"
    if picture.class_pixels[:3].sum() == 0:
        return "no pixel of the mask has a class"
    shape = picture.mask_shape
    if shape != picture.image_shape:
        blank = np.zeros(shape, dtype=np.uint8)
        if fit_to_shape(blank, picture.image_shape) is None:
            return "the mask is of another size, and no exact multiple"
    return ""


def _leave_out_duplicates(
    group: DuplicateGroup, pictures: Sequence[PictureFacts], left_out: dict[str, str]
) -> None:
    """Keep one of equal pictures, and those of one split of pictures that show nearly the same."""
    present = [picture for picture in group.pictures if picture.stem not in left_out]
    if len(present) < 2 or not (group.is_exact or group.is_leak):
        return
    best = min(present, key=lambda p: (_KEPT_FIRST.index(p.split), p.is_augmented, p.stem))
    kind = "the same picture as" if group.is_exact else "nearly the same as"
    for picture in present:
        is_kept = picture.stem == best.stem if group.is_exact else picture.split == best.split
        if is_kept:
            continue
        left_out[picture.stem] = f"{kind} {best.stem} ({best.split or 'no split'})"
        for copy in pictures:
            if copy.original == picture.stem and copy.is_augmented:
                left_out.setdefault(copy.stem, f"a copy of {picture.stem}, which is left out")
