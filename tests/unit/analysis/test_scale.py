import cv2
import numpy as np
import pytest

from blood_cell_system.analysis.scale import (
    MAX_MAGNIFICATION,
    OUTLINE_SHARE,
    DiameterEstimate,
    ScaleSource,
    estimate_diameter,
    estimate_scale,
    magnification_for,
    scale_of_cells,
)
from blood_cell_system.cells.table import Cells
from blood_cell_system.imaging.pixel_size import PixelSize
from blood_cell_system.taxonomy import RBC


def given(um):
    return PixelSize(um=um, origin="as given", is_given=True)


def stated(um):
    return PixelSize(um=um, origin="OME-XML of the file")


def test_a_given_diameter_goes_before_all():
    vote = DiameterEstimate(diameter_px=50.0, agreement=0.3)
    scale = estimate_scale(vote, cell_diameter_px=25.0, pixel_size=given(0.1))
    assert (scale.red_cell_diameter_px, scale.source) == (25.0, ScaleSource.GIVEN)
    assert scale.magnification_applied == pytest.approx(4.0)


def test_a_pixel_size_gives_the_diameter_of_a_red_cell():
    scale = estimate_scale(None, pixel_size=given(0.15))
    assert scale.red_cell_diameter_px == pytest.approx(50.0)
    assert scale.pixel_size_um == 0.15


def test_cells_of_about_the_training_size_are_not_resampled():
    found = DiameterEstimate(diameter_px=95, agreement=0.3)
    assert estimate_scale(found).magnification_applied == 1.0


def test_the_magnification_goes_by_the_diameter_of_the_training():
    scale = estimate_scale(None, cell_diameter_px=40, training_diameter_px=80)
    assert scale.magnification_applied == pytest.approx(2.0)


def test_tiny_cells_are_not_magnified_without_end():
    assert estimate_scale(None, cell_diameter_px=0.5).magnification_applied == MAX_MAGNIFICATION


def test_a_vote_without_agreement_does_not_count():
    scale = estimate_scale(DiameterEstimate(diameter_px=50, agreement=0.01))
    assert scale.red_cell_diameter_px is None
    assert scale.magnification_applied == 1.0


def test_a_network_of_unknown_diameter_gets_the_image_as_it_is():
    image = np.zeros((64, 64, 3), np.uint8)
    assert magnification_for(image, training_diameter_px=None, cell_diameter_px=10) == 1.0


def test_a_given_diameter_goes_before_the_estimate():
    image = np.zeros((64, 64, 3), np.uint8)
    assert magnification_for(image, training_diameter_px=64, cell_diameter_px=32) == 2.0


def test_the_pixel_size_of_the_file_gives_the_diameter():
    vote = DiameterEstimate(diameter_px=70, agreement=0.3)
    scale = estimate_scale(vote, pixel_size=stated(0.1))
    assert scale.red_cell_diameter_px == pytest.approx(75)
    assert (scale.source, scale.pixel_size_origin) == (ScaleSource.FILE, "OME-XML of the file")


@pytest.mark.parametrize("um", [0.1, 30, 0.001])
def test_a_pixel_size_of_the_file_that_cannot_be_is_not_used(um):
    vote = DiameterEstimate(diameter_px=30, agreement=0.3)
    scale = estimate_scale(vote, pixel_size=stated(um))
    assert (scale.red_cell_diameter_px, scale.source) == (30, ScaleSource.ESTIMATED)
    assert scale.pixel_size_um is None


def test_a_pixel_size_that_was_given_is_used_against_the_outlines():
    vote = DiameterEstimate(diameter_px=30, agreement=0.3)
    scale = estimate_scale(vote, pixel_size=given(0.1))
    assert scale.red_cell_diameter_px == pytest.approx(75)


def red_cells(diameters, *, touches_border=False):
    return Cells(label_image=np.zeros((1, 1), np.int32)).with_columns(
        cell_type=[RBC] * len(diameters),
        equivalent_diameter_area=np.array(diameters, dtype=float),
        touches_border=[touches_border] * len(diameters),
    )


def estimated(diameter_px):
    return estimate_scale(DiameterEstimate(diameter_px=diameter_px, agreement=0.3))


def test_oval_cells_that_are_found_correct_the_estimate():
    second = scale_of_cells(red_cells([73] * 12), estimated(54), training_diameter_px=100)
    assert second.red_cell_diameter_px == pytest.approx(73 / OUTLINE_SHARE)
    assert second.source == ScaleSource.ESTIMATED
    assert second.magnification_applied == pytest.approx(100 * OUTLINE_SHARE / 73)


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (red_cells([73] * 12), estimated(70)),
        (red_cells([73] * 5), estimated(54)),
        (red_cells([73] * 12, touches_border=True), estimated(54)),
        (red_cells([40, 73, 120] * 6), estimated(54)),
        (red_cells([73] * 12), estimate_scale(None, cell_diameter_px=54)),
    ],
    ids=["agrees", "few", "cut off", "of any size", "given"],
)
def test_the_first_scale_holds_without_clear_evidence(cells, first):
    assert scale_of_cells(cells, first, training_diameter_px=100) is None


def test_a_small_image_of_one_large_cell_has_a_diameter():
    image = np.full((200, 200, 3), 225, np.uint8)
    cv2.circle(image, (100, 100), 55, (190, 130, 150), -1, cv2.LINE_AA)
    found = estimate_diameter(image, np.ones((200, 200), dtype=bool))
    assert found.diameter_px == pytest.approx(115, rel=0.1)


def test_a_cell_as_wide_as_the_largest_radius_that_is_tried_has_no_estimate():
    image = np.full((250, 250, 3), 225, np.uint8)
    cv2.circle(image, (125, 125), 86, (190, 130, 150), -1, cv2.LINE_AA)
    assert estimate_diameter(image, np.ones((250, 250), dtype=bool)) is None
