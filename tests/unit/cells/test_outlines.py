import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.analysed_images import analysis_of
from support.drawn_cells import ellipse_box

from blood_cell_system.cells.outlines import (
    circularity,
    label_polygons,
    outline_polygons,
    perimeters_px,
)
from blood_cell_system.taxonomy import RBC


def disc(radius, shape=(80, 90), centre=(44.0, 40.0)):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2
    return inside.astype(np.int32)


@given(st.floats(8, 35), st.floats(40, 48), st.floats(36, 44))
@settings(max_examples=30)
def test_a_disc_s_perimeter_is_right_to_six_percent(radius, x, y):
    labels = disc(radius, centre=(x, y))
    expected = 2 * np.sqrt(np.pi * labels.sum())
    assert perimeters_px(labels, count=1)[0] == pytest.approx(expected, rel=0.06)


@given(st.integers(0, 89))
@settings(max_examples=15)
def test_a_square_s_perimeter_is_right_to_eight_percent_however_it_is_turned(angle):
    corners = cv2.boxPoints(((60, 60), (60, 60), float(angle))).astype(np.int32)
    labels = cv2.fillPoly(np.zeros((120, 120), np.uint8), [corners], 1).astype(np.int32)
    assert perimeters_px(labels, count=1)[0] == pytest.approx(240, rel=0.08)


def test_touching_cells_and_the_image_s_border_have_boundaries():
    labels = np.ones((20, 40), dtype=np.int32)
    labels[:, 20:] = 2
    first, second = perimeters_px(labels, count=2)
    assert first == pytest.approx(second)
    assert first == pytest.approx(80, rel=0.1)


def test_a_cell_without_pixels_has_no_perimeter():
    assert perimeters_px(np.zeros((4, 4), np.int32), count=2).tolist() == [0, 0]


def test_a_disc_is_rounder_than_an_ellipse_and_that_than_a_bar():
    ellipse = cv2.ellipse(np.zeros((80, 90), np.uint8), (44, 40), (36, 18), 0, 0, 360, 1, -1)
    bar = np.zeros((80, 90), np.int32)
    bar[38:42, 4:86] = 1
    roundness = [
        circularity(labels.sum(), perimeters_px(labels, count=1)[0])
        for labels in (disc(30), ellipse.astype(np.int32), bar)
    ]
    assert roundness[0] > 0.95
    assert roundness[0] > roundness[1] + 0.1
    assert roundness[1] > roundness[2] + 0.3


def test_circularity_is_bounded_and_0_without_a_boundary():
    assert circularity(100.0, 1.0) == 1.0
    assert circularity(0.0, 0.0) == 0.0


def test_polygons_enclose_their_cells_in_the_image_s_coordinates():
    analysis = analysis_of([ellipse_box(RBC, 50.0, 60.0, 40.0)])
    found = analysis.separated
    (polygon,) = outline_polygons(found.label_image, found.cells)
    corners = np.array(polygon)
    assert corners.min(axis=0) == pytest.approx([30.5, 40.5], abs=1.5)
    assert corners.max(axis=0) == pytest.approx([69.5, 79.5], abs=1.5)
    drawn = cv2.fillPoly(np.zeros((128, 192), np.uint8), [corners.astype(np.int32)], 1)
    differing = (drawn > 0) != (found.label_image == 1)
    assert differing.sum() < 0.05 * found.cells[0].area_px


def test_of_a_cell_in_pieces_the_largest_is_outlined():
    labels = np.zeros((40, 40), np.int32)
    labels[2:5, 2:5] = 1
    labels[10:30, 10:30] = 1
    (polygon,) = label_polygons(labels, [(1, (2, 2, 30, 30))])
    assert min(polygon) == (10.5, 10.5)
    assert max(polygon) == (29.5, 29.5)


def test_a_cell_without_pixels_has_no_corners():
    assert label_polygons(np.zeros((9, 9), np.int32), [(1, (0, 0, 9, 9))]) == [[]]
