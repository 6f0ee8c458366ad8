import numpy as np
import pytest
from support.drawn_cells import ellipse_box

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.cell_diameter import red_cell_diameters
from blood_cell_system.taxonomy import RBC, WBC

SHAPE = (100, 200)


def box(x, y, side, *, origin=Origin.ANNOTATED, cell_type=RBC):
    return Annotation(cell_type=cell_type, box=Box(x, y, x + side, y + side), origin=origin)


def empty_mask():
    return np.zeros(SHAPE, dtype=np.uint8)


def test_boxes_of_whole_red_cells_tell_the_diameter():
    cells = (box(10, 10, 20), box(50, 50, 24), box(60, 10, 50, cell_type=WBC))
    assert red_cell_diameters(cells, empty_mask()).tolist() == [20, 24]


def test_cells_at_the_border_do_not_count():
    assert red_cell_diameters((box(0, 10, 20), box(50, 79, 20)), empty_mask()).tolist() == []


def test_a_persons_boxes_go_before_those_of_the_stain():
    cells = (box(10, 10, 20), box(50, 50, 40, origin=Origin.STAIN))
    assert red_cell_diameters(cells, empty_mask()).tolist() == [20]


def test_boxes_of_the_stain_count_where_there_are_no_others():
    assert red_cell_diameters((box(50, 50, 40, origin=Origin.STAIN),), empty_mask()) == [40]


def test_boxes_guessed_around_a_point_tell_nothing():
    assert len(red_cell_diameters((box(50, 50, 40, origin=Origin.POINT),), empty_mask())) == 0


def test_a_cells_own_pixels_go_before_its_generous_box():
    labels = np.zeros(SHAPE, dtype=np.uint16)
    labels[20:40, 30:50] = 1
    cells = (box(25, 15, 30),)
    assert red_cell_diameters(cells, empty_mask(), labels).tolist() == [20]


def test_components_tell_where_no_cell_is_marked():
    mask = empty_mask()
    rows, columns = np.mgrid[:100, :200] + 0.5
    mask[np.hypot(rows - 50, columns - 50) < 15] = 1
    # A clump of two, and one at the border.
    mask[np.hypot(rows - 50, columns - 120) < 15] = 1
    mask[np.hypot(rows - 50, columns - 142) < 15] = 1
    mask[np.hypot(rows - 10, columns - 190) < 15] = 1
    assert red_cell_diameters(None, mask) == pytest.approx([30], abs=0.7)


def test_an_oval_cell_counts_with_the_mean_of_its_sides():
    oval = ellipse_box(RBC, 60, 50, 20)
    wide = Annotation(
        cell_type=RBC, box=Box(oval.x_min, oval.y_min, oval.x_min + 40, oval.y_min + 10)
    )
    assert red_cell_diameters((wide,), empty_mask()).tolist() == [20]
