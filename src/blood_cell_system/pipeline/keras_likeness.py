"""Keras models without Keras: known by what they have, as importing it takes seconds."""

import hashlib
from typing import Any

from blood_cell_system.errors import SettingsError


def is_keras(model: Any) -> bool:
    """Whether something is a Keras model."""
    return hasattr(model, "get_weights") and hasattr(model, "inputs")


def unwrap(model: Any) -> Any:
    """Give the Keras model inside a runtime; anything else as it is."""
    return model if is_keras(model) else getattr(model, "model", model)


def hash_of_weights(model: Any) -> str:
    """SHA-256 of a model's weights; that of nothing for what has none to show."""
    digest = hashlib.sha256()
    for weights in model.get_weights() if is_keras(model) else ():
        digest.update(str((weights.shape, weights.dtype)).encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()


def name_of(model: Any) -> str:
    """Name of a model; of one without, that of its class."""
    return str(getattr(model, "name", type(model).__name__))


def describe(model: Any, shape: tuple[int, ...] | None = None) -> str:
    """Tell in a line what a model takes and gives, and how large it is.

    Parameters
    ----------
    model : object
        None for one that is not there.
    shape : tuple of int, optional
        Where the model takes pictures of any size: an example.
    """
    if model is None:
        return "none set; the one of this package is used, if it has any"
    model = unwrap(model)
    if not is_keras(model):
        return type(model).__name__
    sides = tuple(model.inputs[0].shape)[1:]
    taken = " × ".join("any" if side is None else str(side) for side in sides)
    if shape is not None and None in sides:
        taken += f" (such as {' × '.join(map(str, shape))})"
    outputs = ", ".join(getattr(model, "output_names", ()))
    return f"{model.count_params():,} parameters, takes {taken}, gives {outputs}"


def check_input_shape(name: str, shape: tuple[int, int, int], *, multiple_of: int) -> None:
    """Refuse what is no shape of RGB pictures.

    Parameters
    ----------
    name : str
        What to call it in messages.
    shape : tuple of int
        ``(height, width, 3)``.
    multiple_of : int
        What height and width have to be multiples of.

    Raises
    ------
    SettingsError
        It is something else.
    """
    sides = tuple(shape)[:2]
    is_fine = len(shape) == 3 and shape[2] == 3 and min(sides) > 0
    if not is_fine or any(side % multiple_of for side in sides):
        words = f", height and width multiples of {multiple_of}" if multiple_of > 1 else ""
        raise SettingsError(f"{name}: received {shape}; expected (height, width, 3){words}.")
