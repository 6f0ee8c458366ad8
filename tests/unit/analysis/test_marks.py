import numpy as np
import pytest
from support.odd_scenes import field_of_cells, page_of_text, through_eyepiece, with_scale_bar

from blood_cell_system.analysis.scale_bars import find_scale_bar, paint_over


def everywhere(image):
    return np.ones(image.shape[:2], dtype=bool)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
def test_a_bar_and_its_writing_are_found(colour):
    image = field_of_cells(60)
    marked = with_scale_bar(image, colour=colour)
    marks = find_scale_bar(marked, everywhere(image))
    is_drawn = (marked != image).any(axis=2)
    assert marks[is_drawn].all()
    assert marks.sum() < 6 * is_drawn.sum()


def test_painting_over_brings_the_slide_back():
    image = np.full((300, 400, 3), 225, np.uint8)
    marked = with_scale_bar(image)
    painted = paint_over(marked, find_scale_bar(marked, everywhere(image)))
    assert np.abs(painted.astype(int) - image).max() <= 5


def test_painting_over_leaves_the_rest_as_it_is():
    marked = with_scale_bar(field_of_cells(60))
    marks = find_scale_bar(marked, everywhere(marked))
    painted = paint_over(marked, marks)
    assert (painted[marks == 0] == marked[marks == 0]).all()


def test_a_smear_without_a_bar_has_none():
    image = field_of_cells(60)
    assert find_scale_bar(image, everywhere(image)) is None


def test_the_dark_surround_is_no_bar():
    image, disc = through_eyepiece(field_of_cells(40, shape=(500, 500)))
    assert find_scale_bar(image, disc) is None


def test_the_straight_side_of_a_dark_body_is_no_bar():
    image = field_of_cells(60)
    image[200:300, 200:300] = 20
    assert find_scale_bar(image, everywhere(image)) is None


def test_writing_without_a_bar_is_left_alone():
    page = page_of_text()
    assert find_scale_bar(page, everywhere(page)) is None
