import numpy as np
import pytest
from support.stained_images import box, disc

from blood_cell_system.masks.refine import doubtful_holes, fill_pallor, pale_cells

SHAPE = (120, 160)
AREA = np.pi * 30**2


def filled(foreground, cells=(), max_share=0.3):
    return fill_pallor(foreground, cells, cell_area_px=AREA, max_share=max_share)


def ring(x, y, outer=30, inner=12):
    return disc(SHAPE, x, y, outer) & ~disc(SHAPE, x, y, inner)


def test_a_round_hole_is_filled_with_and_without_a_box():
    for cells in ([], [box("RBC", 60, 60, 30)]):
        np.testing.assert_array_equal(filled(ring(60, 60), cells), disc(SHAPE, 60, 60, 30))


def test_a_hole_larger_than_pallor_stays_open_without_a_box_and_is_filled_in_one():
    wide = ring(60, 60, inner=22)
    np.testing.assert_array_equal(filled(wide), wide)
    assert filled(wide, [box("RBC", 60, 60, 30)])[60, 60]


def test_the_gap_between_three_cells_stays_open():
    cells = [box("RBC", 40, 40, 29), box("RBC", 97, 40, 29), box("RBC", 68, 88, 29)]
    clump = np.logical_or.reduce([disc(SHAPE, *cell.centre, 29) for cell in cells])
    assert not clump[56, 68]
    assert not filled(clump, cells)[56, 68]


def test_a_broken_ring_is_closed_in_its_box_only():
    broken = ring(60, 60)
    broken[59:62, 60:] = False
    assert not filled(broken)[60, 60]
    assert filled(broken, [box("RBC", 60, 60, 30)])[60, 60]


def test_the_slide_at_the_border_is_no_pallor():
    foreground = np.ones(SHAPE, dtype=bool)
    foreground[:8, :8] = False
    assert not filled(foreground)[:8, :8].any()


def doubtful(foreground):
    return doubtful_holes(foreground, cell_area_px=AREA, max_share=0.3)


def slot(rows, columns):
    foreground = np.ones(SHAPE, dtype=bool)
    foreground[rows, columns] = False
    return foreground


def test_a_small_hole_of_any_shape_is_in_doubt():
    narrow = slot(slice(40, 44), slice(40, 80))
    np.testing.assert_array_equal(doubtful(narrow), ~narrow)


def test_a_large_gap_with_hollow_sides_is_slide_for_sure():
    bent = np.ones(SHAPE, dtype=bool)
    bent[20:60, 40:50] = bent[20:30, 40:80] = False
    assert 0.12 * AREA < (~bent).sum() < 0.45 * AREA
    assert not doubtful(bent).any()


def test_the_wide_pallor_of_a_ghost_cell_is_in_doubt_and_a_wider_hole_is_not():
    assert doubtful(~disc(SHAPE, 60, 60, 19)).any()
    assert not doubtful(~disc(SHAPE, 60, 60, 23)).any()


@pytest.mark.parametrize(
    ("rows", "columns", "is_in_doubt"),
    [
        (slice(0, 20), slice(40, 60), True),
        (slice(0, 20), slice(0, 20), False),
        (slice(0, 40), slice(40, 70), False),
    ],
    ids=["one side", "corner", "large"],
)
def test_a_hole_that_the_border_cuts_is_in_doubt_if_it_is_small_and_cut_once(
    rows, columns, is_in_doubt
):
    assert doubtful(slot(rows, columns)).any() == is_in_doubt


def test_foreground_is_never_taken_away():
    foreground = np.random.default_rng(0).random(SHAPE) > 0.5
    assert filled(foreground, [box("RBC", 60, 60, 30)])[foreground].all()


@pytest.mark.parametrize(("density", "is_found"), [(0.07, True), (0.03, False)])
def test_a_pale_cell_is_looked_for_where_a_person_has_seen_one(density, is_found):
    green = np.where(disc(SHAPE, 60, 60, 28), density, 0.0).astype(np.float32)
    empty = np.zeros(SHAPE, dtype=bool)
    found = pale_cells(green, empty, [box("RBC", 60, 60, 30)], threshold=0.1)
    assert found[60, 60] == is_found
    assert not pale_cells(green, empty, [], threshold=0.1).any()


def test_a_cell_that_is_seen_well_is_not_widened():
    green = np.full(SHAPE, 0.07, np.float32)
    seen = disc(SHAPE, 60, 60, 28)
    assert not pale_cells(green, seen, [box("RBC", 60, 60, 30)], threshold=0.1).any()
