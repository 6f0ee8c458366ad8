import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blood_cell_system.errors import MaskFormatError
from blood_cell_system.metrics.matching import (
    IOU_THRESHOLDS,
    MatchCounts,
    Overlaps,
    is_mostly_not_scored,
    match,
)

label_images = hnp.arrays(np.uint16, (6, 6), elements=st.integers(0, 4))
thresholds = st.sampled_from([0.1, 0.3, *IOU_THRESHOLDS])


def iou_table(true_labels, found_labels):
    table = np.zeros((4, 4))
    for i, j in itertools.product(range(4), range(4)):
        truth, found = true_labels == i + 1, found_labels == j + 1
        union = (truth | found).sum()
        table[i, j] = (truth & found).sum() / union if union else 0.0
    return table


def brute_force(table, threshold):
    """Most pairs, then the largest sum of IoU, over all ways to pair four with four."""
    best = (0, 0.0)
    for order in itertools.permutations(range(table.shape[1])):
        values = [table[i, j] for i, j in enumerate(order) if table[i, j] >= threshold]
        best = max(best, (len(values), sum(values)))
    return best


def overlaps_of(true_labels, found_labels):
    return Overlaps.of_labels(true_labels, found_labels, true_count=4, found_count=4)


@given(label_images, label_images, thresholds)
def test_masks_match_as_by_trying_every_pairing(true_labels, found_labels, threshold):
    counts = match(overlaps_of(true_labels, found_labels), threshold)
    pairs, iou_sum = brute_force(iou_table(true_labels, found_labels), threshold)
    assert counts.matched == pairs
    assert counts.iou_sum == pytest.approx(iou_sum)
    assert counts.missed == counts.false_found == 4 - pairs


boxes = hnp.arrays(np.float64, (4, 4), elements=st.integers(1, 6)).map(
    lambda rows: np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:]])
)


@given(boxes, boxes, thresholds)
def test_boxes_match_as_by_trying_every_pairing(true_corners, found_corners, threshold):
    table = np.zeros((4, 4))
    for i, j in itertools.product(range(4), range(4)):
        a, b = true_corners[i], found_corners[j]
        sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
        shared = np.prod(np.clip(sides, 0, None))
        table[i, j] = shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)
    counts = match(Overlaps.of_boxes(true_corners, found_corners), threshold)
    pairs, iou_sum = brute_force(table, threshold)
    assert counts.matched == pairs
    assert counts.iou_sum == pytest.approx(iou_sum)


def test_a_pair_more_is_worth_more_than_a_larger_overlap():
    # True cell 0 overlaps found 0 best, but found 0 is the only partner of true cell 1.
    overlaps = Overlaps(
        true_count=2,
        found_count=2,
        true_index=np.array([0, 0, 1]),
        found_index=np.array([0, 1, 0]),
        iou=np.array([0.95, 0.5, 0.5]),
    )
    assert match(overlaps, 0.5).matched == 2


def test_found_cells_where_nothing_is_scored_are_left_out_unless_they_match():
    overlaps = Overlaps(
        true_count=1,
        found_count=3,
        true_index=np.array([0]),
        found_index=np.array([0]),
        iou=np.array([0.8]),
    )
    counts = match(overlaps, 0.5, is_excused=np.array([True, True, False]))
    assert counts == MatchCounts(matched=1, false_found=1, missed=0, iou_sum=0.8, left_out=1)


def test_a_cell_is_mostly_not_scored_when_more_than_half_of_it_is():
    labels = np.array([[1, 1, 2, 2], [1, 1, 2, 2]])
    class_mask = np.array([[255, 255, 255, 1], [1, 1, 255, 255]], dtype=np.uint8)
    assert is_mostly_not_scored(labels, class_mask, found_count=3).tolist() == [False, True, False]


def test_shares_are_those_of_the_definitions():
    counts = MatchCounts(matched=6, false_found=2, missed=4, iou_sum=4.5)
    assert counts.precision == 6 / 8
    assert counts.recall == 6 / 10
    assert counts.f1 == 12 / 18
    assert counts.average_precision == 6 / 12
    assert counts.segmentation_quality == 0.75
    assert counts.panoptic_quality == 0.75 * 12 / 18


def test_cells_left_out_can_be_counted_as_false():
    strict = MatchCounts(matched=2, false_found=1, left_out=3).with_left_out_as_false()
    assert strict == MatchCounts(matched=2, false_found=4)


def test_images_add_up():
    total = MatchCounts(matched=1, missed=2) + MatchCounts(matched=3, false_found=1, left_out=1)
    assert total == MatchCounts(matched=4, missed=2, false_found=1, left_out=1)


def test_nothing_true_and_nothing_found_has_no_score():
    assert math.isnan(MatchCounts().f1)
    assert math.isnan(MatchCounts().panoptic_quality)


def test_cells_without_any_match_have_panoptic_quality_0():
    assert MatchCounts(missed=3).panoptic_quality == 0.0


def test_cells_of_one_type_are_chosen_and_renumbered():
    labels = np.array([[1, 2, 3, 3]])
    overlaps = Overlaps.of_labels(labels, labels, true_count=3, found_count=3)
    chosen = overlaps.between(np.array([False, True, True]), np.array([True, False, True]))
    assert (chosen.true_count, chosen.found_count) == (2, 2)
    assert (chosen.true_index.tolist(), chosen.found_index.tolist()) == ([1], [1])


def test_more_than_65535_cells_match():
    labels = np.arange(1, 70_001, dtype=np.int32).reshape(250, 280)
    overlaps = Overlaps.of_labels(labels, labels, true_count=70_000, found_count=70_000)
    assert match(overlaps, 0.9).matched == 70_000


def test_label_images_of_different_shapes_are_refused():
    with pytest.raises(MaskFormatError, match="expected the same"):
        overlaps_of(np.zeros((2, 2), int), np.zeros((2, 3), int))


def test_labels_beyond_the_count_are_refused():
    with pytest.raises(MaskFormatError, match="largest labels"):
        overlaps_of(np.array([[5]]), np.array([[1]]))
