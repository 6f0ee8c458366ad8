"""A segmenter as a Keras model, loaded and ready to run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import CheckpointError
from blood_cell_system.inference.keras_archive import check_keras_archive
from blood_cell_system.inference.runtimes import (
    PROBE_SIDE,
    NetworkOutputs,
    gives_logits,
    outputs_from,
)
from blood_cell_system.segmenter_contract import diameter_in_name

_KEPT_SHAPES: Final = 8


class KerasRuntime:
    """A segmenter in a ``.keras`` file.

    Besides this project's models a plain Keras model works: one picture in, RGB of 0..255, and one
    tensor out with three channels in ``CellClass`` order. Where its channels are not probabilities
    but logits, softmax is applied.

    Parameters
    ----------
    model : keras.Model
    name : str
        What to call it in messages.

    Attributes
    ----------
    training_diameter_px : float or None
        Diameter of a red cell in the pictures that it learned from; None where its name does not
        tell.

    Raises
    ------
    CheckpointError
        The model is no segmenter of this kind.
    """

    def __init__(self, model: Any, *, name: str = "model") -> None:
        self._model = model
        self.training_diameter_px = diameter_in_name(str(getattr(model, "name", "")))
        self._name = name
        self._functions: dict[tuple[int, ...], Callable[[Any], Any]] = {}
        self._returns_logits = False
        self.input_shape = self._checked_input_shape()
        self._returns_logits = gives_logits(self.predict, self.input_shape, name=name)

    @property
    def model(self) -> Any:
        """The Keras model."""
        return self._model

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a ``.keras`` file; code that it may carry is never run.

        Raises
        ------
        MissingDataError
            There is no such file.
        CheckpointError
            It is damaged, no Keras model, or no segmenter.
        """
        return cls(load_keras_model(path), name=str(path))

    def predict(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        import keras

        run = self._function_for(batch.shape)
        named = _as_dict(run(keras.ops.convert_to_tensor(batch)))
        return outputs_from(named, are_logits=self._returns_logits)

    def _function_for(self, shape: tuple[int, ...]) -> Callable[[Any], Any]:
        """Compile the model for one shape; the shapes used last are kept.

        Keras's own ``predict`` compiles anew for unknown sizes when a second size comes, which
        is slower, and which bilinear upsampling refuses (Keras 3.15).
        """
        import keras

        if keras.backend.backend() != "tensorflow":
            return lambda batch: self._model(batch, training=False)
        compiled = self._functions.pop(shape, None)
        if compiled is None:
            import tensorflow as tf

            if len(self._functions) == _KEPT_SHAPES:
                del self._functions[next(iter(self._functions))]
            function = tf.function(lambda batch: self._model(batch, training=False))
            compiled = function.get_concrete_function(tf.TensorSpec(shape))
        self._functions[shape] = compiled
        return compiled

    def _checked_input_shape(self) -> tuple[int, int] | None:
        inputs = getattr(self._model, "inputs", None) or []
        shapes = [tuple(tensor.shape) for tensor in inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
            raise CheckpointError(
                f"{self._name}: takes inputs of shape {shapes}; expected one of (batch, height, "
                "width, 3). Is this a segmentation model for RGB pictures?"
            )
        height, width = shapes[0][1:3]
        if height is None and width is None:
            return None
        return height or PROBE_SIDE, width or PROBE_SIDE


def load_keras_model(path: Path) -> Any:
    """Load a ``.keras`` file as Keras gives it; code that it may carry is never run.

    Parameters
    ----------
    path : Path

    Returns
    -------
    keras.Model

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        It is damaged, no Keras model, or holds code.
    """
    path = Path(path)
    check_keras_archive(path)
    # Here, not above: analysing with another runtime must not wait for TensorFlow.
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # A broken configuration can fail in any of Keras's parts.
        first_line = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{path}: Keras cannot load this model ({type(error).__name__}: {first_line}). It "
            "is damaged, of a newer Keras, or carries code of its own, which is not run."
        ) from error


def _as_dict(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, dict):
        # A foreign model may name its only output as it likes.
        return {"classes": next(iter(outputs.values()))} if len(outputs) == 1 else outputs
    if isinstance(outputs, list | tuple):
        (only,) = outputs if len(outputs) == 1 else (None,)
        return {} if only is None else {"classes": only}
    return {"classes": outputs}
