import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.training.loop import averaging_decay_at, learning_rate_at

STEPS = 200


def rates(total_steps=STEPS, peak=2e-3, warmup_share=0.1):
    return [
        learning_rate_at(step, total_steps=total_steps, peak=peak, warmup_share=warmup_share)
        for step in range(total_steps)
    ]


def test_the_rate_rises_to_its_peak_and_falls_to_almost_nothing():
    values = rates()
    assert values[19] == pytest.approx(2e-3)
    assert values[:20] == sorted(values[:20])
    assert values[19:] == sorted(values[19:], reverse=True)
    assert values[-1] < 2e-6


@given(total_steps=st.integers(1, 3000), warmup_share=st.floats(0, 1))
def test_the_rate_is_always_positive_and_never_above_its_peak(total_steps, warmup_share):
    for step in {0, total_steps // 2, total_steps - 1}:
        rate = learning_rate_at(step, total_steps=total_steps, peak=1.0, warmup_share=warmup_share)
        assert 0 < rate <= 1


@given(total_steps=st.integers(1, 100_000))
def test_the_average_forgets_its_beginning_and_never_stands_still(total_steps):
    assert averaging_decay_at(0, total_steps=total_steps) <= 0.1
    assert averaging_decay_at(total_steps, total_steps=total_steps) <= 0.999
