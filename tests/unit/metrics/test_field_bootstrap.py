import numpy as np
import pytest

from blood_cell_system.metrics.bootstrap import Figure, with_interval


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
