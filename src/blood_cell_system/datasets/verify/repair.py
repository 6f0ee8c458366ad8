"""A repaired copy of a prepared folder: everything that can be put right without guessing.

1. Decide which images are left out, and why: unpaired, unreadable, not understood, there twice.
2. Write the others: images byte for byte, masks in the format, boxes with an area.
3. Write the manifest: copies in the split of their original, and the list of all changes.
"""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from blood_cell_system.annotation.clean import TINY_SIDE_PX, clip_box
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.datasets.prepared import ManifestRow
from blood_cell_system.datasets.verify.folder_checks import DuplicateGroup
from blood_cell_system.datasets.verify.image_checks import ImageFacts, is_outside, is_whole
from blood_cell_system.datasets.verify.mask_diagnosis import (
    LOSSY_SUFFIXES,
    MaskFault,
    diagnose_mask,
    fit_to_shape,
)
from blood_cell_system.datasets.verify.verification import VerificationReport
from blood_cell_system.errors import DatasetError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.image_file import copy_file, write_image
from blood_cell_system.imaging.image_folders import refuse_output_around
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.parallel import with_progress
from blood_cell_system.taxonomy import MaskClass
from blood_cell_system.wording import counted

# Of an image that is in several splits, the rarer use is kept.
_KEPT_FIRST = (Split.TEST, Split.VAL, Split.TRAIN, None)


def _left_out(report: VerificationReport) -> dict[str, str]:
    """Decide which images cannot be in a repaired copy; gives the reason by stem."""
    survey = report.survey
    left_out: dict[str, str] = {}
    for stem in sorted(survey.images.keys() ^ survey.masks.keys()):
        left_out[stem] = "it has no mask" if stem in survey.images else "it has no image"
    for image in report.images:
        why = _why_unusable(image)
        if image.stem in survey.doubled:
            why = "several files have this name"
        if why:
            left_out[image.stem] = why
    for group in report.duplicates:
        _leave_out_duplicates(group, report.images, left_out)
    return left_out


def _why_unusable(image: ImageFacts) -> str:
    if image.image_shape is None:
        return "the image cannot be read"
    if image.mask_shape is None or image.class_pixels is None:
        return "the mask cannot be read or understood"
    if image.class_pixels[:3].sum() == 0:
        return "no pixel of the mask has a class"
    blank = np.zeros(image.mask_shape, dtype=np.uint8)
    if fit_to_shape(blank, image.image_shape) is None:
        return "the mask is of another size, and no exact multiple"
    return ""


def _leave_out_duplicates(
    group: DuplicateGroup, images: Sequence[ImageFacts], left_out: dict[str, str]
) -> None:
    """Keep one of equal images, and those of one split of images that show nearly the same."""
    present = [image for image in group.images if image.stem not in left_out]
    if len(present) < 2 or not (group.is_exact or group.is_leak):
        return
    best = min(present, key=lambda p: (_KEPT_FIRST.index(p.split), p.is_augmented, p.stem))
    kind = "the same image as" if group.is_exact else "nearly the same as"
    for image in present:
        is_kept = image.stem == best.stem if group.is_exact else image.split == best.split
        if is_kept:
            continue
        left_out[image.stem] = f"{kind} {best.stem} ({best.split or 'no split'})"
        for copy in images:
            if copy.original == image.stem and copy.is_augmented:
                left_out.setdefault(copy.stem, f"a copy of {image.stem}, which is left out")


COMMAND = "verify --fix"

_OWN_DETAILS = frozenset({"format_version", "software_version", "command", "versions", "repairs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was done to one image."""

    stem: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairSummary:
    """What a repaired copy holds, and how it differs.

    Parameters
    ----------
    image_count : int
        Images of the copy.
    changes : tuple of Change
        Every difference, ordered by stem.
    """

    output: Path
    image_count: int
    changes: tuple[Change, ...]

    def to_text(self) -> str:
        """Say what was done, one change a line."""
        lines = [f"{change.stem}: {change.what}" for change in self.changes]
        end = (
            f"Repaired copy: {counted(self.image_count, 'image')}, "
            f"{counted(len(lines), 'change')}, in {self.output}"
        )
        return "\n".join([*lines, end])


def write_repaired_copy(root: Path, output: Path, report: VerificationReport) -> RepairSummary:
    """Write a copy of a prepared folder without the faults that can be repaired.

    Parameters
    ----------
    root : Path
        Never written to.
    output : Path
        A folder that does not exist, is empty, or holds a former repaired copy.
    report : VerificationReport
        Of ``root``.

    Raises
    ------
    SettingsError
        One of the folders lies in the other.
    OutputError
        The output cannot be written to, or holds something else.
    DatasetError
        Nothing is left that could be copied.
    """
    refuse_output_around(output, root, option="--fix")
    left_out = _left_out(report)
    kept = [image for image in report.images if image.stem not in left_out]
    if not kept:
        raise DatasetError(
            f"{root}: no image is left after leaving out the {len(left_out)} that cannot be "
            "repaired; expected at least one. See the findings for what each of them lacks."
        )
    with locked_folder(output, command=COMMAND):
        start_build(output, command=COMMAND, stems=[image.stem for image in kept])
        changes = [Change(stem=stem, what=f"left out: {why}") for stem, why in left_out.items()]
        files: set[str] = set()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            done: Iterable[tuple[list[str], list[Change]]] = pool.map(
                lambda image: _write_image(report, image, output), kept
            )
            for written, changed in with_progress(done, total=len(kept), description="Repairing"):
                files.update(written)
                changes += changed
        split_of = {image.stem: image.split for image in report.images}
        rows = []
        cells = {}
        for image in kept:
            split = split_of.get(image.original, image.split)
            if split != image.split:
                former, new = image.split or "no split", split or "no split"
                what = f"moved from {former} to {new}, where its original is"
                changes.append(Change(stem=image.stem, what=what))
            known = report.survey.rows.get(image.stem) or ManifestRow(stem=image.stem)
            changed_row = {"split": split, "source": image.source, "original": image.original}
            rows.append(known.model_copy(update=changed_row).to_json())
            if image.cells is not None:
                cells[image.stem], changed = _repaired_boxes(image)
                changes += changed
        changes.sort(key=lambda change: (change.stem, change.what))
        details = {k: v for k, v in report.survey.details.items() if k not in _OWN_DETAILS}
        details["repairs"] = [{"stem": change.stem, "what": change.what} for change in changes]
        finish_build(
            output, command=COMMAND, files=files, images=rows, cells=cells, details=details
        )
    return RepairSummary(output=output, image_count=len(kept), changes=tuple(changes))


def _write_image(
    report: VerificationReport, image: ImageFacts, output: Path
) -> tuple[list[str], list[Change]]:
    files = [f"images/{image.image_path.name}"]
    changes: list[Change] = []
    copy_file(image.image_path, output / files[0])
    mask_file, done = _write_mask(image, output)
    files.append(mask_file)
    changes += [Change(stem=image.stem, what=what) for what in done]
    instance_path = report.survey.instances.get(image.stem)
    if instance_path is not None:
        if any(finding.check == "broken-instances" for finding in image.findings):
            what = f"instances/{instance_path.name} left out"
            changes.append(Change(stem=image.stem, what=what))
        else:
            files.append(f"instances/{instance_path.name}")
            copy_file(instance_path, output / files[-1])
    return files, changes


def _write_mask(image: ImageFacts, output: Path) -> tuple[str, list[str]]:
    is_sound = (
        image.mask_fault is None
        and image.mask_shape == image.image_shape
        and image.mask_path.suffix.lower() not in LOSSY_SUFFIXES
    )
    if is_sound:
        copy_file(image.mask_path, output / "masks" / image.mask_path.name)
        return f"masks/{image.mask_path.name}", []
    diagnosis = diagnose_mask(image.mask_path)
    class_mask, image_shape = diagnosis.class_mask, image.image_shape
    if class_mask is None or image_shape is None:
        raise DatasetError(
            f"{image.mask_path}: can no longer be understood; expected the file that was "
            "verified. Run again while nothing else changes the folder."
        )
    what = []
    if diagnosis.fault is not None:
        what.append(f"mask {diagnosis.detail}: {_DONE[diagnosis.fault]}")
    if diagnosis.is_black_gray and image.mask_fault == MaskFault.INDEX:
        class_mask = np.full_like(class_mask, MaskClass.BACKGROUND)
        what.append("mask holds only the class number 0: written as background")
    fitted = fit_to_shape(class_mask, image_shape)
    if fitted is not None and class_mask.shape != image_shape:
        what.append(f"mask scaled from {class_mask.shape} to {image_shape}")
        class_mask = fitted
    name = f"masks/{image.stem}.png"
    write_image(output / name, encode_class_mask(class_mask))
    return name, what or [f"mask written as PNG in place of {image.mask_path.suffix}"]


_DONE = {
    MaskFault.ZERO_ONE: "multiplied by 255",
    MaskFault.INDEX: "written as red, green and blue",
    MaskFault.BLURRED: "strongest channel taken, pixels in doubt not scored",
    MaskFault.SEVERAL_CLASSES: "those pixels are not scored",
    MaskFault.TRANSPARENT: "written without transparency",
}


def _repaired_boxes(image: ImageFacts) -> tuple[list[Annotation], list[Change]]:
    height, width = image.image_shape or (0, 0)
    kept: list[Annotation] = []
    dropped = cut = 0
    for box in image.cells or ():
        is_useful = is_whole(box) and not is_outside(box, (height, width))
        inside = replace(box, box=clip_box(box.bounds, (height, width)))
        if not is_useful or min(inside.width, inside.height) <= TINY_SIDE_PX or inside in kept:
            dropped += 1
            continue
        cut += inside != box
        kept.append(inside)
    changes = []
    if dropped:
        what = (
            f"{counted(dropped, 'box', 'boxes')} left out (without area, tiny, outside or repeated)"
        )
        changes.append(Change(stem=image.stem, what=what))
    if cut:
        changes.append(
            Change(stem=image.stem, what=f"{counted(cut, 'box', 'boxes')} cut at the image's edge")
        )
    return kept, changes
