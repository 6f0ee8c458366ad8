"""Conditions of a laboratory's own: one YAML file, from a cell folder to a report."""

import csv
import json

import numpy as np
import pytest
from support.smears import small_prepared_folder

from blood_cell_system.analysis.opened_networks import read_metadata
from blood_cell_system.analysis.trained_models import load_classifier
from blood_cell_system.cli.main import main
from blood_cell_system.datasets.cell_folder import CellFolder, kind_of_folder
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.pipeline.model_slots import kind_of_model
from blood_cell_system.taxonomy import Taxonomy

pytest.importorskip("keras", reason="needs the [train] extra")

from support.tiny_cells import drawn_cell

pytestmark = pytest.mark.slow

CLASSES = """\
extends: built-in
cell_types:
  - name: RBC
    conditions:
      - {name: babesia_RBC, display_name: red cells with babesia}
      - {name: normal_RBC, display_name: normal red cells, is_healthy: true}
    subtypes:
      - {name: discocyte, display_name: discocytes}
      - {name: echinocyte, display_name: echinocytes}
"""
CONDITIONS = ["babesia_RBC", "normal_RBC"]
# Class folders, each with the built-in class whose drawing stands for it.
DRAWN_AS = {
    "babesia_RBC": "malaria_RBC",
    "normal_RBC": "healthy_RBC",
    "discocyte": "neutrophil",
    "echinocyte": "sickle_RBC",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Class folders, and the file with the classes."""
    root = tmp_path_factory.mktemp("lab")
    (root / "classes.yaml").write_text(CLASSES)
    generator = np.random.default_rng(1)
    for label, drawn in DRAWN_AS.items():
        for number in range(24):
            image = drawn_cell(drawn, "one", generator)
            write_image(root / "cells" / label / f"s{number % 6}_{number}.png", image)
    return root


@pytest.fixture(scope="module")
def model(lab):
    words = ["train-classifier", "rbc", "--data-dir", lab / "cells", "--output-dir", lab / "models"]
    words += ["--classes", lab / "classes.yaml", "--log-dir", lab / "logs", "--preset", "fast"]
    words += ["--epochs", "1", "--cells-per-epoch", "16", "--batch-size", "8", "--d-reduced", "4"]
    assert main([*map(str, words), "--block-pattern", r"s\d"]) == 0
    return lab / "models" / "rbc_classifier.onnx"


def test_the_model_carries_the_conditions(model):
    for path in (model, model.with_suffix(".keras")):
        metadata = read_metadata(path)
        assert list(metadata.conditions) == CONDITIONS
        assert [one.name for one in metadata.taxonomy["RBC"].conditions] == CONDITIONS
    assert kind_of_model(model, "rbc").healthy == "normal_RBC"


def test_cells_are_classified_into_them(lab, model):
    words = ["classify", lab / "cells", "--kind", "rbc", "--model", model, "-o", lab / "cells.csv"]
    assert main(list(map(str, words))) == 0
    rows = list(csv.DictReader((lab / "cells.csv").read_text().splitlines()))
    assert len(rows) == 96
    assert {row["condition"] for row in rows} <= set(CONDITIONS)
    assert all(0 <= float(row["babesia_RBC_prob"]) <= 1 for row in rows)


def test_the_model_is_measured_with_them(lab, model):
    words = ["evaluate-classifier", "--kind", "rbc", "--data-dir", lab / "cells", "--model", model]
    words += ["--classes", lab / "classes.yaml", "-o", lab / "evaluation"]
    assert main([*map(str, words), "--block-pattern", r"s\d"]) == 0
    figures = json.loads((lab / "evaluation" / "evaluation.json").read_text())
    assert {one["condition"] for one in figures["diseases"]} == {"babesia_RBC"}


def test_the_report_of_a_smear_has_them(lab, model):
    folder = PreparedDataset.open(small_prepared_folder(lab / "drawn", count=1))
    image = folder.images[0].image_path
    words = ["analyze", image, "--models", lab / "models", "-o", lab / "results"]
    assert main(list(map(str, words))) == 0
    report = json.loads(next((lab / "results").glob("*_report.json")).read_text())
    assert [one["name"] for one in report["taxonomy"]["cell_types"][0]["conditions"]] == CONDITIONS
    findings = report["findings"]["RBC"]
    assert findings["state"] == "assessed"
    assert list(findings["counts"]) == CONDITIONS
    assert {"babesia_RBC", "echinocyte"} <= {rate["name"] for rate in findings["rates"]}
    text = next((lab / "results").glob("*_summary.txt")).read_text()
    assert "red cells with babesia" in text


def test_crops_write_the_classes_into_the_cell_folder(lab):
    source = small_prepared_folder(lab / "smears", count=4)
    words = ["crops", source, "--kind", "rbc", "--classes", lab / "classes.yaml", "--jobs", "1"]
    words += ["--map", "RBC=babesia_RBC", "-o", lab / "cut"]
    assert main(list(map(str, words))) == 0
    kind = kind_of_folder(lab / "cut", "rbc")
    assert list(kind.conditions) == CONDITIONS
    assert {path.name for path in (lab / "cut").iterdir() if path.is_dir()} >= {"babesia_RBC"}


def test_a_folder_with_other_classes_is_refused_without_the_file(lab, capsys):
    assert main(["train-classifier", "rbc", "--data-dir", str(lab / "cells")]) == 1
    message = capsys.readouterr().err
    assert "no class is called 'babesia_RBC'" in message


def test_a_subtype_folder_has_the_healthy_condition(lab):
    kind = kind_of_folder(lab / "cells", "RBC", Taxonomy.read(lab / "classes.yaml"))
    records = CellFolder.open(lab / "cells", kind=kind).records
    found = {(one.condition, one.cell_type) for one in records if one.cell_type}
    assert found == {("normal_RBC", name) for name in ("discocyte", "echinocyte")}


def test_the_two_formats_answer_alike(lab, model):
    kind = kind_of_model(model, "rbc")
    batch = np.random.default_rng(0).uniform(0, 255, (2, 130, 130, 3)).astype(np.float32)
    answers = [
        load_classifier(path, kind).predict(batch).condition
        for path in (model, model.with_suffix(".keras"))
    ]
    np.testing.assert_allclose(*answers, atol=1e-4)
