"""Prepared folders of pairs of 2×2 pixels, and data sets that are on no disk."""

from pathlib import Path

import numpy as np

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    PreparedImage,
)
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import PLATELET

CLASS_MASK = np.array([[0, 1], [2, 255]], np.uint8)

BOX = Annotation(cell_type=PLATELET, box=Box(0.5, 0, 2, 1.25), origin=Origin.DRAWN)


def add_pair(root: Path, stem: str) -> None:
    write_image(root / "images" / f"{stem}.png", np.full((2, 2, 3), 200, np.uint8))
    write_image(root / "masks" / f"{stem}.png", encode_class_mask(CLASS_MASK))


def three_pairs(root: Path) -> Path:
    """Write a prepared folder of three pairs, as a person makes it by hand."""
    for stem in ("a", "b", "c"):
        add_pair(root, stem)
    return root


def row(stem: str, **others: str | None) -> dict[str, str | None]:
    return {"stem": stem, **others}


def by_stem(dataset: PreparedDataset) -> dict[str, PreparedImage]:
    return {image.stem: image for image in dataset.images}


def drawn(count: int, copies: int = 0, **splits: Split) -> PreparedDataset:
    """Make a data set of so many originals, each with its copies, that is on no disk."""
    names = [
        (f"p{number}{f'_aug{copy}' if copy else ''}", f"p{number}")
        for number in range(count)
        for copy in range(copies + 1)
    ]
    images = tuple(
        PreparedImage(
            stem=stem,
            image_path=Path(stem),
            mask_path=Path(stem),
            original=original,
            split=splits.get(stem),
        )
        for stem, original in sorted(names)
    )
    return PreparedDataset(root=Path("nowhere"), images=images)
