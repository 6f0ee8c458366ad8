import numpy as np
from support.drawn_cells import ellipse_box, perfect_outputs

from blood_cell_system.annotation.sample import Origin
from blood_cell_system.cells.separation import most_likely_class, separate_cells
from blood_cell_system.metrics.matching import TruthKind, add_up, compare_cells
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC

RBC, WBC, PLATELET = RBC, WBC, PLATELET
CELLS = [
    ellipse_box(RBC, 50, 60, 70),
    ellipse_box(RBC, 150, 60, 70),
    ellipse_box(WBC, 250, 60, 80),
]
SHAPE = (120, 300)
NOBODY = dict.fromkeys(BUILT_IN.names, ())


def found_and_truth():
    probabilities, heat, log_size, labels = perfect_outputs(CELLS, SHAPE)
    found = separate_cells(probabilities, heat, log_size)
    return found, most_likely_class(probabilities), labels


def test_perfect_cells_match_exact_outlines():
    found, class_mask, labels = found_and_truth()
    record = compare_cells(found, CELLS, class_mask, labels)
    assert record.truth == TruthKind.OUTLINES
    assert record.matches[RBC][0.9].matched == 2
    assert record.matches[WBC][0.9].matched == 1
    assert record.true_counts == record.found_counts == {RBC: 2, WBC: 1, PLATELET: 0}


def test_perfect_cells_match_boxes():
    found, class_mask, _ = found_and_truth()
    record = compare_cells(found, CELLS, class_mask)
    assert record.truth == TruthKind.BOXES
    assert record.matches[RBC][0.9].f1 == 1.0
    assert record.origins[Origin.ANNOTATED] == 3


def test_a_cell_of_another_type_is_missed_and_false():
    found, class_mask, labels = found_and_truth()
    as_red = [ellipse_box(RBC, *cell.centre, cell.width) for cell in CELLS]
    record = compare_cells(found, as_red, class_mask, labels)
    assert record.matches[RBC][0.5].missed == 1
    assert record.matches[WBC][0.5].false_found == 1


def test_against_boxes_a_cell_that_nobody_boxed_is_left_out():
    found, class_mask, _ = found_and_truth()
    record = compare_cells(found, CELLS[1:], class_mask)
    assert record.matches[RBC][0.5].left_out == 1
    assert record.matches[RBC][0.5].false_found == 0
    assert record.found_counts[RBC] == 1
    assert record.all_found_counts[RBC] == 2


def test_against_boxes_a_cell_on_true_background_is_false():
    found, class_mask, _ = found_and_truth()
    class_mask[:, :100] = 0
    record = compare_cells(found, CELLS[1:], class_mask)
    assert record.matches[RBC][0.5].false_found == 1


def test_against_outlines_a_cell_without_truth_is_false():
    found, class_mask, labels = found_and_truth()
    labels = np.where(labels == 1, 0, labels)
    record = compare_cells(found, CELLS, class_mask, labels)
    assert record.matches[RBC][0.5].false_found == 1
    # Cell 0 has no pixel: it is hidden, and nobody can be asked to find it.
    assert record.true_counts[RBC] == 1


def test_boxes_that_reach_out_of_the_image_do_no_harm():
    found, class_mask, _ = found_and_truth()
    outside = [ellipse_box(RBC, -100, -100, 50), ellipse_box(RBC, 5, 5, 40)]
    assert compare_cells(found, outside, class_mask).matches[RBC][0.5].missed == 2


def test_no_truth_and_nothing_found_is_a_record_of_zeros():
    empty = separate_cells(*perfect_outputs([], SHAPE)[:3])
    record = compare_cells(empty, [], np.zeros(SHAPE, np.uint8))
    assert record.true_counts == record.found_counts == dict.fromkeys(BUILT_IN.names, 0)


def test_images_add_up_to_scores_with_counts_beside_constants():
    found, class_mask, labels = found_and_truth()
    record = compare_cells(found, CELLS, class_mask, labels)
    scores = add_up([record, record], training_counts={**NOBODY, RBC: [5, 5, 9]})
    assert scores.matching.matches[RBC][0.5].matched == 4
    assert scores.counts[RBC].error.mean_absolute_error == 0
    assert scores.counts[RBC].training_constant == 5
    assert scores.counts[RBC].training_constant_error.bias == 3
    assert scores.image_count == 2


def test_counts_are_told_with_and_without_those_left_out():
    found, class_mask, _ = found_and_truth()
    scores = add_up([compare_cells(found, CELLS[1:], class_mask)], training_counts=NOBODY)
    assert scores.counts[RBC].error.bias == 0
    assert scores.all_counts[RBC].bias == 1
