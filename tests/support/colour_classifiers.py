"""Classifiers of cells that need no training: they go by the mean colour of the image."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from blood_cell_system.analysis.trained_models import ClassifierOutputs
from blood_cell_system.model_metadata import (
    ClassifierKind,
    ModelMetadata,
    UnseenSource,
    Validation,
    as_properties,
    with_content_hash,
)

PROVEN = Validation(
    sources=(UnseenSource(source="a", auroc=0.97), UnseenSource(source="b", auroc=0.91)),
    method="left out one by one",
)
"""A record of two laboratories never seen, of which nothing but the AUROC is known."""


def proven(kind):
    """Such a record of every class that the classifiers of a kind here distinguish."""
    return dict.fromkeys(
        (*kind.conditions, *(kind.types if kind.cell_type == "WBC" else ())), PROVEN
    )


RBC_METADATA = ModelMetadata.of_classifier(
    ClassifierKind("RBC"),
    subtypes=(),
    in_distribution_threshold=0.5,
    condition_thresholds=dict.fromkeys(ClassifierKind("RBC").conditions, 0.3),
    coverage=0.95,
    preset="tiny",
    seed=3,
    data="drawn cells",
    licence="MIT",
    measured={"test": {"auroc": 0.5}},
    validation=proven(ClassifierKind("RBC")),
)
WBC_METADATA = ModelMetadata.of_classifier(
    ClassifierKind("WBC"),
    in_distribution_threshold=0.5,
    validation=proven(ClassifierKind("WBC")),
)


class ChosenClassifier:
    """Says of every cell what the test chose, and remembers what it was shown."""

    def __init__(self, metadata, condition, *, types=None, known=None, side=(130, 130)):
        self.metadata, self.input_side = metadata, side
        self.answer = {"condition": condition, "types": types, "known": known}
        self.seen = []

    def predict(self, batch):
        self.seen.append(batch)
        rows = len(batch)
        types, known = self.answer["types"], self.answer["known"]
        return ClassifierOutputs(
            condition=np.tile(np.float32(self.answer["condition"]), (rows, 1)),
            cell_type=None if types is None else np.tile(np.float32(types), (rows, 1)),
            known=None if known is None else np.full(rows, known, np.float32),
        )


def colour_classifier(
    metadata=RBC_METADATA,
    *,
    outputs=("condition", "known"),
    shape=("batch", 130, 130, 3),
    sizes=None,
    softmax=True,
    kind=TensorProto.FLOAT,
    with_hash=True,
    bias=0.0,
    slope=0.05,
):
    """Bytes of a network of which class 0 means red, 1 green and 2 blue."""
    sizes = {
        "condition": len(metadata.conditions),
        "type": len(metadata.subtypes),
        "known": 1,
        **(sizes or {}),
    }
    nodes = [
        helper.make_node("Cast", ["cells"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["as_float"], ["mean"], axes=[1, 2], keepdims=0),
    ]
    weights = []
    for name in outputs:
        role = name if name in sizes else "condition"
        table = slope * np.eye(shape[-1], sizes[role], dtype=np.float32)
        weights.append(numpy_helper.from_array(table + np.float32(bias), f"w_{name}"))
        nodes.append(
            helper.make_node("MatMul", ["mean", f"w_{name}"], [f"l_{name}" if softmax else name])
        )
        if softmax:
            how = ("Sigmoid", {}) if role == "known" else ("Softmax", {"axis": -1})
            nodes.append(helper.make_node(how[0], [f"l_{name}"], [name], **how[1]))
    graph = helper.make_graph(
        nodes,
        "by_colour",
        [helper.make_tensor_value_info("cells", kind, shape)],
        [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, (shape[0], sizes.get(name, sizes["condition"]))
            )
            for name in outputs
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None and with_hash:
        helper.set_model_props(model, as_properties(metadata))
        return with_content_hash(model.SerializeToString())
    return model.SerializeToString()
