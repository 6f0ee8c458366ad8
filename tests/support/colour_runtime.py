"""A network made of NumPy that tells classes by colour."""

import numpy as np
from support.colours import COLOURS

from blood_cell_system.analysis.trained_models import NetworkOutputs


class ColourRuntime:
    """Gives every pixel the class of the nearest of the three colours; remembers what it saw."""

    input_shape = None

    def __init__(self, training_diameter_px=None):
        self.seen = []
        if training_diameter_px is not None:
            self.training_diameter_px = training_diameter_px

    def predict(self, batch):
        self.seen.append(batch.shape[1:3])
        distance = np.square(batch[..., None, :] - COLOURS.astype(np.float32)).sum(axis=-1)
        logits = -distance / 2000
        classes = np.exp(logits - logits.max(axis=-1, keepdims=True))
        classes /= classes.sum(axis=-1, keepdims=True)
        return NetworkOutputs(class_probabilities=classes)
