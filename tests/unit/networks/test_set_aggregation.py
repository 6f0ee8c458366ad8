import keras
import numpy as np
import pytest

from blood_cell_system.networks.cell_classifier import set_aggregation

CHANNELS = 6


@pytest.fixture(scope="module")
def aggregation():
    """The summary and its weights."""
    features = keras.Input((3, 4, CHANNELS))
    summary = set_aggregation(features)
    plain = keras.Model(features, summary)
    model = keras.Model(features, [summary, plain.get_layer("set_weights").output])
    model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(1).normal(size=(2, 3, 4, CHANNELS)).astype(np.float32)


def test_the_summary_is_weighted_sum_maximum_and_mean(aggregation, features):
    (scores,) = aggregation.get_weights()
    places = features.reshape(2, 12, CHANNELS)
    power = np.exp(places @ scores)
    weights = power / power.sum(axis=1, keepdims=True)
    expected = [(weights * places).sum(1), places.max(1), places.mean(1)]
    np.testing.assert_allclose(
        np.asarray(aggregation(features)[0]),
        np.concatenate(expected, axis=-1),
        rtol=1e-4,
        atol=1e-5,
    )


def test_weights_are_convex(aggregation, features):
    weights = np.asarray(aggregation(features)[1])
    assert weights.shape == (2, 12, 1)
    assert weights.min() > 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_the_order_of_the_places_does_not_matter(aggregation, features):
    order = np.random.default_rng(2).permutation(12)
    shuffled = features.reshape(2, 12, CHANNELS)[:, order].reshape(features.shape)
    np.testing.assert_allclose(
        np.asarray(aggregation(shuffled)[0]),
        np.asarray(aggregation(features)[0]),
        rtol=1e-4,
        atol=1e-5,
    )


def test_training_starts_from_the_mean(features):
    places = keras.Input((3, 4, CHANNELS))
    summary = np.asarray(keras.Model(places, set_aggregation(places))(features))
    np.testing.assert_allclose(
        summary[:, :CHANNELS], summary[:, 2 * CHANNELS :], rtol=1e-4, atol=1e-6
    )
