"""TensorFlow's SavedModel: a folder, for TensorFlow Serving and other programs.

The metadata are ``assets.extra/blood_cell_system.json``, where a SavedModel keeps what its users
add. It is written only: opening one could run operations that read and write files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from blood_cell_system.model_metadata import (
    MEMBER,
    NO_HASH,
    ModelMetadata,
    as_text,
    seal_of,
    sealed,
)
from blood_cell_system.networks.export_registry import ExportFormat, Run, register_format
from blood_cell_system.networks.onnx_export import input_signature
from blood_cell_system.quiet_import import quiet_libraries

_EXTRA: Final = "assets.extra"


def write_graph(model: Any, folder: Path, metadata: ModelMetadata) -> None:
    """Write a Keras model as a SavedModel; batch, height and width stay open where they are."""
    with quiet_libraries():
        model.export(
            str(folder),
            format="tf_saved_model",
            verbose=False,
            input_signature=input_signature(model, metadata),
        )


def _write(model: Any, path: Path, metadata: ModelMetadata) -> None:
    write_graph(model, path, metadata)
    text = as_text(metadata.replace(content_sha256=NO_HASH))
    extra = path / _EXTRA
    extra.mkdir()
    record = extra / MEMBER
    record.write_text(text, encoding="utf-8")
    record.write_text(text.replace(NO_HASH, seal_of(_parts(path))), encoding="utf-8")


def _parts(path: Path) -> Iterator[bytes]:
    """Contents of all files, in the order of their paths, each below its own."""
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path).as_posix().encode()
            yield file.read_bytes()


def _open(path: Path) -> Run:
    import tensorflow as tf

    function = tf.saved_model.load(str(path)).signatures["serving_default"]
    (name,) = function.structured_input_signature[1]

    def run(batch: Any) -> dict[str, Any]:
        outputs = function(**{name: tf.constant(batch)})
        return {key: np.asarray(value) for key, value in outputs.items()}

    return run


def _read_metadata(path: Path) -> ModelMetadata | None:
    record = path / _EXTRA / MEMBER
    if not record.is_file():
        return None
    return sealed(record.read_text(encoding="utf-8"), _parts(path))


register_format(
    ExportFormat(
        name="saved_model",
        title="TensorFlow SavedModel",
        suffix="",
        extra="train",
        packages=("tensorflow", "keras"),
        is_of_keras=True,
        is_analysed=False,
        write=_write,
        open=_open,
        read_metadata=_read_metadata,
    )
)
