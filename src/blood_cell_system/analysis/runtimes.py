"""Trained networks from files, ready to run: segmenters and classifiers of cells.

A file is opened as a network, which gives named arrays for a batch of images. A segmenter or a
classifier is a network whose inputs and outputs were checked on an artificial image.
"""

import io
import json
import math
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.execution import (
    Execution,
    no_device,
    onnx_provider,
    openvino_core,
)
from blood_cell_system.errors import (
    CheckpointError,
    MissingDataError,
    is_memory_full,
    system_words,
    value_words,
)
from blood_cell_system.input_files import read_bytes
from blood_cell_system.model_metadata import (
    CELL_SIDE_PX,
    CONDITION_OUTPUT,
    HEAD_STRIDE,
    KNOWN_OUTPUT,
    STRIDE,
    TYPE_OUTPUT,
    ClassifierKind,
    ModelMetadata,
    check_archive_size,
    content_hash,
    diameter_in_name,
    metadata_in_archive,
    metadata_in_properties,
)
from blood_cell_system.quiet_import import import_tensorflow
from blood_cell_system.taxonomy import BUILT_IN, NUM_CLASSES, Taxonomy

Arrays = dict[str, NDArray[np.float32]]

PROBE_SIDE: Final = 2 * STRIDE
"""Side in pixels of the image that a network of open size is tried on."""

_SUM_TOLERANCE: Final = 1e-2
"""By how much the sum of probabilities may differ from 1: networks may run at half precision."""

_USUAL_IN_DISTRIBUTION_THRESHOLD: Final = 0.5
"""For a network with an output ``known`` whose metadata give no threshold."""

_KEPT_SHAPES: Final = 8
"""Compiled functions that a Keras network keeps, one for each size of image."""

_ONLY_FATAL: Final = 4
"""Severity from which ONNX Runtime writes to the log; its errors arrive as exceptions."""


# --- What runs ---


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


# --- Networks ---


class Network(Protocol):
    """An opened model file, or a Keras model in memory."""

    name: str
    metadata: ModelMetadata | None
    input_shapes: list[tuple[Any, ...]]
    """Of each input: (batch, height, width, channels); open ones are None or a name."""
    input_dtypes: list[str]

    def run(self, batch: NDArray[np.float32]) -> Arrays:
        """Give the outputs by name; a single one may have any name."""
        ...


class OnnxNetwork:
    """A network in an ``.onnx`` file.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Its name in messages.
    execution : Execution, optional
        Device and threads.

    Raises
    ------
    SettingsError
        There is no such device.
    CheckpointError
        The file is damaged, or of a newer ONNX.
    """

    def __init__(
        self, data: bytes, *, name: str = "model", execution: Execution | None = None
    ) -> None:
        execution = execution or Execution()
        # Here, not above: importing a module must be quick.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        options.intra_op_num_threads = execution.threads or 0
        # Waiting threads that spin take the cores from the images beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        provider = onnx_provider(execution.device)
        try:
            session = onnxruntime.InferenceSession(data, options, providers=[provider])
        except Exception as error:  # ONNX Runtime's errors have no common base.
            if is_memory_full(error):
                raise MemoryError from error
            raise CheckpointError(
                f"{name}: ONNX Runtime {onnxruntime.__version__} cannot load this model "
                f"({_first_line(error)}). It is damaged, no ONNX file, or "
                "of a newer ONNX. Copy it again, or export it again with bloodcells export."
            ) from error
        if session.get_providers()[0] != provider:
            # Without its driver ONNX Runtime goes on with the processor, and says nothing.
            raise no_device(execution.device, "onnxruntime", ["cpu"])
        self.name = name
        self._is_endless = False
        self._session = session
        try:
            self.metadata = metadata_in_properties(session.get_modelmeta().custom_metadata_map)
        except ValueError as error:
            raise _invalid_metadata(name, error) from error
        exported = self.metadata.content_sha256 if self.metadata else ""
        if exported and exported != content_hash(data):
            raise CheckpointError(
                f"{name}: damaged: its content is not what was exported. Copy it again, or export "
                "it again with bloodcells export."
            )
        inputs = session.get_inputs()
        self.input_shapes = [tuple(entry.shape) for entry in inputs]
        self.input_dtypes = [entry.type.removeprefix("tensor(")[:-1] for entry in inputs]
        self._input = inputs[0].name if inputs else ""
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, batch: NDArray[np.float32]) -> Arrays:
        """Give the outputs by name."""
        import onnxruntime

        state = onnxruntime.capi.onnxruntime_pybind11_state
        limit = _SECONDS_A_RUN + _SECONDS_A_PIXEL * math.prod(batch.shape[:3])
        if self._is_endless:
            raise _endless(self.name, limit)
        options = onnxruntime.RunOptions()
        has_ended = threading.Event()
        threading.Thread(target=_end_after, args=(limit, options, has_ended), daemon=True).start()
        try:
            values = self._session.run(self._outputs, {self._input: batch}, options)
        except (state.Fail, state.InvalidArgument, state.RuntimeException) as error:
            if options.terminate:
                self._is_endless = True
                raise _endless(self.name, limit) from error
            if is_memory_full(error):
                raise MemoryError from error
            raise CheckpointError(
                f"{self.name}: fails on an image of {batch.shape[1]}×{batch.shape[2]} in a batch "
                f"of {len(batch)} ({_first_line(error)}). Export the model again."
            ) from error
        finally:
            has_ended.set()
        arrays = (np.asarray(value, dtype=np.float32) for value in values)
        return dict(zip(self._outputs, arrays, strict=True))


_SECONDS_A_RUN: Final = 20.0
"""CPU time for a run of a network, and for each pixel of its batch: some twenty times what the
bundled networks need. A file may hold a loop without an end."""
_SECONDS_A_PIXEL: Final = 25e-6


def _end_after(limit: float, options: Any, has_ended: threading.Event) -> None:
    """End a run that takes more CPU time; on a busy machine the clock goes on without any."""
    started = time.process_time()
    left = limit
    while not has_ended.wait(left):
        left = limit - (time.process_time() - started)
        if left <= 0:
            options.terminate = True
            return
        left = max(left, 0.1)


def _endless(name: str, seconds: float) -> CheckpointError:
    return CheckpointError(
        f"{name}: has not ended after {seconds:.0f} seconds of CPU time; expected a network "
        "without endless loops. Use a smaller model, or one that bloodcells export has written."
    )


class KerasNetwork:
    """A Keras model.

    Parameters
    ----------
    model : keras.Model
    name : str
        Its name in messages.
    metadata : ModelMetadata, optional
        Of its file; without them the model's own name may give the diameter of its training.
    """

    def __init__(
        self, model: Any, *, name: str = "model", metadata: ModelMetadata | None = None
    ) -> None:
        self.model, self.name = model, name
        diameter = diameter_in_name(str(getattr(model, "name", "")))
        if metadata is None and diameter is not None:
            metadata = ModelMetadata(kind="segmenter", training_diameter_px=diameter)
        self.metadata = metadata
        inputs = getattr(model, "inputs", None) or []
        self.input_shapes = [tuple(tensor.shape) for tensor in inputs]
        self.input_dtypes = ["float" for _ in inputs]
        self._functions: dict[tuple[int, ...], Callable[[Any], Any]] = {}

    def run(self, batch: NDArray[np.float32]) -> Arrays:
        """Give the outputs by name."""
        import keras

        outputs = self._function_for(batch.shape[1:])(keras.ops.convert_to_tensor(batch))
        if not isinstance(outputs, dict):
            parts = outputs if isinstance(outputs, list | tuple) else [outputs]
            outputs = {str(place): part for place, part in enumerate(parts)}
        return {name: np.asarray(value, dtype=np.float32) for name, value in outputs.items()}

    def _function_for(self, shape: tuple[int, ...]) -> Callable[[Any], Any]:
        """Compile the model for one size of image; the sizes used last are kept.

        Keras's own ``predict`` compiles anew for unknown sizes when a second size comes, which
        is slower, and which bilinear upsampling refuses (Keras 3.15).
        """
        import keras

        if keras.backend.backend() != "tensorflow":
            return lambda batch: self.model(batch, training=False)
        compiled = self._functions.pop(shape, None)
        if compiled is None:
            import tensorflow as tf

            if len(self._functions) == _KEPT_SHAPES:
                del self._functions[next(iter(self._functions))]
            function = tf.function(lambda batch: self.model(batch, training=False))
            batch = self.input_shapes[0][0]
            compiled = function.get_concrete_function(tf.TensorSpec((batch, *shape)))
        self._functions[shape] = compiled
        return compiled


class OpenVinoNetwork:
    """A network in an ``.onnx`` file that OpenVINO runs; it needs the ``[openvino]`` extra.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Its name in messages.
    execution : Execution
        Device, precision and threads.

    Raises
    ------
    SettingsError
        OpenVINO is not installed, or has no such device or precision here.
    CheckpointError
        The file is damaged, or OpenVINO does not know one of its operations.
    """

    def __init__(self, data: bytes, *, name: str, execution: Execution) -> None:
        core = openvino_core(execution)
        # What a file says of itself, and whether it is whole, is checked in one place.
        checked = OnnxNetwork(data, name=name)
        self.name, self.metadata = name, checked.metadata
        self.input_shapes, self.input_dtypes = checked.input_shapes, checked.input_dtypes
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": execution.precision}
        if execution.device == "cpu":
            settings["INFERENCE_NUM_THREADS"] = execution.threads or 0
        try:
            model = core.read_model(io.BytesIO(data))
            self._compiled = core.compile_model(model, execution.device.upper(), settings)
        except RuntimeError as error:
            raise CheckpointError(
                f"{name}: OpenVINO cannot load this model ({_first_line(error)}). Leave --runtime "
                "out, or export the model again with bloodcells export."
            ) from error

    def run(self, batch: NDArray[np.float32]) -> Arrays:
        """Give the outputs by name."""
        try:
            values = self._compiled.create_infer_request().infer([batch])
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.name}: fails on an image of {batch.shape[1]}×{batch.shape[2]} in a batch "
                f"of {len(batch)} ({_first_line(error)}). Leave --runtime out."
            ) from error
        return {
            output.get_any_name(): np.asarray(value, dtype=np.float32)
            for output, value in values.items()
        }


def open_network(
    path: Path, *, kind: ClassifierKind | None = None, execution: Execution | None = None
) -> Network:
    """Open a model file; the suffix decides how. Code in the file is never run.

    Parameters
    ----------
    path : Path
        Ends in ``.onnx`` or ``.keras``; the second needs the ``[train]`` extra.
    kind : ClassifierKind, optional
        Of a classifier: see :func:`read_metadata`.
    execution : Execution, optional
        What runs it, and how.

    Raises
    ------
    MissingDataError
        There is no such file.
    SettingsError
        The runtime does not read such a file, is not installed, or has no such device or
        precision.
    CheckpointError
        The suffix is another one, or the file is damaged, no model, or holds code.
    """
    path = Path(path)
    execution = execution or Execution()
    if path.suffix.lower() in (".onnx", ".keras"):
        runtime = execution.runtime_for(path)
        if runtime == "openvino":
            return OpenVinoNetwork(_read(path), name=str(path), execution=execution)
        if runtime == "onnx":
            return OnnxNetwork(_read(path), name=str(path), execution=execution)
    metadata = read_metadata(path, kind=kind)
    model = load_keras_model(path)
    check_keras_device(execution.device)
    return KerasNetwork(model, name=str(path), metadata=metadata)


def check_keras_device(device: str) -> None:
    """Refuse a device that TensorFlow does not find; where it finds a GPU, it uses that.

    Raises
    ------
    SettingsError
        There is no such device.
    """
    import tensorflow as tf

    found = ["cpu", *(("gpu", "cuda") if tf.config.list_physical_devices("GPU") else ())]
    if device not in found:
        raise no_device(device, "keras", found)


def read_metadata(path: Path, *, kind: ClassifierKind | None = None) -> ModelMetadata | None:
    """Read what a model file says about itself, without Keras.

    Parameters
    ----------
    path : Path
        Ends in ``.onnx`` or ``.keras``.
    kind : ClassifierKind, optional
        Of a classifier: where the ``.keras`` file holds no record, the ``.json`` file beside it is
        read, as version 0.2.0 wrote it and as other programs may.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return OnnxNetwork(_read(path), name=str(path)).metadata
    if suffix != ".keras":
        raise CheckpointError(
            f"{path}: no model file by its name; expected one that ends in .onnx or .keras."
        )
    metadata = check_keras_archive(path)
    beside = path.with_suffix(".json")
    if metadata is None and kind is not None and beside.is_file():
        try:
            return ModelMetadata.from_text(_read(beside))
        except ValueError as error:
            raise _invalid_metadata(str(beside), error) from error
    return metadata


def load_keras_model(path: Path) -> Any:
    """Load a ``.keras`` file as Keras gives it; errors as of :func:`open_network`."""
    path = Path(path)
    check_keras_archive(path)
    # Here, not above: analysing with another runtime must not wait for TensorFlow.
    import_tensorflow()
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # A broken configuration can fail in any of Keras's parts.
        if is_memory_full(error):
            raise MemoryError from error
        raise CheckpointError(
            f"{path}: Keras cannot load this model ({_first_line(error)}). "
            "It is damaged, of a newer Keras, or carries code of its own, which is not run."
        ) from error


# Layers that run Python code of the file, or load another file. Keras's safe mode refuses the first
# ones; this refuses them all, and names the remedy.
_LAYERS_WITH_CODE: Final = frozenset(
    {"Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"}
)


def check_keras_archive(path: Path) -> ModelMetadata | None:
    """Refuse a file that cannot be opened, or must not be; nothing in the file is run.

    Returns the metadata of the file, if it holds any; errors as of :func:`open_network`.
    """
    _check_is_there(path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive_size(archive, path)
            is_model = "config.json" in archive.namelist()
            damaged = archive.testzip()
            if is_model and damaged is None:
                config = json.loads(archive.read("config.json"))
                found = sorted(set(_names_of_code(config)))
                metadata = None if found else _metadata_of(archive, name=str(path))
    except CheckpointError:
        raise
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read: {system_words(error)}") from error
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise CheckpointError(
            f"{path}: not a .keras file, or cut off ({error}). Copy it again, or use a model "
            "that was saved with model.save('name.keras')."
        ) from error
    except Exception as error:  # A damaged stream leads its decompressor to errors of its own.
        if is_memory_full(error):
            raise MemoryError from error
        raise _damaged(path, value_words(error)) from error
    if damaged is not None:
        raise _damaged(path, damaged)
    if not is_model:
        raise CheckpointError(
            f"{path}: no Keras model (config.json is missing). Copy it again, or use a model that "
            "was saved with model.save('name.keras')."
        )
    if found:
        raise CheckpointError(
            f"{path}: holds code of its own ({', '.join(found)}), which is never "
            "run; expected Keras's built-in layers alone. Build the model without them, for "
            "instance with keras.ops in place of Lambda, and save it again."
        )
    return metadata


def _metadata_of(archive: zipfile.ZipFile, *, name: str) -> ModelMetadata | None:
    try:
        return metadata_in_archive(archive)
    except ValueError as error:
        raise _invalid_metadata(name, error) from error


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


def _check_is_there(path: Path) -> None:
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such model; expected an .onnx or a .keras file. Train one, make "
            "one with bloodcells export, or name another with --model."
        )


def _read(path: Path) -> bytes:
    _check_is_there(path)
    return read_bytes(path, error=CheckpointError)


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: damaged ({found}). Copy it again, or use a model that was saved with "
        "model.save('name.keras')."
    )


def _invalid_metadata(name: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{name}: its metadata are not valid ({error}). Use the file that was written with the "
        "model, or export the model again with bloodcells export."
    )


def _first_line(error: Exception) -> str:
    return value_words(error).partition("\n")[0]


# --- Segmenters ---


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


# --- Classifiers of cells ---


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


# --- Arrays ---


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
