"""What a segmenter says of pictures, whatever runs it, and whether a network is one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.classes import CELL_TYPES, NUM_CLASSES
from blood_cell_system.errors import CheckpointError
from blood_cell_system.segmenter_contract import HEAD_STRIDE, STRIDE

PROBE_SIDE: Final = 2 * STRIDE
"""A network that takes all sizes is tried on a picture of this one."""


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
    height, width = input_shape or (PROBE_SIDE, PROBE_SIDE)
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
