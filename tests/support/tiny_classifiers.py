"""Classifiers small enough to build in a test, with random weights in all of their heads."""

import keras
import numpy as np

from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata
from blood_cell_system.networks.cell_classifier import CellClassifierConfig, build_cell_classifier

WBC_KIND = ClassifierKind("WBC")


def tiny_config(kind=WBC_KIND, **changes):
    options = {
        "input_shape": (32, 32, 3),
        "widths": (4, 6, 8),
        "blocks": (0, 1, 1),
        "d_reduced": 4,
        "feature_width": 10,
    }
    return CellClassifierConfig.for_kind(kind, **(options | changes))


def tiny_classifier(kind=WBC_KIND, *, seed=0, **changes):
    """With no weight at zero, so that every part of it changes the answer."""
    keras.utils.set_random_seed(seed)
    model = build_cell_classifier(tiny_config(kind, **changes))
    generator = np.random.default_rng(seed)
    model.set_weights([w + 0.1 * generator.normal(size=w.shape) for w in model.get_weights()])
    return model


def metadata_of(kind=WBC_KIND):
    return ModelMetadata.of_classifier(kind)


def random_cells(count, side=32, seed=0):
    values = np.random.default_rng(seed).uniform(0, 255, (count, side, side, 3))
    return values.astype(np.float32)
