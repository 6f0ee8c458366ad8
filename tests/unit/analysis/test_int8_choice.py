"""Which of two files runs: the network in float32, or the one of 8 bits beside it."""

import pytest

from blood_cell_system.analysis import opened_networks
from blood_cell_system.analysis.execution import Execution
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.errors import CheckpointError, SettingsError
from blood_cell_system.model_metadata import ModelMetadata, Quantisation, content_hash
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

pytest.importorskip("onnx", reason="needs the [train] extra")

import onnx
from support.tiny_onnx import colour_model

from blood_cell_system.networks.onnx_export import onnx_bytes

INT8 = Execution(precision="int8")


def write_beside(model, *, of=None, fall=0.001):
    record = Quantisation(
        of_sha256=of or content_hash(model.read_bytes()),
        kept="no layer",
        calibrated_on="drawn",
        measured_on="drawn",
        falls={"mean IoU": fall},
        bounds={"mean IoU": 0.005},
    )
    metadata = ModelMetadata(kind="segmenter", quantisation=record)
    beside = model.with_suffix(".int8.onnx")
    beside.write_bytes(onnx_bytes(onnx.load_from_string(colour_model()), metadata))
    return beside


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model())
    return path


@pytest.fixture(autouse=True)
def fast_processor(monkeypatch):
    monkeypatch.setattr(opened_networks, "is_fast_at_int8", lambda: True)


def name_of_what_runs(model, execution=None):
    system = BloodCellAnalysisSystem(execution=execution)
    system.load_segmenter(model)
    return system.model_identity()[0]


def test_by_default_and_where_a_model_is_measured_the_named_file_runs(model):
    write_beside(model)
    assert name_of_what_runs(model) == "model.onnx"
    assert load_runtime(model).network.name == str(model)


def test_with_int8_the_file_beside_runs_and_the_report_names_it(model):
    write_beside(model)
    assert name_of_what_runs(model, INT8).startswith("model.int8.onnx (onnxruntime ")
    assert name_of_what_runs(model, INT8).endswith(", cpu, int8)")


def test_a_processor_without_dot_products_is_told(model, monkeypatch):
    write_beside(model)
    monkeypatch.setattr(opened_networks, "is_fast_at_int8", lambda: False)
    with pytest.raises(SettingsError, match="this processor has no 8-bit dot products"):
        load_runtime(model, execution=INT8)


@pytest.mark.parametrize(
    ("change", "found"),
    [({"of": "0" * 64}, "was made of another model"), ({"fall": 0.1}, "failed its gate")],
)
def test_a_file_that_does_not_fit_is_refused(model, change, found):
    write_beside(model, **change)
    with pytest.raises(SettingsError, match=found):
        load_runtime(model, execution=INT8)


def test_int8_without_its_file_names_the_command_that_makes_it(model):
    with pytest.raises(SettingsError, match=r"is not there. Make it with bloodcells quantize"):
        load_runtime(model, execution=INT8)


def test_a_damaged_file_is_refused(model):
    beside = write_beside(model)
    beside.write_bytes(beside.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"model\.int8\.onnx"):
        load_runtime(model, execution=INT8)


def test_a_record_without_a_figure_that_has_a_bound_does_not_pass():
    record = Quantisation(
        of_sha256="",
        kept="",
        calibrated_on="",
        measured_on="",
        falls={},
        bounds={"mean IoU": 0.005},
    )
    assert not record.passes
    assert not record.model_copy(update={"bounds": {}}).passes
