"""Trained networks, loaded and ready to run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import CELL_TYPES, NUM_CLASSES
from blood_cell_system.errors import CheckpointError
from blood_cell_system.inference.keras_archive import check_keras_archive
from blood_cell_system.segmenter_contract import HEAD_STRIDE, STRIDE, diameter_in_name

_PROBE_SIDE: Final = 2 * STRIDE
_KEPT_SHAPES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOutputs:
    """What a segmenter says of a batch of pictures.

    Parameters
    ----------
    class_probabilities : ndarray of shape (batch, height, width, 3), dtype float32
        In ``CellClass`` order.
    centres : ndarray of shape (batch, height / 4, width / 4, 3), dtype float32, or None
        Heat maps in ``CELL_TYPES`` order; None for a model without an instance head.
    log_size : ndarray of shape (batch, height / 4, width / 4, 2), dtype float32, or None
    """

    class_probabilities: NDArray[np.float32]
    centres: NDArray[np.float32] | None = None
    log_size: NDArray[np.float32] | None = None


class Runtime(Protocol):
    """Anything that runs a segmenter."""

    @property
    def input_shape(self) -> tuple[int, int] | None:
        """The only (height, width) that it takes; None when all multiples of ``STRIDE`` do."""
        ...

    def predict(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        ...


def training_diameter_of(runtime: Runtime) -> float | None:
    """Diameter of a red cell in what a network learned from, in pixels; None if it is not known."""
    diameter: float | None = getattr(runtime, "training_diameter_px", None)
    return diameter


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
        return height or _PROBE_SIDE, width or _PROBE_SIDE


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


def gives_logits(
    predict: Callable[[NDArray[np.float32]], NetworkOutputs],
    input_shape: tuple[int, int] | None,
    *,
    name: str,
) -> bool:
    """Check on a made-up picture that a network is a segmenter.

    Parameters
    ----------
    predict : callable
        Of a float32 batch of shape (batch, height, width, 3).
    input_shape : tuple of int or None
        The only (height, width) that it takes.
    name : str
        What to call the network in messages.

    Returns
    -------
    bool
        Whether its classes are logits, of which softmax has still to be taken.

    Raises
    ------
    CheckpointError
        It gives something else than a segmenter does.
    """
    height, width = input_shape or (_PROBE_SIDE, _PROBE_SIDE)
    picture = np.linspace(0, 255, height * width * 3, dtype=np.float32)
    try:
        outputs = predict(picture.reshape(1, height, width, 3))
    except (KeyError, TypeError, AttributeError) as error:
        raise _wrong_outputs(name, "no output for the classes") from error
    small = -(-height // HEAD_STRIDE), -(-width // HEAD_STRIDE)
    for output, values, expected in (
        ("classes", outputs.class_probabilities, (1, height, width, NUM_CLASSES)),
        ("centres", outputs.centres, (1, *small, len(CELL_TYPES))),
        ("log_size", outputs.log_size, (1, *small, 2)),
    ):
        if values is not None and values.shape != expected:
            raise _wrong_outputs(
                name,
                f"{output} of shape {values.shape[1:]} for a picture of {height}×{width}, not "
                f"{expected[1:]}",
            )
    classes = outputs.class_probabilities
    if not np.isfinite(classes).all():
        raise _wrong_outputs(name, "values that are no numbers")
    if classes.min() >= 0 and np.allclose(classes.sum(axis=-1), 1, atol=1e-2):
        return False
    if classes.min() >= 0 and classes.max() <= 1:
        raise _wrong_outputs(name, "three values of 0..1 that do not add up to 1")
    return True


def outputs_from(named: Mapping[str, Any], *, are_logits: bool) -> NetworkOutputs:
    """Arrays of a network's outputs, the classes as probabilities.

    Parameters
    ----------
    named : mapping of str to array
        ``classes``, and of a network with an instance head ``centres`` and ``log_size``.
    are_logits : bool
        Whether softmax has to be taken of the classes.

    Raises
    ------
    KeyError
        There are no classes.
    """
    classes = np.asarray(named["classes"], dtype=np.float32)
    if are_logits:
        classes = np.exp(classes - classes.max(axis=-1, keepdims=True))
        classes /= classes.sum(axis=-1, keepdims=True)
    if "centres" not in named or "log_size" not in named:
        return NetworkOutputs(class_probabilities=classes)
    return NetworkOutputs(
        class_probabilities=classes,
        centres=np.asarray(named["centres"], dtype=np.float32),
        log_size=np.asarray(named["log_size"], dtype=np.float32),
    )


def largest_difference(first: Runtime, second: Runtime, batch: NDArray[np.float32]) -> float:
    """By how much two runtimes differ at most on a batch, over all of their outputs.

    Returns
    -------
    float
        Infinite where one has an output that the other has not.
    """
    one, other = first.predict(batch), second.predict(batch)
    largest = 0.0
    for values, others in (
        (one.class_probabilities, other.class_probabilities),
        (one.centres, other.centres),
        (one.log_size, other.log_size),
    ):
        if values is not None and others is not None:
            largest = max(largest, float(np.abs(values - others).max()))
        elif values is not others:
            return float("inf")
    return largest


def _wrong_outputs(name: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"{name}: gives {found}; expected class probabilities of shape (batch, height, "
        "width, 3), for background, RBC and WBC, as a softmax gives them. Use a segmentation "
        "model with three classes."
    )


def _as_dict(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, dict):
        # A foreign model may name its only output as it likes.
        return {"classes": next(iter(outputs.values()))} if len(outputs) == 1 else outputs
    if isinstance(outputs, list | tuple):
        (only,) = outputs if len(outputs) == 1 else (None,)
        return {} if only is None else {"classes": only}
    return {"classes": outputs}
