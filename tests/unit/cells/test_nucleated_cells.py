import cv2
import numpy as np
import pytest
from support.single_cells import NUCLEUS, draw_red_cell, draw_white_cell, piece_of_smear

from blood_cell_system.cells.cut_out import touches_border
from blood_cell_system.cells.nucleated_cells import find_nucleated_cells


def smear():
    image = piece_of_smear(320)
    for x, y in ((40, 60), (150, 40), (280, 280), (40, 280)):
        draw_red_cell(image, x, y, 20)
    draw_white_cell(image, 100, 170, 30)
    draw_white_cell(image, 230, 160, 30)
    return image


def single_cells(image):
    pieces, is_single = find_nucleated_cells(image)
    return [piece for piece, is_one in zip(pieces, is_single, strict=True) if is_one]


def overlap(cell, x, y, radius, side=320):
    truth = np.zeros((side, side), np.uint8)
    cv2.circle(truth, (x, y), radius, 1, -1)
    found = np.zeros((side, side), bool)
    (left, top), outline = cell
    height, width = outline.shape
    found[top : top + height, left : left + width] = outline
    return (found & (truth > 0)).sum() / (found | (truth > 0)).sum()


def test_white_cells_are_found_and_outlined_and_red_ones_are_not():
    cells = single_cells(smear())
    assert len(cells) == 2
    assert max(overlap(cell, 100, 170, 30) for cell in cells) > 0.85
    assert max(overlap(cell, 230, 160, 30) for cell in cells) > 0.85


def test_bluish_red_cells_are_no_white_cells():
    image = piece_of_smear(320)
    for x in range(40, 320, 60):
        draw_red_cell(image, x, 100, 20, colour=(150, 165, 185))
    draw_white_cell(image, 160, 220, 30)
    assert len(single_cells(image)) == 1


def test_a_small_image_is_as_good_as_a_large_one():
    small = cv2.resize(smear(), (107, 107), interpolation=cv2.INTER_AREA)
    cells = single_cells(small)
    assert len(cells) == 2
    assert max(overlap(cell, 33, 57, 10, side=107) for cell in cells) > 0.75


def test_touching_nuclei_are_parted():
    image = piece_of_smear(320)
    cv2.circle(image, (130, 160), 30, NUCLEUS, -1)
    cv2.circle(image, (184, 160), 30, NUCLEUS, -1)
    assert len(single_cells(image)) == 2


def test_a_cell_at_the_border_is_told():
    image = draw_white_cell(smear(), 320, 60, 30)
    pieces, _ = find_nucleated_cells(image)
    assert sum(touches_border(piece, image.shape) for piece in pieces) == 1


def test_a_fragment_is_no_single_cell():
    image = smear()
    cv2.circle(image, (290, 60), 6, NUCLEUS, -1)
    _, is_single = find_nucleated_cells(image)
    assert sorted(is_single) == [False, True, True]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_image_of_one_colour_has_none(level):
    pieces, is_single = find_nucleated_cells(np.full((60, 80, 3), level, np.uint8))
    assert len(pieces) == len(is_single) == 0
