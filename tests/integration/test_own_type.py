"""A classifier of a cell type of a laboratory's own: from smears to crops, a model and a report."""

import json
from dataclasses import replace

import pytest
from support.smears import small_prepared_folder

from blood_cell_system.annotation.writer import WriteStyle, write_labels
from blood_cell_system.cli.main import main
from blood_cell_system.datasets.cell_folder import kind_of_folder
from blood_cell_system.datasets.prepared import PreparedDataset, prepared_samples
from blood_cell_system.pipeline.model_slots import kind_of_model
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC

pytest.importorskip("keras", reason="needs the [train] extra")

from support.tiny_training import TINY, train_tiny

pytestmark = pytest.mark.slow

CLASSES = """\
extends: built-in
cell_types:
  - name: Blast
    display_name: blasts
    colour: [255, 128, 0]
    mask_channel: RBC
    detection: {peak_threshold: 0.001, min_agreement: 0, min_border_share: 0}
    conditions:
      - {name: myeloid_blast, display_name: myeloid blasts}
      - {name: lymphoid_blast, display_name: lymphoid blasts, is_healthy: true}
"""
CONDITIONS = ["myeloid_blast", "lymphoid_blast"]


def run(*words):
    assert main(list(map(str, words))) == 0


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Smears in which every red cell is a blast, and the file with that type."""
    root = tmp_path_factory.mktemp("lab")
    (root / "classes.yaml").write_text(CLASSES)
    drawn = PreparedDataset.open(small_prepared_folder(root / "drawn", count=8))
    samples = [
        replace(
            sample,
            cells=tuple(
                replace(cell, cell_type="Blast") if cell.cell_type == RBC else cell
                for cell in sample.cells
            ),
        )
        for sample in prepared_samples(drawn)
    ]
    blast = replace(BUILT_IN[WBC], name="Blast", synonyms=(), conditions=(), subtypes=())
    style = WriteStyle(taxonomy=BUILT_IN.extended([blast]))
    write_labels(samples, root / "labels", format_name="coco", style=style)
    run("prepare", root / "labels", "--format", "coco", "--classes", root / "classes.yaml",
        "--jobs", 1, "-o", root / "prepared")  # fmt: skip
    return root


@pytest.fixture(scope="module")
def cells(lab):
    """Cells of the type, of both conditions by turns."""
    for name in CONDITIONS:
        run("crops", lab / "prepared", "--kind", "blast", "--class", name, "--jobs", 1,
            "--source", name, "-o", lab / name)  # fmt: skip
    folder = lab / CONDITIONS[0]
    for path in sorted((folder / CONDITIONS[0]).iterdir())[1::2]:
        target = folder / CONDITIONS[1] / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    (folder / "cells.csv").unlink()
    return folder


@pytest.fixture(scope="module")
def models(lab, cells):
    run("train-classifier", "blast", "--data-dir", cells, "--output-dir", lab / "models",
        "--log-dir", lab / "logs", "--preset", "fast", "--epochs", 1, "--cells-per-epoch", 16,
        "--batch-size", 8, "--d-reduced", 4, "--block-pattern", r"smear_\d+")  # fmt: skip
    return lab / "models"


def test_crops_take_the_type_from_the_prepared_folder(cells):
    assert list(kind_of_folder(cells, "blast").conditions) == CONDITIONS


def test_the_model_is_named_after_the_type_and_knows_its_conditions(models):
    kind = kind_of_model(models / "blast_classifier.onnx", "blast")
    assert (kind.cell_type, list(kind.conditions)) == ("Blast", CONDITIONS)


def test_the_report_has_a_finding_of_the_type(lab, models):
    segmenter = train_tiny(lab / "prepared", lab / "run", settings=replace(TINY, epochs=1))
    image = next((lab / "prepared" / "images").iterdir())
    run("analyze", image, "--models", models, "--model", segmenter.model_path,
        "--cell-diameter", 28, "-o", lab / "results")  # fmt: skip
    report = json.loads(next((lab / "results").glob("*_report.json")).read_text())
    assert any(cell["cell_type"] == "Blast" for cell in report["cells"])
    assert "Blast" in report["findings"]
    assert sorted(report["findings"]["Blast"]["counts"]) == sorted(CONDITIONS)
    assert "blast_classifier.onnx" in next((lab / "results").glob("*_summary.txt")).read_text()
