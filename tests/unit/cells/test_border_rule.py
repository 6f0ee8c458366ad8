import numpy as np
import pytest
from support.drawn_cells import ellipse_box, is_in_ellipse

from blood_cell_system.cells.border_rule import BorderRule, cells_within, count_by_rule
from blood_cell_system.cells.measures import measure_cells
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.cells.table import Cells
from blood_cell_system.taxonomy import RBC

SHAPE = (200, 200)


def cells_at(*middles):
    probabilities = np.zeros((*SHAPE, 3), np.float32)
    probabilities[..., 0] = 1
    for x, y in middles:
        box = ellipse_box(RBC, x, y, 30)
        probabilities[is_in_ellipse(box, SHAPE)] = (0, 1, 0)
    return separate_cells(probabilities, None, None)


def disc(radius=80):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    return np.hypot(x - 100, y - 100) < radius


WHOLE = np.ones(SHAPE, dtype=bool)


@pytest.mark.parametrize(
    ("middle", "is_counted"),
    [
        ((100, 100), True),
        ((5, 100), True),
        ((100, 5), True),
        ((195, 100), False),
        ((100, 195), False),
        ((195, 5), False),
        ((5, 195), False),
        ((5, 5), True),
    ],
)
def test_two_sides_count_and_two_do_not(middle, is_counted):
    counted = count_by_rule(cells_at(middle), BorderRule.TWO_SIDES, WHOLE)
    assert counted["is_counted"].tolist() == [is_counted]


def test_without_a_rule_all_count():
    cells = cells_at((195, 100), (100, 100))
    assert count_by_rule(cells, BorderRule.COUNTED, WHOLE)["is_counted"].tolist() == [True, True]


@pytest.mark.parametrize(("shift", "is_counted"), [(-54, True), (54, False)])
def test_in_a_round_field_half_of_the_rim_counts(shift, is_counted):
    cells = cells_within(cells_at((100 + shift, 100 + shift)), disc())
    assert cells["touches_border"].tolist() == [True]
    counted = count_by_rule(cells, BorderRule.TWO_SIDES, disc())
    assert counted["is_counted"].tolist() == [is_counted]


def test_a_cell_within_the_field_touches_no_border():
    assert not cells_within(cells_at((100, 100)), disc())["touches_border"][0]


def test_cells_outside_of_the_field_are_gone():
    cells = cells_within(cells_at((20, 20), (100, 100)), disc())
    assert len(cells) == 1
    assert cells.label_image[100, 100] == 1
    assert not cells.label_image[:40, :40].any()


def test_a_whole_field_changes_nothing():
    cells = cells_at((20, 20))
    assert cells_within(cells, WHOLE) is cells


def test_fields_side_by_side_count_every_cell_once():
    # A cell on the seam of two fields is cut in both.
    left = cells_at((200, 100))
    right = cells_at((0, 100))
    counted = [count_by_rule(part, BorderRule.TWO_SIDES, WHOLE) for part in (left, right)]
    assert sum(part["is_counted"].sum() for part in counted) == 1


def test_a_sliver_at_the_rim_is_no_cell():
    cells = cells_at((100, 100), (60, 60), (160, 70))
    labels = cells.label_image.copy()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    distance = np.hypot(x - 100, y - 100)
    labels[(distance > 73) & (distance < 81) & (y > 150)] = len(cells) + 1
    sliver = measure_cells(
        Cells(label_image=labels).with_columns(
            cell_type=[*cells["cell_type"], RBC], touches_border=[False] * 4
        ),
        *("box", "centroid", "area", "equivalent_diameter_area"),
    )
    assert len(cells_within(sliver, disc())) == 3
    # Half a cell at the rim is one.
    assert len(cells_within(cells_at((100, 100), (60, 60), (100, 174)), disc())) == 3
