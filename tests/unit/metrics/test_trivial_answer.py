import numpy as np
import pytest

from blood_cell_system.metrics.classification_scores import auroc
from blood_cell_system.metrics.trivial_answer import grouped_logistic


def drawn(groups=12, cells=10, *, by_class=1.0, seed=0):
    """Border and size of cells, which differ between classes by so many deviations."""
    generator = np.random.default_rng(seed)
    true = np.arange(groups * cells) % 2
    names = [f"slide {number // cells}" for number in range(groups * cells)]
    features = generator.normal(size=(len(true), 3)) + by_class * true[:, None]
    return features, true, names


def test_a_border_that_goes_with_the_class_tells_it():
    features, true, names = drawn(by_class=2.0)
    assert auroc(true == 1, grouped_logistic(features, true, names)[:, 1]) > 0.95


def test_a_border_of_the_slide_tells_nothing_of_other_slides():
    # Each slide has one class and a colour of its own: by image a regression would know them.
    generator = np.random.default_rng(3)
    names = [f"slide {number // 10}" for number in range(200)]
    colour_of = {name: generator.normal(size=3) * 5 for name in dict.fromkeys(names)}
    true = np.array([int(name.split()[1]) % 2 for name in names])
    features = np.array([colour_of[name] for name in names])
    found = auroc(true == 1, grouped_logistic(features, true, names)[:, 1])
    assert 0.05 < found < 0.85


def test_probabilities_sum_to_one_and_the_seed_decides_the_folds():
    features, true, names = drawn()
    first = grouped_logistic(features, true, names, seed=1)
    assert first.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(first, grouped_logistic(features, true, names, seed=1))
    assert not np.array_equal(first, grouped_logistic(features, true, names, seed=2))


def test_unknown_values_count_as_the_mean():
    features, true, names = drawn(by_class=2.0)
    features[:, 2] = np.nan
    features[::3, 1] = np.nan
    assert auroc(true == 1, grouped_logistic(features, true, names)[:, 1]) > 0.85


@pytest.mark.parametrize("names", [["a"] * 20, []])
def test_a_single_group_cannot_be_left_out(names):
    count = len(names)
    assert grouped_logistic(np.zeros((count, 3)), np.arange(count) % 2, names) is None


def test_a_single_class_has_no_regression():
    assert grouped_logistic(np.zeros((4, 3)), np.zeros(4, int), ["a", "a", "b", "b"]) is None
