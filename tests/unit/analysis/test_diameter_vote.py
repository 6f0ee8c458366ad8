import numpy as np
import pytest
from support.odd_scenes import field_of_cells, natural_noise, page_of_text, through_eyepiece

from blood_cell_system.analysis import scale
from blood_cell_system.analysis.scale import ScaleSource, estimate_diameter, estimate_scale
from blood_cell_system.analysis.survey import find_field


def vote_of(image):
    return estimate_diameter(image, find_field(image))


@pytest.mark.parametrize("diameter", [18, 40, 75, 110])
def test_the_diameter_of_drawn_cells_is_found(diameter):
    assert vote_of(field_of_cells(diameter)).diameter_px == pytest.approx(diameter, rel=0.16)


@pytest.mark.parametrize("diameter", [18, 26, 40, 57, 75, 110])
def test_radii_that_are_passed_over_change_nothing(diameter, monkeypatch):
    image = field_of_cells(diameter)
    found = vote_of(image)
    monkeypatch.setattr(scale, "_WORTH_SHARE", -np.inf)
    assert found == vote_of(image)


def test_of_two_sizes_with_as_many_votes_neither_is_left_to_chance():
    radii = scale._RADII
    votes = np.exp(-((np.arange(len(radii))[:, None] - (20, 23)) ** 2))
    found = [
        scale._middle_of_peak(agreement, int(agreement.argmax()))
        for agreement in (votes @ (1.0, 0.999), votes @ (0.999, 1.0))
    ]
    assert found[0] == pytest.approx(found[1], rel=0.01)
    assert radii[20] < found[0] < radii[23]


def test_a_lesser_peak_far_away_has_no_say():
    radii = scale._RADII
    votes = np.exp(-((np.arange(len(radii))[:, None] - (20, 29)) ** 2)) @ (1.0, 0.95)
    assert scale._middle_of_peak(votes, 20) == pytest.approx(radii[20], rel=0.01)


def test_cells_that_overlap_are_measured_by_their_arcs():
    image = field_of_cells(60, overlap=0.6, count=60)
    assert vote_of(image).diameter_px == pytest.approx(60, rel=0.16)


def test_cells_of_a_round_field_are_measured():
    image, _ = through_eyepiece(field_of_cells(40, shape=(700, 700)))
    assert vote_of(image).diameter_px == pytest.approx(40, rel=0.16)


def test_small_cells_of_a_large_image_are_found():
    image = np.tile(field_of_cells(30, shape=(500, 650)), (4, 4, 1))
    assert vote_of(image).diameter_px == pytest.approx(30, rel=0.16)


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_diameter(seed):
    vote = vote_of(natural_noise(slope=2.0, colour=0.5, seed=seed))
    assert estimate_scale(vote).source == ScaleSource.UNKNOWN


def test_a_page_of_text_has_no_diameter():
    assert estimate_scale(vote_of(page_of_text())).source == ScaleSource.UNKNOWN


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (3, 3), (480, 640)])
def test_an_empty_image_has_no_vote(shape):
    assert vote_of(np.full((*shape, 3), 230, np.uint8)) is None
