"""The right runtime for a model's file."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import CheckpointError, MissingDataError, SettingsError
from blood_cell_system.model_metadata import (
    FACTS_KEY,
    HEAD_STRIDE,
    STRIDE,
    OnnxMetadata,
    content_hash,
    diameter_in_name,
)
from blood_cell_system.taxonomy import CELL_TYPES, NUM_CLASSES

OfOnnx = TypeVar("OfOnnx")
OfKeras = TypeVar("OfKeras")


def load_by_suffix(
    path: Path, *, onnx: Callable[[Path], OfOnnx], keras: Callable[[Path], OfKeras]
) -> OfOnnx | OfKeras:
    """Load a model file as its suffix says.

    Parameters
    ----------
    path : Path
        Ends in ``.onnx`` or ``.keras``.
    onnx, keras : callable
        What loads such a file.

    Raises
    ------
    CheckpointError
        The suffix is another one.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return onnx(path)
    if suffix == ".keras":
        return keras(path)
    raise CheckpointError(
        f"{path}: no model file by its name; expected one that ends in .onnx or .keras."
    )


_ONLY_ERRORS: Final = 3


def read_onnx(path: Path) -> bytes:
    """Read an ``.onnx`` file.

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        It cannot be read.
    """
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such model. Make one with bloodcells export, or name another "
            "with --model."
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}). Check its permissions."
        ) from error


def open_session(data: bytes, *, name: str, threads: int | None = None) -> Any:
    """Open a network with ONNX Runtime.

    Parameters
    ----------
    data : bytes
        Of the whole file.
    name : str
        What to call it in messages.
    threads : int, optional
        How many threads one run may use; all cores by default.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    SettingsError
        ``threads`` is not positive.
    CheckpointError
        The file is damaged, or of a newer ONNX.
    """
    if threads is not None and threads < 1:
        raise SettingsError(f"threads: received {threads}; expected 1 or more.")
    # Here, not above: importing a module must be quick.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    options.intra_op_num_threads = threads or 0
    # Waiting threads that spin take the cores from the images beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base.
        raise CheckpointError(
            f"{name}: ONNX Runtime {onnxruntime.__version__} cannot load this model "
            f"({type(error).__name__}: {first_line(error)}). It is damaged, no ONNX file, or "
            "of a newer ONNX. Copy it again, or export it again with bloodcells export."
        ) from error


def check_content(data: bytes, exported_hash: str | None, *, name: str) -> None:
    """Refuse a file whose content is not what was exported: with a changed weight it runs wrongly.

    Parameters
    ----------
    data : bytes
        Of the whole file.
    exported_hash : str or None
        What the file says of its content; None for one that another program has made.
    name : str
        What to call it in messages.

    Raises
    ------
    CheckpointError
        The content is another one.
    """
    if exported_hash is not None and exported_hash != content_hash(data):
        raise CheckpointError(
            f"{name}: damaged: its content is not what was exported. Copy it again, or export it "
            "again with bloodcells export."
        )


def run_session(
    session: Any, outputs: list[str], inputs: dict[str, Any], *, name: str, what: str
) -> list[Any]:
    """Run a network.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    outputs : list of str
        Names of what to give back.
    inputs : dict of str to ndarray
    name : str
        What to call the network in messages.
    what : str
        What it is run on, for messages.

    Raises
    ------
    CheckpointError
        It fails on these inputs.
    """
    import onnxruntime

    state = onnxruntime.capi.onnxruntime_pybind11_state
    try:
        values: list[Any] = session.run(outputs, inputs)
    except (state.Fail, state.InvalidArgument, state.RuntimeException) as error:
        raise CheckpointError(
            f"{name}: fails on {what} ({first_line(error)}). Export the model again."
        ) from error
    return values


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message."""
    return str(error).strip().partition("\n")[0]


# Layers that run Python, or load another file, of whoever saved the model. Keras's safe mode
# refuses the first ones by itself; this refuses them all, and says what to do.
_LAYERS_WITH_CODE: Final = frozenset(
    {"Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"}
)


def check_keras_archive(path: Path) -> None:
    """Refuse what cannot be opened, or must not be; nothing in the file is run.

    Parameters
    ----------
    path : Path

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        It is cut off, damaged, no Keras model, or holds code.
    """
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such model; expected a file that was saved with "
            "model.save('name.keras'). Train one, or name another."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            is_model = "config.json" in archive.namelist()
            damaged = archive.testzip()
            config = archive.read("config.json") if is_model and damaged is None else b""
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a .keras file, or cut off ({error}). Copy it again, or use a model "
            "that was saved with model.save('name.keras')."
        ) from error
    except Exception as error:  # A damaged stream leads its decompressor to errors of its own.
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if damaged is not None:
        raise _damaged(path, damaged)
    if not is_model:
        raise CheckpointError(
            f"{path}: no Keras model (config.json is missing). Copy it again, or use a model that "
            "was saved with model.save('name.keras')."
        )
    try:
        found = sorted(set(_names_of_code(json.loads(config))))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"config.json: {error}") from error
    if found:
        raise CheckpointError(
            f"{path}: holds code of its own ({', '.join(found)}), which is never "
            "run; expected Keras's built-in layers alone. Build the model without them, for "
            "instance with keras.ops in place of Lambda, and save it again."
        )


def _names_of_code(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        name = value.get("class_name")
        if isinstance(name, str) and name in _LAYERS_WITH_CODE:
            yield name
        for inner in value.values():
            yield from _names_of_code(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names_of_code(inner)


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: damaged ({found}). Copy it again, or use a model that was saved with "
        "model.save('name.keras')."
    )


PROBE_SIDE: Final = 2 * STRIDE
"""A network that takes all sizes is tried on an image of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOutputs:
    """What a segmenter says of a batch of images.

    Parameters
    ----------
    class_probabilities : ndarray of shape (batch, height, width, 3), dtype float32
        In ``MaskClass`` order.
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
    """Check on a made-up image that a network is a segmenter.

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
    image = np.linspace(0, 255, height * width * 3, dtype=np.float32)
    try:
        outputs = predict(image.reshape(1, height, width, 3))
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
                f"{output} of shape {values.shape[1:]} for an image of {height}×{width}, not "
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


class OnnxRuntime:
    """A segmenter in an ``.onnx`` file.

    Besides this project's exports any network works with one RGB input of 0..255, channels last,
    and one output of three classes, as probabilities or as logits.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        What to call it in messages.
    threads : int, optional
        How many threads one image may use; all cores by default.

    Attributes
    ----------
    metadata : OnnxMetadata or None
        What the file says of itself; None for one that another program has made.
    training_diameter_px : float or None
        Diameter of a red cell in the images that it learned from; None where the file does not
        tell.

    Raises
    ------
    SettingsError
        ``threads`` is not positive.
    CheckpointError
        The file is damaged, of a newer ONNX, or no segmenter.
    """

    def __init__(self, data: bytes, *, name: str = "model", threads: int | None = None) -> None:
        self._name = name
        self._session = open_session(data, name=name, threads=threads)
        self.metadata = self._checked_metadata(data)
        self.training_diameter_px = self.metadata.training_diameter_px if self.metadata else None
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._input, self.input_shape = self._checked_input()
        self._returns_logits = False
        self._returns_logits = gives_logits(self.predict, self.input_shape, name=name)

    @classmethod
    def load(cls, path: Path, *, threads: int | None = None) -> Self:
        """Load an ``.onnx`` file.

        Raises
        ------
        MissingDataError
            There is no such file.
        SettingsError
            ``threads`` is not positive.
        CheckpointError
            The file is damaged, of a newer ONNX, or no segmenter.
        """
        data = read_onnx(Path(path))
        return cls(data, name=str(Path(path)), threads=threads)

    def predict(self, batch: NDArray[np.float32]) -> NetworkOutputs:
        """Run on a float32 batch of shape (batch, height, width, 3), RGB of 0..255."""
        values = run_session(
            self._session,
            self._outputs,
            {self._input: batch},
            name=self._name,
            what=f"an image of {batch.shape[1]}×{batch.shape[2]}",
        )
        # A foreign network may name its only output as it likes.
        names = ["classes"] if len(values) == 1 else self._outputs
        return outputs_from(dict(zip(names, values, strict=True)), are_logits=self._returns_logits)

    def _checked_metadata(self, data: bytes) -> OnnxMetadata | None:
        properties = dict(self._session.get_modelmeta().custom_metadata_map)
        if FACTS_KEY in properties:
            raise CheckpointError(
                f"{self._name}: is a classifier of single cells; expected a segmenter. Name the "
                "folder of both with --models, or use bloodcells classify."
            )
        try:
            metadata = OnnxMetadata.from_properties(properties)
        except ValueError as error:
            raise CheckpointError(
                f"{self._name}: what the file says of itself makes no sense ({error}). Export the "
                "model again with bloodcells export."
            ) from error
        check_content(data, metadata.content_sha256 if metadata else None, name=self._name)
        return metadata

    def _checked_input(self) -> tuple[str, tuple[int, int] | None]:
        inputs = self._session.get_inputs()
        shapes = [tuple(entry.shape) for entry in inputs]
        kinds = [entry.type for entry in inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
            raise CheckpointError(
                f"{self._name}: takes inputs of shape {shapes}; expected one of (batch, height, "
                "width, 3). Is this a segmentation model for RGB images, channels last?"
            )
        if kinds != ["tensor(float)"] or (isinstance(shapes[0][0], int) and shapes[0][0] != 1):
            raise CheckpointError(
                f"{self._name}: takes {kinds[0]} in batches of {shapes[0][0]}; expected "
                "tensor(float) in batches of any size, or of 1."
            )
        # Open dimensions have a name, or None.
        height, width = (side if isinstance(side, int) else None for side in shapes[0][1:3])
        if height is None and width is None:
            return inputs[0].name, None
        return inputs[0].name, (height or PROBE_SIDE, width or PROBE_SIDE)


_KEPT_SHAPES: Final = 8


class KerasRuntime:
    """A segmenter in a ``.keras`` file.

    Besides this project's models a plain Keras model works: one image in, RGB of 0..255, and one
    tensor out with three channels in ``MaskClass`` order. Where its channels are not probabilities
    but logits, softmax is applied.

    Parameters
    ----------
    model : keras.Model
    name : str
        What to call it in messages.

    Attributes
    ----------
    training_diameter_px : float or None
        Diameter of a red cell in the images that it learned from; None where its name does not
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
                "width, 3). Is this a segmentation model for RGB images?"
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


def load_runtime(path: Path, *, threads: int | None = None) -> Runtime:
    """Load a trained segmenter; the suffix chooses how.

    Parameters
    ----------
    path : Path
        Ends in ``.onnx`` or ``.keras``; the second needs the ``[train]`` extra.
    threads : int, optional
        How many threads one image may use, of an ``.onnx`` file; TensorFlow's threads are a
        matter of the whole process. All cores by default.

    Returns
    -------
    Runtime

    Raises
    ------
    MissingDataError
        There is no such file.
    SettingsError
        ``threads`` is not positive.
    CheckpointError
        The file is of another kind, damaged, or no segmenter.
    """
    return load_by_suffix(
        Path(path),
        onnx=lambda path: OnnxRuntime.load(path, threads=threads),
        keras=KerasRuntime.load,
    )
