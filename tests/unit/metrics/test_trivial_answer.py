import numpy as np
import pytest
from scipy.optimize import check_grad

from blood_cell_system.metrics import trivial_answer
from blood_cell_system.metrics.classification_scores import auroc
from blood_cell_system.metrics.trivial_answer import fit_logistic, grouped_logistic


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


def test_the_fit_is_at_the_minimum_of_the_penalised_loss(monkeypatch):
    seen = []
    minimize = trivial_answer.minimize

    def watched(function, start, **options):
        seen.append(function)
        return minimize(function, start, **options)

    monkeypatch.setattr(trivial_answer, "minimize", watched)
    generator = np.random.default_rng(0)
    true = generator.integers(0, 2, 60)
    design = np.column_stack([np.ones(60), generator.standard_normal((60, 4)) + true[:, None]])
    weights = fit_logistic(design, true, num_classes=2, weight=np.full(60, 1 / 60), ridge=1e-3)
    (function,) = seen
    assert np.abs(function(weights.ravel())[1]).max() < 1e-3
    point = generator.standard_normal(10)
    error = check_grad(lambda x: function(x)[0], lambda x: function(x)[1], point)
    assert error < 1e-4
