"""Networks that learn in 16 bits; what is measured, saved and continued is float32."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import tiny_cells, tiny_training

from blood_cell_system.errors import UnknownNameError
from blood_cell_system.networks import cell_classifier, segmenter
from blood_cell_system.training.classifier import ClassifierLearner
from blood_cell_system.training.classifier_data import CellClasses
from blood_cell_system.training.loop import rates_at
from blood_cell_system.training.segmenter_training import SegmenterLearner

CLASSES = CellClasses(conditions=("healthy_WBC", "cancer_WBC"), types=("neutrophil", "lymphocyte"))


def drawn(seed=0):
    generator = np.random.default_rng(seed)
    images = {
        "pixels": generator.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8),
        "cells": generator.integers(0, 256, (2, 130, 130, 3)).astype(np.uint8),
    }
    domains = {
        "domain": [0, 1],
        "domain_weight": [1.0, 1.0],
        "domain_is_possible": [[1.0, 1.0]] * 2,
    }
    maps = {
        "class_mask": generator.integers(0, 3, (2, 64, 64)).astype(np.uint8),
        "heat_map": np.ones((2, 16, 16, 3), np.float32),
        "heat_weight": np.ones((2, 16, 16, 3), np.float32),
        "log_size": generator.normal(0, 1, (2, 16, 16, 2)).astype(np.float32),
        "size_weight": np.ones((2, 16, 16), np.float32),
    }
    labels = {"condition": [0, 1], "cell_type": [1, 0], "known": [1, 0]}
    return {name: tf.constant(v) for name, v in (images | domains | maps | labels).items()}


def segmenter_learner(precision):
    settings = replace(tiny_training.TINY, dropout=0.0, batch_size=2, precision=precision)
    return settings, SegmenterLearner(settings, domains=2), segmenter.logits_model


def classifier_learner(precision):
    settings = replace(tiny_cells.TINY, dropout=0.0, batch_size=2, precision=precision)
    return settings, ClassifierLearner(settings, CLASSES, domains=2), cell_classifier.logits_model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "precision"), [(segmenter_learner, "bf16"), (classifier_learner, "f16")]
)
def test_a_network_learns_in_16_bits_nearly_what_it_learns_in_float32(made, precision, tmp_path):
    settings, learner, logits_model = made(precision)
    batch = drawn()
    images = tf.cast(batch[learner.input_name], tf.float32)
    _, expected = learner.losses(batch, logits_model(learner.averaged)(images, training=True))
    losses = learner.train_step(batch, rates_at(0, settings))
    for name, value in expected.items():
        assert float(losses[name]) == pytest.approx(float(value), rel=0.05)
    before = learner.averaged.get_weights()
    learner.train_step(batch, rates_at(1, settings))
    after = learner.averaged.get_weights()
    assert any((new != old).any() for new, old in zip(after, before, strict=True))
    learner.averaged.save(tmp_path / "saved.keras")
    saved = keras.saving.load_model(tmp_path / "saved.keras", compile=False)
    assert {layer.dtype_policy.name for layer in saved.layers} == {"float32"}
    computed = {layer.compute_dtype for layer in learner.model.layers}
    assert {"bf16": "bfloat16", "f16": "float16"}[precision] in computed
    # What a resumed training reads: NumPy has no bfloat16.
    assert {array.dtype.name for array in learner.arrays().values()} <= {
        "float32",
        "int32",
        "int64",
    }
    assert keras.config.dtype_policy().name == "float32"


def test_a_precision_that_there_is_none_of_is_refused():
    with pytest.raises(UnknownNameError, match="expected one of f32, bf16, f16"):
        segmenter_learner("f8")
