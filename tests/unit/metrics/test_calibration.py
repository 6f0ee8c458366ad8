import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    with_temperature,
)
from blood_cell_system.taxonomy import NOT_LABELLED


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def drawn(seed=0, count=4000, classes=3):
    """Probabilities and labels drawn from them: calibrated by construction."""
    generator = np.random.default_rng(seed)
    probabilities = softmax(2 * generator.standard_normal((count, classes)))
    edges = probabilities.cumsum(axis=1)
    return probabilities, (generator.random((count, 1)) > edges[:, :-1]).sum(axis=1)


def plain_error(probabilities, labels, bins=15):
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    total = 0.0
    for index in range(bins):
        inside = (confidence > index / bins) & (confidence <= (index + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def test_the_error_is_that_of_the_plain_formula():
    probabilities, labels = drawn(count=500)
    wrong = (labels + np.arange(500) % 2) % 3
    assert expected_calibration_error(probabilities, wrong) == pytest.approx(
        plain_error(probabilities, wrong)
    )


def test_answers_that_mean_what_they_say_have_almost_no_error():
    assert expected_calibration_error(*drawn(count=20_000)) < 0.02


def test_unknown_cells_have_no_part():
    probabilities, labels = drawn(count=200)
    masked = np.where(np.arange(200) < 100, labels, NOT_LABELLED)
    assert expected_calibration_error(probabilities, masked) == pytest.approx(
        expected_calibration_error(probabilities[:100], labels[:100])
    )
    assert negative_log_likelihood(probabilities, masked) == pytest.approx(
        negative_log_likelihood(probabilities[:100], labels[:100])
    )


def test_a_weight_counts_a_cell_several_times():
    probabilities, labels = drawn(count=50)
    weight = np.arange(50) % 3
    assert expected_calibration_error(probabilities, labels, weight) == pytest.approx(
        expected_calibration_error(probabilities.repeat(weight, 0), labels.repeat(weight))
    )


def test_without_cells_there_is_no_figure():
    nothing = np.zeros((0, 2)), np.zeros(0, dtype=int)
    assert np.isnan(expected_calibration_error(*nothing))
    assert np.isnan(negative_log_likelihood(*nothing))
    assert fit_temperature(*nothing) == 1.0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_spoilt_the_answers_is_found(temperature):
    probabilities, labels = drawn()
    spoilt = with_temperature(probabilities, 1 / temperature)
    assert fit_temperature(spoilt, labels) == pytest.approx(temperature, rel=0.08)


def test_a_dozen_right_answers_do_not_make_the_network_sure_of_everything():
    assert fit_temperature([[0.7, 0.3]] * 12, [0] * 12) > 0.2


@given(st.floats(0.1, 10), st.integers(0, 5))
def test_a_temperature_keeps_the_order_of_classes_and_the_sum(temperature, seed):
    probabilities, _ = drawn(seed=seed, count=20)
    warmed = with_temperature(probabilities, temperature)
    np.testing.assert_allclose(warmed.sum(axis=1), 1)
    np.testing.assert_array_equal(warmed.argmax(axis=1), probabilities.argmax(axis=1))


def test_a_temperature_divides_the_logits():
    logits = np.random.default_rng(1).standard_normal((6, 4))
    np.testing.assert_allclose(with_temperature(softmax(logits), 3.0), softmax(logits / 3.0))


def test_sure_answers_are_in_the_last_bin_and_empty_bins_have_no_share():
    table = reliability([[1.0, 0.0], [0.0, 1.0]], [0, 0], bins=5)
    np.testing.assert_array_equal(table.weight, [0, 0, 0, 0, 2])
    assert table.accuracy[-1] == 0.5
    assert np.isnan(table.accuracy[:-1]).all()
