import subprocess
import sys

import numpy as np
import pytest

from blood_cell_system.analysis.execution import Execution
from blood_cell_system.analysis.opened_networks import OnnxNetwork
from blood_cell_system.analysis.segmentation import segment_image
from blood_cell_system.analysis.trained_models import NetworkSegmenter, load_runtime
from blood_cell_system.errors import CheckpointError, MissingDataError
from blood_cell_system.model_metadata import ModelMetadata, as_properties, with_content_hash

onnx = pytest.importorskip("onnx", reason="needs the [train] extra")

from support.colour_classifiers import colour_classifier  # noqa: E402
from support.colours import colour_image  # noqa: E402
from support.drawn_cells import ellipse_box, is_in_ellipse  # noqa: E402
from support.tiny_onnx import colour_model  # noqa: E402

from blood_cell_system.taxonomy import RBC, WBC  # noqa: E402

OURS = ModelMetadata(kind="segmenter", training_diameter_px=80.0, software_version="1")


@pytest.fixture(scope="module")
def image_and_mask():
    class_mask = np.zeros((100, 150), dtype=np.uint8)
    class_mask[is_in_ellipse(ellipse_box(RBC, 40, 50, 64), (100, 150))] = 1
    class_mask[is_in_ellipse(ellipse_box(WBC, 110, 50, 64), (100, 150))] = 2
    return colour_image(class_mask), class_mask


def onnx_runtime(data, **options):
    return NetworkSegmenter(OnnxNetwork(data, **options))


def exported_model():
    return with_content_hash(colour_model(properties=as_properties(OURS)))


def test_running_a_network_imports_no_keras(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model())
    code = (
        "import sys; from pathlib import Path;"
        "from blood_cell_system.analysis.trained_models import load_runtime;"
        f"load_runtime(Path({str(path)!r}));"
        "sys.exit(bool({'keras', 'tensorflow', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("shape", [("b", "h", "w", 3), (1, 64, 64, 3), (None, 64, None, 3)])
def test_a_foreign_network_finds_the_drawn_cells(image_and_mask, softmax, shape):
    image, class_mask = image_and_mask
    runtime = onnx_runtime(colour_model(softmax=softmax, shape=shape))
    result = segment_image(runtime, image)
    assert (result.class_mask == class_mask).all()
    np.testing.assert_allclose(result.class_probabilities.sum(axis=2), 1, atol=1e-5)


def test_a_classifier_in_the_place_of_a_segmenter_is_told():
    with pytest.raises(CheckpointError, match="is a classifier of single cells"):
        onnx_runtime(colour_classifier(), name="rbc_classifier.onnx")


def test_the_training_diameter_is_read_from_the_file():
    assert onnx_runtime(exported_model()).training_diameter_px == 80.0


def test_of_a_foreign_network_no_diameter_is_known():
    runtime = onnx_runtime(colour_model())
    assert runtime.metadata is None
    assert runtime.training_diameter_px is None


def test_the_number_of_threads_changes_no_value():
    batch = np.random.default_rng(0).uniform(0, 255, (2, 64, 96, 3)).astype(np.float32)
    one, two = (
        onnx_runtime(colour_model(), execution=Execution(threads=threads)).predict(batch)
        for threads in (1, 2)
    )
    np.testing.assert_array_equal(one.class_probabilities, two.class_probabilities)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"gone\.onnx"):
        load_runtime(tmp_path / "gone.onnx")


def test_a_folder_is_no_model(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(MissingDataError, match=r"model\.onnx"):
        load_runtime(tmp_path / "model.onnx")


@pytest.mark.parametrize("data", [b"", b"no model" * 100])
def test_a_file_of_something_else_is_refused(tmp_path, data):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.onnx: ONNX Runtime .* cannot load"):
        load_runtime(path)


def test_a_file_cut_in_half_is_refused():
    data = colour_model()
    with pytest.raises(CheckpointError):
        onnx_runtime(data[: len(data) // 2])


def test_a_changed_weight_is_noticed():
    data = bytearray(exported_model())
    data[data.index(b"weights") + 20] ^= 1
    with pytest.raises(CheckpointError):
        onnx_runtime(bytes(data))


def test_a_file_that_is_not_what_was_exported_is_called_damaged():
    with pytest.raises(CheckpointError, match="damaged: its content"):
        onnx_runtime(colour_model(properties=as_properties(OURS)))


def test_a_file_with_a_senseless_diameter_is_refused():
    properties = {key: text.replace("80.0", "-1") for key, text in as_properties(OURS).items()}
    with pytest.raises(
        CheckpointError, match=r"not valid \(training_diameter_px: .* greater than 0"
    ):
        onnx_runtime(with_content_hash(colour_model(properties=properties)))


def test_a_network_for_other_bytes_is_refused():
    with pytest.raises(CheckpointError, match="takes inputs of uint8"):
        onnx_runtime(colour_model(kind=onnx.TensorProto.UINT8))


def test_a_network_for_larger_batches_only_is_refused():
    with pytest.raises(CheckpointError, match="batches of 4"):
        onnx_runtime(colour_model(shape=(4, "h", "w", 3)))


def test_a_network_with_channels_first_is_refused():
    shape = (1, 3, "h", 4)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Softmax", ["x"], ["y"], axis=1)],
            "channels_first",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    with pytest.raises(CheckpointError, match="channels last"):
        onnx_runtime(model.SerializeToString())


def test_a_network_with_other_classes_is_refused():
    with pytest.raises(CheckpointError, match=r"\(64, 64, 4\)"):
        onnx_runtime(colour_model(classes=4))


def test_a_network_that_fails_on_an_image_says_so():
    runtime = onnx_runtime(colour_model(shape=(1, 64, 64, 3)))
    with pytest.raises(CheckpointError, match="fails on an image of 32×32"):
        runtime.predict(np.zeros((1, 32, 32, 3), np.float32))


def test_another_kind_of_file_is_refused_by_its_name(tmp_path):
    (tmp_path / "model.h5").touch()
    with pytest.raises(CheckpointError, match=r"\.onnx, \.keras, \.xml, \.tflite"):
        load_runtime(tmp_path / "model.h5")
