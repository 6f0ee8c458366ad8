import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blood_cell_system.networks.cell_classifier import optical_density, stain_normalisation

SHAPE = (4, 5, 3)


def normaliser(kernel=None):
    density = keras.Input(SHAPE)
    model = keras.Model(density, stain_normalisation(density))
    if kernel is not None:
        model.set_weights([kernel, np.zeros(3)])
    return lambda values: np.asarray(model(values.astype(np.float32)))


@pytest.fixture(scope="module")
def untrained():
    return normaliser()


@pytest.fixture(scope="module")
def takes_strength_away():
    return normaliser(-np.eye(3))


def densities(seed=0, strength=1.0):
    return strength * np.random.default_rng(seed).uniform(0, 1.5, (2, *SHAPE)).astype(np.float32)


def test_density_is_a_logarithm_that_is_finite_for_black():
    pixels = np.array([255.0, 127.0, 0.0], np.float32)
    np.testing.assert_allclose(
        np.asarray(optical_density(pixels)), [0, np.log(2), np.log(256)], rtol=1e-5, atol=1e-6
    )


@given(st.floats(-1e4, 1e4, width=32))
@settings(deadline=None, max_examples=50)
def test_density_stays_in_its_range_whatever_the_pixel(value):
    density = float(optical_density(np.float32(value)))
    assert 0 <= density <= np.log(256) + 1e-5


def test_an_untrained_normalisation_changes_nothing(untrained):
    values = densities()
    np.testing.assert_allclose(untrained(values), values, rtol=1e-6)


def test_the_normalisation_is_the_formula_of_its_docstring():
    kernel = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    values = densities()
    strength = np.square(values).sum((1, 2)) / (values.sum((1, 2)) + 0.01)
    gain = np.exp(np.tanh(np.log(strength + 0.01) @ kernel))
    np.testing.assert_allclose(
        normaliser(kernel)(values), values * gain[:, None, None], rtol=1e-4, atol=1e-5
    )


def test_background_stays_at_zero(takes_strength_away):
    values = densities()
    values[:, 0] = 0
    assert not takes_strength_away(values)[:, 0].any()


def test_an_empty_image_stays_empty(takes_strength_away):
    assert not takes_strength_away(np.zeros((1, *SHAPE))).any()


def test_a_trained_normalisation_makes_weak_and_strong_stains_more_alike(takes_strength_away):
    weak, strong = densities(strength=0.7), densities(strength=1.4)
    ratio = takes_strength_away(strong).mean() / takes_strength_away(weak).mean()
    assert 1 <= ratio < 1.5


def test_white_around_a_cell_does_not_change_its_gain():
    kernel = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    run = normaliser(kernel)
    half = densities()
    half[:, 2:] = 0
    # The same stained pixels among others of the same density leave the weighted mean as it is.
    doubled = half.copy()
    doubled[:, 2:] = half[:, :2]
    np.testing.assert_allclose(run(doubled)[:, :2], run(half)[:, :2], rtol=1e-2)


@pytest.mark.parametrize("weight", [-50.0, 50.0])
def test_the_gain_is_bounded(weight):
    values = densities()
    ratio = normaliser(weight * np.eye(3))(values) / np.maximum(values, 1e-9)
    assert np.exp(-1) - 1e-4 <= ratio.min() <= ratio.max() <= np.e + 1e-4
