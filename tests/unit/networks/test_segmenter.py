import subprocess
import sys

import keras
import numpy as np
import pytest

from blood_cell_system.networks.reynolds_unet import ReynoldsUNetConfig, build_reynolds_unet
from blood_cell_system.networks.segmenter import logits_model

TINY = ReynoldsUNetConfig(widths=(4, 4, 8, 8), d_reduced=4)


@pytest.fixture(scope="module")
def segmenter():
    # Random weights may see one side better than the other; these see the middle.
    keras.utils.set_random_seed(0)
    return build_reynolds_unet(TINY)


def pixels_of(height, width):
    return np.random.default_rng(0).uniform(0, 255, (2, height, width, 3)).astype("float32")


@pytest.mark.parametrize("shape", [(64, 64), (96, 160), (32, 32)])
def test_outputs_have_the_shapes_of_the_contract(segmenter, shape):
    height, width = shape
    outputs = segmenter(pixels_of(height, width))
    assert outputs["classes"].shape == (2, height, width, 3)
    assert outputs["centres"].shape == (2, height // 4, width // 4, 3)
    assert outputs["log_size"].shape == (2, height // 4, width // 4, 2)


def test_class_probabilities_sum_to_one_and_centres_lie_between_zero_and_one(segmenter):
    outputs = segmenter(pixels_of(64, 64))
    np.testing.assert_allclose(np.asarray(outputs["classes"]).sum(-1), 1.0, rtol=1e-5)
    centres = np.asarray(outputs["centres"])
    assert 0 < centres.min() <= centres.max() < 1


def test_the_instance_head_can_be_left_out():
    model = build_reynolds_unet(
        ReynoldsUNetConfig(widths=(4, 4, 8, 8), d_reduced=4, has_instance_head=False)
    )
    assert set(model(pixels_of(32, 32))) == {"classes"}
    assert set(logits_model(model)(pixels_of(32, 32))) == {"class_logits"}


def test_a_width_of_zero_leaves_the_reynolds_bottleneck_out():
    with_it = {layer.name for layer in build_reynolds_unet(TINY).layers}
    without = {
        layer.name
        for layer in build_reynolds_unet(
            ReynoldsUNetConfig(widths=(4, 4, 8, 8), d_reduced=0)
        ).layers
    }
    assert "reynolds_restore" in with_it
    assert not any(name.startswith("reynolds") for name in without)


def test_the_width_of_the_bottleneck_is_d_reduced():
    model = build_reynolds_unet(ReynoldsUNetConfig(widths=(4, 4, 8, 8), d_reduced=7))
    assert model.get_layer("reynolds_reduce").filters == 7


def test_logits_are_those_that_the_probabilities_come_from(segmenter):
    x = pixels_of(64, 64)
    logits = np.asarray(logits_model(segmenter)(x)["class_logits"])
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.asarray(segmenter(x)["classes"]), expected, rtol=1e-4, atol=1e-6)


def test_a_place_of_the_heat_map_stands_for_the_middle_of_its_pixels(segmenter):
    # Change one pixel: the heat maps may change around its place and nowhere far from it.
    x = pixels_of(256, 256)[:1]
    changed = x.copy()
    changed[0, 128:132, 64:68] = 255 - changed[0, 128:132, 64:68]
    difference = np.abs(
        np.asarray(segmenter(x)["centres"]) - np.asarray(segmenter(changed)["centres"])
    ).sum(axis=(0, 3))
    assert np.unravel_index(difference.argmax(), difference.shape) in {
        (r, c) for r in range(30, 36) for c in range(14, 20)
    }


@pytest.mark.slow
def test_a_saved_segmenter_opens_in_plain_keras_without_this_package(segmenter, tmp_path):
    path = tmp_path / "model.keras"
    segmenter.save(path)
    x = pixels_of(32, 64)[:1]
    np.save(tmp_path / "pixels.npy", x)
    program = (
        "import sys, numpy as np, tensorflow as tf\n"
        f"model = tf.keras.models.load_model({str(path)!r})\n"
        f"outputs = model(np.load({str(tmp_path / 'pixels.npy')!r}))\n"
        "assert not any(name.startswith('blood_cell_system') for name in sys.modules)\n"
        f"np.save({str(tmp_path / 'classes.npy')!r}, outputs['classes'])\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "classes.npy"), np.asarray(segmenter(x)["classes"]), atol=1e-6
    )
