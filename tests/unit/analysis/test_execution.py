import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from blood_cell_system.analysis import execution as execution_module
from blood_cell_system.analysis.execution import Execution, openvino_core
from blood_cell_system.analysis.opened_networks import OnnxNetwork, check_keras_device
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.errors import CheckpointError, SettingsError, UnknownNameError
from blood_cell_system.networks.exported import openvino_ir
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

pytest.importorskip("onnx", reason="needs the [train] extra")

from support.tiny_onnx import colour_model

OPENVINO = Execution(runtime="openvino")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model())
    return path


def images(*shape):
    return np.random.default_rng(3).uniform(0, 255, (*shape, 3)).astype(np.float32)


def test_no_threads_are_refused():
    with pytest.raises(SettingsError, match="threads is 0; expected 1 or more"):
        Execution(threads=0)


@pytest.mark.parametrize(("name", "value"), [("runtime", "opnvino"), ("precision", "f23")])
def test_an_unknown_name_is_refused(name, value):
    with pytest.raises(UnknownNameError, match=value):
        Execution(**{name: value})


@pytest.mark.parametrize("runtime", ["onnx", "keras"])
def test_a_precision_that_a_runtime_has_not_is_refused(runtime):
    with pytest.raises(SettingsError, match=f"bf16 with the runtime {runtime}"):
        Execution(runtime=runtime, precision="bf16")


@pytest.mark.parametrize(
    ("options", "file", "expected"),
    [
        ({}, "a.onnx", "onnx"),
        ({}, "a.keras", "keras"),
        ({"precision": "bf16"}, "a.onnx", "openvino"),
        ({"runtime": "openvino"}, "a.onnx", "openvino"),
    ],
)
def test_the_file_and_the_precision_choose_the_runtime(options, file, expected):
    assert Execution(**options).runtime_for(Path(file)) == expected


@pytest.mark.parametrize(
    ("runtime", "file", "words"),
    [
        ("onnx", "a.keras", "bloodcells export --model a.keras"),
        ("openvino", "a.keras", "bloodcells export --model a.keras"),
        ("keras", "a.onnx", "expected a .keras file"),
    ],
)
def test_a_runtime_that_does_not_read_the_file_names_the_remedy(runtime, file, words):
    with pytest.raises(SettingsError, match=words):
        Execution(runtime=runtime).runtime_for(Path(file))


@pytest.mark.parametrize("device", ["cuda", "abacus"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(SettingsError, match=f"received {device}; onnxruntime .* finds cpu"):
        OnnxNetwork(colour_model(), execution=Execution(device=device))


def test_a_device_whose_driver_is_missing_is_refused(monkeypatch):
    # As the build for CUDA does on a machine without one.
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    session = onnxruntime.InferenceSession

    def silently_on_the_processor(data, options, providers):
        return session(data, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", silently_on_the_processor)
    with pytest.raises(SettingsError, match="received cuda"):
        OnnxNetwork(colour_model(), execution=Execution(device="cuda"))


def test_a_device_that_keras_has_not_is_refused():
    pytest.importorskip("keras", reason="needs the [train] extra")
    check_keras_device("cpu")
    with pytest.raises(SettingsError, match="received abacus; keras"):
        check_keras_device("abacus")


def test_a_runtime_that_is_not_installed_names_the_extra(monkeypatch, model):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(execution_module, "version", missing)
    with pytest.raises(SettingsError, match=r"pip install 'blood-cell-system\[openvino\]'"):
        load_runtime(model, execution=OPENVINO)


def test_a_report_names_what_runs_a_model_where_it_is_not_the_default(model):
    for execution, expected in (
        (None, "model.onnx"),
        (Execution(threads=1), "model.onnx"),
        (
            Execution(runtime="onnx"),
            f"model.onnx (onnxruntime {onnxruntime.__version__}, cpu, f32)",
        ),
    ):
        system = BloodCellAnalysisSystem(execution=execution)
        system.load_segmenter(model)
        assert system.model_identity()[0] == expected
        assert system.runs_in == f"onnxruntime {onnxruntime.__version__}, cpu, f32"


def test_openvino_gives_what_onnx_runtime_gives(model):
    pytest.importorskip("openvino")
    plain, other = load_runtime(model), load_runtime(model, execution=OPENVINO)
    batch = images(2, 64, 96)
    np.testing.assert_allclose(
        other.predict(batch).class_probabilities,
        plain.predict(batch).class_probabilities,
        atol=1e-5,
    )


def test_a_device_that_openvino_has_not_is_refused(model):
    pytest.importorskip("openvino")
    with pytest.raises(SettingsError, match="received abacus; openvino"):
        load_runtime(model, execution=Execution(runtime="openvino", device="abacus"))


def test_a_precision_that_the_processor_has_not_is_refused(monkeypatch):
    pytest.importorskip("openvino")

    class OldProcessor:
        available_devices = ("CPU",)

        def get_property(self, device, name):
            return ["FP32"]

    monkeypatch.setattr(openvino_ir, "shared_core", OldProcessor)
    with pytest.raises(SettingsError, match="bf16, which this processor does not compute with"):
        openvino_core(Execution(precision="bf16"))


def test_what_openvino_cannot_load_is_refused(monkeypatch, model):
    pytest.importorskip("openvino")

    class Failing:
        available_devices = ("CPU",)

        def get_property(self, device, name):
            return ["FP32"]

        def read_model(self, data):
            raise RuntimeError("an operation that it does not know")

    monkeypatch.setattr(openvino_ir, "shared_core", Failing)
    with pytest.raises(CheckpointError, match=r"model\.onnx: OpenVINO cannot load this model"):
        load_runtime(model, execution=OPENVINO)


def test_an_image_that_openvino_fails_on_is_named(model):
    pytest.importorskip("openvino")
    runtime = load_runtime(model, execution=OPENVINO)

    class Failing:
        def create_infer_request(self):
            raise RuntimeError("no memory")

    runtime.network._compiled = Failing()
    with pytest.raises(CheckpointError, match="fails on an image of 64×96 in a batch of 2"):
        runtime.predict(images(2, 64, 96))


def test_analysing_with_openvino_is_not_what_starts_it_elsewhere():
    opened = "blood_cell_system.analysis.opened_networks"
    code = f"import sys, {opened}; sys.exit('openvino' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
