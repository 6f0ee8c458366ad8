import numpy as np
import pytest
from support.stained_images import box

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.masks.ellipses import (
    clip_to_pixels,
    ellipse_distance,
    nearest_ellipse,
    whole_cell_box,
)
from blood_cell_system.taxonomy import RBC


def corners(cell):
    return (cell.x_min, cell.y_min, cell.x_max, cell.y_max)


def red(*values):
    x_min, y_min, x_max, y_max = values
    return Annotation(cell_type=RBC, box=Box(x_min, y_min, x_max, y_max))


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ((0, 40, 30, 100), (-30, 40, 30, 100)),
        ((170, 40, 200, 100), (170, 40, 230, 100)),
        ((40, 0, 100, 20), (40, -40, 100, 20)),
        ((40, 180, 100, 200), (40, 180, 100, 240)),
        ((40, 40, 60, 100), (40, 40, 60, 100)),
        ((0, 40, 80, 100), (0, 40, 80, 100)),
    ],
)
def test_only_a_side_at_the_border_is_moved_until_the_box_is_square(cut, whole):
    assert corners(whole_cell_box(red(*cut), (200, 200))) == whole


def test_a_cell_cut_on_two_sides_grows_on_both():
    assert corners(whole_cell_box(red(0, 0, 20, 30), (30, 20))) == (-5, 0, 25, 30)


def test_a_box_outside_has_no_pixels():
    rows, columns = clip_to_pixels(red(300, 300, 340, 340), (100, 100))
    assert np.zeros((100, 100))[rows, columns].size == 0


def test_the_distance_is_one_on_the_ellipse():
    cell = red(0, 0, 9, 5)
    distance = ellipse_distance(cell, slice(0, 5), slice(0, 9))
    assert distance[2, 4] == 0
    assert distance[2, 8] == pytest.approx((4 / 4.5) ** 2)
    assert distance[0, 4] == pytest.approx((2 / 2.5) ** 2)


def test_a_pixel_between_two_cells_goes_to_the_nearer_in_half_axes():
    small, large = box("RBC", 20, 30, 10), box("RBC", 60, 30, 30)
    owner, _ = nearest_ellipse([small, large], (60, 100), reach=2.0)
    assert owner[30, 29] == 0
    assert owner[30, 31] == 1
    assert owner[0, 0] == -1


def test_a_box_inside_out_owns_nothing():
    owner, distance = nearest_ellipse([red(30, 30, 10, 10)], (40, 40))
    assert (owner == -1).all()
    assert np.isinf(distance).all()
