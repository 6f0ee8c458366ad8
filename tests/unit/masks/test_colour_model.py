import numpy as np
import pytest

from blood_cell_system.masks.white_cells import ColourModel


def test_differences_of_log_density_are_those_of_a_normal_distribution():
    model = ColourModel.around(np.array([0.1, 0.2, 0.3], np.float32), spread=0.5)
    pixels = np.array([[0.1, 0.2, 0.3], [0.6, 0.2, 0.3]], np.float32)
    at_mean, one_spread_off = model.log_density(pixels)
    assert at_mean - one_spread_off == pytest.approx(0.5, abs=1e-5)


def test_a_wider_model_is_lower_in_its_middle():
    zero = np.zeros(3, np.float32)
    narrow, wide = (ColourModel.around(zero, spread=s).log_density(zero) for s in (0.1, 0.2))
    assert narrow - wide == pytest.approx(3 * np.log(2), abs=1e-4)


def test_a_tenth_of_strays_does_not_move_it():
    rng = np.random.default_rng(0)
    samples = rng.normal(0.2, 0.01, (1000, 3)).astype(np.float32)
    samples[:90] = 3.0
    model = ColourModel.of_samples(samples, spread=0.01)
    np.testing.assert_allclose(model.mean, 0.2, atol=0.005)
    assert model.log_density(np.full(3, 0.3, np.float32)) < model.log_density(model.mean) - 10


def test_equal_samples_are_no_trouble():
    model = ColourModel.of_samples(np.full((5, 3), 0.4, np.float32), spread=0.02)
    assert np.isfinite(model.log_density(np.zeros((2, 2, 3), np.float32))).all()
