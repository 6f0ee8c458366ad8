from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from blood_cell_system.analysis.opened_networks import KerasNetwork
from blood_cell_system.analysis.trained_models import (
    NetworkOutputs,
    NetworkSegmenter,
    largest_difference,
    load_runtime,
)
from blood_cell_system.errors import CheckpointError, SettingsError
from blood_cell_system.model_metadata import ModelMetadata

keras = pytest.importorskip("keras", reason="needs the [train] extra")
onnx = pytest.importorskip("onnx", reason="needs the [train] extra")
pytest.importorskip("tf2onnx", reason="needs the [train] extra")

from support.tiny_models import plain_model  # noqa: E402

from blood_cell_system.networks.onnx_export import _sort_by_use, export_onnx, simplify  # noqa: E402
from blood_cell_system.networks.reynolds_unet import ReynoldsUNetConfig, build_reynolds_unet  # noqa: E402

SEGMENTER = ModelMetadata(kind="segmenter")


def images(*shape):
    return np.random.default_rng(3).uniform(0, 255, (*shape, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    keras.utils.set_random_seed(5)
    model = build_reynolds_unet(ReynoldsUNetConfig(widths=(8, 8, 8, 8), d_reduced=8))
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path, metadata=SEGMENTER.replace(training_diameter_px=90))
    return NetworkSegmenter(KerasNetwork(model)), load_runtime(path)


@pytest.mark.parametrize("shape", [(1, 64, 96), (2, 32, 160)])
def test_an_exported_segmenter_gives_what_keras_gives(exported, shape):
    assert largest_difference(*exported, images(*shape)) <= 1e-4


def test_an_exported_segmenter_takes_any_size(exported):
    assert exported[1].input_shape is None


def test_the_file_says_what_it_is(exported):
    assert exported[1].metadata.training_diameter_px == 90
    assert "RGB" in exported[1].metadata.input


def test_a_model_of_one_size_and_logits_is_exported_too(tmp_path):
    model = plain_model("linear", side=64)
    export_onnx(model, tmp_path / "model.onnx", metadata=SEGMENTER)
    runtime = load_runtime(tmp_path / "model.onnx")
    assert runtime.input_shape == (64, 64)
    assert (
        largest_difference(NetworkSegmenter(KerasNetwork(model)), runtime, images(1, 64, 64))
        <= 1e-4
    )


def test_two_exports_of_one_model_are_equal(tmp_path):
    model = plain_model()
    for name in ("a.onnx", "b.onnx"):
        export_onnx(model, tmp_path / name, metadata=SEGMENTER)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"ends in \.onnx"):
        export_onnx(plain_model(), tmp_path / "model.keras", metadata=SEGMENTER)


def test_a_layer_that_onnx_has_not_is_refused(tmp_path):
    pixels = keras.Input((None, None, 3))

    class Unconvertible(keras.layers.Layer):
        def call(self, inputs):
            raise RuntimeError("no such operation")

        def compute_output_shape(self, input_shape):
            return input_shape

        def compute_output_spec(self, inputs):
            return keras.KerasTensor(inputs.shape, inputs.dtype)

    model = keras.Model(pixels, Unconvertible()(pixels))
    with pytest.raises(CheckpointError, match="cannot be converted"):
        export_onnx(model, tmp_path / "model.onnx", metadata=SEGMENTER)
    assert not list(tmp_path.iterdir())


def test_a_missing_output_is_an_endless_difference():
    class Fixed:
        def __init__(self, outputs):
            self.predict = lambda batch: outputs

    classes = np.zeros((1, 4, 4, 3), np.float32)
    heads = NetworkOutputs(class_probabilities=classes, centres=classes, log_size=classes)
    plain = NetworkOutputs(class_probabilities=classes)
    assert largest_difference(Fixed(heads), Fixed(plain), classes) == float("inf")


def test_the_order_of_nodes_does_not_depend_on_that_of_the_converter():
    left = onnx.helper.make_node("Relu", ["x"], ["left"])
    right = onnx.helper.make_node("Neg", ["x"], ["right"])
    both = onnx.helper.make_node("Add", ["left", "right"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, 1, [2]) for name in "xy"]
    graphs = [
        onnx.helper.make_graph(nodes, "graph", ends[:1], ends[1:])
        for nodes in ([left, right, both], [right, left, both])
    ]
    for graph in graphs:
        _sort_by_use(graph)
    assert [node.op_type for node in graphs[0].node] == ["Relu", "Neg", "Add"]
    assert graphs[0] == graphs[1]


def network_behind_upsampling(channels, *, factor=2, has_second_reader=False):
    """Upsampling of a map of 5 channels, and a 3×3 convolution behind it."""
    generator = np.random.default_rng(0)
    helper, arrays = onnx.helper, onnx.numpy_helper
    weights = generator.normal(size=(channels, 5, 3, 3)).astype(np.float32)
    constants = {
        "scales": np.array([1, 1, factor, factor], dtype=np.float32),
        "weights": weights,
        "bias": generator.normal(size=channels).astype(np.float32),
    }
    nodes = [
        helper.make_node(
            "Resize",
            ["map", "", "scales"],
            ["large"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        helper.make_node(
            "Conv", ["large", "weights", "bias"], ["result"], auto_pad="SAME_UPPER", strides=[1, 1]
        ),
    ]
    names = ["result"]
    if has_second_reader:
        nodes.append(helper.make_node("Relu", ["large"], ["other"]))
        names.append("other")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "network",
        [value("map", 1, [1, 5, None, None])],
        [value(name, 1, None) for name in names],
        [arrays.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def run(model, values):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"map": values})


@pytest.mark.parametrize("shape", [(4, 6), (1, 1), (3, 7)])
def test_a_convolution_to_few_channels_gives_the_same_before_upsampling(shape):
    model = network_behind_upsampling(3)
    values = np.random.default_rng(1).normal(size=(1, 5, *shape)).astype(np.float32)
    (expected,) = run(model, values)
    simplify(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Conv", "DepthToSpace"]
    np.testing.assert_allclose(run(model, values)[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "options"),
    [(8, {}), (3, {"factor": 3}), (3, {"has_second_reader": True})],
    ids=["many channels", "another factor", "the large map is read elsewhere"],
)
def test_other_convolutions_behind_upsampling_stay(channels, options):
    network = network_behind_upsampling(channels, **options)
    simplify(network.graph)
    assert [node.op_type for node in network.graph.node][:2] == ["Resize", "Conv"]


def test_an_exported_segmenter_upsamples_in_one_operation(exported):
    path = Path(exported[1].network.name)
    found = [node.op_type for node in onnx.load(path).graph.node]
    assert found.count("Resize") == 3
    assert "Tile" not in found
