import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.metrics.classification_scores import (
    accuracy,
    auroc,
    balanced_accuracy,
    confusion_counts,
    f1_scores,
    macro_f1,
    precisions,
    recalls,
    sensitivity_at_specificity,
)
from blood_cell_system.taxonomy import NOT_LABELLED

cells = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=30
)


def repeated(rows):
    """Every cell as often as its weight says."""
    return [(positive, score) for positive, score, weight in rows for _ in range(weight)]


@given(cells)
def test_auroc_is_the_share_of_pairs_in_the_right_order(rows):
    positive = [score for is_positive, score in repeated(rows) if is_positive]
    negative = [score for is_positive, score in repeated(rows) if not is_positive]
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    found = auroc(*map(list, zip(*rows, strict=True)))
    if pairs:
        assert found == pytest.approx(np.mean(pairs))
    else:
        assert np.isnan(found)


@given(cells, st.sampled_from([0.5, 0.9, 0.95]))
def test_sensitivity_is_the_best_of_all_thresholds_that_keep_the_specificity(rows, specificity):
    positive = np.array([s for is_positive, s in repeated(rows) if is_positive])
    negative = np.array([s for is_positive, s in repeated(rows) if not is_positive])
    found = sensitivity_at_specificity(*map(list, zip(*rows, strict=True)), specificity=specificity)
    if not len(positive) or not len(negative):
        assert np.isnan(found)
        return
    best = max(
        np.mean(positive >= threshold)
        for threshold in np.arange(0, 7)
        if np.mean(negative < threshold) >= specificity
    )
    assert found == pytest.approx(best)


def test_counting_by_class_leaves_unknown_cells_out():
    counts = confusion_counts([0, 0, 1, NOT_LABELLED], [0, 1, 1, 0], num_classes=2)
    np.testing.assert_array_equal(counts, [[1, 1], [0, 1]])


def test_a_weight_counts_a_cell_several_times():
    counts = confusion_counts([0, 1], [0, 0], num_classes=2, weight=[3, 2])
    np.testing.assert_array_equal(counts, [[3, 0], [2, 0]])


def test_shares_of_a_small_matrix_are_those_taken_by_hand():
    confusion = np.array([[8.0, 2.0, 0.0], [1.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(recalls(confusion), [0.8, 0.8, np.nan])
    np.testing.assert_allclose(precisions(confusion), [8 / 9, 4 / 6, np.nan])
    np.testing.assert_allclose(f1_scores(confusion), [16 / 19, 8 / 11, np.nan])
    assert accuracy(confusion) == pytest.approx(12 / 15)
    assert balanced_accuracy(confusion) == pytest.approx(0.8)
    assert macro_f1(confusion) == pytest.approx((16 / 19 + 8 / 11) / 2)


def test_a_constant_answer_has_the_balanced_accuracy_of_chance():
    assert balanced_accuracy(np.array([[90.0, 0.0], [10.0, 0.0]])) == 0.5


def test_without_cells_there_is_no_figure():
    nothing = np.zeros((2, 2))
    assert np.isnan([accuracy(nothing), balanced_accuracy(nothing), macro_f1(nothing)]).all()
