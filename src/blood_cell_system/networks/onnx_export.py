"""Writing models as ``.keras`` and ``.onnx`` files, each with its metadata."""

import logging
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Final

from blood_cell_system.atomic_files import replacing, write_bytes, write_json
from blood_cell_system.errors import CheckpointError, SettingsError
from blood_cell_system.model_metadata import (
    CONDITION_OUTPUT,
    TYPE_OUTPUT,
    ModelMetadata,
    add_to_archive,
    as_properties,
    with_content_hash,
)
from blood_cell_system.networks.cell_classifier import CELLS_INPUT
from blood_cell_system.networks.segmenter import PIXELS_INPUT

_DIMENSIONS: Final = ("batch", "height", "width", "channels")

_OPSET: Final = 17
"""ONNX Runtime of the last years reads it, and the converter supports it best."""


def input_signature(model: Any, metadata: ModelMetadata) -> list[Any]:
    """Describe the one input of an exported model; open dimensions stay open."""
    import keras

    (shape,) = (tuple(tensor.shape) for tensor in model.inputs)
    name = PIXELS_INPUT if metadata.kind == "segmenter" else CELLS_INPUT
    return [keras.InputSpec(shape=shape, dtype="float32", name=name)]


def onnx_form(model: Any, metadata: ModelMetadata) -> Any:
    """Convert a Keras model of one input to an ``onnx.ModelProto`` without metadata.

    Raises
    ------
    CheckpointError
        The model has a layer that cannot be converted.
    """
    import onnx

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
                input_signature=input_signature(model, metadata),
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
    simplify(converted.graph)
    cells = f"{metadata.cell_type.lower()}_classifier"
    _number_names(converted.graph, "segmenter" if metadata.kind == "segmenter" else cells)
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


def simplify(graph: Any) -> None:
    """Write a converted network in operations that runtimes are fast at, with the same results.

    Of 640×480 pixels the bundled segmenter takes 0.7 of the time that it takes as converted.
    """
    _unfold_softmax(graph)
    _fold_upsampling(graph)
    _sort_by_use(graph)
    _convolve_before_upsampling(graph)
    _sort_by_use(graph)


def _constants(graph: Any) -> dict[str, Any]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


_REPEAT: Final = ("Unsqueeze", "Tile", "Transpose", "Reshape", "Unsqueeze", "Tile", "Reshape")
"""How the converter repeats the rows and columns of a map, from the map on."""


def _fold_upsampling(graph: Any) -> None:
    """Write nearest upsampling as the one operation that it is: the same numbers.

    The converter repeats rows and columns one after the other, each time in another order of the
    dimensions, and runtimes then leave their own order for convolutions.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    constants = _constants(graph)
    maker = {output: node for node in graph.node for output in node.output}
    for place, node in enumerate(graph.node):
        if node.op_type != "Transpose" or list(node.attribute[0].ints) != [0, 3, 1, 2]:
            continue
        chain: list[Any] = []
        before = maker.get(node.input[0])
        for op_type in reversed(_REPEAT):
            if before is None or before.op_type != op_type:
                break
            chain.append(before)
            before = maker.get(before.input[0])
        if len(chain) < len(_REPEAT):
            continue
        across, down = (constants.get(chain[index].input[1]) for index in (1, 5))
        if across is None or down is None or not _is_repeat(across) or not _is_repeat(down):
            continue
        scales = np.array([1, 1, down[3], across[3]], dtype=np.float32)
        name = f"upsampling_{place}"
        graph.initializer.append(numpy_helper.from_array(scales, name))
        resize = helper.make_node(
            "Resize",
            [chain[-1].input[0], "", name],
            list(node.output),
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
        node.CopyFrom(resize)


def _is_repeat(repeats: Any) -> bool:
    return len(repeats) == 5 and list(repeats[[0, 1, 2, 4]]) == [1, 1, 1, 1]


_FEW_CHANNELS: Final = 4
"""Runtimes compute 8 or 16 output channels at once, so that as many as this waste most of it."""


def _convolve_before_upsampling(graph: Any) -> None:
    """Compute the four pixels that come of one at once, as four times as many channels.

    For a 3×3 convolution to few channels behind an upsampling by two: each pixel sees two of three
    rows and columns of the smaller map, with the weights of those that show the same one added up.
    Sums are taken in another order; the last digit differs.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    constants = _constants(graph)
    maker = {output: node for node in graph.node for output in node.output}
    users = Counter(name for node in graph.node for name in node.input)
    for place, node in reversed(list(enumerate(graph.node))):
        if node.op_type != "Conv" or not constants.keys() >= set(node.input[1:]):
            continue
        upsampling = maker.get(node.input[0])
        weights, *bias = (constants[name] for name in node.input[1:])
        if upsampling is None or not _is_doubling(upsampling, constants):
            continue
        if users[node.input[0]] > 1 or len(weights) > _FEW_CHANNELS or not _is_plain(node, weights):
            continue
        # Of the rows above, here and below in the smaller map: the shares in the upper pixel and
        # in the lower one.
        rows = np.array([[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]])
        spread = np.einsum("aki,blj,ocij->abockl", rows, rows, weights)
        wide = spread.reshape(4 * len(weights), *weights.shape[1:]).astype(np.float32)
        arrays = [wide, *(np.tile(one, 4) for one in bias)]
        names = [f"{name}_of_four" for name in node.input[1:]]
        graph.initializer.extend(map(numpy_helper.from_array, arrays, names))
        four = f"{node.output[0]}_of_four"
        convolution = helper.make_node(
            "Conv",
            [upsampling.input[0], *names],
            [four],
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        )
        spreading = helper.make_node("DepthToSpace", [four], list(node.output), blocksize=2)
        node.CopyFrom(convolution)
        graph.node.insert(place + 1, spreading)


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _is_doubling(node: Any, constants: dict[str, Any]) -> bool:
    """Whether an operation repeats every row and every column once."""
    found = _attributes(node)
    scales = constants.get(node.input[2]) if len(node.input) == 3 else None
    return (
        node.op_type == "Resize"
        and found.get("mode", b"nearest") == b"nearest"
        and found.get("nearest_mode") == b"floor"
        and found.get("coordinate_transformation_mode") == b"asymmetric"
        and scales is not None
        and list(scales) == [1, 1, 2, 2]
    )


def _is_plain(convolution: Any, weights: Any) -> bool:
    """Whether a convolution is of 3×3 places, has stride 1 and keeps the size."""
    found = _attributes(convolution)
    is_same = found.get("auto_pad") == b"SAME_UPPER" or found.get("pads") == [1, 1, 1, 1]
    steps = (*found.get("strides", ()), *found.get("dilations", ()), found.get("group", 1))
    return is_same and weights.shape[2:] == (3, 3) and set(steps) == {1}


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
    constants = sorted(
        (tensor for tensor in graph.initializer if tensor.name in first_use),
        key=lambda tensor: first_use[tensor.name],
    )
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


def export_onnx(model: Any, path: Path, *, metadata: ModelMetadata) -> None:
    """Write a Keras model as an ONNX file with its metadata and a hash of the whole file.

    Batch, height and width stay open where they are in the model.

    Parameters
    ----------
    model : keras.Model
        Of one input of shape (batch, height, width, 3).
    path : Path
        Ends in ``.onnx``.

    Raises
    ------
    SettingsError
        The path does not end in ``.onnx``, or the model has other classes than the metadata.
    CheckpointError
        The model has a layer that cannot be converted.
    OutputError
        The file cannot be written.
    """
    _check(model, Path(path), metadata, suffix=".onnx")
    write_bytes(Path(path), onnx_bytes(onnx_form(model, metadata), metadata))


def onnx_bytes(converted: Any, metadata: ModelMetadata) -> bytes:
    """Give an ONNX model as the bytes of a file, with these metadata and no others."""
    del converted.metadata_props[:]
    for key, value in as_properties(metadata).items():
        converted.metadata_props.add(key=key, value=value)
    return with_content_hash(converted.SerializeToString(deterministic=True))


def replace_metadata(path: Path, metadata: ModelMetadata) -> None:
    """Write another record into a ``.keras`` or ``.onnx`` file; the network stays, bit by bit.

    The ``.json`` file beside a classifier's ``.keras`` is written anew as well.

    Raises
    ------
    SettingsError
        The file has another ending.
    OutputError
        The file cannot be written.
    """
    import onnx

    if path.suffix == ".onnx":
        write_bytes(path, onnx_bytes(onnx.load(str(path)), metadata))
        return
    if path.suffix != ".keras":
        raise SettingsError(f"{path}: expected a file name that ends in .keras or .onnx.")
    with replacing(path) as temporary:
        temporary.write_bytes(path.read_bytes())
        add_to_archive(temporary, metadata)
    if metadata.kind == "classifier":
        write_json(path.with_suffix(".json"), metadata.to_json())


def save_model(model: Any, path: Path, *, metadata: ModelMetadata) -> None:
    """Write a Keras model as a ``.keras`` file with its metadata.

    ``keras.saving.load_model`` opens the file as any other, and ignores the metadata.

    Parameters
    ----------
    model : keras.Model
    path : Path
        Ends in ``.keras``.
    metadata : ModelMetadata

    Raises
    ------
    SettingsError
        The path does not end in ``.keras``, or the model has other classes than the metadata.
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    _check(model, path, metadata, suffix=".keras")
    with replacing(path) as temporary:
        model.save(temporary)
        add_to_archive(temporary, metadata)


def save_classifier(model: Any, path: Path, *, metadata: ModelMetadata) -> None:
    """Write a classifier as :func:`save_model` does, and its metadata as ``.json`` beside it."""
    path = Path(path)
    _check(model, path, metadata, suffix=".keras")
    # The file of another model must not stand beside this one, not even for a moment.
    path.with_suffix(".json").unlink(missing_ok=True)
    save_model(model, path, metadata=metadata)
    write_json(path.with_suffix(".json"), metadata.to_json())


def _check(model: Any, path: Path, metadata: ModelMetadata, *, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise SettingsError(f"{path}: expected a file name that ends in {suffix}.")
    if metadata.kind == "segmenter":
        return
    sizes = _output_sizes(model)
    expected = {CONDITION_OUTPUT: len(metadata.conditions)}
    if metadata.subtypes:
        expected[TYPE_OUTPUT] = len(metadata.subtypes)
    if any(sizes.get(name) != size for name, size in expected.items()):
        raise SettingsError(
            f"{path}: the model has outputs {sizes}; its metadata name {expected}. Give the "
            "metadata of this very model."
        )


def _output_sizes(model: Any) -> dict[str, int]:
    """Classes of each output by name; a single one is the condition, whatever it is called."""
    sizes = [tensor.shape[-1] for tensor in model.outputs]
    names = [CONDITION_OUTPUT] if len(sizes) == 1 else model.output_names
    return dict(zip(names, sizes, strict=True))
