import json
import shutil

import pytest
from support.colour_classifiers import WBC_METADATA, colour_classifier

from blood_cell_system.cli.main import main
from blood_cell_system.errors import ImageReadError
from blood_cell_system.pipeline import installed_models
from blood_cell_system.pipeline.model_slots import weights_folder


def test_the_models_in_the_box_are_listed_with_their_licence_and_figures(capsys):
    assert main(["models", "--details"]) == 0
    words = capsys.readouterr().out
    for name in ("segmentation_model", "rbc_classifier", "wbc_classifier"):
        assert f"{name}: " in words
    assert words.count("\n  licence ") == words.count("\n  use       Research use only") == 6
    assert "auroc malaria_RBC within iml 0." in words
    assert "  elsewhere malaria_RBC: " in words


def test_what_keeps_a_model_from_commercial_use_is_named(capsys):
    assert main(["models", "--details"]) == 0
    words = capsys.readouterr().out
    assert words.count("\n  research  only, because of ") == 6
    assert "taleqani: Kaggle, for research" in words


def test_without_models_for_commercial_use_it_says_how_to_train_them(capsys):
    assert main(["models", "--commercial-only"]) == 1
    assert "train-classifier --sources permissive" in capsys.readouterr().err


def test_only_models_for_commercial_use_are_listed_on_demand(tmp_path, capsys):
    shutil.copy(weights_folder() / "rbc_classifier.onnx", tmp_path / "rbc_classifier.onnx")
    for data, name in (("bccd, pbc", "wbc_classifier.onnx"), ("bccd, lab", "theirs.onnx")):
        metadata = WBC_METADATA.replace(data=data)
        (tmp_path / name).write_bytes(colour_classifier(metadata))
    assert main(["models", "--commercial-only", "--models", str(tmp_path)]) == 0
    words = capsys.readouterr().out
    assert "wbc_classifier.onnx" in words
    assert "commercial use" in words
    assert "rbc_classifier" not in words
    assert "theirs" not in words


def test_the_list_fits_on_a_screen(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 120
    assert sum(line.startswith("  ") for line in lines) == 6


def test_for_programs_they_are_json(capsys):
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {model["name"] for model in listed} == {
        "segmentation_model",
        "rbc_classifier",
        "wbc_classifier",
    }
    assert all(len(model["sha256"]) == 64 and model["licence"] for model in listed)


def test_a_damaged_model_is_told_and_the_others_are_still_listed(tmp_path, capsys):
    for name in ("rbc_classifier.onnx", "wbc_classifier.onnx"):
        shutil.copy(weights_folder() / name, tmp_path / name)
    data = bytearray((tmp_path / "rbc_classifier.onnx").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "rbc_classifier.onnx").write_bytes(bytes(data))
    assert main(["models", "--models", str(tmp_path)]) == 1
    words = capsys.readouterr().out
    assert "PROBLEM" in words.partition("wbc_classifier: ")[0]
    assert "PROBLEM" not in words.partition("wbc_classifier: ")[2]


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_a_folder_without_models_is_an_error_with_advice(folder, tmp_path, capsys):
    assert main(["models", "--models", str(tmp_path / folder)]) == 1
    assert "no models there; expected one of" in capsys.readouterr().err


def test_models_of_other_names_are_listed_by_what_they_say(tmp_path, capsys):
    shutil.copy(weights_folder() / "rbc_classifier.onnx", tmp_path / "mine.onnx")
    shutil.copy(weights_folder() / "segmentation_model.onnx", tmp_path / "lab 2.onnx")
    assert main(["models", "--models", str(tmp_path)]) == 0
    words = capsys.readouterr().out
    assert "mine: distinguishes healthy_RBC, malaria_RBC, sickle_RBC of RBC cells" in words
    assert "lab 2: outlines red and white cells" in words


def test_a_network_of_8_bits_is_listed_where_it_stands_alone(tmp_path, capsys):
    shutil.copy(weights_folder() / "segmentation_model.int8.onnx", tmp_path / "lab.int8.onnx")
    assert main(["models", "--models", str(tmp_path)]) == 0
    assert "lab.int8" in capsys.readouterr().out
    shutil.copy(weights_folder() / "segmentation_model.onnx", tmp_path / "lab.onnx")
    assert main(["models", "--models", str(tmp_path)]) == 0
    assert "lab.int8" not in capsys.readouterr().out


def test_a_model_that_may_not_be_read_is_a_problem_of_its_own(tmp_path, capsys, monkeypatch):
    def refuse(path):
        raise ImageReadError(f"{path}: cannot be read: Permission denied.")

    shutil.copy(weights_folder() / "rbc_classifier.onnx", tmp_path / "rbc_classifier.onnx")
    monkeypatch.setattr(installed_models, "sha256_of", refuse)
    assert main(["models", "--models", str(tmp_path)]) == 1
    assert "PROBLEM: " in capsys.readouterr().out
