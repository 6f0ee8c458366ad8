import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blood_cell_system.errors import DatasetError
from blood_cell_system.metrics.matching import count_error, count_report

counts = st.lists(st.integers(0, 30), min_size=1, max_size=20)


def test_errors_are_those_of_the_definition():
    error = count_error([10, 0, 5], [8, 1, 5])
    assert error.mean_absolute_error == 1.0
    assert error.bias == pytest.approx(-1 / 3)
    assert error.relative_error == pytest.approx(3 / 15)
    assert error.exact_share == pytest.approx(1 / 3)
    assert (error.true_total, error.predicted_total, error.image_count) == (15, 14, 3)


def test_without_any_true_cell_there_is_no_relative_error():
    assert math.isnan(count_error([0, 0], [0, 1]).relative_error)


@given(counts, st.integers(0, 30))
def test_no_constant_is_better_than_the_best_constant(truth, other):
    best = count_report(truth, truth).best_constant_error.mean_absolute_error
    assert best <= count_error(truth, [other] * len(truth)).mean_absolute_error


def test_always_one_white_cell_is_hard_to_beat_on_bccd():
    report = count_report([1, 1, 1, 2], [1, 2, 1, 2], training_counts=[1, 1, 0])
    assert report.training_constant == 1
    assert report.training_constant_error.exact_share == 0.75
    assert report.error.exact_share == 0.75


def test_without_training_images_there_is_no_training_constant():
    assert count_report([1], [1]).training_constant is None
    assert count_report([1], [1]).training_constant_error is None


@pytest.mark.parametrize(("truth", "predicted"), [([], []), ([1], [1, 2])])
def test_counts_that_do_not_pair_up_are_refused(truth, predicted):
    with pytest.raises(DatasetError, match="one of each"):
        count_error(truth, predicted)
