import pytest

from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.cli.main import main

pytest.importorskip("keras", reason="needs the [train] extra")
pytest.importorskip("tf2onnx", reason="needs the [train] extra")

from support.tiny_models import head_model, plain_model

from blood_cell_system.model_metadata import model_name
from blood_cell_system.networks import onnx_export


def test_a_model_is_written_beside_itself_and_runs(tmp_path, capsys):
    head_model().save(tmp_path / "model.keras")
    assert main(["export", "--model", str(tmp_path / "model.keras")]) == 0
    assert load_runtime(tmp_path / "model.onnx").metadata.source_sha256
    assert "differs from model.keras" in capsys.readouterr().out


def test_the_diameter_that_was_given_is_in_the_file(tmp_path):
    plain_model().save(tmp_path / "model.keras")
    output = tmp_path / "other.onnx"
    words = ["export", "--model", str(tmp_path / "model.keras"), "--output", str(output)]
    assert main([*words, "--training-diameter", "70"]) == 0
    assert load_runtime(output).training_diameter_px == 70


def test_the_diameter_is_taken_from_the_models_name(tmp_path):
    model = plain_model()
    model.name = model_name(64)
    model.save(tmp_path / "model.keras")
    assert main(["export", "--model", str(tmp_path / "model.keras")]) == 0
    assert load_runtime(tmp_path / "model.onnx").training_diameter_px == 64


def test_a_diameter_below_zero_is_refused(tmp_path, capsys):
    words = ["export", "--model", str(tmp_path / "model.keras"), "--training-diameter", "-1"]
    assert main(words) == 2
    assert "received -1" in capsys.readouterr().err


def test_a_conversion_gone_wrong_leaves_the_file_that_was_there(tmp_path, capsys, monkeypatch):
    plain_model().save(tmp_path / "model.keras")
    (tmp_path / "model.onnx").write_bytes(b"of an earlier export")
    convert = onnx_export.onnx_form
    monkeypatch.setattr(
        onnx_export,
        "onnx_form",
        lambda model, metadata: convert(plain_model_of_other_weights(), metadata),
    )
    assert main(["export", "--model", str(tmp_path / "model.keras")]) == 1
    assert "differ" in capsys.readouterr().err
    assert (tmp_path / "model.onnx").read_bytes() == b"of an earlier export"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.keras", "model.onnx"]


def plain_model_of_other_weights():
    model = plain_model()
    model.set_weights([-weight for weight in model.get_weights()])
    return model
