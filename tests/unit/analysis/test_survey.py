import cv2
import numpy as np
import pytest
from support.odd_scenes import field_of_cells, through_eyepiece

from blood_cell_system.analysis.survey import find_field, survey


def test_a_round_field_is_found():
    image, disc = through_eyepiece(field_of_cells(40, shape=(500, 600)))
    field = find_field(image)
    assert not (field & ~disc).any()
    assert field.sum() > 0.85 * disc.sum()


def test_stray_light_on_the_surround_does_not_hide_the_field():
    image, disc = through_eyepiece(field_of_cells(40, shape=(500, 600)))
    image[~disc] = np.maximum(image[~disc], round(0.48 * float(np.percentile(image.max(2), 95))))
    assert not (find_field(image) & ~disc).any()


def test_without_a_dark_surround_the_field_is_the_image():
    assert find_field(field_of_cells(60)).all()


def test_a_dark_clump_in_a_corner_stays_in_the_field():
    image = field_of_cells(60)
    cv2.circle(image, (0, 0), 150, (70, 30, 110), -1)
    assert find_field(image).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (480, 640)])
def test_a_black_image_has_a_field(shape):
    assert find_field(np.zeros((*shape, 3), np.uint8)).all()


def test_a_survey_is_small_and_shows_the_cells():
    image = field_of_cells(60, shape=(1200, 1600))
    view = survey(image, max_px=100_000)
    assert view.foreground.size <= 101_000
    assert view.foreground.mean() == pytest.approx(0.35, abs=0.1)


def test_outside_of_the_field_there_are_no_cells():
    image, disc = through_eyepiece(field_of_cells(40, shape=(500, 500)))
    view = survey(image)
    assert not view.foreground[~disc].any()
