import cv2
import numpy as np
import pytest
from support.colour_runtime import ColourRuntime
from support.drawn_marks import KINDS, draw_mark
from support.odd_scenes import field_of_cells, through_eyepiece, with_scale_bar

from blood_cell_system.analysis.image_analysis import analyze_image
from blood_cell_system.analysis.marks import find_marks, mark_share, paint_over


def everywhere(image):
    return np.ones(image.shape[:2], dtype=bool)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
def test_a_bar_and_its_writing_are_found(colour):
    image = field_of_cells(60)
    marked = with_scale_bar(image, colour=colour)
    marks = find_marks(marked, everywhere(image))
    is_drawn = (marked != image).any(axis=2)
    assert marks[is_drawn].all()
    assert marks.sum() < 6 * is_drawn.sum()


def test_painting_over_brings_the_slide_back():
    image = np.full((300, 400, 3), 225, np.uint8)
    marked = with_scale_bar(image)
    painted = paint_over(marked, find_marks(marked, everywhere(image)))
    assert np.abs(painted.astype(int) - image).max() <= 5


def test_painting_over_leaves_the_rest_as_it_is():
    marked = with_scale_bar(field_of_cells(60))
    marks = find_marks(marked, everywhere(marked))
    painted = paint_over(marked, marks)
    assert (painted[marks == 0] == marked[marks == 0]).all()


def test_a_smear_without_a_bar_has_none():
    image = field_of_cells(60)
    assert find_marks(image, everywhere(image)) is None


def test_the_dark_surround_is_no_bar():
    image, disc = through_eyepiece(field_of_cells(40, shape=(500, 500)))
    assert find_marks(image, disc) is None


def test_the_straight_side_of_a_dark_body_is_no_bar():
    image = field_of_cells(60)
    image[200:300, 200:300] = 20
    assert find_marks(image, everywhere(image)) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", ["black", "green", "yellow"])
def test_marks_of_every_kind_and_colour_are_found(kind, colour):
    image = field_of_cells(60)
    drawn = draw_mark(image, kind, colour, np.random.default_rng(4))
    marks = find_marks(drawn.image, everywhere(image))
    assert marks is not None
    assert marks[drawn.mark].mean() > 0.6


# Compression takes the colour from fine lines of red and blue, so rulers are left out here.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ruler"])
@pytest.mark.parametrize("colour", ["red", "blue"])
def test_red_and_blue_marks_are_found(kind, colour):
    image = field_of_cells(60)
    drawn = draw_mark(image, kind, colour, np.random.default_rng(4))
    marks = find_marks(drawn.image, everywhere(image))
    assert marks is not None
    assert marks[drawn.mark].mean() > 0.6


@pytest.mark.parametrize("diameter", [25, 40, 60, 100])
def test_smears_without_marks_have_none(diameter):
    image = field_of_cells(diameter)
    assert find_marks(image, everywhere(image)) is None


def test_a_large_image_is_searched_as_well():
    image = field_of_cells(150, shape=(1500, 2000))
    drawn = draw_mark(image, "scale bar", "black", np.random.default_rng(0))
    marks = find_marks(drawn.image, everywhere(image))
    assert marks.shape == image.shape[:2]
    assert marks[drawn.mark].mean() > 0.6


def test_wide_marks_are_filled_with_the_colour_of_the_slide():
    image = np.full((300, 400, 3), 225, np.uint8)
    marks = np.zeros((300, 400), np.uint8)
    marks[:60] = 1
    image[:60] = (255, 0, 0)
    assert np.abs(paint_over(image, marks).astype(int) - 225).max() <= 5


def test_cells_under_a_mark_are_not_counted_and_say_how_much_of_them_it_hides():
    image = field_of_cells(60)
    cv2.rectangle(image, (0, 0), (639, 90), (255, 0, 0), -1)
    found = analyze_image(ColourRuntime(), image)
    share, counted = mark_share(found.cells, found.marks), found.cells["is_counted"]
    assert share.min() == 0
    assert not counted[share >= 0.5].any()
    assert counted[share < 0.5].all()
    assert (found.cells["centroid"][counted][:, 1] > 80).all()


def test_a_line_over_a_nucleus_of_its_own_colour_is_found():
    image = field_of_cells(60)
    cv2.circle(image, (320, 240), 60, (90, 60, 150), -1, cv2.LINE_AA)
    marked = image.copy()
    cv2.line(marked, (240, 240), (400, 240), (40, 20, 140), 2)
    marks = find_marks(marked, everywhere(image))
    is_drawn = (marked != image).any(axis=2)
    assert marks[is_drawn].mean() > 0.9


def test_thin_rims_of_cells_in_a_row_are_no_writing():
    image = np.full((240, 320, 3), 225, np.uint8)
    for x, y in ((60, 100), (82, 106), (105, 97), (128, 104), (150, 99), (172, 107)):
        cv2.circle(image, (x, y), 9, (140, 100, 140), 2, cv2.LINE_AA)
    assert find_marks(image, everywhere(image)) is None
