"""Miniatures of the collections that the classifiers learned from, with their real layout."""

import json
from pathlib import Path

from support.single_cells import draw_red_cell, draw_white_cell, piece_of_smear
from support.voc_folder import write_voc_folder

from blood_cell_system.imaging.image_file import write_image

_STAGES = ("ring", "trophozoite", "schizont", "gametocyte", "difficult")
_PLACES = ((30, 30), (90, 30), (30, 90), (90, 90))


def field_of_red_cells(seed=0):
    """Four red cells of radius 18, each in a box of 40 px around one of ``_PLACES``."""
    image = piece_of_smear(120, seed=seed)
    for x, y in _PLACES:
        draw_red_cell(image, x, y, 18)
    return image


def write_iml(root: Path, *, count=12) -> Path:
    entries = []
    for number in range(count):
        name = f"PA{100 + number}.JPG"
        write_image(root / "images" / f"PA{100 + number}.jpg", field_of_red_cells(number))
        labels = ("red blood cell",) * 3 + (_STAGES[number % len(_STAGES)],)
        objects = [
            {"type": label, "bbox": {"x": str(x - 20), "y": str(y - 20), "h": "40", "w": "40"}}
            for label, (x, y) in zip(labels, _PLACES, strict=True)
        ]
        entries.append({"image_name": name, "objects": objects})
    (root / "annotations.json").write_text(json.dumps(entries))
    return root


def write_uganda(root: Path, *, count=3) -> Path:
    boxes = {}
    for number in range(1, count + 1):
        image = piece_of_smear(120, seed=number)
        draw_red_cell(image, 60, 60, 24, ratio=0.3, angle=30)
        write_image(root / "positive" / f"{number}.jpg", image)
        write_image(root / "negative" / f"{number}.jpg", field_of_red_cells(number))
        boxes[f"{number}.jpg"] = [[36, 44, 84, 76]]
    (root / "sickle_boxes.json").write_text(json.dumps(boxes))
    return root


def write_pbc(root: Path, *, count=2, folders=("neutrophil", "ig", "platelet")) -> Path:
    for folder in folders:
        for number in range(count):
            image = piece_of_smear(160, seed=number)
            if folder == "platelet":
                draw_white_cell(image, 80, 80, 9, nucleus_share=1)
            else:
                draw_white_cell(image, 80, 80, 32)
            draw_red_cell(image, 25, 30, 18)
            write_image(root / folder / f"{folder[:2].upper()}_{number}.jpg", image)
    return root


def write_taleqani(root: Path, *, count=2, folders=("Benign", "Early", "Pre", "Pro")) -> Path:
    for folder in folders:
        for number in range(count):
            image = piece_of_smear(200, seed=number)
            draw_white_cell(image, 60, 70, 20, nucleus_share=0.9)
            draw_white_cell(image, 140, 120, 20, nucleus_share=0.9)
            draw_red_cell(image, 40, 150, 14)
            draw_red_cell(image, 150, 40, 14)
            write_image(root / folder / f"WBC-{folder}-{number:03d}.jpg", image)
    return root


def write_bccd(root: Path) -> tuple[Path, Path]:
    """A clone of BCCD of three images, and its extras about the first two."""
    write_voc_folder(root / "BCCD_Dataset")
    extra = root / "bccd_trainval_extra"
    extra.mkdir()
    complete = {
        "pic_0": [
            {"class": "RBC", "bbox": [5, 5, 25, 25]},
            {"class": "WBC", "bbox": [55, 20, 85, 50]},
            {"class": "Platelets", "bbox": [9, 44, 17, 52]},
        ]
    }
    (extra / "complete_boxes.json").write_text(json.dumps(complete))
    (extra / "wbc_types.json").write_text(json.dumps({"pic_0": "basophil", "pic_1": "monocyte"}))
    return root / "BCCD_Dataset", extra


def write_collections(root: Path) -> Path:
    """All of them in one folder, as a recipe wants them."""
    write_iml(root / "iml_malaria")
    write_uganda(root / "uganda_sickle")
    write_pbc(root / "pbc_wbc_types")
    write_taleqani(root / "taleqani_all")
    write_bccd(root)
    return root
