import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from blood_cell_system.annotation.outline import (
    PixelOutline,
    PolygonOutline,
    joined_ring,
    nesting_depths,
    pixels_of,
    polygon_of,
    traced_rings,
)

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=16))
SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])


def painted(rings, shape):
    mask = np.zeros(shape, bool)
    if len(rings):
        rows, columns, inside = PolygonOutline(rings=tuple(rings)).window(shape)
        mask[rows, columns] = inside
    return mask


def disc(radius):
    rows, columns = np.ogrid[: 2 * radius + 1, : 2 * radius + 1]
    return (rows - radius) ** 2 + (columns - radius) ** 2 <= radius**2


@given(MASKS)
def test_traced_polygons_hold_exactly_the_pixels(mask):
    np.testing.assert_array_equal(painted(traced_rings(mask), mask.shape), mask)


@given(st.integers(5, 120), st.floats(0, 1), st.floats(0, 1))
def test_traced_polygons_of_round_cells_hold_exactly_the_pixels(side, x, y):
    rows, columns = np.ogrid[:side, :side]
    mask = np.hypot(rows - side / 2 + y, 1.3 * (columns - side / 2 + x)) < side / 2
    np.testing.assert_array_equal(painted(traced_rings(mask), mask.shape), mask)


@given(MASKS)
def test_one_joined_polygon_holds_exactly_the_pixels_of_all(mask):
    rings = traced_rings(mask)
    joined = [joined_ring(rings)] if rings else []
    np.testing.assert_array_equal(painted(joined, mask.shape), mask)


@given(MASKS)
def test_holes_have_odd_depths_and_run_the_other_way_round(mask):
    rings = traced_rings(mask)
    for ring, depth in zip(rings, nesting_depths(rings), strict=True):
        x, y = ring.T
        doubled_area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
        assert (doubled_area > 0) == (depth % 2 == 0)


@given(MASKS)
def test_polygons_stay_within_the_image_that_is_named(mask):
    rings = traced_rings(mask, shape=mask.shape)
    np.testing.assert_array_equal(painted(rings, mask.shape), mask)
    for ring in rings:
        assert ring.min() >= 0
        assert (ring.max(axis=0) <= mask.shape[::-1]).all()


def test_a_disc_of_a_hundred_pixels_across_has_few_corners():
    (ring,) = traced_rings(disc(50))
    assert len(ring) < 100


def test_an_offset_moves_the_polygon():
    (ring,) = traced_rings(np.ones((2, 3), bool), offset=(10, 20))
    assert ring.min(axis=0).tolist() == pytest.approx([10, 20], abs=0.5)
    assert ring.max(axis=0).tolist() == pytest.approx([13, 22], abs=0.5)


def test_a_larger_tolerance_leaves_fewer_corners_and_stays_close():
    exact, rough = (traced_rings(disc(40), tolerance_px=t)[0] for t in (0.0, 1.5))
    assert len(rough) < len(exact)
    wrong = painted([rough], (81, 81)) ^ disc(40)
    assert 0 < wrong.sum() < 0.03 * disc(40).sum()


def test_a_polygon_stays_the_polygon_it_is():
    outline = PolygonOutline(rings=(SQUARE,))
    assert polygon_of(outline) is outline


def test_pixels_stay_the_pixels_they_are():
    outline = PixelOutline.from_pixels(disc(4), offset=(3, 2))
    assert pixels_of(outline, (50, 50)) is outline


@given(MASKS)
def test_pixels_as_polygons_and_back_are_the_same_pixels(mask):
    outline = PixelOutline.from_pixels(np.pad(mask, 1, constant_values=False), offset=(4, 3))
    if mask.any():
        assert pixels_of(polygon_of(outline), (40, 40)) == outline
