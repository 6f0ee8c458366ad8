import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops_table
from support.drawn_cells import perfect_outputs, touching_field

from blood_cell_system.cells.measures import MEASURES, Regions, data_dictionary, measure_cells
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.cells.table import Cells


def measured(labels, name):
    return MEASURES[name](Regions(labels, int(labels.max())))


def by_skimage(cells, name):
    """Columns of scikit-image, whose axes are rows and columns and whose pixels lie at integers."""
    table = regionprops_table(cells.label_image, properties=(name,))
    if name == "bbox":
        return np.stack([table[f"bbox-{axis}"] for axis in (1, 0, 3, 2)], axis=1)
    if name == "centroid":
        return np.stack([table["centroid-1"], table["centroid-0"]], axis=1) + 0.5
    return table[name]


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "form_factor"])
def test_measures_are_those_of_scikit_image(name):
    cells = separate_cells(*perfect_outputs(touching_field(seed=2), (480, 640))[:3])
    assert len(cells) > 10
    expected = by_skimage(cells, "bbox" if name == "box" else name)
    assert measure_cells(cells, name)[name] == pytest.approx(expected)


def test_every_column_is_described_once_with_a_definition():
    columns = data_dictionary()
    assert len({column.name for column in columns}) == len(columns)
    assert {column.name for column in columns} >= set(MEASURES)
    assert all(column.definition.endswith(".") for column in columns)


def test_measures_of_no_cells_are_empty_columns():
    cells = measure_cells(Cells.empty((20, 30)), *MEASURES)
    assert len(cells) == 0
    assert cells["centroid"].shape == (0, 2)


def disc(radius, shape=(80, 90), centre=(44.0, 40.0)):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2
    return inside.astype(np.int32)


@given(st.floats(8, 35), st.floats(40, 48), st.floats(36, 44))
@settings(max_examples=30)
def test_a_disc_s_perimeter_is_right_to_six_percent(radius, x, y):
    labels = disc(radius, centre=(x, y))
    expected = 2 * np.sqrt(np.pi * labels.sum())
    assert measured(labels, "perimeter_crofton")[0] == pytest.approx(expected, rel=0.06)


@given(st.integers(0, 89))
@settings(max_examples=15)
def test_a_square_s_perimeter_is_right_to_eight_percent_however_it_is_turned(angle):
    corners = cv2.boxPoints(((60, 60), (60, 60), float(angle))).astype(np.int32)
    labels = cv2.fillPoly(np.zeros((120, 120), np.uint8), [corners], 1).astype(np.int32)
    assert measured(labels, "perimeter_crofton")[0] == pytest.approx(240, rel=0.08)


def test_touching_cells_and_the_image_s_border_have_boundaries():
    labels = np.ones((20, 40), dtype=np.int32)
    labels[:, 20:] = 2
    first, second = measured(labels, "perimeter_crofton")
    assert first == pytest.approx(second)
    assert first == pytest.approx(80, rel=0.1)


def test_a_cell_without_pixels_has_no_perimeter():
    assert MEASURES["perimeter_crofton"](Regions(np.zeros((4, 4), np.int32), 2)).tolist() == [0, 0]


def test_a_disc_is_rounder_than_an_ellipse_and_that_than_a_bar():
    ellipse = cv2.ellipse(np.zeros((80, 90), np.uint8), (44, 40), (36, 18), 0, 0, 360, 1, -1)
    bar = np.zeros((80, 90), np.int32)
    bar[38:42, 4:86] = 1
    roundness = [
        measured(labels, "form_factor")[0] for labels in (disc(30), ellipse.astype(np.int32), bar)
    ]
    assert roundness[0] > 0.95
    assert roundness[0] > roundness[1] + 0.1
    assert roundness[1] > roundness[2] + 0.3


def test_the_form_factor_is_at_most_1_and_0_without_a_boundary():
    dot = np.array([[1]], np.int32)
    assert MEASURES["form_factor"](Regions(dot, 2)).tolist() == [1.0, 0.0]
