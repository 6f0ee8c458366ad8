from dataclasses import replace

import numpy as np
import pytest
from support.stained_images import (
    CYTOPLASM,
    NUCLEUS,
    RED_CELL,
    box,
    disc,
    draw_field,
    iou,
)

from blood_cell_system.annotation.clean import clip_box
from blood_cell_system.masks.red_cells import appearance_of_red_cells, red_share_of
from blood_cell_system.masks.white_cells import outline_white_cell
from blood_cell_system.stain.optical_density import GREEN, optical_density

SHAPE = (200, 260)


def outline(parts, white, red_cells=()):
    density = optical_density(draw_field(SHAPE, parts, noise=2))
    look = appearance_of_red_cells(
        density, density[:, :, GREEN] > 0.08, red_share_of(density), [white, *red_cells]
    )
    found = outline_white_cell(density, white, look)
    assert found is not None
    rows, columns, inside = found
    mask = np.zeros(SHAPE, dtype=bool)
    mask[rows, columns] = inside
    return mask


def test_cytoplasm_belongs_to_the_cell_and_the_air_in_the_box_does_not():
    cell = disc(SHAPE, 120, 100, 45)
    parts = [(cell, CYTOPLASM), (disc(SHAPE, 128, 96, 24), NUCLEUS)]
    assert iou(outline(parts, box("WBC", 120, 100, 45, air=8)), cell) > 0.93


def test_a_red_cell_that_touches_is_left_outside():
    cell, red = disc(SHAPE, 110, 100, 45), disc(SHAPE, 188, 100, 32) | disc(SHAPE, 110, 20, 33)
    parts = [
        (red, RED_CELL),
        (disc(SHAPE, 40, 170, 25), RED_CELL),
        (cell, CYTOPLASM),
        (disc(SHAPE, 104, 104, 24), NUCLEUS),
    ]
    boxes = [box("RBC", 188, 100, 32), box("RBC", 40, 170, 25)]
    mask = outline(parts, box("WBC", 110, 100, 45, air=8), boxes)
    assert iou(mask, cell) > 0.92
    assert (mask & red & ~cell).sum() < 0.03 * cell.sum()


@pytest.mark.parametrize(("x", "y"), [(0, 100), (259, 100), (130, 0), (130, 199)])
def test_a_cell_cut_by_the_border_is_followed_to_the_border(x, y):
    cell = disc(SHAPE, x, y, 45)
    parts = [(cell, CYTOPLASM), (disc(SHAPE, x, y, 25), NUCLEUS)]
    white = box("WBC", x, y, 45, air=5)
    cut = replace(white, box=clip_box(white.box, SHAPE))
    assert iou(outline(parts, cut), cell) > 0.9


def test_a_cell_that_is_all_nucleus_is_found_without_cytoplasm():
    cell = disc(SHAPE, 120, 100, 35)
    assert iou(outline([(cell, NUCLEUS)], box("WBC", 120, 100, 35, air=8)), cell) > 0.88


def test_a_box_of_a_few_pixels_tells_nothing():
    density = np.zeros((50, 50, 3), np.float32)
    empty = np.zeros((50, 50), dtype=bool)
    look = appearance_of_red_cells(density, empty, red_share_of(density), [])
    assert outline_white_cell(density, box("WBC", 20, 20, 3), look) is None
    assert outline_white_cell(density, box("WBC", 400, 400, 30), look) is None
