import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.metrics.westgard import Rule, broken_rules


@pytest.mark.parametrize(
    ("deviations", "rules"),
    [
        ([], []),
        ([2.0], []),
        ([2.1], ["1-2s"]),
        ([-2.1], ["1-2s"]),
        ([3.1], ["1-2s", "1-3s"]),
        ([2.1, 2.1], ["1-2s", "2-2s"]),
        ([-2.1, -2.5], ["1-2s", "2-2s"]),
        ([2.1, 0.0, 2.1], ["1-2s"]),
        ([2.1, -2.1], ["1-2s", "R-4s"]),
        ([3.5, -0.9], []),
        ([1.1, 1.1, 1.1], []),
        ([1.1, 1.2, 1.9, 1.1], ["4-1s"]),
        ([-1.1, -1.2, -1.9, -1.1], ["4-1s"]),
        ([1.1, -1.2, 1.9, 1.1], []),
        ([0.1] * 9, []),
        ([0.1] * 10, ["10-x"]),
        ([-0.1] * 10, ["10-x"]),
        ([0.1] * 9 + [0.0], []),
        ([5.0] * 3 + [0.0], []),
    ],
)
def test_each_rule_finds_what_it_is_for(deviations, rules):
    assert [str(rule) for rule in broken_rules(deviations)] == rules


def test_a_warning_alone_does_not_reject():
    assert [rule for rule in Rule if not rule.is_rejecting] == [Rule.TWO_S]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_both_sides_are_alike(deviations):
    assert broken_rules(deviations) == broken_rules([-one for one in deviations])


def test_of_a_hundred_runs_in_control_few_are_rejected():
    draw = np.random.default_rng(0)
    series = draw.normal(size=4000).tolist()
    rejected = sum(
        any(rule.is_rejecting for rule in broken_rules(series[:end]))
        for end in range(10, len(series))
    )
    assert rejected / len(series) < 0.02
