import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blood_cell_system.errors import MaskFormatError
from blood_cell_system.metrics.confusion import ConfusionMatrix
from blood_cell_system.taxonomy import NOT_SCORED

SHAPE = (5, 7)
true_masks = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, NOT_SCORED]))
predicted_masks = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2]))


def matrix_of(true_mask, predicted_mask):
    matrix = ConfusionMatrix()
    matrix.update(true_mask, predicted_mask)
    return matrix


@given(true_masks, predicted_masks)
def test_iou_and_dice_are_those_of_the_definition(true_mask, predicted_mask):
    matrix = matrix_of(true_mask, predicted_mask)
    scored = true_mask != NOT_SCORED
    for value in range(3):
        truth, found = (true_mask == value) & scored, (predicted_mask == value) & scored
        union = (truth | found).sum()
        if union:
            assert matrix.iou[value] == (truth & found).sum() / union
            assert matrix.dice[value] == 2 * (truth & found).sum() / (truth.sum() + found.sum())
        else:
            assert np.isnan(matrix.iou[value])
            assert np.isnan(matrix.dice[value])


@given(true_masks, predicted_masks)
def test_what_is_predicted_where_nothing_is_scored_changes_nothing(true_mask, predicted_mask):
    elsewhere = predicted_mask.copy()
    elsewhere[true_mask == NOT_SCORED] = 2
    before, after = matrix_of(true_mask, predicted_mask), matrix_of(true_mask, elsewhere)
    assert (before.counts == after.counts).all()


@given(true_masks, predicted_masks)
def test_parts_merged_equal_the_whole(true_mask, predicted_mask):
    top = matrix_of(true_mask[:2], predicted_mask[:2])
    whole = top.merge(matrix_of(true_mask[2:], predicted_mask[2:]))
    assert (whole.counts == matrix_of(true_mask, predicted_mask).counts).all()


def test_an_absent_class_is_left_out_of_the_mean():
    matrix = matrix_of(np.array([0, 0, 1]), np.array([0, 0, 1]))
    assert matrix.mean_iou == 1.0


def test_a_class_that_is_only_predicted_counts_as_zero():
    matrix = matrix_of(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 2]))
    assert matrix.iou[2] == 0.0
    assert matrix.mean_iou == (0.75 + 0.0) / 2


def test_without_a_scored_pixel_everything_is_nan():
    matrix = matrix_of(np.full(4, NOT_SCORED), np.zeros(4, dtype=int))
    assert np.isnan([matrix.mean_iou, matrix.accuracy]).all()


def test_accuracy_is_the_share_of_right_pixels():
    assert matrix_of(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0])).accuracy == 0.75


def test_a_matrix_does_not_share_the_array_it_is_made_from():
    counts = np.eye(3, dtype=np.int64)
    ConfusionMatrix(counts).update(np.array([0]), np.array([0]))
    assert counts[0, 0] == 1


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(MaskFormatError, match="expected the same"):
        matrix_of(np.zeros((2, 2), int), np.zeros((2, 3), int))


@pytest.mark.parametrize("value", [3, -1, 255])
def test_a_predicted_value_that_is_no_class_is_refused(value):
    with pytest.raises(MaskFormatError, match="predicted mask"):
        matrix_of(np.zeros(2, int), np.array([0, value]))


def test_a_true_value_that_is_no_class_is_refused():
    with pytest.raises(MaskFormatError, match="true mask"):
        matrix_of(np.array([0, 7]), np.zeros(2, int))


def test_counts_of_another_shape_are_refused():
    with pytest.raises(MaskFormatError, match="shape"):
        ConfusionMatrix(np.zeros((2, 2), dtype=np.int64))
