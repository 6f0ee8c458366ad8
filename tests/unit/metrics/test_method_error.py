import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blood_cell_system.metrics.method_error import (
    ErrorRate,
    chance_of_false_alarms,
    true_share_interval,
)

RATES = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(st.none(), st.integers(1, 10_000))), min_size=1, max_size=8
)


def laboratories(generator, log_odds, spread, count):
    """Rates of some laboratories."""
    return 1 / (1 + np.exp(-generator.normal(log_odds, spread, count)))


def measured(generator, rates, cells):
    return ErrorRate.of_laboratories(
        [(generator.binomial(cells, rate) / cells, cells) for rate in rates]
    )


@pytest.mark.parametrize("spread", [0.0, 0.7])
@pytest.mark.parametrize("true_share", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("known", [1, 3, 6])
def test_the_interval_holds_the_true_share_in_a_laboratory_never_seen(known, true_share, spread):
    generator = np.random.default_rng(1)
    trials, held = 300, 0
    for _ in range(trials):
        *seen, here = laboratories(generator, 1.0, spread, known + 1)
        *alarms_seen, alarms = laboratories(generator, -4.5, spread, known + 1)
        called = generator.binomial(2000, true_share * here + (1 - true_share) * alarms)
        low, high = true_share_interval(
            called, 2000, measured(generator, seen, 300), measured(generator, alarms_seen, 500)
        )
        held += low <= true_share <= high
    assert held / trials >= 0.93


def test_the_interval_of_counting_alone_does_not():
    from blood_cell_system.metrics.intervals import wilson_interval

    generator = np.random.default_rng(1)
    low, high = wilson_interval(generator.binomial(2000, 0.1 * 0.7 + 0.9 * 0.01), 2000)
    assert not low <= 0.1 <= high


def test_a_healthy_smear_is_within_false_alarms_and_a_sick_one_is_not():
    alarms = ErrorRate.of_laboratories([(0.005, 1000), (0.01, 1000), (0.02, 1000)])
    assert chance_of_false_alarms(10, 1000, alarms) > 0.3
    assert chance_of_false_alarms(300, 1000, alarms) < 0.01


def test_laboratories_without_parasites_are_seldom_called_infected():
    generator = np.random.default_rng(2)
    trials, alarmed = 400, 0
    for _ in range(trials):
        *seen, here = laboratories(generator, -4.5, 0.7, 4)
        called = generator.binomial(1000, here)
        alarmed += chance_of_false_alarms(called, 1000, measured(generator, seen, 500)) < 0.05
    assert alarmed / trials <= 0.07


def test_an_error_rate_lies_among_those_that_were_measured():
    pooled = ErrorRate.of_laboratories([(0.1, 200), (0.2, 200), (0.3, 200)])
    assert pooled.rate == pytest.approx(0.2)
    low, high = pooled.interval_95
    assert low < 0.1
    assert high > 0.3


def test_more_laboratories_tell_a_rate_better():
    few, many = (ErrorRate.of_laboratories([(0.05, 500)] * count) for count in (1, 12))
    assert np.ptp(many.interval_95) < np.ptp(few.interval_95)


def test_without_a_laboratory_nothing_is_known():
    assert ErrorRate.of_laboratories([]) is None


@settings(max_examples=50)
@given(RATES)
def test_rates_of_any_kind_have_bounds_within_0_and_1(rates):
    pooled = ErrorRate.of_laboratories(rates)
    low, high = pooled.interval_95
    assert 0 <= low <= high <= 1


@settings(max_examples=50)
@given(st.integers(0, 50), st.floats(0.05, 1), st.floats(0, 0.9))
def test_the_interval_stays_within_0_and_1_whatever_the_method(count, sensitivity, alarms):
    low, high = true_share_interval(
        count,
        50,
        ErrorRate.of_laboratories([(sensitivity, 100)]),
        ErrorRate.of_laboratories([(alarms, 100)]),
    )
    assert 0 <= low <= high <= 1


def test_the_same_cells_have_the_same_interval():
    rates = ErrorRate.of_laboratories([(0.9, 100)]), ErrorRate.of_laboratories([(0.01, 100)])
    assert true_share_interval(5, 100, *rates) == true_share_interval(5, 100, *rates)
