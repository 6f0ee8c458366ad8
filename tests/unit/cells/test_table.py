import numpy as np
import pytest

from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.cells.table import Cells
from blood_cell_system.taxonomy import RBC, WBC


def three_cells():
    labels = np.zeros((4, 6), np.int32)
    labels[0, 0], labels[1, 2:4], labels[3, 5] = 1, 2, 3
    return Cells(label_image=labels).with_columns(
        cell_type=[RBC, WBC, RBC],
        box=[(0, 0, 1, 1), (2, 1, 4, 2), (5, 3, 6, 4)],
        possible_conditions=[(), ("a", "b"), None],
    )


def test_chosen_cells_are_numbered_anew_and_the_others_are_background():
    red = three_cells().select(np.array([True, False, True]))
    assert red["cell_type"].tolist() == [RBC, RBC]
    assert red.label_image[0, 0] == 1
    assert red.label_image[3, 5] == 2
    assert not red.label_image[1].any()


def test_rows_are_taken_in_the_order_of_their_numbers():
    turned = three_cells().select(np.array([2, 0]))
    assert turned["box"][:, 0].tolist() == [5, 0]
    assert turned.label_image[3, 5] == 1
    assert turned.label_image[0, 0] == 2


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        three_cells().with_columns(confidence=[0.5])


def test_columns_have_the_types_that_are_declared():
    cells = three_cells().with_columns(confidence=[1, 0, 1], flags=[("a",), (), ("b", "c")])
    assert cells["confidence"].dtype == np.float64
    assert cells["box"].dtype == np.float64
    assert cells["flags"].tolist() == [("a",), (), ("b", "c")]


def test_an_empty_table_has_the_columns_of_separation():
    empty = Cells.empty((3, 4))
    assert len(empty) == 0
    nothing = np.zeros((3, 4, 3), np.float32)
    assert list(empty) == list(separate_cells(nothing, None, None))
    assert empty["box"].shape == (0, 4)


def test_cells_are_counted_by_type():
    cells = three_cells()
    assert cells.count(RBC) == 2
    assert cells.is_type(WBC).tolist() == [False, True, False]
    assert "area" not in cells


def test_a_data_frame_has_a_row_a_cell_and_a_column_a_number():
    frame = three_cells().to_dataframe()
    assert frame.index.tolist() == [1, 2, 3]
    assert frame["box_x_max"].tolist() == [1, 4, 6]
    assert frame["cell_type"].tolist() == [RBC, WBC, RBC]
