"""Miniatures of the collections that have a manifest."""

import csv
from pathlib import Path

import numpy as np
from support.single_cells import draw_red_cell, draw_white_cell, piece_of_smear

from blood_cell_system.imaging.image_file import write_image


def write_table(path: Path, header: str, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def white_cell_image(seed=0):
    image = draw_white_cell(piece_of_smear(160, seed=seed), 80, 80, 32)
    return draw_red_cell(draw_red_cell(image, 25, 30, 18), 135, 30, 18)


def red_cell_on_black(seed=0):
    image = np.zeros((90, 90, 3), np.uint8)
    return draw_red_cell(image, 45, 45, 40 - seed % 3)


def red_cell_image(seed=0):
    return draw_red_cell(piece_of_smear(120, seed=seed), 60, 60, 30)


def write_collection(root: Path, classes, draw, *, count=2, cells=None) -> Path:
    """``count`` images of each class, each in a group of its own, and cells where there are any."""
    rows = []
    for label in classes:
        for number in range(count):
            file = f"{label}/{label}_{number}.png"
            write_image(root / file, draw(number))
            rows.append((file, label, f"group{number}", "somewhere"))
    write_table(root / "manifest.csv", "file,class,group,source", rows)
    if cells is not None:
        marks = [(file, *place, label) for file, label, *_ in rows for place in cells]
        write_table(root / "cells.csv", "file,x,y,w,h,class", marks)
    return root
