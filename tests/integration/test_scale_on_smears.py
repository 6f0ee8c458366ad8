import csv
import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.analysis.quality import assess
from blood_cell_system.analysis.scale import estimate_diameter, estimate_scale
from blood_cell_system.analysis.survey import find_field, survey
from blood_cell_system.imaging.image_file import read_image

DATA = os.environ.get("BLOOD_CELL_DATA")

pytestmark = [
    pytest.mark.bccd,
    pytest.mark.skipif(DATA is None, reason="BLOOD_CELL_DATA names no folder of data"),
]

IMAGES = 25


def bccd_boxes(root):
    boxes = json.loads((root / "bccd_trainval_extra/complete_boxes.json").read_text())
    for stem, objects in boxes.items():
        cells = [entry["bbox"] for entry in objects if entry["class"] == "RBC"]
        yield root / f"BCCD_Dataset/BCCD/JPEGImages/{stem}.jpg", np.array(cells)


def kaggle_boxes(root):
    cells = defaultdict(list)
    with (root / "bcdd_kaggle/annotations.csv").open() as file:
        for row in csv.DictReader(file):
            if row["label"] == "rbc":
                corners = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
                cells[row["image"]].append(np.multiply(corners, 256))
    for name, corners in cells.items():
        yield root / "bcdd_kaggle/images" / name, np.array(corners)


def malaria_boxes(root):
    for entry in json.loads((root / "iml_malaria/annotations.json").read_text()):
        boxes = [
            [float(item["bbox"][key]) for key in "xywh"]
            for item in entry["objects"]
            if item["type"] == "red blood cell"
        ]
        corners = np.array(boxes).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        yield root / "iml_malaria/images" / entry["image_name"], corners


@pytest.mark.slow
@pytest.mark.parametrize("boxes", [bccd_boxes, kaggle_boxes, malaria_boxes])
def test_the_size_of_red_cells_is_found_and_no_smear_is_flagged(boxes):
    errors, flagged = [], []
    images = [item for item in boxes(Path(DATA)) if item[0].is_file()]
    for path, corners in images[:: max(1, len(images) // IMAGES)]:
        image = read_image(path)
        height, width = image.shape[:2]
        inner = (corners[:, :2] > 2).all(axis=1) & (corners[:, 2:] < (width - 2, height - 2)).all(
            axis=1
        )
        if inner.sum() < 3:
            continue
        sides = corners[inner, 2:] - corners[inner, :2]
        field = find_field(image)
        view = survey(image, field)
        vote = estimate_diameter(image, field, first=view)
        quality = assess(view, scale=estimate_scale(vote), vote=vote, judged_share=1.0)
        errors.append(abs(vote.diameter_px / np.median(np.sqrt(sides.prod(axis=1))) - 1))
        flagged += [path.name] if quality.warnings else []
    assert np.median(errors) <= 0.10
    assert np.mean(np.array(errors) > 0.25) <= 0.05
    assert len(flagged) <= 1


@pytest.mark.parametrize("stem", ["00011", "00106", "00275"])
def test_the_size_of_red_cells_does_not_depend_on_the_last_row_and_column(stem):
    image = read_image(Path(DATA) / f"BCCD_Dataset/BCCD/JPEGImages/BloodImage_{stem}.jpg")
    whole, *parts = (
        estimate_diameter(seen, find_field(seen)).diameter_px
        for seen in map(np.ascontiguousarray, (image, image[1:, 1:], image[:-1, :-1]))
    )
    assert np.mean([abs(part / whole - 1) for part in parts]) < 0.011
