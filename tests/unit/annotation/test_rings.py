import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from blood_cell_system.annotation.outline import (
    is_inside,
    joined_ring,
    nesting_depths,
    simplified_ring,
)

SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])


@given(arrays.arrays(np.float64, (7, 2), elements=st.integers(0, 20)))
def test_a_simplified_polygon_keeps_some_of_the_corners(ring):
    kept = simplified_ring(ring, tolerance_px=1.5)
    assert 3 <= len(kept) <= len(ring)
    assert {tuple(corner) for corner in kept} <= {tuple(corner) for corner in ring}


def test_a_polygon_of_one_spot_stays_as_it_is():
    ring = np.ones((5, 2))
    assert simplified_ring(ring, tolerance_px=1.0) is ring


def test_a_thin_polygon_keeps_three_corners():
    ring = np.array([[0.0, 0.0], [5.0, 0.1], [10.0, 0.0], [5.0, -0.1]])
    assert len(simplified_ring(ring, tolerance_px=1.0)) == 3


@pytest.mark.parametrize(("point", "inside"), [((5, 5), True), ((11, 5), False), ((5, -1), False)])
def test_points_inside_and_outside_of_a_polygon_are_told_apart(point, inside):
    assert is_inside(np.array(point, float), SQUARE) is inside


def test_a_ring_in_a_hole_of_another_is_two_deep():
    rings = [SQUARE, SQUARE / 2 + 2, SQUARE / 5 + 3]
    assert nesting_depths(rings) == [0, 1, 2]


def test_the_cut_to_a_hole_takes_nothing_from_the_polygon():
    joined = joined_ring([SQUARE, SQUARE[::-1] / 5 + 4])
    assert is_inside(np.array([2.0, 5.5]), joined)
    assert not is_inside(np.array([5.0, 5.5]), joined)
