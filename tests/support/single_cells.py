"""Single cells, drawn: pieces of smear, cell images, cell folders."""

from pathlib import Path

import cv2
import numpy as np

from blood_cell_system.datasets.cell_folder import CellRecord, write_cells_csv
from blood_cell_system.model_metadata import CELL_SIDE_PX

SLIDE = (240, 228, 222)
RED_CELL = (200, 140, 150)
CYTOPLASM = (170, 160, 205)
NUCLEUS = (80, 40, 130)


def piece_of_smear(side=120, *, slide=SLIDE, noise=1.5, seed=0):
    """An empty slide."""
    image = np.full((side, side, 3), slide, dtype=np.float64)
    image += np.random.default_rng(seed).normal(0, noise, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def draw_red_cell(image, x, y, radius, *, colour=RED_CELL, ratio=1.0, angle=0.0):
    axes = int(radius), int(radius * ratio)
    cv2.ellipse(image, (int(x), int(y)), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
    return image


def draw_white_cell(image, x, y, radius, *, nucleus_share=0.65):
    cv2.circle(image, (int(x), int(y)), int(radius), CYTOPLASM, -1, cv2.LINE_AA)
    cv2.circle(image, (int(x), int(y)), int(radius * nucleus_share), NUCLEUS, -1, cv2.LINE_AA)
    return image


def drawn_cell_image(colour=RED_CELL, *, ratio=1.0, spot=None):
    """RGBA of shape (130, 130, 4): an ellipse, with a dark spot where one is asked for."""
    image = np.full((CELL_SIDE_PX, CELL_SIDE_PX, 4), (255, 255, 255, 0), dtype=np.uint8)
    axes = 50, max(1, round(50 * ratio))
    cv2.ellipse(image, (65, 65), axes, 0, 0, 360, (*colour, 255), -1)
    if spot is not None:
        cv2.circle(image, (75, 60), 9, (*spot, 255), -1)
    return image


def write_rgba(path: Path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    bgra = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA)
    assert cv2.imwrite(str(path), bgra)


def write_red_cell_folder(root: Path, *, count=12, with_table=True, blocks=4, outliers=True):
    """A cell folder of three conditions from two sources, ``count`` cells each."""
    kinds = [
        ("healthy_RBC", "a", drawn_cell_image()),
        ("malaria_RBC", "a", drawn_cell_image(spot=NUCLEUS)),
        ("healthy_RBC", "b", drawn_cell_image((210, 150, 165))),
        ("sickle_RBC", "b", drawn_cell_image(ratio=0.3)),
    ]
    if outliers:
        kinds.append(("not_a_cell", "a", drawn_cell_image(NUCLEUS, ratio=0.8)))
    records = []
    for condition, source, image in kinds:
        for number in range(count):
            file = f"{condition}/{source}_{number:03d}.png"
            write_rgba(root / file, image)
            records.append(
                CellRecord(
                    file=file,
                    condition=None if condition == "not_a_cell" else condition,
                    is_outlier=condition == "not_a_cell",
                    source=source,
                    field=f"{source}{number}",
                    block=f"{source}/{number % blocks}",
                )
            )
    if with_table:
        write_cells_csv(root, records)
    return root
