"""A trained Keras segmenter as an ONNX file, which runs without Keras and TensorFlow."""

import hashlib
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import blood_cell_system
from blood_cell_system.atomic_files import write_bytes
from blood_cell_system.errors import CheckpointError, SettingsError
from blood_cell_system.onnx_metadata import OnnxMetadata, with_content_hash
from blood_cell_system.segmenter_contract import TRAINING_DIAMETER_PX

_DIMENSIONS: Final = ("batch", "height", "width", "channels")
# What ONNX Runtime of the last years reads, and what the converter knows best.
_OPSET: Final = 17


def export_onnx(
    model: Any,
    path: Path,
    *,
    source: Path | None = None,
    training_diameter_px: float = TRAINING_DIAMETER_PX,
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
    training_diameter_px : float
        Diameter of a red cell in the pictures that it learned from.

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
    converted = _converted(model)
    metadata = OnnxMetadata(
        training_diameter_px=float(training_diameter_px),
        software_version=blood_cell_system.__version__,
        source_sha256=hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else "",
    )
    for key, value in metadata.as_properties().items():
        converted.metadata_props.add(key=key, value=value)
    write_bytes(path, with_content_hash(converted.SerializeToString(deterministic=True)))
    return metadata


def _converted(model: Any) -> Any:
    """ONNX's form of a model, with names that a person can read."""
    import keras
    import onnx

    (shape,) = (tuple(tensor.shape) for tensor in model.inputs)
    signature = [keras.InputSpec(shape=shape, dtype="float32", name="pixels")]
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The converter's own, about versions of NumPy that it still supports.
        warnings.simplefilter("ignore")
        file = Path(folder) / "model.onnx"
        try:
            model.export(
                str(file),
                format="onnx",
                verbose=False,
                input_signature=signature,
                opset_version=_OPSET,
            )
        except ImportError:
            raise
        except Exception as error:  # The converter raises whatever its parts raise.
            first_line = str(error).strip().partition("\n")[0]
            raise CheckpointError(
                f"This model cannot be converted to ONNX ({type(error).__name__}: {first_line}). "
                "Use it as .keras."
            ) from error
        converted = onnx.load(str(file))
    _unfold_softmax(converted.graph)
    _number_names(converted.graph)
    for value in converted.graph.input:
        _name_dimensions(value)
    for value in converted.graph.output:
        is_head = value.name in ("centres", "log_size")
        _name_dimensions(value, prefix="head_" if is_head else "")
    return converted


def _name_dimensions(value: Any, *, prefix: str = "") -> None:
    dimensions = value.type.tensor_type.shape.dim
    for name, dimension in zip(_DIMENSIONS, dimensions, strict=False):
        if not dimension.HasField("dim_value"):
            dimension.dim_param = name if name == "batch" else f"{prefix}{name}"


def _unfold_softmax(graph: Any) -> None:
    """Write softmax as its formula.

    ONNX Runtime takes it row by row, and rows of three classes take a fifth of the network's whole
    time; whole planes at once take a part of that.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    for place, node in reversed(list(enumerate(graph.node))):
        if node.op_type != "Softmax":
            continue
        axis = next((item.i for item in node.attribute if item.name == "axis"), -1)
        (logits,), (result,) = node.input, node.output
        names = [f"softmax_{place}_{part}" for part in ("axis", "top", "below", "power", "sum")]
        axes, top, below, power, total = names
        graph.initializer.append(numpy_helper.from_array(np.array([axis]), axes))
        steps = [
            helper.make_node("ReduceMax", [logits], [top], axes=[axis], keepdims=1),
            helper.make_node("Sub", [logits, top], [below]),
            helper.make_node("Exp", [below], [power]),
            helper.make_node("ReduceSum", [power, axes], [total], keepdims=1),
            helper.make_node("Div", [power, total], [result]),
        ]
        del graph.node[place]
        for step in reversed(steps):
            graph.node.insert(place, step)


def _number_names(graph: Any) -> None:
    """Give everything inside a new number, so that equal models are equal files.

    The converter counts through the whole process, and names what it finds by its counter.
    """
    kept = {value.name for value in (*graph.input, *graph.output)}
    made = [tensor.name for tensor in graph.initializer]
    made += [name for node in graph.node for name in node.output]
    number = {name: f"v{index}" for index, name in enumerate(made) if name and name not in kept}
    del graph.value_info[:]
    graph.name, graph.doc_string = "segmenter", ""
    for tensor in graph.initializer:
        tensor.name = number.get(tensor.name, tensor.name)
    for index, node in enumerate(graph.node):
        node.name, node.doc_string = f"{node.op_type}_{index}", ""
        node.input[:] = [number.get(name, name) for name in node.input]
        node.output[:] = [number.get(name, name) for name in node.output]
