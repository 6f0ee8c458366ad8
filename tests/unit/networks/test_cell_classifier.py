import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.tiny_classifiers import random_cells, tiny_classifier, tiny_config

from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import ClassifierKind, classifier_kinds
from blood_cell_system.networks.cell_classifier import (
    CellClassifierConfig,
    build_cell_classifier,
    logits_model,
    with_domain_head,
)

RBC_CONDITIONS = ClassifierKind("RBC").conditions


@pytest.fixture(scope="module")
def classifier():
    # Of weights by chance one in some hundred sets leaves every feature at zero.
    keras.utils.set_random_seed(0)
    return tiny_classifier()


def softmax(logits):
    power = np.exp(logits - logits.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def test_a_classifier_of_white_cells_gives_condition_type_and_known(classifier):
    outputs = classifier(random_cells(3))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "condition": (3, 2),
        "type": (3, 7),
        "known": (3, 1),
    }


def test_a_classifier_without_subtypes_gives_no_type():
    outputs = tiny_classifier(ClassifierKind("RBC"), types=())(random_cells(2))
    assert outputs["condition"].shape == (2, 3)
    assert set(outputs) == {"condition", "known"}


def test_probabilities_are_those_of_the_logits(classifier):
    cells = random_cells(4)
    outputs, logits = classifier(cells), logits_model(classifier)(cells)
    for name in ("condition", "type"):
        np.testing.assert_allclose(
            np.asarray(outputs[name]), softmax(np.asarray(logits[f"{name}_logits"])), rtol=1e-4
        )
    np.testing.assert_allclose(
        np.asarray(outputs["known"]),
        1 / (1 + np.exp(-np.asarray(logits["known_logit"]))),
        rtol=1e-4,
    )


def test_the_heads_read_the_features_that_the_logits_model_gives(classifier):
    logits = logits_model(classifier)(random_cells(4))
    kernel, bias = classifier.get_layer("type_logits").get_weights()
    np.testing.assert_allclose(
        np.asarray(logits["type_logits"]),
        np.asarray(logits["features"]) @ kernel + bias,
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_usual_classifiers_take_cell_images_and_are_small():
    for kind in classifier_kinds():
        model = build_cell_classifier(CellClassifierConfig.for_kind(kind))
        assert model.input_shape == (None, 130, 130, 3)
        assert 4 * model.count_params() < 2_000_000


def test_the_width_of_the_operator_is_d_reduced():
    model = tiny_classifier(d_reduced=5)
    assert model.get_layer("reynolds_reduce").filters == 5


def test_a_width_of_zero_leaves_the_operator_out():
    model = tiny_classifier(d_reduced=0)
    assert not any("reynolds" in layer.name for layer in model.layers)
    assert model(random_cells(1))["condition"].shape == (1, 2)


def test_the_stain_normalisation_can_be_left_out():
    model = tiny_classifier(has_stain_normalisation=False)
    assert not any(layer.name.startswith("stain") for layer in model.layers)


@pytest.mark.parametrize(("by_batch", "training"), [(True, False), (False, False), (False, True)])
def test_a_cell_does_not_see_the_others_of_its_batch(by_batch, training):
    model = logits_model(tiny_classifier(normalises_by_batch=by_batch))
    cells = random_cells(4)
    whole = np.asarray(model(cells, training=training)["features"])
    alone = np.asarray(model(cells[:1], training=training)["features"])
    np.testing.assert_allclose(whole[:1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [32, 33, 36])
def test_a_turned_image_is_sampled_at_the_turned_places(side):
    # With kernels that are symmetric themselves nothing is left that could break the symmetry.
    model = tiny_classifier(input_shape=(side, side, 3))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, *bias = layer.get_weights()
            views = [np.rot90(kernel[:, ::flip], k) for k in range(4) for flip in (1, -1)]
            layer.set_weights([np.mean(views, axis=0), *bias])
    cells = random_cells(2, side)
    turned = np.rot90(cells[:, :, ::-1], axes=(1, 2))
    features = logits_model(model)
    np.testing.assert_allclose(
        np.asarray(features(np.ascontiguousarray(turned))["features"]),
        np.asarray(features(cells)["features"]),
        rtol=1e-3,
        atol=1e-4,
    )


def test_untrained_residual_blocks_hand_on_what_they_get():
    model = build_cell_classifier(tiny_config())
    inside = keras.Model(
        model.input, [model.get_layer(f"block_2a_{part}").output for part in ("restore", "relu")]
    )
    restored, handed_on = inside(random_cells(1))
    assert not np.asarray(restored).any()
    assert np.asarray(handed_on).any()


def test_all_weights_learn(classifier):
    cells = random_cells(4)
    with tf.GradientTape() as tape:
        logits = logits_model(classifier)(cells, training=True)
        loss = sum(
            tf.reduce_sum(tf.square(value)) for name, value in logits.items() if name != "features"
        )
    gradients = tape.gradient(loss, classifier.trainable_variables)
    assert all(np.abs(np.asarray(gradient)).max() > 0 for gradient in gradients)


def test_names_of_layers_tell_what_they_are(classifier):
    names = {layer.name for layer in classifier.layers}
    assert {"cells", "stain_log_gain", "down_0_conv", "block_1a_conv", "features"} <= names
    assert {"attention_gate", "set_weights", "reynolds_own", "condition_logits"} <= names


def test_the_domain_head_learns_while_the_classifier_unlearns(classifier):
    graph = with_domain_head(classifier, domains=2)
    cells = random_cells(4)
    kernel = classifier.get_layer("features").kernel

    def gradients(strength):
        with tf.GradientTape() as tape:
            inputs = {"cells": cells, "reversal_strength": np.full((4, 1), strength, np.float32)}
            logits = graph(inputs, training=False)["domain_logits"]
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits([[0.0, 1]] * 4, logits))
        head = graph.get_layer("domain_logits").kernel
        return [np.asarray(value) for value in tape.gradient(loss, [kernel, head])]

    (none, head), (some, same_head), (twice, _) = gradients(0.0), gradients(0.2), gradients(0.4)
    assert not none.any()
    assert np.abs(head).max() > 0
    np.testing.assert_allclose(head, same_head, rtol=1e-5)
    np.testing.assert_allclose(twice, 2 * some, rtol=1e-4, atol=1e-8)
    # Against the plain gradient, which a strength of -1 lets through.
    (plain, _) = gradients(-1.0)
    np.testing.assert_allclose(some, -0.2 * plain, rtol=1e-3, atol=1e-8)


def test_the_classifier_knows_nothing_of_its_domain_head(classifier):
    before = [layer.name for layer in classifier.layers]
    with_domain_head(classifier, domains=3)
    assert [layer.name for layer in classifier.layers] == before


@pytest.mark.parametrize("domains", [0, 1])
def test_one_source_is_nothing_to_adapt_to(classifier, domains):
    with pytest.raises(SettingsError, match="two or more"):
        with_domain_head(classifier, domains=domains)


def test_one_condition_is_refused():
    with pytest.raises(SettingsError, match="two or more conditions"):
        CellClassifierConfig(conditions=("healthy_RBC",))


def test_one_type_is_refused():
    with pytest.raises(SettingsError, match="no type or two or more"):
        CellClassifierConfig(conditions=RBC_CONDITIONS, types=("neutrophil",))


@pytest.mark.parametrize("shape", [(130, 130, 4), (130, 15, 3)])
def test_an_input_that_fits_no_network_is_refused(shape):
    with pytest.raises(SettingsError, match="sides of at least 16 pixels"):
        CellClassifierConfig(conditions=RBC_CONDITIONS, input_shape=shape)


def test_widths_and_blocks_that_do_not_match_are_refused():
    with pytest.raises(SettingsError, match="2 widths and 3 numbers"):
        CellClassifierConfig(
            conditions=RBC_CONDITIONS,
            widths=(8, 8),
            blocks=(1, 1, 1),
        )


@pytest.mark.slow
def test_a_saved_classifier_opens_in_plain_keras_without_this_package(classifier, tmp_path):
    path = tmp_path / "model.keras"
    classifier.save(path)
    cells = random_cells(2)
    np.save(tmp_path / "cells.npy", cells)
    program = (
        "import sys, numpy as np, tensorflow as tf\n"
        f"model = tf.keras.models.load_model({str(path)!r})\n"
        f"outputs = model(np.load({str(tmp_path / 'cells.npy')!r}))\n"
        "assert not any(name.startswith('blood_cell_system') for name in sys.modules)\n"
        f"np.savez({str(tmp_path / 'outputs.npz')!r}, **outputs)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    expected = classifier(cells)
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(outputs[name], np.asarray(value), atol=1e-6)
