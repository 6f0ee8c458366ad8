import numpy as np
import pytest
from support.corrected_cells import an_event, two_cells

from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections.record import Action, Event
from blood_cell_system.corrections.replay import replay
from blood_cell_system.errors import CorrectionsError


def after(*events: Event, cells: Cells | None = None):
    return replay(events, two_cells() if cells is None else cells)


def test_without_events_the_cells_are_those_of_the_results():
    field = after()
    assert [cell.id for cell in field.cells] == [1, 2]
    assert np.array_equal(field.label_image, two_cells().label_image)
    assert not field.touched


def test_a_class_that_a_person_sets_is_stated_by_that_person():
    field = after(an_event(Action.SET_CLASS, [2], cell_type="WBC", condition="healthy_WBC"))
    cell = field.cells[1]
    assert (cell.cell_type, cell.condition, cell.subtype) == ("WBC", "healthy_WBC", None)
    assert cell.is_stated
    assert cell.by == "Ada"
    assert field.cells[0].by is None


def test_a_deleted_cell_leaves_background_and_the_others_are_numbered_anew():
    field = after(an_event(Action.DELETE, [1]))
    assert [cell.id for cell in field.cells] == [2]
    assert field.removed == (0,)
    assert set(np.unique(field.label_image)) == {0, 1}
    assert (field.label_image == 1).sum() == (two_cells().label_image == 2).sum()


def test_a_drawn_cell_takes_background_only():
    draw = an_event(Action.DRAW, cell_type="RBC", polygon=[(0, 0), (12, 0), (12, 20), (0, 20)])
    field = after(draw)
    assert field.cells[2].id == draw.id
    assert field.cells[2].is_stated
    before = two_cells().label_image
    assert np.array_equal(field.label_image[before > 0], before[before > 0])
    assert (field.label_image == 3).sum() == (before[:20, :12] == 0).sum()


def test_a_cell_drawn_within_another_changes_nothing():
    draw = an_event(Action.DRAW, cell_type="RBC", polygon=[(3, 3), (4, 3), (4, 4), (3, 4)])
    field = after(draw)
    assert len(field.cells) == 2
    assert field.moot == (draw,)


def test_a_split_cell_becomes_parts_around_the_points():
    split = an_event(Action.SPLIT, [1], points=[(2, 5), (9, 5)])
    field = after(split)
    assert [cell.id for cell in field.cells] == [2, f"{split.id}/1", f"{split.id}/2"]
    left, right = ((field.label_image == value).nonzero()[1] for value in (2, 3))
    assert left.max() < right.min()
    assert len(left) + len(right) == (two_cells().label_image == 1).sum()


def test_merged_cells_are_one_with_the_class_of_the_first():
    merge = an_event(Action.MERGE, [2, 1])
    field = after(merge)
    assert [cell.id for cell in field.cells] == [merge.id]
    assert field.cells[0].cell_type == two_cells()["cell_type"][1]
    assert np.array_equal(field.label_image > 0, two_cells().label_image > 0)


def test_a_moved_outline_replaces_the_pixels():
    square = [(2, 15), (8, 15), (8, 19), (2, 19)]
    field = after(an_event(Action.SET_OUTLINE, [1], polygon=square))
    assert (field.label_image == 1).sum() == 24
    assert field.label_image[17, 4] == 1
    assert field.cells[0].is_redrawn


def test_confirmed_cells_are_stated_with_the_class_of_the_program():
    field = after(an_event(Action.REVIEW_CELLS, [1]))
    assert [cell.is_stated for cell in field.cells] == [True, False]


def test_a_field_reviewed_to_its_end_says_so():
    assert after(an_event(Action.REVIEW_FIELD)).is_reviewed
    assert not after().is_reviewed


def test_an_undone_event_changes_nothing():
    delete = an_event(Action.DELETE, [1])
    assert len(after(delete, an_event(Action.UNDO, event=delete.id)).cells) == 2


def test_undoing_an_undo_does_it_again():
    delete = an_event(Action.DELETE, [1])
    undo = an_event(Action.UNDO, event=delete.id)
    assert len(after(delete, undo, an_event(Action.UNDO, event=undo.id)).cells) == 1


def test_events_of_a_cell_that_is_gone_change_nothing():
    late = an_event(Action.SET_CLASS, [1], cell_type="WBC")
    field = after(an_event(Action.DELETE, [1]), late)
    assert field.moot == (late,)


def test_events_of_a_cell_whose_drawing_was_undone_change_nothing():
    draw = an_event(Action.DRAW, cell_type="RBC", polygon=[(0, 0), (12, 0), (12, 20), (0, 20)])
    class_set = an_event(Action.SET_CLASS, [draw.id], cell_type="WBC")
    field = after(draw, class_set, an_event(Action.UNDO, event=draw.id))
    assert len(field.cells) == 2
    assert field.moot == (class_set,)


def test_results_read_without_pixels_are_corrected_as_well():
    cells = two_cells()
    bare = Cells(label_image=np.zeros((0, 0), np.int32), data=cells.data)
    split = an_event(Action.SPLIT, [1], points=[(2, 5), (9, 5)])
    draw = an_event(Action.DRAW, cell_type="RBC", polygon=[(0, 0), (12, 0), (12, 20), (0, 20)])
    assert len(after(split, draw, cells=bare).cells) == 4


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (an_event(Action.DELETE, [3]), "names cell 3, which there is not; expected 1 to 2"),
        (an_event(Action.SET_CLASS, [1], cell_type="rbc"), "'rbc' is no cell type"),
        (
            an_event(Action.SET_CLASS, [1], cell_type="RBC", condition="healthy_WBC"),
            "'healthy_WBC' is no condition of RBC",
        ),
        (
            an_event(Action.SET_CLASS, [1], cell_type="RBC", subtype="neutrophil"),
            "'neutrophil' is no subtype of RBC; expected one of",
        ),
        (
            an_event(Action.SET_CLASS, [1], cell_type="Platelet", subtype="neutrophil"),
            "'neutrophil' is no subtype of Platelet; it has none",
        ),
        (an_event(Action.MERGE, [1, 2], condition="healthy_RBC"), "condition without a cell_type"),
        (
            an_event(Action.UNDO, event="00000000-0000-4000-8000-00000000ffff"),
            "undoes event 00000000-0000-4000-8000-00000000ffff, which there is not",
        ),
    ],
)
def test_what_never_was_is_an_error(event, words):
    with pytest.raises(CorrectionsError, match=words):
        after(event)


def test_an_event_that_is_there_twice_is_an_error():
    event = an_event(Action.REVIEW_FIELD)
    with pytest.raises(CorrectionsError, match="is there twice"):
        after(event, event)
