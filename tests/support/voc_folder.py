"""A miniature of BCCD with its real folder structure, drawn and written by the test."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from blood_cell_system.imaging.image_file import write_image

VocBox = tuple[str, float, float, float, float]

# Of three images, one a split.
SPLITS = {"train": ["pic_0"], "val": ["pic_1"], "test": ["pic_2"]}
BOXES: tuple[VocBox, ...] = (
    ("RBC", 6, 6, 25, 25),
    ("RBC", 31, 11, 50, 30),
    ("WBC", 56, 21, 85, 50),
    ("Platelets", 10, 45, 17, 52),
)
SHAPE = (60, 96)


def voc_xml(
    boxes: Iterable[VocBox] = BOXES, *, shape: tuple[int, int] | None = SHAPE, more: str = ""
) -> str:
    size = f"<size><width>{shape[1]}</width><height>{shape[0]}</height></size>" if shape else ""
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, x0, y0, x1, y1 in boxes
    )
    return f"<annotation>{size}{objects}{more}</annotation>"


def smear_image(boxes: Iterable[VocBox] = BOXES, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    image = np.full((*shape, 3), (235, 228, 230), dtype=np.uint8)
    colours = {"RBC": (205, 140, 150), "WBC": (110, 70, 150), "Platelets": (150, 100, 170)}
    for label, x0, y0, x1, y1 in boxes:
        centre = round((x0 + x1) / 2 - 1), round((y0 + y1) / 2 - 1)
        axes = int(abs(x1 - x0) / 2), int(abs(y1 - y0) / 2)
        cv2.ellipse(image, centre, axes, 0, 0, 360, colours.get(label, (0, 0, 0)), -1)
    return image


def write_voc_folder(
    root: Path,
    *,
    boxes: Iterable[VocBox] = BOXES,
    splits: Mapping[str, list[str]] = SPLITS,
) -> Path:
    """Write ``root/BCCD`` with an image for every stem of the splits; return that folder."""
    folder = root / "BCCD"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    boxes = tuple(boxes)
    for split, stems in splits.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(stems) + "\n")
        for stem in stems:
            add_image(folder, stem, boxes)
    return folder


def add_image(folder: Path, stem: str, boxes: Iterable[VocBox] = BOXES) -> None:
    boxes = tuple(boxes)
    write_image(folder / "JPEGImages" / f"{stem}.jpg", smear_image(boxes))
    (folder / "Annotations" / f"{stem}.xml").write_text(voc_xml(boxes))
