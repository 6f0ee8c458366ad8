"""TensorFlow Lite, now LiteRT: one file, for telephones and small computers.

The metadata are a file in a zip archive at the end, which is how TensorFlow Lite keeps files with
a model: ``unzip model.tflite`` unpacks ``blood_cell_system.json``, and runtimes pass over it. Sizes
and batch are open: ``resize_tensor_input`` sets them. Only built-in operations are written.
"""

import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from blood_cell_system.errors import CheckpointError, value_words
from blood_cell_system.model_metadata import (
    MEMBER,
    NO_HASH,
    NO_TIME,
    ModelMetadata,
    as_text,
    seal_of,
    sealed,
)
from blood_cell_system.networks.export_registry import ExportFormat, Run, register_format
from blood_cell_system.networks.exported.saved_model import write_graph
from blood_cell_system.quiet_import import quiet_libraries

_DESCRIPTION: Final = f"with {MEMBER} in the zip archive at the end"
"""Stands in the model itself, so that one whose end was cut off is not taken for another's."""


def _write(model: Any, path: Path, metadata: ModelMetadata) -> None:
    flat = _named_outputs(_converted(_with_known_channels(model), metadata))
    text = as_text(metadata.replace(content_sha256=NO_HASH))
    text = text.replace(NO_HASH, seal_of([flat, text.encode()]))
    path.write_bytes(flat)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(MEMBER, NO_TIME), text)


def _converted(model: Any, metadata: ModelMetadata) -> bytes:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        write_graph(model, Path(folder), metadata)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            converted: bytes = converter.convert()
        except Exception as error:  # The converter raises whatever its parts raise.
            first_line = value_words(error).partition("\n")[0]
            raise CheckpointError(
                f"This model cannot be converted to TensorFlow Lite ({first_line}). Choose another "
                "--format."
            ) from error
    return converted


def _with_known_channels(model: Any) -> Any:
    """Copy a model so that the number of channels is known behind every upsampling.

    Keras repeats rows and columns, after which TensorFlow has forgotten it; TensorFlow Lite has no
    convolution of unknown channels.
    """
    import keras
    import tensorflow as tf

    class Nearest(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, size: tuple[int, int], **options: Any) -> None:
            super().__init__(**options)
            self._size = size

        def call(self, maps: Any) -> Any:
            return tf.image.resize(maps, tf.shape(maps)[1:3] * self._size, "nearest")

        def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
            batch, *sides, channels = input_shape
            larger = (s and s * by for s, by in zip(sides, self._size, strict=True))
            return (batch, *larger, channels)

    def copied(layer: Any) -> Any:
        is_nearest = isinstance(layer, keras.layers.UpSampling2D)
        if is_nearest and layer.interpolation == "nearest":
            return Nearest(tuple(layer.size), name=layer.name)
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=copied)
    copy.set_weights(model.get_weights())
    return copy


def _named_outputs(flat: bytes) -> bytes:
    """Call tensors by the names of the signature, which not every runtime reads."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flat, 0)
    model.description = _DESCRIPTION
    (signature,) = model.signatureDefs
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    for entry in (*signature.inputs, *signature.outputs):
        tensors[entry.tensorIndex].name = entry.name
    builder = flatbuffers.Builder(len(flat))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _open(path: Path) -> Run:
    import tensorflow as tf

    with warnings.catch_warnings(), quiet_libraries():
        # It recommends a package that TensorFlow does not come with.
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_path=str(path))
    (pixels,) = interpreter.get_input_details()

    def run(batch: Any) -> dict[str, Any]:
        interpreter.resize_tensor_input(pixels["index"], batch.shape)
        with quiet_libraries():
            interpreter.allocate_tensors()
        interpreter.set_tensor(pixels["index"], batch)
        interpreter.invoke()
        return {
            output["name"]: np.array(interpreter.get_tensor(output["index"]))
            for output in interpreter.get_output_details()
        }

    return run


def _read_metadata(path: Path) -> ModelMetadata | None:
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise ValueError("it does not begin as a TensorFlow Lite file")
    if not zipfile.is_zipfile(path):
        if _DESCRIPTION.encode() in data:
            raise ValueError("its end is missing")
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            (info,) = (one for one in archive.infolist() if one.filename == MEMBER)
            text = archive.read(info)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"damaged: {error}") from error
    return sealed(text.decode(), [data[: info.header_offset], text])


register_format(
    ExportFormat(
        name="tflite",
        title="TensorFlow Lite",
        suffix=".tflite",
        extra="train",
        packages=("tensorflow", "keras"),
        is_of_keras=True,
        is_analysed=True,
        write=_write,
        open=_open,
        read_metadata=_read_metadata,
    )
)
