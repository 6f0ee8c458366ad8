import numpy as np
import pytest
from support.odd_scenes import field_of_cells, natural_noise, page_of_text, through_eyepiece

from blood_cell_system.inference.scale import (
    MAX_MAGNIFICATION,
    DiameterVote,
    ScaleSource,
    magnification_for,
    settle_scale,
    vote_on_diameter,
)
from blood_cell_system.inference.survey import find_field


def vote_of(image):
    return vote_on_diameter(image, find_field(image))


@pytest.mark.parametrize("diameter", [18, 40, 75, 110])
def test_the_diameter_of_drawn_cells_is_found(diameter):
    assert vote_of(field_of_cells(diameter)).diameter_px == pytest.approx(diameter, rel=0.16)


def test_cells_that_overlap_are_measured_by_their_arcs():
    image = field_of_cells(60, overlap=0.6, count=60)
    assert vote_of(image).diameter_px == pytest.approx(60, rel=0.16)


def test_cells_of_a_round_field_are_measured():
    image, _ = through_eyepiece(field_of_cells(40, shape=(700, 700)))
    assert vote_of(image).diameter_px == pytest.approx(40, rel=0.16)


def test_small_cells_of_a_large_picture_are_found():
    image = np.tile(field_of_cells(30, shape=(500, 650)), (4, 4, 1))
    assert vote_of(image).diameter_px == pytest.approx(30, rel=0.16)


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_diameter(seed):
    vote = vote_of(natural_noise(slope=2.0, colour=0.5, seed=seed))
    assert settle_scale(vote).source == ScaleSource.UNKNOWN


def test_a_page_of_text_has_no_diameter():
    assert settle_scale(vote_of(page_of_text())).source == ScaleSource.UNKNOWN


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (3, 3), (480, 640)])
def test_an_empty_picture_has_no_vote(shape):
    assert vote_of(np.full((*shape, 3), 230, np.uint8)) is None


def test_a_given_diameter_goes_before_all():
    vote = DiameterVote(diameter_px=50.0, agreement=0.3)
    scale = settle_scale(vote, cell_diameter_px=25.0, pixel_size_um=0.1)
    assert (scale.red_cell_diameter_px, scale.source) == (25.0, ScaleSource.GIVEN)
    assert scale.magnification_applied == pytest.approx(4.0)


def test_a_pixel_size_gives_the_diameter_of_a_red_cell():
    scale = settle_scale(None, pixel_size_um=0.15)
    assert scale.red_cell_diameter_px == pytest.approx(50.0)
    assert scale.pixel_size_um == 0.15


def test_cells_of_about_the_training_size_are_not_resampled():
    assert settle_scale(DiameterVote(diameter_px=95, agreement=0.3)).magnification_applied == 1.0


def test_the_magnification_goes_by_the_diameter_of_the_training():
    scale = settle_scale(None, cell_diameter_px=40, training_diameter_px=80)
    assert scale.magnification_applied == pytest.approx(2.0)


def test_tiny_cells_are_not_magnified_without_end():
    assert settle_scale(None, cell_diameter_px=0.5).magnification_applied == MAX_MAGNIFICATION


def test_a_vote_without_agreement_does_not_count():
    scale = settle_scale(DiameterVote(diameter_px=50, agreement=0.01))
    assert scale.red_cell_diameter_px is None
    assert scale.magnification_applied == 1.0


def test_a_network_of_unknown_diameter_gets_the_picture_as_it_is():
    image = np.zeros((64, 64, 3), np.uint8)
    assert magnification_for(image, training_diameter_px=None, cell_diameter_px=10) == 1.0


def test_a_given_diameter_goes_before_the_estimate():
    image = np.zeros((64, 64, 3), np.uint8)
    assert magnification_for(image, training_diameter_px=64, cell_diameter_px=32) == 2.0
