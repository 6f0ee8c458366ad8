"""Draw the images of the documents anew, from drawn smears only: no real data can be in them.

Run as ``python scripts/make_images.py``; it writes into docs/images. The same versions of NumPy
and OpenCV draw the same images.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import corners_of
from blood_cell_system.atomic_files import write_bytes
from blood_cell_system.datasets.synthetic import DrawnSmear, SmearSettings, draw_smear
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.overlay import draw_boxes, draw_overlay
from blood_cell_system.masks.ellipses import rasterize_ellipses
from blood_cell_system.masks.refine import stain_class_mask
from blood_cell_system.seeding import generator_for
from blood_cell_system.taxonomy import RBC

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
GALLERY = FOLDER / "gallery"
PANEL_SIZE = (480, 360)
JPEG_QUALITY = 85
# As in BCCD, where an annotator has boxed about half of the red cells.
BOXED_SHARE = 0.5


_USUAL = SmearSettings(shape=(360, 480), cell_diameter_px=64.0, stain="wright-giemsa")
SCENES = {
    "wright_giemsa": _USUAL,
    "giemsa_magenta": replace(_USUAL, stain="giemsa-magenta"),
    "giemsa_pink": replace(_USUAL, stain="giemsa-pink"),
    "azure": replace(_USUAL, stain="azure"),
    "malaria": replace(_USUAL, stain="giemsa-pink", malaria_share=0.3),
    "sickle": replace(_USUAL, sickle_share=0.3),
    "blasts": replace(
        _USUAL, white_cell_counts=(0.0, 0.0, 0.0, 1.0), white_kinds=("blast",), coverage=(0.3, 0.4)
    ),
    "crowded": replace(_USUAL, coverage=(0.8, 0.85), clumping=(0.8, 0.85)),
}
"""The gallery: name of the file, and how its smear is drawn."""


def main() -> None:
    """Draw all images."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    for number, (name, scene) in enumerate(SCENES.items()):
        drawn = draw_smear(scene, generator_for(number, "gallery"))
        panels = side_by_side([drawn.image, outlines(drawn)])
        quality = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
        _, data = cv2.imencode(".jpg", cv2.cvtColor(panels, cv2.COLOR_RGB2BGR), quality)
        write_bytes(GALLERY / f"{name}.jpg", data.tobytes())
    settings = SmearSettings(
        stain="wright-giemsa",
        cell_diameter_px=80.0,
        coverage=(0.5, 0.6),
        clumping=(0.3, 0.5),
        white_cell_counts=(0, 1),
        platelet_rate=3.0,
    )
    smear = draw_smear(settings, generator_for(1, "documents"))
    write_image(FOLDER / "outlines.png", side_by_side([smear.image, outlines(smear)]))
    write_image(FOLDER / "masks_from_boxes.png", side_by_side(masks_from_boxes(smear)))


def outlines(smear: DrawnSmear) -> NDArray[np.uint8]:
    """Every cell outlined in the colour of its type."""
    return draw_overlay(
        smear.image,
        smear.class_mask,
        label_image=smear.label_image,
        cell_types=[cell.cell_type for cell in smear.cells],
    )


def masks_from_boxes(smear: DrawnSmear) -> list[NDArray[np.uint8]]:
    """Boxes of some of the cells, and what the two mask methods make of them."""
    generator = generator_for(1, "boxed")
    boxed = [
        cell for cell in smear.cells if cell.cell_type != RBC or generator.random() < BOXED_SHARE
    ]
    ellipses = rasterize_ellipses(boxed, smear.class_mask.shape)
    stain = stain_class_mask(smear.image, boxed)
    return [
        draw_boxes(smear.image, corners_of(boxed), colour=(0, 90, 60)),
        draw_overlay(smear.image, ellipses),
        draw_overlay(smear.image, stain.class_mask),
    ]


def side_by_side(panels: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Lay images of one size beside each other, with a white line between them."""
    shown = [cv2.resize(panel, PANEL_SIZE, interpolation=cv2.INTER_AREA) for panel in panels]
    line = np.full((PANEL_SIZE[1], 6, 3), 255, dtype=np.uint8)
    parts = [part for panel in shown for part in (panel, line)]
    return np.concatenate(parts[:-1], axis=1)


if __name__ == "__main__":
    main()
