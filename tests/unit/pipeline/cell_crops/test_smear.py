import cv2
import numpy as np
import pytest
from support.single_cells import draw_red_cell, draw_white_cell, piece_of_smear

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.pipeline.cell_crops.measured_smear import Smear
from blood_cell_system.taxonomy import RBC, WBC


def box(x, y, half, cell_type=RBC, half_height=None):
    half_height = half_height or half
    return Annotation(
        cell_type=cell_type, box=Box(x - half, y - half_height, x + half, y + half_height)
    )


def truth(x, y, radius, side=160, ratio=1.0, angle=0):
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, (x, y), (radius, int(radius * ratio)), angle, 0, 360, 1, -1)
    return mask > 0


def overlap(piece, expected):
    (x, y), outline = piece
    found = np.zeros_like(expected)
    found[y : y + outline.shape[0], x : x + outline.shape[1]] = outline
    return (found & expected).sum() / (found | expected).sum()


def test_a_red_cell_is_outlined_in_its_box():
    smear = Smear.of(draw_red_cell(piece_of_smear(160), 80, 80, 25))
    assert overlap(smear.blob_outline(box(80, 80, 27)), truth(80, 80, 25)) > 0.9


@pytest.mark.parametrize("colour", [(120, 20, 90), (215, 185, 190)])
def test_dark_and_pale_cells_have_the_same_outline(colour):
    smear = Smear.of(draw_red_cell(piece_of_smear(160), 80, 80, 25, colour=colour))
    assert overlap(smear.blob_outline(box(80, 80, 27)), truth(80, 80, 25)) > 0.88


def test_a_pallor_is_part_of_the_cell():
    image = draw_red_cell(piece_of_smear(160), 80, 80, 25)
    cv2.circle(image, (80, 80), 9, (240, 228, 222), -1)
    assert overlap(Smear.of(image).blob_outline(box(80, 80, 27)), truth(80, 80, 25)) > 0.9


def test_a_neighbour_that_touches_is_cut_off():
    image = draw_red_cell(piece_of_smear(160), 60, 80, 25)
    draw_red_cell(image, 109, 80, 25)
    smear = Smear.of(image)
    boxes = [box(60, 80, 26), box(109, 80, 26)]
    assert overlap(smear.blob_outline(boxes[0], boxes), truth(60, 80, 25)) > 0.88
    assert overlap(smear.blob_outline(boxes[0]), truth(60, 80, 25)) > 0.88


def test_a_thin_cell_is_found_in_a_loose_box_that_holds_a_piece_of_another():
    image = draw_red_cell(piece_of_smear(160), 75, 75, 30, ratio=0.3, angle=45)
    draw_red_cell(image, 125, 45, 26)
    loose = box(80, 75, 32, half_height=30)
    expected = truth(75, 75, 30, ratio=0.3, angle=45)
    assert overlap(Smear.of(image).blob_outline(loose), expected) > 0.75


def test_an_empty_box_holds_nothing():
    smear = Smear.of(draw_red_cell(piece_of_smear(160), 40, 40, 20))
    assert smear.blob_outline(box(120, 120, 20)) is None


def test_a_box_around_a_part_of_a_clump_holds_no_whole_cell():
    image = piece_of_smear(160)
    cv2.rectangle(image, (10, 60), (150, 100), (200, 140, 150), -1)
    assert Smear.of(image).blob_outline(box(80, 80, 25)) is None


def test_a_white_cell_is_outlined_with_its_cytoplasm():
    image = draw_white_cell(piece_of_smear(160), 80, 80, 34)
    smear = Smear.of(image)
    white = box(80, 80, 37, WBC)
    piece = smear.white_outline(white, smear.red_cells([white]))
    assert overlap(piece, truth(80, 80, 34)) > 0.88


def test_cells_at_the_border_are_not_whole():
    smear = Smear.of(piece_of_smear(160))
    assert smear.is_whole(box(80, 80, 20))
    for cut in (box(20, 80, 20), box(80, 20, 20), box(140, 80, 20), box(80, 140, 20)):
        assert not smear.is_whole(cut)


def test_cells_at_the_rim_of_a_round_field_are_not_whole():
    y, x = np.mgrid[:300, :300]
    image = piece_of_smear(300)
    image[(y - 150) ** 2 + (x - 150) ** 2 > 140**2] = 5
    smear = Smear.of(image)
    assert smear.is_whole(box(150, 150, 20))
    assert not smear.is_whole(box(56, 56, 16))


def test_the_dark_around_a_round_field_becomes_slide():
    y, x = np.mgrid[:300, :300]
    image = piece_of_smear(300)
    image[(y - 150) ** 2 + (x - 150) ** 2 > 140**2] = 5
    smear = Smear.of(image)
    np.testing.assert_allclose(smear.image[3, 3], (240, 228, 222), atol=4)
    assert smear.foreground().mean() < 0.02
