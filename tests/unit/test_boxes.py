import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.annotation.sample import Annotation, Origin, corners_of
from blood_cell_system.boxes import Box, pairwise_box_iou
from blood_cell_system.taxonomy import RBC

SIDE = 12
CORNER = st.integers(0, SIDE)
BOXES = st.lists(st.tuples(CORNER, CORNER, CORNER, CORNER), max_size=5).map(
    lambda rows: np.array(rows, np.float64).reshape(-1, 4)
)


def box(x_min, y_min, x_max, y_max):
    return Annotation(cell_type=RBC, box=Box(x_min, y_min, x_max, y_max))


def iou_by_counting_pixels(first, second):
    def pixels(corners):
        x_min, y_min, x_max, y_max = map(int, corners)
        return {(x, y) for x in range(x_min, x_max) for y in range(y_min, y_max)}

    one, other = pixels(first), pixels(second)
    return len(one & other) / len(one | other) if one | other else 0.0


@given(BOXES, BOXES)
def test_overlap_is_what_counting_pixels_gives(first, second):
    expected = [[iou_by_counting_pixels(a, b) for b in second] for a in first]
    found = pairwise_box_iou(first, second)
    assert found.shape == (len(first), len(second))
    np.testing.assert_allclose(found, np.reshape(expected, found.shape), atol=1e-12)


@given(BOXES, BOXES)
def test_overlap_is_symmetric(first, second):
    np.testing.assert_array_equal(
        pairwise_box_iou(first, second), pairwise_box_iou(second, first).T
    )


@given(BOXES, BOXES)
def test_overlap_lies_between_0_and_1(first, second):
    found = pairwise_box_iou(first, second)
    assert ((found >= 0) & (found <= 1)).all()


@given(BOXES, st.floats(-100, 100), st.floats(0.1, 10))
def test_overlap_does_not_change_with_place_and_scale(boxes, shift, scale):
    moved = boxes * scale + shift
    np.testing.assert_allclose(
        pairwise_box_iou(moved, moved), pairwise_box_iou(boxes, boxes), atol=1e-6
    )


def test_a_box_overlaps_itself_wholly():
    boxes = np.array([[1.5, 2.0, 3.5, 7.0]])
    assert pairwise_box_iou(boxes, boxes) == pytest.approx(1.0)


def test_a_box_inside_out_overlaps_nothing():
    inside_out = np.array([[4.0, 4.0, 1.0, 1.0]])
    whole = np.array([[0.0, 0.0, 9.0, 9.0]])
    assert pairwise_box_iou(inside_out, whole) == 0
    assert pairwise_box_iou(inside_out, inside_out) == 0


def test_corners_of_no_boxes_have_four_columns():
    assert corners_of([]).shape == (0, 4)


def test_corners_come_in_the_order_of_the_boxes():
    assert corners_of([box(1, 2, 3, 4), box(5, 6, 7, 8)]).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_a_box_knows_its_size_and_centre():
    assert (box(1, 2, 4, 8).width, box(1, 2, 4, 8).height) == (3, 6)
    assert box(1, 2, 4, 8).centre == (2.5, 5)


def test_a_box_is_annotated_unless_said_otherwise():
    assert box(0, 0, 1, 1).origin == Origin.ANNOTATED
