"""Prepared folders with one fault each, and what verifying finds in them."""

from pathlib import Path

import numpy as np
from PIL import Image
from support.labelled_smears import SOUND

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import write_manifest
from blood_cell_system.datasets.verify.checks import Finding
from blood_cell_system.datasets.verify.verification import VerificationReport
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask


def found(report: VerificationReport, check: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.check == check]


def checks(report: VerificationReport) -> set[str]:
    return {finding.check for finding in report.findings}


def rows(**changes: dict[str, str | None]) -> list[dict[str, str | None]]:
    return [
        {"stem": stem, "split": split, "source": "drawn", "original": stem} | changes.get(stem, {})
        for stem, split in SOUND.items()
    ]


def box(cell_type: str, *corners: float) -> Annotation:
    return Annotation(cell_type=cell_type, box=Box(*corners))


def copy_pair(root: Path, source: str, target: str, transform=lambda pixels: pixels) -> None:
    for folder in ("images", "masks"):
        pixels = np.asarray(Image.open(root / folder / f"{source}.png"))
        write_image(root / folder / f"{target}.png", np.ascontiguousarray(transform(pixels)))


def write_images(root: Path, **images: np.ndarray) -> Path:
    """Write a folder of images with masks of background alone, split as in ``SOUND``."""
    for stem, image in images.items():
        write_image(root / "images" / f"{stem}.png", np.ascontiguousarray(image))
        background = np.zeros(image.shape[:2], dtype=np.uint8)
        write_image(root / "masks" / f"{stem}.png", encode_class_mask(background))
    write_manifest(root, [row for row in rows() if row["stem"] in images], {})
    return root
