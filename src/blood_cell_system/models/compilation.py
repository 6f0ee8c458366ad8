"""Losses and accuracies for people who train with Keras's own ``fit``."""

from typing import Any, Final

import keras

from blood_cell_system.classifier_facts import CONDITION_OUTPUT, KNOWN_OUTPUT, TYPE_OUTPUT

_LOSSES: Final = {
    CONDITION_OUTPUT: "categorical_crossentropy",
    TYPE_OUTPUT: "categorical_crossentropy",
    KNOWN_OUTPUT: "binary_crossentropy",
    "classes": "categorical_crossentropy",
    "centres": "binary_crossentropy",
    "log_size": "mean_absolute_error",
}
_MEASURED: Final = frozenset({CONDITION_OUTPUT, TYPE_OUTPUT, KNOWN_OUTPUT, "classes"})


def compile_for_fit(model: keras.Model, *, learning_rate: float) -> None:
    """Compile a model in place: AdamW, a loss for each output, accuracies of the classes.

    Targets are one-hot, of each output's shape; a foreign model with one output takes the loss of
    classes.

    Parameters
    ----------
    model : keras.Model
    learning_rate : float
    """
    optimizer = keras.optimizers.AdamW(learning_rate=learning_rate, weight_decay=1e-4)
    outputs: Any = model.output
    if not isinstance(outputs, dict):
        model.compile(optimizer=optimizer, loss=_LOSSES["classes"], metrics=["accuracy"])
        return
    model.compile(
        optimizer=optimizer,
        loss={name: _LOSSES[name] for name in outputs},
        metrics={name: ["accuracy"] for name in outputs if name in _MEASURED},
    )
