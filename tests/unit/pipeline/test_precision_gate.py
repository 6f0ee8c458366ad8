"""Networks of 8 bits are kept where they are as accurate."""

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the [train] extra")
pytest.importorskip("tf2onnx", reason="needs the [train] extra")

import onnx
from support.colour_classifiers import colour_classifier
from support.prepared_cells import write_cells_folder
from support.tiny_cells import small_cell_folder
from support.tiny_models import head_model, plain_model
from support.tiny_onnx import colour_model

from blood_cell_system.analysis.execution import Execution, is_fast_at_int8
from blood_cell_system.analysis.opened_networks import OnnxNetwork
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.cli.main import main
from blood_cell_system.errors import CheckpointError, DatasetError
from blood_cell_system.model_metadata import ModelMetadata
from blood_cell_system.networks.int8 import candidates
from blood_cell_system.networks.onnx_export import export_onnx
from blood_cell_system.pipeline import precision_gate
from blood_cell_system.pipeline.precision_gate import GateSettings, quantise

needs_dot_products = pytest.mark.skipif(
    not is_fast_at_int8(), reason="this processor has no 8-bit dot products"
)


@pytest.fixture(autouse=True)
def processor_with_dot_products(monkeypatch):
    monkeypatch.setattr(precision_gate, "is_fast_at_int8", lambda: True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("smears")
    write_cells_folder(root, splits=["train", "train", "test", "test"])
    return root


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    export_onnx(plain_model(), path, metadata=ModelMetadata(kind="segmenter"))
    return path


def words(model, folder, *more):
    return ["quantize", "--model", str(model), "--data-dir", str(folder), *more]


@needs_dot_products
def test_a_network_that_is_as_accurate_is_written_with_the_gate_in_its_metadata(
    model, folder, capsys
):
    assert main(words(model, folder)) == 0
    beside = model.with_suffix(".int8.onnx")
    record = load_runtime(beside).metadata.quantisation
    assert record.passes
    assert set(record.falls) == {"mean IoU", "F1 of cells", "error of counts"}
    assert record.measured_on == f"2 images of {folder.name}, split test"
    operations = {node.op_type for node in onnx.load(str(beside)).graph.node}
    assert "QuantizeLinear" in operations
    assert "mean IoU" in capsys.readouterr().out


def test_a_network_that_loses_too_much_is_not_written(model, folder, capsys, monkeypatch):
    monkeypatch.setattr(precision_gate, "SEGMENTER_BOUNDS", {"mean IoU": -1.0})
    assert main(words(model, folder)) == 1
    captured = capsys.readouterr()
    assert captured.out.count("fails") == 4
    assert "Nothing was written" in captured.err
    assert [path.name for path in model.parent.iterdir()] == ["model.onnx"]


def test_more_layers_stay_in_float32_where_that_helps(model, folder, monkeypatch):
    figures = iter([{"mean IoU": value} for value in (0.9, 0.8, 0.8999)])
    monkeypatch.setattr(precision_gate, "segmenter_figures", lambda *_: next(figures))
    record = quantise(model, folder, report=lambda _: None).record
    assert record.kept == "the first convolution"
    assert record.falls == {"mean IoU": pytest.approx(0.0001)}


@needs_dot_products
def test_8_bits_change_answers_little(model, folder):
    made = quantise(model, folder, report=lambda _: None)
    batch = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    plain, small = OnnxNetwork(model.read_bytes()), OnnxNetwork(made.data)
    (before,), (after,) = plain.run(batch).values(), small.run(batch).values()
    assert 0 < np.abs(before - after).mean() < 0.05


def test_a_processor_on_which_sums_overflow_is_refused(model, folder, capsys, monkeypatch):
    monkeypatch.setattr(precision_gate, "is_fast_at_int8", lambda: False)
    assert main(words(model, folder)) == 1
    assert "this processor has no 8-bit dot products" in capsys.readouterr().err
    assert [path.name for path in model.parent.iterdir()] == ["model.onnx"]


def test_a_keras_file_is_refused(tmp_path, folder, capsys):
    assert main(words(tmp_path / "a.keras", folder)) == 1
    assert "bloodcells export --model" in capsys.readouterr().err


def test_a_file_of_8_bits_is_refused(model, folder):
    path = model.with_suffix(".int8.onnx")
    path.write_bytes(quantise(model, folder, report=lambda _: None).data)
    with pytest.raises(CheckpointError, match="is of 8 bits already"):
        quantise(path, folder)


def test_a_file_of_another_program_is_refused(tmp_path, folder):
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model())
    with pytest.raises(CheckpointError, match="says nothing about itself"):
        quantise(path, folder)


def test_a_split_without_images_is_refused(model, folder):
    with pytest.raises(DatasetError, match="a split has no images"):
        quantise(model, folder, settings=GateSettings(split="val"))


def test_the_layers_that_may_stay_are_those_at_both_ends(tmp_path):
    path = tmp_path / "model.onnx"
    export_onnx(head_model(), path, metadata=ModelMetadata(kind="segmenter"))
    model = onnx.load(str(path))
    kept = dict(candidates(model))
    convolutions = {node.name for node in model.graph.node if node.op_type == "Conv"}
    assert kept["no layer"] == ()
    assert len(convolutions & set(kept["the first convolution"])) == 1
    assert convolutions >= set(kept["the last convolutions"]) & convolutions != set()
    both = set(kept["the first and the last convolutions"])
    assert both == {*kept["the first convolution"], *kept["the last convolutions"]}


def test_openvino_runs_what_was_quantised(model, folder):
    pytest.importorskip("openvino")
    beside = model.with_suffix(".int8.onnx")
    beside.write_bytes(quantise(model, folder, report=lambda _: None).data)
    batch = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    openvino = Execution(runtime="openvino", precision="f32")
    (one, other) = (load_runtime(beside, execution=e).predict(batch) for e in (None, openvino))
    difference = np.abs(one.class_probabilities - other.class_probabilities)
    assert difference.mean() < 0.02


@pytest.fixture
def classifier(tmp_path):
    path = tmp_path / "rbc_classifier.onnx"
    path.write_bytes(colour_classifier())
    return path


def test_a_classifier_is_measured_by_the_auroc_of_each_of_its_classes(classifier, tmp_path):
    small_cell_folder(tmp_path / "cells", per_class=40, labels=("healthy_RBC", "malaria_RBC"))
    record = quantise(classifier, tmp_path / "cells", report=lambda _: None).record
    assert set(record.bounds.values()) == {0.003}
    assert set(record.falls) == {"AUROC of healthy_RBC", "AUROC of malaria_RBC"}
    assert record.measured_on == "40 cells of cells, split test"


def test_cells_too_few_to_measure_are_refused(classifier, tmp_path):
    small_cell_folder(tmp_path / "cells")
    with pytest.raises(DatasetError, match="no class has 20 cells"):
        quantise(classifier, tmp_path / "cells", report=lambda _: None)
