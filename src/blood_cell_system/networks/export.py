"""A trained classifier as files: an ONNX file that knows its classes, or ``.keras`` and JSON."""

import hashlib
import json
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import blood_cell_system
from blood_cell_system.atomic_files import replacing, write_bytes, write_json
from blood_cell_system.errors import CheckpointError, SettingsError
from blood_cell_system.model_metadata import (
    CONDITION_OUTPUT,
    FACTS_KEY,
    HASH_KEY,
    NO_HASH,
    TRAINING_DIAMETER_PX,
    TYPE_OUTPUT,
    ClassifierFacts,
    OnnxMetadata,
    diameter_in_name,
    with_content_hash,
)
from blood_cell_system.networks.cell_classifier import CELLS_INPUT

_DIMENSIONS: Final = ("batch", "height", "width", "channels")
# What ONNX Runtime of the last years reads, and what the converter knows best.
_OPSET: Final = 17


def onnx_form(model: Any, *, input_name: str, graph_name: str) -> Any:
    """Convert a Keras model of one input.

    Dimensions that are open in the model stay open, and get names.

    Parameters
    ----------
    model : keras.Model
    input_name, graph_name : str
        What to call the input and the whole.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    CheckpointError
        The model has a layer that cannot be converted.
    """
    import keras
    import onnx

    (shape,) = (tuple(tensor.shape) for tensor in model.inputs)
    signature = [keras.InputSpec(shape=shape, dtype="float32", name=input_name)]
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
    _sort_by_use(converted.graph)
    _number_names(converted.graph, graph_name)
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


def _sort_by_use(graph: Any) -> None:
    """Put nodes in the order in which the outputs ask for them.

    Among nodes that may come in any order the converter goes by their names, and with them by a
    counter that runs through the whole process.
    """
    maker = {output: node for node in graph.node for output in node.output}
    ordered: dict[int, Any] = {}
    waiting = [
        (maker[value.name], False) for value in reversed(graph.output) if value.name in maker
    ]
    while waiting:
        node, has_inputs = waiting.pop()
        if id(node) in ordered:
            continue
        if has_inputs:
            ordered[id(node)] = node
            continue
        waiting.append((node, True))
        waiting += [(maker[name], False) for name in reversed(node.input) if name in maker]
    nodes = list(ordered.values())
    del graph.node[:]
    graph.node.extend(nodes)


def _number_names(graph: Any, name: str) -> None:
    """Give everything inside a new number, so that equal models are equal files.

    The converter counts through the whole process, names what it finds by its counter, and sorts
    constants by these names.
    """
    used = [old for node in graph.node for old in node.input]
    first_use = {old: place for place, old in reversed(list(enumerate(used)))}
    constants = sorted(graph.initializer, key=lambda tensor: first_use.get(tensor.name, len(used)))
    del graph.initializer[:]
    graph.initializer.extend(constants)
    kept = {value.name for value in (*graph.input, *graph.output)}
    made = [tensor.name for tensor in graph.initializer]
    made += [output for node in graph.node for output in node.output]
    number = {old: f"v{index}" for index, old in enumerate(made) if old and old not in kept}
    del graph.value_info[:]
    graph.name, graph.doc_string = name, ""
    for tensor in graph.initializer:
        tensor.name = number.get(tensor.name, tensor.name)
    for index, node in enumerate(graph.node):
        node.name, node.doc_string = f"{node.op_type}_{index}", ""
        node.input[:] = [number.get(old, old) for old in node.input]
        node.output[:] = [number.get(old, old) for old in node.output]


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
        Diameter of a red cell in the images that it learned from; by default what the model's
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


_INPUT_KEY: Final = "blood_cell_system.input"


def export_classifier(model: Any, path: Path, *, facts: ClassifierFacts) -> None:
    """Write a classifier as an ONNX file, whole or not at all.

    The batch stays open. The metadata hold the facts, and a hash of the whole file.

    Parameters
    ----------
    model : keras.Model
        Of one input of shape (batch, height, width, 3).
    path : Path
        Ends in ``.onnx``.
    facts : ClassifierFacts
        Its classes and thresholds.

    Raises
    ------
    SettingsError
        The path does not end in ``.onnx``, or the model has other classes than the facts.
    CheckpointError
        The model has a layer that cannot be converted.
    OutputError
        The place cannot be written to.
    """
    _check(model, Path(path), facts, suffix=".onnx")
    converted = onnx_form(model, input_name=CELLS_INPUT, graph_name=facts.kind.file_stem)
    height, width = tuple(model.inputs[0].shape)[1:3]
    properties = {
        FACTS_KEY: json.dumps(facts.to_json(), sort_keys=True, ensure_ascii=False),
        _INPUT_KEY: f"float32 (batch, {height}, {width}, 3), RGB of 0..255, one cell on white",
        HASH_KEY: NO_HASH,
    }
    for key, value in properties.items():
        converted.metadata_props.add(key=key, value=value)
    write_bytes(Path(path), with_content_hash(converted.SerializeToString(deterministic=True)))


def save_classifier(model: Any, path: Path, *, facts: ClassifierFacts) -> None:
    """Write a classifier as a ``.keras`` file and its facts as a ``.json`` beside it.

    Parameters
    ----------
    model : keras.Model
    path : Path
        Ends in ``.keras``.
    facts : ClassifierFacts
        Its classes and thresholds.

    Raises
    ------
    SettingsError
        The path does not end in ``.keras``, or the model has other classes than the facts.
    OutputError
        The place cannot be written to.
    """
    path = Path(path)
    _check(model, path, facts, suffix=".keras")
    # Facts of another model must not stand beside this one, not even for a moment.
    path.with_suffix(".json").unlink(missing_ok=True)
    with replacing(path) as temporary:
        model.save(temporary)
    write_json(path.with_suffix(".json"), facts.to_json())


def _check(model: Any, path: Path, facts: ClassifierFacts, *, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise SettingsError(f"{path}: expected a file name that ends in {suffix}.")
    sizes = _output_sizes(model)
    expected = {CONDITION_OUTPUT: len(facts.conditions)}
    if facts.types:
        expected[TYPE_OUTPUT] = len(facts.types)
    wrong = {name: sizes.get(name) for name, size in expected.items() if sizes.get(name) != size}
    if wrong:
        raise SettingsError(
            f"{path}: the model has outputs {sizes}; its facts name {expected}. Give the facts of "
            "this very model."
        )


def _output_sizes(model: Any) -> dict[str, int]:
    """Classes of each output by name; a single one is the condition, whatever it is called."""
    sizes = [tensor.shape[-1] for tensor in model.outputs]
    names = [CONDITION_OUTPUT] if len(sizes) == 1 else model.output_names
    return dict(zip(names, sizes, strict=True))
