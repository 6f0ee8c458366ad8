import cv2
import numpy as np
import pytest
from support.analysed_images import analysis_of
from support.drawn_cells import ellipse_box

from blood_cell_system.cells.table import Cells
from blood_cell_system.reports.page.panel import outline_polygons
from blood_cell_system.taxonomy import RBC


def test_polygons_enclose_their_cells_in_the_image_s_coordinates():
    analysis = analysis_of([ellipse_box(RBC, 50.0, 60.0, 40.0)])
    cells = analysis.cells
    (polygon,) = outline_polygons(cells)
    corners = np.array(polygon)
    assert corners.min(axis=0) == pytest.approx([30.5, 40.5], abs=1.5)
    assert corners.max(axis=0) == pytest.approx([69.5, 79.5], abs=1.5)
    drawn = cv2.fillPoly(np.zeros((128, 192), np.uint8), [corners.astype(np.int32)], 1)
    differing = (drawn > 0) != (cells.label_image == 1)
    assert differing.sum() < 0.05 * cells["area"][0]


def test_of_a_cell_in_pieces_the_largest_is_outlined():
    labels = np.zeros((40, 40), np.int32)
    labels[2:5, 2:5] = 1
    labels[10:30, 10:30] = 1
    (polygon,) = outline_polygons(Cells(label_image=labels).with_columns(cell_type=[RBC]))
    assert min(polygon) == (10.5, 10.5)
    assert max(polygon) == (29.5, 29.5)


def test_a_cell_without_pixels_has_no_corners():
    labels = np.zeros((9, 9), np.int32)
    assert outline_polygons(Cells(label_image=labels).with_columns(cell_type=[RBC])) == [[]]
