import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from blood_cell_system.metrics.intervals import (
    Figure,
    independent_total,
    rate_interval,
    wilson_interval,
    with_interval,
)

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


# Cells of several fields


def simulated_coverage(share, correlation, fields, *, seed=0, repeats=600):
    """How often each interval holds the true share of beta-binomial fields."""
    draw = np.random.default_rng(seed)
    held = np.zeros(2)
    for _ in range(repeats):
        totals = draw.integers(75, 226, fields)
        spread = 1 / correlation - 1
        shares = draw.beta(share * spread, (1 - share) * spread, fields)
        counts = draw.binomial(totals, shares)
        total, independent = totals.sum(), independent_total(counts, totals)
        for place, cells in enumerate((independent, total)):
            low, high = wilson_interval(counts.sum() / total * cells, cells)
            held[place] += low <= share <= high
    return held / repeats


@pytest.mark.parametrize("fields", [5, 10, 20])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_the_interval_covers_clustered_cells_where_wilson_does_not(share, fields):
    clustered, plain = simulated_coverage(share, 0.02, fields)
    assert 0.91 <= clustered <= 0.99
    assert plain < 0.75


def test_two_fields_give_a_wide_interval_rather_than_a_wrong_one():
    clustered, plain = simulated_coverage(0.1, 0.02, 2)
    assert clustered >= 0.93
    assert plain < 0.75


def test_cells_that_fields_do_not_cluster_keep_their_number():
    draw = np.random.default_rng(0)
    totals = np.full(40, 100)
    kept = [independent_total(draw.binomial(totals, 0.2), totals) / 4000 for _ in range(200)]
    assert 0.75 < np.mean(kept) <= 1


@pytest.mark.parametrize(
    ("counts", "totals"),
    [([3], [10]), ([0, 0], [5, 9]), ([5, 9], [5, 9]), ([2, 0], [9, 0]), ([], [])],
    ids=["one field", "none", "all", "one field with cells", "no field"],
)
def test_where_fields_cannot_differ_all_cells_count(counts, totals):
    assert independent_total(counts, totals) == sum(totals)


def test_a_rate_has_the_score_interval_of_a_count():
    # Solved for the rates whose count is 1.96 standard deviations from 40.
    low, high = rate_interval([10, 10, 10, 10], [1.0, 1.0, 1.0, 1.0])
    for rate in (low, high):
        assert abs(40 - 4 * rate) / math.sqrt(4 * rate) == pytest.approx(1.959964, rel=1e-4)


def test_a_rate_of_fields_that_differ_is_less_sure():
    alike, unlike = (
        rate_interval(counts, [1.0] * 4) for counts in ([10, 10, 10, 10], [37, 1, 1, 1])
    )
    assert unlike[0] < alike[0] < 10 < alike[1] < unlike[1]


def test_no_cell_at_all_has_an_upper_bound():
    low, high = rate_interval([0, 0], [2.0, 2.0])
    assert low == 0
    assert high == pytest.approx(3.84 / 4, abs=0.01)


def test_the_interval_of_a_rate_covers_fields_that_differ():
    draw, held = np.random.default_rng(1), 0
    for _ in range(500):
        rates = draw.gamma(4, 5 / 4, 10)
        low, high = rate_interval(draw.poisson(rates), np.ones(10))
        held += low <= 5 <= high
    assert 0.9 <= held / 500 <= 0.99
