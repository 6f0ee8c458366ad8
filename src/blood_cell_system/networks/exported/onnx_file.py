"""ONNX: one file, for ONNX Runtime and many others."""

from pathlib import Path
from typing import Any

from blood_cell_system.model_metadata import (
    ModelMetadata,
    content_hash,
    metadata_in_properties,
)
from blood_cell_system.networks.export_registry import ExportFormat, Run, register_format
from blood_cell_system.quiet_import import import_onnxruntime


def _write(data: bytes, path: Path, metadata: ModelMetadata) -> None:
    import onnx

    from blood_cell_system.networks.onnx_export import onnx_bytes

    path.write_bytes(onnx_bytes(onnx.load_from_string(data), metadata))


def _session(path: Path) -> Any:
    onnxruntime = import_onnxruntime()

    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def _open(path: Path) -> Run:
    session = _session(path)
    (pixels,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    return lambda batch: dict(zip(names, session.run(names, {pixels.name: batch}), strict=True))


def _read_metadata(path: Path) -> ModelMetadata | None:
    metadata = metadata_in_properties(_session(path).get_modelmeta().custom_metadata_map)
    if metadata is not None and metadata.content_sha256 != content_hash(path.read_bytes()):
        raise ValueError("its content is not what was exported")
    return metadata


register_format(
    ExportFormat(
        name="onnx",
        title="ONNX",
        suffix=".onnx",
        extra="train",
        packages=("onnx", "tf2onnx"),
        is_of_keras=False,
        is_analysed=True,
        write=_write,
        open=_open,
        read_metadata=_read_metadata,
    )
)
