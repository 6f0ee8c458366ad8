"""Verify a prepared folder: every check, over every picture."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from blood_cell_system.classes import CellClass
from blood_cell_system.masks.mask_diagnosis import MaskFault
from blood_cell_system.masks.verification.duplicate_checks import check_duplicates, find_duplicates
from blood_cell_system.masks.verification.findings import Finding, Severity
from blood_cell_system.masks.verification.folder_survey import survey_folder
from blood_cell_system.masks.verification.picture_facts import PictureFacts, measure_picture
from blood_cell_system.masks.verification.report import (
    VerificationReport,
    statistics_of,
    worst_first,
)
from blood_cell_system.masks.verification.size_checks import check_sizes
from blood_cell_system.masks.verification.split_checks import (
    check_classes,
    check_copies,
    check_stain,
)
from blood_cell_system.progress import with_progress


def verify_folder(root: Path, *, jobs: int | None = None) -> VerificationReport:
    """Check a prepared folder, in whatever state it is.

    Parameters
    ----------
    root : Path
        With images/ and masks/; instances/, annotations.json and manifest.json are checked where
        they are there.
    jobs : int, optional
        Pictures read at a time; as many as there are processors by default.

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
        measured: Iterable[PictureFacts] = pool.map(
            lambda stem: measure_picture(survey, stem), stems
        )
        pictures = list(with_progress(measured, total=len(stems), description="Verifying"))
    pictures = _resolve_black_masks(pictures)
    duplicates = find_duplicates(pictures)
    findings = [
        *survey.findings,
        *(finding for picture in pictures for finding in picture.findings),
        *check_duplicates(duplicates),
        *check_copies(pictures),
        *check_classes(pictures),
        *check_stain(pictures),
        *check_sizes(pictures),
    ]
    return VerificationReport(
        root=survey.root,
        findings=worst_first(findings),
        statistics=statistics_of(pictures),
        survey=survey,
        pictures=tuple(pictures),
        duplicates=duplicates,
    )


def _resolve_black_masks(pictures: list[PictureFacts]) -> list[PictureFacts]:
    """Decide about all-black gray masks: background among index masks, else nothing scored."""
    has_index_masks = any(picture.mask_fault == MaskFault.INDEX for picture in pictures)
    return [
        _resolved(picture, is_index=has_index_masks) if picture.is_black_gray else picture
        for picture in pictures
    ]


def _resolved(picture: PictureFacts, *, is_index: bool) -> PictureFacts:
    name = picture.mask_path.name
    if not is_index or picture.class_pixels is None:
        finding = Finding(
            severity=Severity.ERROR,
            check="nothing-scored",
            message=f"masks/{name} is black: no pixel has a class, so that the picture teaches "
            "nothing",
            remedy="Make the mask again, background in red (255, 0, 0). --fix leaves the pair out.",
            stems=(picture.stem,),
        )
        return replace(picture, findings=(*picture.findings, finding))
    class_pixels = np.zeros_like(picture.class_pixels)
    class_pixels[CellClass.BACKGROUND] = picture.class_pixels.sum()
    finding = Finding(
        severity=Severity.ERROR,
        check=str(MaskFault.INDEX),
        message=f"masks/{name} holds only the class number 0 in one channel, as other masks here "
        "hold numbers",
        remedy="--fix turns the numbers into red, green and blue.",
        stems=(picture.stem,),
    )
    return replace(
        picture,
        mask_fault=MaskFault.INDEX,
        class_pixels=class_pixels,
        findings=(*picture.findings, finding),
    )
