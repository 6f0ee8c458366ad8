"""Segmenters and classifiers of cells: networks that were checked on an artificial image."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.execution import Execution
from blood_cell_system.analysis.opened_networks import Arrays, Network, open_network
from blood_cell_system.errors import CheckpointError
from blood_cell_system.model_metadata import (
    CELL_SIDE_PX,
    CONDITION_OUTPUT,
    HEAD_STRIDE,
    KNOWN_OUTPUT,
    STRIDE,
    TYPE_OUTPUT,
    ClassifierKind,
    ModelMetadata,
)
from blood_cell_system.taxonomy import BUILT_IN, NUM_CLASSES, Taxonomy

PROBE_SIDE: Final = 2 * STRIDE
"""Side in pixels of the image that a network of open size is tried on."""

_SUM_TOLERANCE: Final = 1e-2
"""By how much the sum of probabilities may differ from 1: networks may run at half precision."""

_USUAL_IN_DISTRIBUTION_THRESHOLD: Final = 0.5
"""For a network with an output ``known`` whose metadata give no threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOutputs:
    """Outputs of a segmenter for a batch of images.

    Parameters
    ----------
    class_probabilities : ndarray of shape (batch, height, width, 3), dtype float32
        In the order of ``MaskClass``; they sum to 1.
    centres : ndarray of shape (batch, height / 4, width / 4, types), dtype float32, or None
        Heat map of the centres of each cell type, 0 to 1, in the order of the taxonomy; None for a
        network without an instance head.
    log_size : ndarray of shape (batch, height / 4, width / 4, 2), dtype float32, or None
        ln(width / 64 px) and ln(height / 64 px) of the cell at each place.
    """

    class_probabilities: NDArray[np.float32]
    centres: NDArray[np.float32] | None = None
    log_size: NDArray[np.float32] | None = None


class Runtime(Protocol):
    """Anything that runs a segmenter."""

    input_shape: tuple[int, int] | None
    """The only (height, width) that it takes; None for all multiples of ``STRIDE``."""

    def predict(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierOutputs:
    """Outputs of a classifier for a batch of cells.

    Parameters
    ----------
    condition : ndarray of shape (batch, conditions), dtype float32
        Probabilities, in the order of the metadata's ``conditions``.
    cell_type : ndarray of shape (batch, subtypes), dtype float32, or None
        Probabilities, in the order of the metadata's ``subtypes``; None without such an output.
    known : ndarray of shape (batch,), dtype float32, or None
        Probability that the cell is in distribution; None without such an output.
    """

    condition: NDArray[np.float32]
    cell_type: NDArray[np.float32] | None = None
    known: NDArray[np.float32] | None = None


class ClassifierRuntime(Protocol):
    """Anything that runs a classifier of cells."""

    metadata: ModelMetadata
    """Classes and thresholds."""
    input_side: tuple[int, int]
    """``(height, width)`` of the cell images that it takes, in pixels."""

    def predict(self, batch: NDArray[np.float32]) -> ClassifierOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        ...


AnyRuntime = TypeVar("AnyRuntime", Runtime, ClassifierRuntime)


class _OneAtATime:
    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self.has_heads = True

    def predict(self, batch: NDArray[np.float32]) -> Any:
        with self._lock:
            outputs = self._runtime.predict(batch)
        self.has_heads = getattr(outputs, "centres", None) is not None
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


def one_at_a_time(runtime: AnyRuntime) -> AnyRuntime:
    """Give a runtime that threads can share: a network keeps all cores busy by itself."""
    return cast(AnyRuntime, _OneAtATime(runtime))


def has_instance_head(runtime: Runtime) -> bool:
    """Whether a shared segmenter gave centres of cells the last time."""
    return bool(getattr(runtime, "has_heads", True))


def training_diameter_of(runtime: Runtime) -> float | None:
    """Diameter of a red cell in the images that a segmenter learned from, in pixels, if known."""
    diameter: float | None = getattr(runtime, "training_diameter_px", None)
    return diameter


def taxonomy_of(runtime: Runtime) -> Taxonomy:
    """Cell types of a segmenter's heat maps; the built-in ones where its file has no others."""
    metadata: ModelMetadata | None = getattr(runtime, "metadata", None)
    return (metadata.taxonomy if metadata else None) or BUILT_IN


def largest_difference(first: Runtime, second: Runtime, batch: NDArray[np.float32]) -> float:
    """Largest difference between two segmenters on a batch, over all of their outputs.

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


class NetworkSegmenter:
    """A network that was checked to be a segmenter.

    Besides this package's models any network works with one RGB input of 0..255, channels last,
    and one output of three classes in the order of ``MaskClass``, as probabilities or as logits.

    Parameters
    ----------
    network : Network

    Attributes
    ----------
    metadata : ModelMetadata or None
        None for a network of another program.
    training_diameter_px : float or None
        Diameter of a red cell in the images that it learned from, where the metadata give it.

    Raises
    ------
    CheckpointError
        The network is no segmenter.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.metadata = network, network.metadata
        if self.metadata is not None and self.metadata.kind != "segmenter":
            raise CheckpointError(
                f"{network.name}: is a classifier of single cells; expected a segmenter. Name the "
                "folder of both with --models, or use bloodcells classify."
            )
        self.training_diameter_px = self.metadata.training_diameter_px if self.metadata else None
        batch, *sides = _rgb_shape(network, "segmentation model for RGB images, channels last")
        if batch not in (None, 1):
            raise CheckpointError(
                f"{network.name}: takes batches of {batch}; expected batches of any size, or of 1."
            )
        height, width = sides
        is_open = height is None and width is None
        self.input_shape = None if is_open else (height or PROBE_SIDE, width or PROBE_SIDE)
        self._are_logits = False
        self._are_logits = self._check_outputs()

    def predict(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        named = _with_only(self.network.run(batch), "classes")
        classes = named["classes"]
        return NetworkOutputs(
            class_probabilities=_softmax(classes) if self._are_logits else classes,
            **{
                name: named[name]
                for name in ("centres", "log_size")
                if {"centres", "log_size"} <= named.keys()
            },
        )

    def _check_outputs(self) -> bool:
        """Run on an artificial image; say whether the classes are logits."""
        height, width = self.input_shape or (PROBE_SIDE, PROBE_SIDE)
        try:
            outputs = self.predict(_ramp(height, width))
        except KeyError as error:
            raise self._wrong("no output for the classes") from error
        small = -(-height // HEAD_STRIDE), -(-width // HEAD_STRIDE)
        for output, values, expected in (
            ("classes", outputs.class_probabilities, (1, height, width, NUM_CLASSES)),
            ("centres", outputs.centres, (1, *small, len(taxonomy_of(self)))),
            ("log_size", outputs.log_size, (1, *small, 2)),
        ):
            if values is not None and values.shape != expected:
                raise self._wrong(
                    f"{output} of shape {values.shape[1:]} for an image of {height}×{width}, not "
                    f"{expected[1:]}"
                )
        try:
            return _are_logits(outputs.class_probabilities)
        except ValueError as error:
            raise self._wrong(str(error)) from error

    def _wrong(self, found: str) -> CheckpointError:
        return CheckpointError(
            f"{self.network.name}: gives {found}; expected class probabilities of shape (batch, "
            "height, width, 3), for background, RBC and WBC, as a softmax gives them. Use a "
            "segmentation model with three classes."
        )


def load_runtime(path: Path, *, execution: Execution | None = None) -> NetworkSegmenter:
    """Load a trained segmenter; parameters and errors as of :func:`open_network`."""
    return NetworkSegmenter(open_network(path, execution=execution))


class NetworkClassifier:
    """A network that was checked to be a classifier of cells.

    Besides this package's classifiers any network works with one RGB input of 0..255 and one
    softmax (or its logits) over as many classes as its metadata name.

    Parameters
    ----------
    network : Network
        Without metadata it has the usual classes of the kind, in the usual order.
    kind : ClassifierKind
        Cells that it is for.

    Raises
    ------
    CheckpointError
        The network is no classifier of these cells.
    """

    def __init__(self, network: Network, kind: ClassifierKind) -> None:
        self.network = network
        name, metadata = network.name, network.metadata
        if metadata is not None and metadata.cell_type != kind.cell_type:
            found = (
                f"classifier of {metadata.cell_type} cells" if metadata.cell_type else "segmenter"
            )
            raise CheckpointError(
                f"{name}: a {found}; expected a classifier of {kind.cell_type} cells. Were the "
                "two exchanged?"
            )
        batch, *sides = _rgb_shape(network, "classifier of RGB images of cells")
        if batch is not None:
            raise CheckpointError(
                f"{name}: takes batches of {batch}; expected an input of (batch, {CELL_SIDE_PX}, "
                f"{CELL_SIDE_PX}, 3) with an open batch."
            )
        height, width = (side or CELL_SIDE_PX for side in sides)
        self.input_side = height, width
        try:
            named = self._named(_ramp(height, width))
        except KeyError as error:
            raise CheckpointError(
                f"{name}: has several outputs, and none is called 'condition'; expected one "
                f"softmax over {', '.join(kind.conditions)}, or outputs 'condition', 'type' and "
                "'known'."
            ) from error
        self.metadata = metadata or _usual_metadata(kind, named)
        self._are_logits = _check_classes(named, self.metadata, name=name)

    def predict(self, batch: NDArray[np.float32]) -> ClassifierOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        named = self._named(batch)
        condition, known = named[CONDITION_OUTPUT], named.get(KNOWN_OUTPUT)
        return ClassifierOutputs(
            condition=_softmax(condition) if self._are_logits else condition,
            cell_type=named.get(TYPE_OUTPUT) if self.metadata.subtypes else None,
            known=None if known is None else known.reshape(len(known)),
        )

    def _named(self, batch: NDArray[np.float32]) -> Arrays:
        named = _with_only(self.network.run(batch), CONDITION_OUTPUT)
        if CONDITION_OUTPUT not in named:
            raise KeyError(CONDITION_OUTPUT)
        return named


def load_classifier(
    path: Path, kind: ClassifierKind, *, execution: Execution | None = None
) -> NetworkClassifier:
    """Load a classifier; parameters and errors as of :func:`open_network`."""
    return NetworkClassifier(open_network(path, kind=kind, execution=execution), kind)


def _usual_metadata(kind: ClassifierKind, named: Arrays) -> ModelMetadata:
    return ModelMetadata.of_classifier(
        kind,
        subtypes=kind.types if TYPE_OUTPUT in named else (),
        in_distribution_threshold=(
            _USUAL_IN_DISTRIBUTION_THRESHOLD if KNOWN_OUTPUT in named else None
        ),
    )


def _check_classes(named: Arrays, metadata: ModelMetadata, *, name: str) -> bool:
    """Compare outputs for one cell with the metadata; say whether the condition is logits."""
    for output, classes in (
        (CONDITION_OUTPUT, metadata.conditions),
        (TYPE_OUTPUT, metadata.subtypes),
    ):
        if output in named and named[output].shape != (1, len(classes)):
            raise CheckpointError(
                f"{name}: {output} has the shape {named[output].shape[1:]}; expected "
                f"{len(classes)} values, for {', '.join(classes) or 'no class'}. A model with "
                "other classes names them in the .json file beside it; see docs/data_formats.md."
            )
    if metadata.subtypes and TYPE_OUTPUT not in named:
        raise CheckpointError(
            f"{name}: has no output {TYPE_OUTPUT!r}, but its metadata name subtypes "
            f"({', '.join(metadata.subtypes)}). Use the .json file that was written with the model."
        )
    if KNOWN_OUTPUT in named and named[KNOWN_OUTPUT].size != 1:
        raise CheckpointError(
            f"{name}: {KNOWN_OUTPUT} has the shape {named[KNOWN_OUTPUT].shape[1:]}; expected one "
            "value, as a sigmoid gives it."
        )
    try:
        for output in (TYPE_OUTPUT, KNOWN_OUTPUT):
            if output in named and not np.isfinite(named[output]).all():
                raise ValueError("values that are no numbers")
        output = CONDITION_OUTPUT
        return _are_logits(named[output])
    except ValueError as error:
        raise CheckpointError(
            f"{name}: {output} has {error}; expected probabilities as a softmax gives them. The "
            "training went wrong, or the file is damaged or of another kind."
        ) from error


def _rgb_shape(network: Network, what: str) -> tuple[int | None, int | None, int | None]:
    """Batch, height and width that a network takes; None where they are open."""
    shapes, dtypes = network.input_shapes, network.input_dtypes
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3 or dtypes != ["float"]:
        found = ", ".join(f"{dtype} {shape}" for dtype, shape in zip(dtypes, shapes, strict=True))
        raise CheckpointError(
            f"{network.name}: takes inputs of {found or 'nothing'}; expected one, float (batch, "
            f"height, width, 3). Is this a {what}?"
        )
    batch, height, width = (side if isinstance(side, int) else None for side in shapes[0][:3])
    return batch, height, width


def _ramp(height: int, width: int) -> NDArray[np.float32]:
    """Make an artificial image of all brightnesses."""
    image = np.linspace(0, 255, height * width * 3, dtype=np.float32)
    return image.reshape(1, height, width, 3)


def _with_only(named: Mapping[str, Any], name: str) -> Arrays:
    """Give a single output its name, however the network calls it."""
    return {name: next(iter(named.values()))} if len(named) == 1 else dict(named)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    power = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))


def _are_logits(values: NDArray[np.float32]) -> bool:
    """Distinguish logits from probabilities; ``ValueError`` for what is neither."""
    if not np.isfinite(values).all():
        raise ValueError("values that are no numbers")
    if values.min() >= 0 and np.allclose(values.sum(axis=-1), 1, atol=_SUM_TOLERANCE):
        return False
    if values.min() >= 0 and values.max() <= 1:
        raise ValueError("values of 0..1 that do not add up to 1")
    return True
