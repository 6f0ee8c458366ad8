import cv2
import numpy as np
import pytest
from support.drawn_cells import ellipse_box, perfect_outputs

from blood_cell_system.cells.halves import pairs_of_halves
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.taxonomy import RBC


def canvas_with_round_cells():
    labels = np.zeros((240, 320), np.int32)
    for label, x in enumerate((50, 130, 210), start=1):
        cv2.circle(labels, (x, 50), 30, label, -1)
    return labels


def cut_ellipse(labels, angle, semi_axes, first, second):
    """Draw an ellipse whose halves are two cells."""
    whole = np.zeros(labels.shape, np.uint8)
    cv2.ellipse(whole, (160, 160), semi_axes, angle, 0, 360, 1, -1)
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    along = (x - 160) * np.cos(np.radians(angle)) + (y - 160) * np.sin(np.radians(angle))
    labels[(whole > 0) & (along < 0)] = first
    labels[(whole > 0) & (along >= 0)] = second


@pytest.mark.parametrize("angle", [0, 25, 45, 90])
@pytest.mark.parametrize("semi_axes", [(48, 20), (40, 24), (30, 30)])
def test_two_halves_of_an_ellipse_are_one_cell(angle, semi_axes):
    labels = canvas_with_round_cells()
    cut_ellipse(labels, angle, semi_axes, 4, 5)
    assert pairs_of_halves(labels, np.ones(5, bool)) == [[3, 4]]


@pytest.mark.parametrize("distance", [36, 48, 58])
def test_round_cells_that_touch_or_overlap_stay_two(distance):
    labels = canvas_with_round_cells()
    cv2.circle(labels, (130, 160), 30, 4, -1)
    cv2.circle(labels, (130 + distance, 160), 30, 5, -1)
    assert pairs_of_halves(labels, np.ones(5, bool)) == []


def test_small_cells_with_a_neck_between_them_stay_two():
    labels = canvas_with_round_cells()
    cv2.circle(labels, (140, 160), 18, 4, -1)
    cv2.circle(labels, (172, 160), 18, 5, -1)
    assert pairs_of_halves(labels, np.ones(5, bool)) == []


def test_halves_of_another_type_are_left_alone():
    labels = canvas_with_round_cells()
    cut_ellipse(labels, 0, (48, 20), 4, 5)
    assert pairs_of_halves(labels, np.array([True, True, True, True, False])) == []


def test_without_a_whole_cell_nothing_is_joined():
    labels = np.ones((40, 40), np.int32)
    labels[:, 20:] = 2
    assert pairs_of_halves(labels, np.ones(2, bool)) == []
    assert pairs_of_halves(np.zeros((40, 40), np.int32), np.ones(0, bool)) == []


def test_a_long_cell_with_two_peaks_is_found_whole():
    # Three round cells, and a long one that the heat map takes for two.
    boxes = [ellipse_box(RBC, x, 50, 60) for x in (50, 130, 210)]
    halves = [ellipse_box(RBC, x, 160, 46) for x in (138, 182)]
    probabilities, heat, log_size, _ = perfect_outputs(boxes + halves, (240, 320))
    whole = np.zeros((240, 320), np.uint8)
    cv2.ellipse(whole, (160, 160), (46, 22), 0, 0, 360, 1, -1)
    probabilities[110:210] = (1, 0, 0)
    probabilities[whole > 0] = (0, 1, 0)
    found = separate_cells(probabilities, heat, log_size)
    assert len(found) == 4
    long_cell = found["box"][found["centroid"][:, 1] > 100][0]
    np.testing.assert_allclose(long_cell, (114, 138, 207, 183), atol=2)
    np.testing.assert_allclose(found["centroid"][-1], (160.5, 160.5), atol=1)
