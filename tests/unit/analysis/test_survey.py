import cv2
import numpy as np
import pytest
from support.odd_scenes import field_of_cells, through_eyepiece

from blood_cell_system.analysis.focus import edge_width
from blood_cell_system.analysis.survey import closer, find_field, survey
from blood_cell_system.datasets.synthetic import SmearSettings, draw_smear
from blood_cell_system.seeding import generator_for


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


def mirrored(image, count):
    """The image so many times in each direction, each beside its mirror image."""
    row = np.hstack([image if n % 2 == 0 else image[:, ::-1] for n in range(count)])
    return np.vstack([row if n % 2 == 0 else row[::-1] for n in range(count)])


@pytest.mark.parametrize(("blur", "too_wide"), [(0.0, 1.5), (5.0, 1.0)])
def test_edges_of_a_large_image_are_measured_where_they_are_seen(blur, too_wide):
    diameter = 40.0
    image = draw_smear(
        SmearSettings(shape=(480, 640), cell_diameter_px=diameter), generator_for(1, "edges")
    ).image
    if blur:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    alone = survey(image)
    assert closer(image, alone.field, alone, diameter) is alone
    large = mirrored(image, 6)
    whole = survey(large)
    part = closer(large, np.ones(large.shape[:2], dtype=bool), whole, diameter)
    assert part.shrink == 1.0
    assert edge_width(part, diameter) == pytest.approx(edge_width(alone, diameter), rel=0.1)
    assert edge_width(whole, diameter) > too_wide * edge_width(part, diameter)


def test_the_part_that_is_looked_at_has_cells():
    image = np.full((3000, 4000, 3), 235, np.uint8)
    image[2300:2700, 3300:3800] = draw_smear(
        SmearSettings(shape=(400, 500), cell_diameter_px=40), generator_for(1, "corner")
    ).image
    part = closer(image, np.ones(image.shape[:2], dtype=bool), survey(image), 40.0)
    assert part.foreground.mean() > 0.1
    assert closer(image, part.field, part, None) is part
