import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.annotation.outline import Outline, PixelOutline, PolygonOutline
from blood_cell_system.boxes import Box

corners = st.tuples(st.floats(-10, 40), st.floats(-10, 40))
rings = st.lists(corners, min_size=3, max_size=8)


def painted(outline: Outline, shape: tuple[int, int]) -> np.ndarray:
    rows, columns, inside = outline.window(shape)
    image = np.zeros(shape, bool)
    image[rows, columns] = inside
    return image


def by_formula(outline: PolygonOutline, shape: tuple[int, int]) -> np.ndarray:
    """Even-odd rule, pixel by pixel: edges that a ray to the left of its middle meets."""
    image = np.zeros(shape, bool)
    for row, column in np.ndindex(*shape):
        x, y, crossings = column + 0.5, row + 0.5, 0
        for ring in outline.rings:
            for (x_0, y_0), (x_1, y_1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if min(y_0, y_1) <= y < max(y_0, y_1):
                    crossings += x_0 + (y - y_0) / (y_1 - y_0) * (x_1 - x_0) <= x
        image[row, column] = crossings % 2
    return image


@given(st.lists(rings, min_size=1, max_size=2))
def test_a_pixel_is_inside_when_its_middle_is(many: list[list[tuple[float, float]]]):
    outline = PolygonOutline.from_points(*many)
    assert np.array_equal(painted(outline, (12, 14)), by_formula(outline, (12, 14)))


def test_a_square_of_whole_pixels_holds_exactly_them():
    image = painted(PolygonOutline.from_points([(1, 2), (4, 2), (4, 5), (1, 5)]), (6, 6))
    expected = np.zeros((6, 6), bool)
    expected[2:5, 1:4] = True
    assert np.array_equal(image, expected)


def test_a_ring_within_a_ring_is_a_hole():
    outer, inner = [(0, 0), (5, 0), (5, 5), (0, 5)], [(1, 1), (4, 1), (4, 4), (1, 4)]
    image = painted(PolygonOutline.from_points(outer, inner), (5, 5))
    assert image.sum() == 25 - 9
    assert not image[2, 2]


@pytest.mark.parametrize("shift", [(-9, 0), (30, 0), (0, -9), (0, 30)])
def test_what_lies_outside_of_the_image_is_cut_off(shift: tuple[int, int]):
    ring = np.array([(0, 0), (4, 0), (4, 4), (0, 4)]) + shift
    assert not painted(PolygonOutline.from_points(ring), (10, 10)).any()


def test_neighbours_share_no_pixel_and_leave_none():
    left = PolygonOutline.from_points([(0, 0), (3.3, 0), (6.1, 8), (0, 8)])
    right = PolygonOutline.from_points([(3.3, 0), (9, 0), (9, 8), (6.1, 8)])
    images = painted(left, (8, 9)), painted(right, (8, 9))
    assert (images[0] ^ images[1]).all()


def test_polygons_are_equal_corner_by_corner():
    ring = [(0, 0), (4, 0), (4, 4)]
    same, other = PolygonOutline.from_points(ring), PolygonOutline.from_points(ring[::-1])
    assert PolygonOutline.from_points(ring) == same
    assert hash(PolygonOutline.from_points(ring)) == hash(same)
    assert same != other
    assert same != "outline"


masks = st.integers(0, 2**48 - 1).map(
    lambda bits: np.array([bits >> i & 1 for i in range(48)], bool).reshape(6, 8)
)


@given(masks, st.integers(-5, 5), st.integers(-5, 5))
def test_pixels_come_back_where_they_were(mask: np.ndarray, x: int, y: int):
    outline = PixelOutline.from_pixels(mask, offset=(x, y))
    expected = np.zeros((16, 18), bool)
    expected[5 + y : 11 + y, 5 + x : 13 + x] = mask
    shifted = PixelOutline.from_pixels(mask, offset=(x + 5, y + 5))
    assert np.array_equal(painted(shifted, (16, 18)), expected)
    assert outline.pixels.sum() == mask.sum()


def test_the_box_of_pixels_is_cut_down_to_what_is_set():
    mask = np.zeros((20, 20), np.uint8)
    mask[3:5, 7:9] = 1
    outline = PixelOutline.from_pixels(mask, offset=(10, 0))
    assert outline.box == Box(17, 3, 19, 5)
    assert outline.size == (2, 2)


def test_pixels_outside_of_the_image_are_cut_off():
    outline = PixelOutline.from_pixels(np.ones((4, 4), bool), offset=(-2, 8))
    image = painted(outline, (10, 10))
    assert image.sum() == 4
    assert image[8:, :2].all()


def test_an_empty_mask_has_no_pixel():
    outline = PixelOutline.from_pixels(np.zeros((4, 4), bool))
    assert 0 in outline.size
    assert not painted(outline, (10, 10)).any()


@pytest.mark.parametrize("rings", [(), ([],), ([], [])])
def test_an_outline_without_corners_has_no_box(rings):
    assert np.isnan(PolygonOutline.from_points(*rings).box).all()
