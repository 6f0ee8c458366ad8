"""Small drawn smears with exact labels, and prepared folders of them to damage."""

from pathlib import Path

import cv2
import numpy as np

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import (
    write_annotations,
    write_manifest,
)
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import RBC, WBC

HEIGHT, WIDTH = 96, 128
_RADIUS = {RBC: 10, WBC: 16}
_COLOUR = {RBC: (205, 150, 150), WBC: (110, 70, 160)}


def draw_smear(
    seed: int, *, red: int = 6, white: int = 1
) -> tuple[np.ndarray, np.ndarray, list[Annotation]]:
    """Draw round cells apart from each other; return image, class mask and boxes."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), (228, 224, 226), dtype=np.float64)
    class_mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    boxes: list[Annotation] = []
    wanted = [WBC] * white + [RBC] * red
    for _ in range(1000):
        if len(boxes) == len(wanted):
            break
        cell_type = wanted[len(boxes)]
        radius = _RADIUS[cell_type] + int(rng.integers(-1, 2))
        x = int(rng.integers(radius + 5, WIDTH - radius - 5))
        y = int(rng.integers(radius + 5, HEIGHT - radius - 5))
        disc = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        cv2.circle(disc, (x, y), radius, 1, -1)
        if (class_mask[disc > 0] > 0).any():
            continue
        class_mask[disc > 0] = 2 if cell_type == WBC else 1
        image[disc > 0] = _COLOUR[cell_type]
        corners = (x - radius, y - radius, x + radius + 1, y + radius + 1)
        boxes.append(Annotation(cell_type=cell_type, box=Box(*map(float, corners))))
    image += rng.normal(0, 2, size=image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), class_mask, boxes


def write_smear(root: Path, stem: str, seed: int, **options: int) -> list[Annotation]:
    """Write one pair into a folder and return its boxes."""
    image, class_mask, boxes = draw_smear(seed, **options)
    write_image(root / "images" / f"{stem}.png", image)
    write_image(root / "masks" / f"{stem}.png", encode_class_mask(class_mask))
    return boxes


def write_prepared(root: Path, splits: dict[str, str | None], *, seed: int = 0) -> Path:
    """Write a sound prepared folder: ``splits`` names the split of each stem."""
    cells = {stem: write_smear(root, stem, seed + number) for number, stem in enumerate(splits)}
    write_annotations(root, cells)
    rows = [
        {"stem": stem, "split": split, "source": "drawn", "original": stem}
        for stem, split in splits.items()
    ]
    write_manifest(root, rows, {"command": "test"})
    return root


SOUND = {"a": "train", "b": "train", "c": "train", "d": "val", "e": "test"}


def write_sound_folder(root: Path) -> Path:
    """Write a prepared folder in which there is nothing to find."""
    return write_prepared(root, dict(SOUND))


def write_by_hand(root: Path, count: int = 4) -> Path:
    """Write images/ and masks/ alone, as a person makes them."""
    for number in range(count):
        write_smear(root, f"s{number}", number)
    return root
