"""A trained Keras segmenter as an ONNX file, which runs without Keras and TensorFlow."""

import hashlib
from pathlib import Path
from typing import Any

import blood_cell_system
from blood_cell_system.atomic_files import write_bytes
from blood_cell_system.errors import SettingsError
from blood_cell_system.models.onnx_form import onnx_form
from blood_cell_system.onnx_metadata import OnnxMetadata, with_content_hash
from blood_cell_system.segmenter_contract import TRAINING_DIAMETER_PX, diameter_in_name


def export_onnx(
    model: Any,
    path: Path,
    *,
    source: Path | None = None,
    training_diameter_px: float | None = None,
) -> OnnxMetadata:
    """Write a Keras segmenter as an ONNX file, whole or not at all.

    Batch, height and width stay open where they are in the model.

    Parameters
    ----------
    model : keras.Model
        Of one input of shape (batch, height, width, 3).
    path : Path
        Ends in ``.onnx``.
    source : Path, optional
        The file that the model was loaded from, whose hash is written down.
    training_diameter_px : float, optional
        Diameter of a red cell in the pictures that it learned from; by default what the model's
        name tells, else ``TRAINING_DIAMETER_PX``.

    Returns
    -------
    OnnxMetadata
        What the file says of itself.

    Raises
    ------
    SettingsError
        The path does not end in ``.onnx``.
    CheckpointError
        The model has a layer that cannot be converted.
    OutputError
        The place cannot be written to.
    """
    if Path(path).suffix.lower() != ".onnx":
        raise SettingsError(f"{path}: expected a file name that ends in .onnx.")
    diameter = training_diameter_px or diameter_in_name(model.name) or TRAINING_DIAMETER_PX
    converted = onnx_form(model, input_name="pixels", graph_name="segmenter")
    metadata = OnnxMetadata(
        training_diameter_px=float(diameter),
        software_version=blood_cell_system.__version__,
        source_sha256=hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else "",
    )
    for key, value in metadata.as_properties().items():
        converted.metadata_props.add(key=key, value=value)
    write_bytes(path, with_content_hash(converted.SerializeToString(deterministic=True)))
    return metadata
