"""Which cells of two people's corrections are the same."""

import numpy as np
from support.corrected_cells import an_event, two_cells

from blood_cell_system.corrections.paired_cells import paired_cells
from blood_cell_system.corrections.record import Action
from blood_cell_system.corrections.replay import replay

SEEN = (Action.REVIEW_CELLS, [1, 2])
SQUARE = ((12.5, 1.5), (18.5, 1.5), (18.5, 8.5), (12.5, 8.5))


def field(*acts):
    return replay(
        [an_event(action, cells, **dict(*value)) for action, cells, *value in acts], two_cells()
    )


def answers(first, second):
    return [
        tuple(None if cell is None else cell.cell_type for cell in (pair.first, pair.second))
        for pair in paired_cells(first, second)
    ]


def test_cells_that_both_have_seen_are_one_by_one_those_of_the_results():
    changed = field((Action.SET_CLASS, [1], {"cell_type": "Platelet"}), (Action.REVIEW_CELLS, [2]))
    assert answers(field(SEEN), changed) == [("RBC", "Platelet"), ("WBC", "WBC")]


def test_cells_that_one_has_not_seen_do_not_count():
    assert answers(field(SEEN), field((Action.REVIEW_CELLS, [2]))) == [("WBC", "WBC")]
    assert answers(field(SEEN), field()) == []


def test_in_a_field_that_was_reviewed_all_cells_count():
    whole = field((Action.REVIEW_FIELD, None))
    assert answers(whole, field(SEEN)) == [("RBC", "RBC"), ("WBC", "WBC")]


def test_a_deleted_cell_is_none_for_who_deleted_it():
    deleted = field((Action.DELETE, [1]), (Action.REVIEW_CELLS, [2]))
    assert answers(field(SEEN), deleted) == [("WBC", "WBC"), ("RBC", None)]
    assert answers(deleted, field(SEEN)) == [("WBC", "WBC"), (None, "RBC")]
    assert answers(deleted, deleted) == [("WBC", "WBC")]


def test_a_drawn_cell_is_missing_for_who_reviewed_the_field_without_it():
    drawn = field((Action.DRAW, None, {"cell_type": "RBC", "polygon": SQUARE}))
    assert answers(drawn, field((Action.REVIEW_FIELD, None))) == [("RBC", None)]
    assert answers(drawn, field(SEEN)) == []


def test_cells_that_both_drew_at_one_place_are_one():
    moved = tuple((x + 1, y) for x, y in SQUARE)
    one = field((Action.DRAW, None, {"cell_type": "RBC", "polygon": SQUARE}))
    other = field((Action.DRAW, None, {"cell_type": "WBC", "polygon": moved}))
    [pair] = paired_cells(one, other)
    assert (pair.first.cell_type, pair.second.cell_type) == ("RBC", "WBC")
    assert (one.label_image == pair.first_label).any()
    assert (other.label_image == pair.second_label).any()


def test_a_part_of_a_split_cell_is_the_whole_one_where_it_is_most_of_it():
    small_part = field((Action.SPLIT, [2], {"points": ((21.0, 5.0), (31.0, 12.0))}))
    found = answers(small_part, field((Action.REVIEW_FIELD, None)))
    assert found == [("WBC", None), ("WBC", "WBC")]


def test_a_cell_in_two_halves_is_none_of_them():
    halves = field((Action.SPLIT, [2], {"points": ((24.0, 10.0), (32.0, 10.0))}))
    whole = field((Action.REVIEW_FIELD, None))
    assert answers(halves, whole) == [("WBC", None), ("WBC", None), (None, "WBC")]
    assert answers(whole, halves) == [("WBC", None), (None, "WBC"), (None, "WBC")]


def test_every_cell_has_one_partner_at_most():
    draw = np.random.default_rng(0)
    for _ in range(5):
        shift = draw.integers(-3, 4)
        moved = tuple((x + shift, y) for x, y in SQUARE)
        one = field(
            (Action.DRAW, None, {"cell_type": "RBC", "polygon": SQUARE}),
            (Action.REVIEW_FIELD, None),
        )
        other = field(
            (Action.DRAW, None, {"cell_type": "RBC", "polygon": moved}), (Action.REVIEW_FIELD, None)
        )
        pairs = list(paired_cells(one, other))
        assert len({pair.first_label for pair in pairs if pair.first}) == 3
        assert sum(pair.first is not None for pair in pairs) == 3
        assert sum(pair.second is not None for pair in pairs) == 3
