import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.reports.rates import Rate, wilson_interval

COUNTS = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


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


@given(COUNTS)
def test_the_other_share_has_the_mirrored_interval(counts):
    count, total = counts
    low, high = wilson_interval(count, total)
    assert wilson_interval(total - count, total) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("count", "total"), [(0, 0), (2, 1), (-1, 5)])
def test_impossible_counts_are_refused(count, total):
    with pytest.raises(ValueError, match="expected 0 <= count <= total"):
        wilson_interval(count, total)


@pytest.mark.parametrize(("total", "share"), [(99, None), (100, 0.5)])
def test_a_share_of_too_few_cells_is_not_told(total, share):
    rate = Rate(name="r", label="r", count=total // 2, total=total)
    assert rate.is_enough == (share is not None)
    assert rate.share == share
    assert rate.interval == wilson_interval(total // 2, total)


def test_without_a_cell_there_is_no_interval():
    assert Rate(name="r", label="r", count=0, total=0).interval is None
