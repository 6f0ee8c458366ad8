import numpy as np
import pytest
import tensorflow as tf

from blood_cell_system.errors import SettingsError
from blood_cell_system.networks.reynolds_unet import ReynoldsUNetConfig, build_reynolds_unet
from blood_cell_system.networks.segmenter import (
    with_segmenter_domain_head,
)

CONFIG = ReynoldsUNetConfig(widths=(4, 4, 6), d_reduced=0)


@pytest.fixture(scope="module")
def segmenter():
    return build_reynolds_unet(CONFIG)


def gradients(segmenter, graph, strength):
    """Of the domain, at the weights of the encoder and of the head."""
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        inputs = {"pixels": pixels, "reversal_strength": np.full((2, 1), strength, np.float32)}
        loss = tf.reduce_sum(graph(inputs)["domain_logits"][:, 0])
    kernels = [
        segmenter.get_layer("down_0_a_conv").kernel,
        graph.get_layer("domain_logits").kernel,
    ]
    return [np.asarray(gradient) for gradient in tape.gradient(loss, kernels)]


def test_the_head_learns_while_the_encoder_unlearns_by_the_strength(segmenter):
    graph = with_segmenter_domain_head(segmenter, domains=3)
    encoder, head = gradients(segmenter, graph, 0.3)
    doubled, same_head = gradients(segmenter, graph, 0.6)
    np.testing.assert_allclose(doubled, 2 * encoder, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(same_head, head, rtol=1e-5)
    assert np.abs(encoder).max() > 0
    assert not np.any(gradients(segmenter, graph, 0.0)[0])


def test_the_segmenter_itself_knows_nothing_of_the_head(segmenter):
    before = [layer.name for layer in segmenter.layers]
    graph = with_segmenter_domain_head(segmenter, domains=2)
    assert [layer.name for layer in segmenter.layers] == before
    assert set(graph.output) == {"class_logits", "centre_logits", "log_size", "domain_logits"}


def test_one_domain_alone_is_an_error(segmenter):
    with pytest.raises(SettingsError, match="1 source of images; expected two or more"):
        with_segmenter_domain_head(segmenter, domains=1)
