import cv2
import numpy as np
import pytest
from support.single_cells import NUCLEUS, RED_CELL, draw_red_cell, draw_white_cell, piece_of_smear

from blood_cell_system.pipeline.cell_crops.cutting import find_extras
from blood_cell_system.pipeline.cell_crops.measured_smear import Smear
from blood_cell_system.pipeline.cell_crops.plan import Extra
from blood_cell_system.seeding import generator_for


@pytest.fixture(scope="module")
def smear():
    image = piece_of_smear(400)
    for x, y in ((60, 60), (160, 60), (60, 330), (330, 330)):
        draw_red_cell(image, x, y, 22)
    # A clump of two, a speck, and a white cell.
    draw_red_cell(image, 250, 150, 22)
    draw_red_cell(image, 290, 150, 22)
    cv2.circle(image, (150, 250), 7, NUCLEUS, -1)
    draw_white_cell(image, 230, 270, 26, nucleus_share=0.9)
    return Smear.of(image)


def places(smear, kind, most=9, seed=0):
    found = find_extras(smear, {kind: most}, generator_for(seed, "x"))
    middles = []
    for name, ((x, y), outline) in found:
        assert name.startswith(kind)
        rows, columns = np.nonzero(outline)
        middles.append((round(x + columns.mean()), round(y + rows.mean())))
    return middles


def near(found, x, y):
    return any(abs(a - x) < 6 and abs(b - y) < 6 for a, b in found)


def test_the_clump_is_found_and_nothing_else(smear):
    found = places(smear, Extra.CLUMP)
    assert len(found) == 1
    assert near(found, 270, 150)


def test_the_speck_is_debris(smear):
    found = places(smear, Extra.DEBRIS)
    assert len(found) == 1
    assert near(found, 150, 250)


def test_single_red_cells_are_found_and_the_white_one_is_not(smear):
    found = places(smear, Extra.RED_CELL)
    assert len(found) == 4
    assert not near(found, 230, 270)


def test_empty_slide_is_empty(smear):
    found = find_extras(smear, {Extra.SLIDE: 5}, generator_for(0, "x"))
    assert len(found) == 5
    stained = smear.foreground()
    for _, ((x, y), outline) in found:
        window = stained[y : y + outline.shape[0], x : x + outline.shape[1]]
        assert window[outline].mean() < 0.01


def test_at_most_so_many_are_taken_and_the_seed_decides(smear):
    assert len(places(smear, Extra.RED_CELL, most=2)) == 2
    assert places(smear, Extra.RED_CELL, most=2) == places(smear, Extra.RED_CELL, most=2)


def test_nothing_is_found_where_nothing_is_wanted_or_seen(smear):
    assert find_extras(smear, {Extra.CLUMP: 0}, generator_for(0)) == []
    empty = Smear.of(np.full((90, 90, 3), 240, np.uint8))
    assert find_extras(empty, {Extra.CLUMP: 3}, generator_for(0)) == []


def test_a_cell_that_fills_the_image_leaves_no_empty_place():
    image = np.full((60, 60, 3), RED_CELL, np.uint8)
    cv2.rectangle(image, (0, 0), (59, 59), (240, 228, 222), 6)
    assert find_extras(Smear.of(image), {Extra.SLIDE: 2}, generator_for(0)) == []
