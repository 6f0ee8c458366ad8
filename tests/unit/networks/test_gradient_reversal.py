import numpy as np
import pytest
import tensorflow as tf

from blood_cell_system.networks.domain_adversary import reverse_gradient


def gradient(strength):
    features = tf.constant([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])
    weights = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with tf.GradientTape() as tape:
        tape.watch(features)
        passed = reverse_gradient(features, strength)
        loss = tf.reduce_sum(passed * weights)
    return np.asarray(features), np.asarray(passed), np.asarray(tape.gradient(loss, features))


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_features_pass_as_they_are(strength):
    features, passed, _ = gradient(strength)
    np.testing.assert_allclose(passed, features, rtol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_gradient_comes_back_turned_round(strength):
    _, _, backward = gradient(strength)
    np.testing.assert_allclose(
        backward, -strength * np.array([[1, 2, 3], [4, 5, 6]]), rtol=1e-5, atol=1e-6
    )


def test_each_row_may_have_a_strength_of_its_own():
    _, _, backward = gradient(tf.constant([[0.5], [0.0]]))
    np.testing.assert_allclose(backward, [[-0.5, -1, -1.5], [0, 0, 0]], rtol=1e-5, atol=1e-6)
