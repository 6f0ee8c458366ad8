"""ONNX segmenters that need no Keras: they tell classes by colour."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support.colours import COLOURS


def colour_model(
    *,
    shape=("batch", "height", "width", 3),
    softmax=True,
    kind=TensorProto.FLOAT,
    output_name="anything",
    classes=3,
    properties=None,
):
    """Bytes of a network whose largest logit is that of the nearest of the three colours."""
    colours = COLOURS.astype(np.float32)
    weights = np.zeros((3, classes), np.float32)
    weights[:, : len(colours)] = colours.T[:, :classes] / 1000
    bias = np.full(classes, -1e3, np.float32)
    bias[: len(colours)] = (-np.square(colours).sum(axis=1) / 2000)[:classes]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["as_float", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits" if softmax else output_name]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], [output_name], axis=-1))
    graph = helper.make_graph(
        nodes,
        "by_colour",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, (*shape[:-1], classes))],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if properties:
        helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    return model.SerializeToString()
