import keras
import numpy as np
import pytest

from blood_cell_system.networks.cell_classifier import feature_attention


@pytest.fixture(scope="module")
def attention():
    features = keras.Input((5, 4, 8))
    model = keras.Model(features, feature_attention(features, reduction=2))
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(1).normal(size=(3, 5, 4, 8)).astype(np.float32)


def test_attention_is_the_formula_of_its_docstring(attention, features):
    hidden_kernel, hidden_bias, gate_kernel, gate_bias = map(np.asarray, attention.get_weights())
    mean = features.mean(axis=(1, 2))
    hidden = np.maximum(mean @ hidden_kernel[0, 0] + hidden_bias, 0)
    gate = 1 / (1 + np.exp(-(hidden @ gate_kernel[0, 0] + gate_bias)))
    np.testing.assert_allclose(
        np.asarray(attention(features)), features * gate[:, None, None], rtol=1e-4, atol=1e-5
    )


def test_attention_only_makes_channels_smaller(attention, features):
    assert (np.abs(np.asarray(attention(features))) <= np.abs(features)).all()


def test_attention_moves_with_the_places(attention, features):
    order = np.random.default_rng(2).permutation(20)
    moved = features.reshape(3, 20, 8)[:, order].reshape(3, 5, 4, 8)
    expected = np.asarray(attention(features)).reshape(3, 20, 8)[:, order].reshape(3, 5, 4, 8)
    np.testing.assert_allclose(np.asarray(attention(moved)), expected, rtol=1e-4, atol=1e-5)
