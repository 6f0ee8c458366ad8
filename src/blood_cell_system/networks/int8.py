"""Networks with weights and activations of 8 bits: static quantisation after the training.

Convolutions and what lies between them are computed on whole numbers, which processors with 8-bit
dot products do at several times the rate of float32. The range of each activation is that of the
calibration images. Layers that suffer from it may stay in float32; :func:`candidates` says which.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.quiet_import import import_onnxruntime

_OPERATIONS: Final = ("Conv", "Relu", "Clip", "Add", "Concat", "Resize")
"""What is computed in 8 bits. With convolutions alone each would convert to float32 and back, which
is slower, and rounds before the activation: CPU time 0.46 of float32 against 0.52 (segmenter)."""


def candidates(model: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give which layers stay in float32, in words and as names of nodes; the fastest first."""
    nodes = list(model.graph.node)
    convolutions = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    names = [node.name for node in nodes]
    stem = names[: convolutions[0] + 1] if convolutions else []
    heads = [names[place] for place in sorted(_behind_last_convolutions(model))]
    yield "no layer", ()
    yield "the first convolution", tuple(stem)
    yield "the last convolutions", tuple(heads)
    yield "the first and the last convolutions", (*stem, *heads)


def _behind_last_convolutions(model: Any) -> set[int]:
    """Places of the last convolution before each output, and of all between the two."""
    maker = {output: place for place, node in enumerate(model.graph.node) for output in node.output}
    waiting = [maker[value.name] for value in model.graph.output]
    found: set[int] = set()
    while waiting:
        place = waiting.pop()
        node = model.graph.node[place]
        if place not in found:
            found.add(place)
            if node.op_type != "Conv":
                waiting += [maker[name] for name in node.input if name in maker]
    return found


def quantised(
    model: Any, batches: Iterable[NDArray[np.float32]], *, kept: Iterable[str] = ()
) -> Any:
    """Quantise a network.

    Parameters
    ----------
    model : onnx.ModelProto
        Of one input; it stays as it is.
    batches : iterable of ndarray of shape (batch, height, width, 3), dtype float32
        What the network is shown to learn the ranges of its activations, RGB of 0..255.
    kept : iterable of str
        Names of nodes that stay in float32.

    Returns
    -------
    onnx.ModelProto
        With inputs and outputs of the same names and types.
    """
    import onnx

    import_onnxruntime()
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds = iter([{model.graph.input[0].name: batch} for batch in batches])

        def get_next(self) -> Any:
            return next(self._feeds, None)

    root = logging.getLogger()
    level = root.level
    # The quantiser writes to the root logger that models should be prepared by a tool of its own.
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, written = Path(folder) / "f32.onnx", Path(folder) / "int8.onnx"
            onnx.save(model, str(source))
            quantize_static(
                source,
                written,
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_OPERATIONS),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=list(kept),
            )
            return onnx.load(str(written))
    finally:
        root.setLevel(level)
