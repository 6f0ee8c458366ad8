import csv
import json

import cv2
import numpy as np
import pytest
from support.colour_classifiers import RBC_METADATA, colour_classifier
from support.tiny_onnx import colour_model

from blood_cell_system.cli.main import main
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata
from blood_cell_system.pipeline import model_slots
from blood_cell_system.taxonomy import Taxonomy


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "rbc_classifier.onnx").write_bytes(colour_classifier())
    (folder / "segmentation_model.onnx").write_bytes(colour_model())
    return folder


@pytest.fixture
def cells(tmp_path):
    for name, colour in (("red", (220, 40, 40)), ("blue", (40, 40, 220))):
        image = np.zeros((80, 80, 4), np.uint8)
        cv2.circle(image, (40, 40), 30, (*colour, 255), -1)
        write_image(tmp_path / "cells" / f"{name}.png", image)
    return tmp_path / "cells"


def classify(cells, output, *more):
    return main(["classify", "--kind", "rbc", str(cells), "--output", str(output), *more])


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("views", ["1", "4", "8"])
def test_cells_become_a_table(cells, models, tmp_path, capsys, views):
    model = str(models / "rbc_classifier.onnx")
    assert classify(cells, tmp_path / "out.csv", "--model", model, "--views", views) == 0
    rows = rows_of(tmp_path / "out.csv")
    assert rows["red.png"]["condition"] == "healthy_RBC"
    assert rows["blue.png"]["condition"] == "sickle_RBC"
    probabilities = [float(rows["red.png"][f"{name}_prob"]) for name in RBC_METADATA.conditions]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert float(rows["red.png"]["confidence"]) == max(probabilities)
    assert "1 healthy_RBC, 0 malaria_RBC, 1 sickle_RBC" in capsys.readouterr().out


def test_a_bad_image_is_a_row_and_an_exit_code_of_1(cells, models, tmp_path, capsys):
    (cells / "bad.png").write_bytes(b"no image")
    model = str(models / "rbc_classifier.onnx")
    assert classify(cells, tmp_path / "out.csv", "--model", model) == 1
    rows = rows_of(tmp_path / "out.csv")
    assert rows["bad.png"]["flags"] == "failed"
    assert "bad.png" in rows["bad.png"]["reason"]
    assert len(rows) == 3
    assert "failed" in capsys.readouterr().out


def test_the_built_in_classifier_is_used_or_its_lack_told(
    cells, models, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(model_slots, "weights_folder", lambda: models)
    assert classify(cells, tmp_path / "out.csv") == 0
    monkeypatch.setattr(model_slots, "weights_folder", lambda: tmp_path)
    assert classify(cells, tmp_path / "other.csv") == 1
    assert "Train one with bloodcells train-classifier rbc" in capsys.readouterr().err
    assert not (tmp_path / "other.csv").exists()


def test_models_are_listed_with_what_they_say_of_themselves(models, capsys):
    (models / "MODEL_CARD.md").write_text(
        "# Model card: segmentation_model.onnx\n\n| Data | BCCD |\n| Licence | MIT |\n"
    )
    assert main(["models", "--details", "--models", str(models)]) == 0
    out = capsys.readouterr().out
    assert "rbc_classifier: distinguishes healthy red cells, malaria and sickle cells" in out
    assert "preset    tiny" in out
    assert "measured  auroc 0.5" in out
    assert "data      BCCD" in out
    assert "Research use only" in out


def test_models_are_listed_for_programs(models, capsys):
    assert main(["models", "--models", str(models), "--json"]) == 0
    found = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert found["rbc_classifier"]["measured"] == {"test": {"auroc": 0.5}}
    assert found["segmentation_model"]["size_bytes"] > 0
    assert len(found["segmentation_model"]["sha256"]) == 64


def test_a_damaged_model_is_listed_as_such(models, capsys):
    path = models / "rbc_classifier.onnx"
    data = path.read_bytes()
    key = b'"content_sha256": "'
    start = data.rindex(key) + len(key)
    path.write_bytes(data[:start] + b"f" * 64 + data[start + 64 :])
    (models / "wbc_classifier.keras").write_bytes(b"nothing")
    assert main(["models", "--models", str(models)]) == 1
    out = capsys.readouterr().out
    assert "PROBLEM: " in out
    assert "damaged: its content is not what was exported" in out
    assert "not a .keras file" in out


def test_a_folder_without_models_is_told(tmp_path, capsys):
    assert main(["models", "--models", str(tmp_path)]) == 1
    assert "no models there; expected one of segmentation_model.onnx" in capsys.readouterr().err


def test_the_package_s_own_models_can_be_listed(capsys):
    assert main(["models"]) == 0
    assert "segmentation_model: outlines" in capsys.readouterr().out


def test_a_type_of_ones_own_has_the_classes_that_its_model_names(cells, tmp_path, capsys):
    (tmp_path / "classes.yaml").write_text(
        "extends: built-in\n"
        "cell_types:\n"
        "  - {name: Parasite, display_name: parasites, colour: '#aa00ff', conditions: "
        "[{name: old, display_name: old ones}, {name: young, display_name: young ones}]}\n"
    )
    kind = ClassifierKind("parasite", Taxonomy.read(tmp_path / "classes.yaml"))
    model = tmp_path / "parasite_classifier.onnx"
    metadata = ModelMetadata.of_classifier(kind)
    model.write_bytes(colour_classifier(metadata, outputs=("condition",)))
    words = ["--kind", "parasite", "--model", str(model)]
    assert classify(cells, tmp_path / "out.csv", *words) == 0
    rows = rows_of(tmp_path / "out.csv")
    assert rows["red.png"]["condition"] == "old"
    assert classify(cells, tmp_path / "out.csv", "--kind", "parasite") == 2
    assert "kind 'parasite': there is none of that name; " in capsys.readouterr().err
