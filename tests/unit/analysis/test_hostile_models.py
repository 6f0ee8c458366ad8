import json
import zipfile

import numpy as np
import pytest

from blood_cell_system.analysis import opened_networks
from blood_cell_system.analysis.model_files import check_keras_archive
from blood_cell_system.analysis.opened_networks import OnnxNetwork
from blood_cell_system.errors import CheckpointError


def endless_onnx() -> bytes:
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    shape = [None, None, None, 3]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["value", "value"], ["sum"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("number", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("value", kinds.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info("go_on", kinds.BOOL, []),
            helper.make_tensor_value_info("sum", kinds.FLOAT, shape),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "yes", "image"], ["out"], body=body)],
        "endless",
        [helper.make_tensor_value_info("image", kinds.FLOAT, shape)],
        [helper.make_tensor_value_info("out", kinds.FLOAT, shape)],
        [helper.make_tensor("yes", kinds.BOOL, [], [True])],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def test_a_network_that_loops_for_ever_ends_by_a_time_limit(monkeypatch):
    monkeypatch.setattr(opened_networks, "_SECONDS_A_RUN", 0.3)
    network = OnnxNetwork(endless_onnx(), name="endless.onnx")
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"endless\.onnx: has not ended after 0 seconds"):
            network.run(np.zeros((1, 8, 8, 3), np.float32))


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_keras_file_that_would_fill_the_memory_is_refused_unread(tmp_path, monkeypatch, name):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if name != "config.json":
            archive.writestr("config.json", json.dumps({}))
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(60):
                member.write(bytes(10_000_000))

    def refuse(*_):
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "testzip", refuse)
    with pytest.raises(CheckpointError, match=r"bomb\.keras: .* bytes would become 600,"):
        check_keras_archive(path)
