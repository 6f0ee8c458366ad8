import cv2
import numpy as np

from blood_cell_system.cells.separation import close_white_cell_concavities
from blood_cell_system.taxonomy import RBC, WBC, MaskClass


def disc(shape, centre, radius):
    return cv2.circle(np.zeros(shape, np.uint8), centre, radius, 1, -1) > 0


def scene(cells):
    """Labels, types and class mask of cells given as ``(type, pixels)``, later ones on top."""
    labels = np.zeros(cells[0][1].shape, np.int32)
    class_mask = np.zeros(labels.shape, np.uint8)
    values = {RBC: MaskClass.RBC, WBC: MaskClass.WBC}
    for label, (cell_type, pixels) in enumerate(cells, start=1):
        labels[pixels] = label
        class_mask[pixels] = values[cell_type]
    return labels, [cell_type for cell_type, _ in cells], class_mask


def bay(shape=(100, 100)):
    """A disc of radius 30 with a slit of 12 pixels from its middle to its right rim."""
    slit = np.zeros(shape, bool)
    slit[44:56, 50:] = True
    return disc(shape, (50, 50), 30) & ~slit, slit & disc(shape, (50, 50), 24)


def test_a_bay_of_a_white_cell_is_closed():
    cell, slit = bay()
    labels, types, class_mask = scene([(WBC, cell)])
    close_white_cell_concavities(labels, types, class_mask)
    assert (labels[slit] == 1).all()


def test_a_bay_of_a_red_cell_stays():
    cell, _ = bay()
    labels, types, class_mask = scene([(RBC, cell)])
    close_white_cell_concavities(labels, types, class_mask)
    np.testing.assert_array_equal(labels > 0, cell)


def test_another_cell_in_the_bay_keeps_its_pixels():
    cell, _ = bay()
    guest = np.zeros(cell.shape, bool)
    guest[46:54, 60:95] = True
    labels, types, class_mask = scene([(WBC, cell), (RBC, guest)])
    close_white_cell_concavities(labels, types, class_mask)
    assert (labels[guest] == 2).all()


def test_what_lies_in_a_hole_of_a_white_cell_is_part_of_it():
    ring = disc((100, 100), (50, 50), 30)
    inner = disc((100, 100), (50, 50), 15)
    labels, types, class_mask = scene([(WBC, ring), (RBC, inner)])
    close_white_cell_concavities(labels, types, class_mask)
    assert (labels[ring] == 1).all()


def test_a_thin_ring_is_no_cell_to_be_filled():
    ring = disc((200, 200), (100, 100), 80) & ~disc((200, 200), (100, 100), 70)
    labels, types, class_mask = scene([(WBC, ring)])
    close_white_cell_concavities(labels, types, class_mask)
    assert labels[100, 100] == 0


def test_a_round_cell_stays_as_it_is_at_the_border_too():
    cell = disc((60, 60), (5, 30), 20)
    labels, types, class_mask = scene([(WBC, cell)])
    close_white_cell_concavities(labels, types, class_mask)
    np.testing.assert_array_equal(labels > 0, cell)
