import cv2
import numpy as np
import pytest

from blood_cell_system.cells.nucleus_evidence import cells_without_nucleus
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.taxonomy import RBC, WBC

SLIDE = (232, 226, 228)
RED_CELL = (205, 150, 165)
NUCLEUS = (95, 55, 140)
PALE_NUCLEUS = (185, 140, 205)
PARASITE = (180, 110, 160)


def field(radius=26, nucleus=0.0, dots=0):
    """Three red cells and one that a network takes for white; its labels and types."""
    image = np.full((200, 260, 3), SLIDE, np.uint8)
    labels = np.zeros((200, 260), np.int32)
    places = [(40, 40), (130, 40), (220, 40), (130, 130)]
    for label, place in enumerate(places, start=1):
        size = radius if label == 4 else 26
        cv2.circle(image, place, size, RED_CELL, -1)
        cv2.circle(labels, place, size, label, -1)
    if nucleus:
        cv2.circle(image, places[3], round(nucleus * radius), NUCLEUS, -1)
    random = np.random.default_rng(0)
    for x, y in places[3] + random.uniform(-15, 15, (dots, 2)):
        cv2.circle(image, (round(x), round(y)), 2, PARASITE, -1)
    return image, labels, [RBC, RBC, RBC, WBC]


def test_a_red_cell_full_of_dots_has_no_nucleus():
    assert cells_without_nucleus(*field(dots=14), [0.9, 0.9, 0.9, 0.5]) == [3]


def test_a_small_white_cell_has_one():
    assert cells_without_nucleus(*field(nucleus=0.85), [0.9, 0.9, 0.9, 0.5]) == []


def test_a_pale_cell_without_haemoglobin_stays_white():
    image, labels, types = field()
    image[labels == 4] = PALE_NUCLEUS
    assert cells_without_nucleus(image, labels, types, [0.9, 0.9, 0.9, 0.5]) == []


def test_a_large_cell_that_is_paler_than_red_ones_has_none_whatever_its_hue():
    image, labels, types = field(radius=39)
    image[labels == 4] = (190, 180, 200)
    assert cells_without_nucleus(image, labels, types, [0.9, 0.9, 0.9, 0.5]) == [3]
    image[labels == 4] = (190, 140, 200)
    assert cells_without_nucleus(image, labels, types, [0.9, 0.9, 0.9, 0.5]) == []


@pytest.mark.parametrize(("red", "rows"), [(185, [3]), (155, [])])
def test_a_nucleus_is_twice_as_dense_in_red_light(red, rows):
    image, labels, types = field()
    image[labels == 4] = (red, 130, 140)
    assert cells_without_nucleus(image, labels, types, [0.9, 0.9, 0.9, 0.5]) == rows


def test_a_nucleus_among_bluish_red_cells_is_dense_in_green_light():
    image, labels, types = field()
    image[labels == 4] = (207, 92, 120)
    assert cells_without_nucleus(image, labels, types, [0.9, 0.9, 0.9, 0.5]) == []


def test_a_cell_far_larger_than_red_ones_stays_white():
    assert cells_without_nucleus(*field(radius=45), [0.9, 0.9, 0.9, 0.5]) == []


def test_a_cell_that_the_network_is_sure_of_stays_white():
    assert cells_without_nucleus(*field(dots=14), [0.9, 0.9, 0.9, 0.85]) == []


def test_without_red_cells_there_is_nothing_to_compare_with():
    image, labels, types = field(dots=14)
    labels[labels < 4] = 0
    assert cells_without_nucleus(image, labels, types, [0.9, 0.9, 0.9, 0.5]) == []


def test_a_piece_beside_a_white_cell_stays_white():
    image, labels, types = field()
    cv2.circle(image, (178, 130), 24, NUCLEUS, -1)
    cv2.circle(labels, (178, 130), 24, 5, -1)
    labels[cv2.circle(np.zeros(labels.shape, np.uint8), (130, 130), 26, 1, -1) > 0] = 4
    assert cells_without_nucleus(image, labels, [*types, WBC], [0.9, 0.9, 0.9, 0.5, 0.6]) == []


@pytest.mark.parametrize(("with_image", "expected"), [(True, RBC), (False, WBC)])
def test_a_parasite_is_a_red_cell_where_the_image_is_there(with_image, expected):
    image, labels, _ = field(dots=14)
    probabilities = np.zeros((*labels.shape, 3), np.float32)
    probabilities[labels == 0, 0] = 1
    probabilities[(labels > 0) & (labels < 4), 1] = 1
    probabilities[labels == 4] = (0, 0.3, 0.7)
    found = separate_cells(probabilities, None, None, image=image if with_image else None)
    assert len(found) == 4
    assert found["cell_type"][found["centroid"][:, 1] > 100].tolist() == [expected]
    # The class mask is made of the probabilities, and must agree with the cells.
    assert probabilities[130, 130].argmax() == (1 if with_image else 2)
