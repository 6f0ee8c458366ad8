"""Networks from files: named arrays for a batch of images, with the runtime that was asked for."""

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.execution import (
    Execution,
    is_fast_at_int8,
    no_device,
    onnx_provider,
    openvino_core,
)
from blood_cell_system.analysis.model_files import (
    check_is_model,
    check_keras_archive,
    first_line,
    invalid_metadata,
    load_keras_model,
    read_model,
)
from blood_cell_system.errors import CheckpointError, SettingsError, is_memory_full
from blood_cell_system.model_metadata import (
    ClassifierKind,
    ModelMetadata,
    content_hash,
    diameter_in_name,
    metadata_in_properties,
)
from blood_cell_system.quiet_import import import_onnxruntime

Arrays = dict[str, NDArray[np.float32]]

_KEPT_SHAPES: Final = 8
"""Compiled functions that a Keras network keeps, one for each size of image."""

_ONLY_FATAL: Final = 4
"""Severity from which ONNX Runtime writes to the log; its errors arrive as exceptions."""


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
        onnxruntime = import_onnxruntime()

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        options.intra_op_num_threads = execution.threads or 0
        # Waiting threads that spin take the cores from the images beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Planned memory comes on top of what the first run took: twice as much, and no faster.
        options.enable_mem_pattern = False
        provider = onnx_provider(execution.device)
        try:
            session = onnxruntime.InferenceSession(data, options, providers=[provider])
        except Exception as error:  # ONNX Runtime's errors have no common base.
            if is_memory_full(error):
                raise MemoryError from error
            raise CheckpointError(
                f"{name}: ONNX Runtime {onnxruntime.__version__} cannot load this model "
                f"({first_line(error)}). It is damaged, no ONNX file, or "
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
            raise invalid_metadata(name, error) from error
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
        onnxruntime = import_onnxruntime()

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
                f"of {len(batch)} ({first_line(error)}). Export the model again."
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
    """A network that OpenVINO runs; it needs the ``[openvino]`` extra.

    Parameters
    ----------
    path : Path
        Ends in ``.onnx``, ``.xml`` (with ``.bin`` beside it) or ``.tflite``.
    execution : Execution
        Device, precision and threads.

    Raises
    ------
    SettingsError
        OpenVINO is not installed, or has no such device or precision here.
    CheckpointError
        The file is damaged, or OpenVINO does not know one of its operations.
    """

    def __init__(self, path: Path, *, execution: Execution) -> None:
        core = openvino_core(execution)
        self.name = str(path)
        # What a file says of itself, and whether it is whole, is checked before it is opened.
        self.metadata = read_metadata(path)
        # Sums of 8-bit products, and what stays in float32, are float32.
        hint = "bf16" if execution.precision == "bf16" else "f32"
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint}
        if execution.device == "cpu":
            settings["INFERENCE_NUM_THREADS"] = execution.threads or 0
        try:
            model = core.read_model(str(path))
            self._compiled = core.compile_model(model, execution.device.upper(), settings)
        except RuntimeError as error:
            raise CheckpointError(
                f"{path}: OpenVINO cannot load this model ({first_line(error)}). Leave --runtime "
                "out, or export the model again with bloodcells export."
            ) from error
        shapes = [entry.get_partial_shape() for entry in model.inputs]
        self.input_shapes = [
            tuple(side.get_length() if side.is_static else None for side in shape)
            for shape in shapes
        ]
        types = [entry.get_element_type().get_type_name() for entry in model.inputs]
        self.input_dtypes = ["float" if name == "f32" else name for name in types]

    def run(self, batch: NDArray[np.float32]) -> Arrays:
        """Give the outputs by name."""
        try:
            values = self._compiled.create_infer_request().infer([batch])
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.name}: fails on an image of {batch.shape[1]}×{batch.shape[2]} in a batch "
                f"of {len(batch)} ({first_line(error)}). Leave --runtime out."
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
        Ends in ``.onnx``; in ``.keras``, which needs the ``[train]`` extra; or in ``.xml`` or
        ``.tflite``, which need the ``[openvino]`` extra.
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
    check_is_model(path)
    runtime = execution.runtime_for(path)
    if execution.precision == "int8":
        path = _int8_beside(path)
    if runtime == "openvino":
        return OpenVinoNetwork(path, execution=execution)
    if runtime == "onnx":
        return OnnxNetwork(read_model(path), name=str(path), execution=execution)
    metadata = read_metadata(path, kind=kind)
    model = load_keras_model(path)
    check_keras_device(execution.device)
    return KerasNetwork(model, name=str(path), metadata=metadata)


def int8_file(path: Path) -> Path:
    """Where the network of 8 bits lies that was made of a file.

    Examples
    --------
    >>> int8_file(Path("models/mine.onnx")).name
    'mine.int8.onnx'
    """
    return path.with_suffix(".int8.onnx")


def _int8_beside(path: Path) -> Path:
    """Find the network of 8 bits that was made of a file.

    Raises
    ------
    SettingsError
        There is none that is of this very file and has passed its gate, or the processor is no
        faster at it.
    CheckpointError
        It is damaged.
    """
    beside = int8_file(path)
    if not is_fast_at_int8():
        found = "this processor has no 8-bit dot products"
    elif not beside.is_file():
        found = f"{beside} is not there"
    else:
        metadata = read_metadata(beside)
        record = metadata.quantisation if metadata else None
        if record is None or record.of_sha256 != content_hash(read_model(path)):
            found = f"{beside} was made of another model"
        elif not record.passes:
            found = f"{beside} failed its gate"
        else:
            return beside
    raise SettingsError(
        f"precision: received int8 for {path}, but {found}. Make it with bloodcells quantize "
        f"--model {path}, or leave --precision out."
    )


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
        Of any format that is run.
    kind : ClassifierKind, optional
        Of a classifier: where the ``.keras`` file holds no record, the ``.json`` file beside it is
        read, as version 0.2.0 wrote it and as other programs may.
    """
    path = Path(path)
    check_is_model(path)
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return OnnxNetwork(read_model(path), name=str(path)).metadata
    if suffix != ".keras":
        return _exported_metadata(path)
    metadata = check_keras_archive(path)
    beside = path.with_suffix(".json")
    if metadata is None and kind is not None and beside.is_file():
        try:
            return ModelMetadata.from_text(read_model(beside))
        except ValueError as error:
            raise invalid_metadata(str(beside), error) from error
    return metadata


def _exported_metadata(path: Path) -> ModelMetadata | None:
    """Read what a file says about itself that ``bloodcells export`` has written."""
    from blood_cell_system.networks.export_registry import export_formats

    written = next(one for one in export_formats() if one.suffix == path.suffix.lower())
    try:
        return written.read_metadata(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: damaged, of another version, or no {written.title} "
            f"({first_line(error)}). Copy it again, or export the model again with bloodcells "
            "export."
        ) from error
