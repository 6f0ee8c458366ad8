import numpy as np
import pytest

from blood_cell_system.annotation.clean import (
    ellipse_outline,
    joined_parts,
    shifted,
    turned_box,
    united,
)
from blood_cell_system.annotation.outline import PixelOutline, PolygonOutline
from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError

SHAPE = (40, 60)
LEFT = PolygonOutline.from_points([(5, 5), (15, 5), (15, 15), (5, 15)])
RIGHT = PolygonOutline.from_points([(30, 5), (40, 5), (40, 15), (30, 15)])
OVER_LEFT = PolygonOutline.from_points([(10, 5), (20, 5), (20, 15), (10, 15)])


def painted(outline):
    mask = np.zeros(SHAPE, bool)
    rows, columns, inside = outline.window(SHAPE)
    mask[rows, columns] = inside
    return mask


@pytest.mark.parametrize("radius", [0.5, 3.0, 50.0, 400.0])
def test_a_polygon_of_an_ellipse_is_a_twentieth_of_a_pixel_off_at_most(radius):
    (ring,) = ellipse_outline((7.0, 9.0), (radius, radius)).rings
    middles = (ring + np.roll(ring, -1, axis=0)) / 2
    assert np.hypot(*(middles - (7.0, 9.0)).T) == pytest.approx(radius, abs=0.051)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e9])
def test_an_ellipse_beyond_all_images_is_refused(number):
    with pytest.raises(AnnotationError, match="expected numbers of pixels"):
        ellipse_outline((5, 5), (number, 3))


def test_a_box_is_turned_clockwise_about_its_middle():
    corners = turned_box(Box(0, 0, 4, 2), 90).rings[0]
    np.testing.assert_allclose(corners, [(3, -1), (3, 3), (1, 3), (1, -1)], atol=1e-9)


def test_outlines_that_lie_apart_are_united_as_they_are():
    assert united([LEFT, RIGHT], SHAPE) == PolygonOutline(rings=(*LEFT.rings, *RIGHT.rings))


def test_what_lies_in_both_of_two_outlines_lies_in_the_united_one():
    expected = painted(LEFT) | painted(OVER_LEFT)
    np.testing.assert_array_equal(painted(united([LEFT, OVER_LEFT], SHAPE)), expected)


def test_pixels_and_polygons_are_united():
    pixels = PixelOutline.from_pixels(painted(RIGHT))
    expected = painted(LEFT) | painted(RIGHT)
    np.testing.assert_array_equal(painted(united([LEFT, pixels], SHAPE)), expected)


def test_only_outlines_of_one_label_and_number_are_joined():
    marks = [
        Annotation(cell_type="RBC", outline=LEFT, part_of=1),
        Annotation(cell_type="WBC", outline=LEFT, part_of=1),
        Annotation(cell_type="RBC", box=Box(0, 0, 5, 5), part_of=1),
        Annotation(cell_type="RBC", outline=RIGHT),
        Annotation(cell_type="RBC", outline=RIGHT, part_of=1),
    ]
    joined, count = joined_parts(marks, SHAPE)
    assert count == 1
    assert [mark.cell_type for mark in joined] == ["RBC", "WBC", "RBC", "RBC"]
    assert joined[0].outline == PolygonOutline(rings=(*LEFT.rings, *RIGHT.rings))


def test_numbers_of_a_mark_are_shifted_but_not_the_pixels_of_a_mask():
    mark = Annotation(cell_type="RBC", box=Box(1, 2, 3, 4), outline=LEFT, point=(5.0, 6.0))
    moved = shifted(mark, -1)
    assert (moved.box, moved.point) == (Box(0, 1, 2, 3), (4, 5))
    np.testing.assert_array_equal(moved.outline.rings[0], LEFT.rings[0] - 1)
    masked = Annotation(cell_type="RBC", outline=PixelOutline.from_pixels(painted(LEFT)))
    assert shifted(masked, -1).outline == masked.outline
