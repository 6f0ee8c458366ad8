import keras
import numpy as np
import pytest
from support.tiny_classifiers import random_cells, tiny_classifier

from blood_cell_system.errors import CheckpointError, SettingsError
from blood_cell_system.networks.cell_classifier import bake_temperature, logits_model


@pytest.fixture(scope="module")
def classifier():
    return tiny_classifier()


@pytest.mark.parametrize("name", ["condition_logits", "type_logits", "known_logit"])
def test_the_logits_are_divided_by_the_temperature(classifier, name):
    cells = random_cells(3)
    before = np.asarray(logits_model(classifier)(cells)[name])
    bake_temperature(classifier, name, 2.5)
    after = np.asarray(logits_model(classifier)(cells)[name])
    np.testing.assert_allclose(after, before / 2.5, rtol=1e-5, atol=1e-7)


def test_other_heads_stay_as_they_are(classifier):
    cells = random_cells(3)
    before = np.asarray(classifier(cells)["type"])
    bake_temperature(classifier, "condition_logits", 3.0)
    np.testing.assert_array_equal(np.asarray(classifier(cells)["type"]), before)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_no_positive_number_is_refused(classifier, temperature):
    with pytest.raises(SettingsError, match="positive number"):
        bake_temperature(classifier, "condition_logits", temperature)


def test_a_model_without_that_head_is_refused(classifier):
    with pytest.raises(CheckpointError, match="has no layer 'logits_of_colour'"):
        bake_temperature(classifier, "logits_of_colour", 2.0)


def test_a_layer_that_gives_no_logits_is_refused(classifier):
    for name in ("condition", "features"):
        with pytest.raises(CheckpointError, match="gives no logits"):
            bake_temperature(classifier, name, 2.0)


def test_a_foreign_model_is_calibrated_likewise():
    cells = keras.Input((4,))
    model = keras.Model(cells, keras.layers.Dense(2, name="top")(cells))
    x = np.ones((1, 4), np.float32)
    before = np.asarray(model(x))
    bake_temperature(model, "top", 0.5)
    np.testing.assert_allclose(np.asarray(model(x)), 2 * before, rtol=1e-6)
