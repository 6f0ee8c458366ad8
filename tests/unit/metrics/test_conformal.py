import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.metrics.calibration import class_thresholds, conformal_sets, known_threshold
from blood_cell_system.taxonomy import NOT_LABELLED


def drawn(generator, count):
    labels = generator.integers(0, 3, count)
    probabilities = generator.dirichlet((1, 1, 1), count)
    probabilities[np.arange(count), labels] += generator.random(count) * (1 + labels)
    return probabilities / probabilities.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_each_class_is_covered_as_promised(coverage):
    generator = np.random.default_rng(0)
    thresholds = class_thresholds(*drawn(generator, 3000), coverage=coverage)
    probabilities, labels = drawn(generator, 20_000)
    sets = conformal_sets(probabilities, thresholds)
    for index in range(3):
        own = labels == index
        assert sets[own, index].mean() == pytest.approx(coverage, abs=0.03)


def test_the_threshold_is_the_order_statistic_of_the_formula():
    own = np.arange(1, 40) / 100
    probabilities = np.column_stack([own, 1 - own])
    # (39 + 1) (1 - 0.9) = 4: the fourth smallest.
    assert class_thresholds(probabilities, np.zeros(39, int), coverage=0.9)[0] == 0.04


def test_a_class_of_too_few_cells_is_always_possible():
    thresholds = class_thresholds([[0.9, 0.1]] * 5, [0] * 5, coverage=0.95)
    np.testing.assert_array_equal(thresholds, [0, 0])


def test_unknown_cells_choose_no_threshold():
    probabilities = np.full((100, 2), 0.5)
    assert class_thresholds(probabilities, np.full(100, NOT_LABELLED), coverage=0.9).max() == 0


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    with pytest.raises(ValueError, match="expected a coverage between 0 and 1"):
        class_thresholds([[0.5, 0.5]], [0], coverage=coverage)


def test_a_set_holds_every_class_that_reaches_its_threshold():
    sets = conformal_sets([[0.6, 0.4], [0.95, 0.05], [0.5, 0.5]], [0.55, 0.4])
    np.testing.assert_array_equal(sets, [[True, True], [True, False], [False, True]])


def test_outliers_that_stand_apart_are_all_caught():
    known = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    threshold = known_threshold(known, known < 0.5)
    assert 0.2 < threshold <= 0.7


@given(st.integers(0, 50), st.sampled_from([0.8, 0.95, 1.0]))
def test_the_cells_that_were_asked_for_are_kept(seed, kept_share):
    generator = np.random.default_rng(seed)
    known, outlier = generator.random(60), generator.random(60) < 0.5
    if outlier.all() or not outlier.any():
        return
    threshold = known_threshold(known, outlier, kept_share=kept_share)
    assert (known[~outlier] >= threshold).mean() >= kept_share


@pytest.mark.parametrize("is_outlier", [[True, True], [False, False]])
def test_without_both_kinds_everything_is_kept(is_outlier):
    assert known_threshold([0.3, 0.6], is_outlier) == 0.0
