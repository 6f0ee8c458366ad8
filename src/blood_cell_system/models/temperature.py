"""Calibrated confidence: a temperature that becomes part of the network's last weights."""

import math
from typing import Any

from blood_cell_system.errors import CheckpointError, SettingsError


def bake_temperature(model: Any, layer_name: str, temperature: float) -> None:
    """Divide the logits of a head by a temperature, by dividing the weights that make them.

    The network needs nothing new: whoever runs it gets calibrated probabilities. Called twice it
    divides twice.

    Parameters
    ----------
    model : keras.Model
        Changed in place.
    layer_name : str
        Of the ``Dense`` layer that gives the logits, such as ``condition_logits``.
    temperature : float
        Above 1 makes the model less sure, below 1 surer.

    Raises
    ------
    SettingsError
        The temperature is not a positive number.
    CheckpointError
        The model has no such layer, or it does not end in logits.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise SettingsError(f"temperature: received {temperature}; expected a positive number.")
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        raise CheckpointError(
            f"{model.name}: has no layer {layer_name!r}; its last are {', '.join(names[-5:])}. "
            "Expected a classifier of this package."
        )
    layer = model.get_layer(layer_name)
    if getattr(layer, "kernel", None) is None or layer.activation.__name__ != "linear":
        raise CheckpointError(
            f"{model.name}: the layer {layer_name!r} gives no logits; expected a Dense layer "
            "without an activation."
        )
    for weight in layer.weights:
        weight.assign(weight / temperature)
