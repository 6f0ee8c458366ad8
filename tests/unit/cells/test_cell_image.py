import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.single_cells import SLIDE, draw_red_cell, piece_of_smear

from blood_cell_system.cells.cut_out import cell_image, cell_images
from blood_cell_system.errors import CellImageError
from blood_cell_system.model_metadata import CELL_EXTENT_PX, on_white
from blood_cell_system.stain.slide_light import SlideLight


def disc(side, x, y, radius, ratio=1.0):
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, (x, y), (radius, round(radius * ratio)), 0, 0, 360, 1, -1)
    return mask.astype(bool)


def extent_of(image):
    _, _, width, height = cv2.boundingRect((image[:, :, 3] > 127).view(np.uint8))
    return max(width, height)


def even(shape, colour=SLIDE):
    return SlideLight.even(tuple(map(float, colour)), shape)


@given(radius=st.integers(8, 120), ratio=st.floats(0.3, 1.0))
@settings(max_examples=30, deadline=None)
def test_every_cell_is_as_long_whatever_its_size(radius, ratio):
    side = 300
    mask = disc(side, 150, 150, radius, ratio)
    image = cell_image(piece_of_smear(side), mask, light=even((side, side)))
    assert image.shape == (130, 130, 4)
    # The rim adds two pixels on either side; an enlarged pixel may add some more.
    assert CELL_EXTENT_PX <= extent_of(image) <= CELL_EXTENT_PX + 8


def test_the_cell_is_in_the_middle():
    image = cell_image(piece_of_smear(200), disc(200, 60, 130, 31), light=even((200, 200)))
    rows, columns = np.nonzero(image[:, :, 3])
    assert abs(rows.mean() - 64.5) < 0.8
    assert abs(columns.mean() - 64.5) < 0.8


def test_the_empty_slide_becomes_white():
    image = piece_of_smear(100, noise=0)
    image = cell_image(image, disc(100, 50, 50, 20), light=even((100, 100)))
    assert (image[:, :, :3] >= 254).all()


def test_nothing_around_the_outline_is_left():
    image = piece_of_smear(160)
    draw_red_cell(image, 80, 80, 25)
    draw_red_cell(image, 124, 80, 12, colour=(0, 0, 0))
    image = cell_image(image, disc(160, 80, 80, 25), light=even((160, 160)))
    alone = piece_of_smear(160)
    draw_red_cell(alone, 80, 80, 25)
    expected = cell_image(alone, disc(160, 80, 80, 25), light=even((160, 160)))
    np.testing.assert_array_equal(on_white(image), on_white(expected))


def test_blanked_out_all_cells_look_the_same():
    image = draw_red_cell(piece_of_smear(100), 50, 50, 20)
    image = cell_image(image, disc(100, 50, 50, 20), light=even((100, 100)))
    image[:, :, 3] = 0
    assert (on_white(image) == 255).all()


def test_a_window_gives_the_same_image_as_the_whole_outline():
    image = draw_red_cell(piece_of_smear(150), 70, 60, 20)
    mask = disc(150, 70, 60, 20)
    whole = cell_image(image, mask, light=even((150, 150)))
    window = cell_image(image, mask[30:90, 40:100], corner=(40, 30), light=even((150, 150)))
    np.testing.assert_array_equal(whole, window)


def test_uneven_light_is_divided_out():
    _, x = np.mgrid[:100, :200]
    shade = (1 - 0.3 * x / 200)[:, :, None]
    image = np.rint(np.array(SLIDE) * shade).astype(np.uint8)
    coefficients = np.zeros((6, 3))
    coefficients[0] = np.log(SLIDE) + np.log(0.85)
    coefficients[1] = -0.176
    light = SlideLight(coefficients=coefficients, shape=(100, 200))
    left = cell_image(image, disc(100, 50, 50, 15), light=light)
    right = cell_image(image, disc(100, 50, 50, 15), corner=(100, 0), light=light)
    for image in (left, right):
        assert image[65, 65, :3].min() >= 248


def test_a_cell_at_the_border_is_laid_on_white():
    image = draw_red_cell(piece_of_smear(60), 0, 30, 12)
    image = cell_image(image, disc(60, 0, 30, 12), light=even((60, 60)))
    assert image.shape == (130, 130, 4)


@pytest.mark.parametrize("mask", [np.zeros((9, 9), bool), np.eye(3, dtype=bool)])
def test_what_is_too_small_is_refused(mask):
    with pytest.raises(CellImageError, match="expected 6 px or more"):
        cell_image(piece_of_smear(40), mask, light=even((40, 40)))


def test_cells_that_are_too_small_are_none_among_many():
    labels = np.zeros((80, 80), np.int32)
    labels[disc(80, 40, 40, 15)] = 1
    labels[2, 2] = 2
    places = [(1, (25.0, 25.0, 56.0, 56.0)), (2, (2.0, 2.0, 3.0, 3.0))]
    first, second = cell_images(piece_of_smear(80), labels, places, light=even((80, 80)))
    assert first is not None
    assert second is None


@pytest.mark.slow
def test_a_thousand_cells_take_about_a_second():
    labels = np.zeros((480, 640), np.int32)
    labels[100:480, 200:580][disc(380, 150, 150, 50)] = 1
    image = np.full((480, 640, 3), 200, np.uint8)
    start = time.process_time()
    cell_images(image, labels, [(1, (290, 190, 410, 310))] * 1000, light=even((480, 640)))
    # 0.35 s on one core where nothing else runs.
    assert time.process_time() - start < 3
