import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from blood_cell_system.metrics.intervals import Figure, wilson_interval, with_interval

COUNTS = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def share_of(values):
    return lambda weight: float(np.average(values, weights=weight)) if weight.any() else np.nan


def test_cells_of_one_field_are_no_independent_evidence():
    right = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], 100)
    by_field = with_interval(share_of(right), np.repeat(np.arange(6), 100).tolist())
    by_cell = with_interval(share_of(right), list(range(600)))
    assert by_field.value == by_cell.value == pytest.approx(4 / 6)
    assert np.diff(by_field.interval) > 4 * np.diff(by_cell.interval)


def test_the_interval_of_many_fields_is_that_of_the_formula():
    right = np.random.default_rng(0).random(400) < 0.7
    figure = with_interval(share_of(right), list(range(400)))
    error = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert figure.interval == pytest.approx((right.mean() - error, right.mean() + error), abs=0.015)


def test_the_seed_decides_the_interval():
    values, fields = np.arange(20.0), list(range(20))
    first, same, other = (with_interval(share_of(values), fields, seed=s) for s in (1, 1, 2))
    assert first == same != other


def test_a_single_field_has_no_interval():
    assert with_interval(share_of(np.array([1.0, 0.0])), ["a", "a"]) == Figure(value=0.5)


def test_what_cannot_be_measured_has_no_interval():
    assert with_interval(lambda weight: float("nan"), ["a", "b"]).interval is None


def test_draws_without_the_rare_class_are_passed_over():
    def only_with_first(weight):
        return 1.0 if weight[0] else float("nan")

    assert with_interval(only_with_first, ["a", "b", "c"]).interval == (1.0, 1.0)


def test_a_figure_in_words():
    assert str(Figure(value=0.5, interval=(0.25, 0.75))) == "0.500 (0.250 to 0.750)"
    assert str(Figure(value=0.5)) == "0.500"


@given(COUNTS)
def test_the_interval_is_that_of_scipy(counts):
    count, total = counts
    expected = stats.binomtest(count, total).proportion_ci(method="wilson")
    assert wilson_interval(count, total) == pytest.approx(expected, abs=1e-12)


@given(COUNTS)
def test_the_ends_solve_the_score_equation(counts):
    count, total = counts
    share = count / total
    for end in wilson_interval(count, total):
        if 0 < end < 1:
            deviation = abs(share - end) / math.sqrt(end * (1 - end) / total)
            assert deviation == pytest.approx(1.959964, rel=1e-4)


@given(COUNTS)
def test_the_interval_holds_the_share_and_lies_within_0_and_1(counts):
    low, high = wilson_interval(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


@pytest.mark.parametrize(("count", "total"), [(0, 0), (2, 1), (-1, 5)])
def test_impossible_counts_are_refused(count, total):
    with pytest.raises(ValueError, match="expected 0 <= count <= total"):
        wilson_interval(count, total)
