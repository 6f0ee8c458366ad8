"""A cell type of a laboratory's own: one YAML file, from labels to a report."""

import json
from dataclasses import replace

import pytest
from support.smears import small_prepared_folder

from blood_cell_system.analysis.segmentation import find_cells
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.annotation.writer import WriteStyle, write_labels
from blood_cell_system.cli.main import main
from blood_cell_system.datasets.prepared import PreparedDataset, prepared_samples
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, WBC, MaskClass, Taxonomy

pytest.importorskip("keras", reason="needs the [train] extra")

from support.tiny_training import TINY, train_tiny

from blood_cell_system.training.fine_tuning import load_starting_point

pytestmark = pytest.mark.slow

CLASSES = """\
extends: built-in
cell_types:
  - name: Parasite                 # background in the class mask, like platelets
    display_name: free parasites
    colour: "#aa00ff"
    synonyms: [free parasite]
    rate_among: RBC
    detection: {peak_threshold: 0.001, min_agreement: 0, min_border_share: 0}
  - name: Blast                    # shares the channel of the white cells
    display_name: blasts
    colour: [255, 128, 0]
    mask_channel: WBC
    parent: WBC
"""
OWN_NAMES = {PLATELET: "Free_Parasite", WBC: "blast"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder of the laboratory: COCO labels of its own, and the file with its types."""
    root = tmp_path_factory.mktemp("lab")
    (root / "classes.yaml").write_text(CLASSES)
    drawn = PreparedDataset.open(small_prepared_folder(root / "drawn", count=8))
    samples = [
        replace(
            sample,
            cells=tuple(
                replace(cell, cell_type=OWN_NAMES.get(cell.cell_type, cell.cell_type))
                for cell in sample.cells
            ),
        )
        for sample in prepared_samples(drawn)
    ]
    as_written = BUILT_IN.extended(
        [
            replace(BUILT_IN[WBC], name=name, synonyms=(), conditions=(), subtypes=())
            for name in OWN_NAMES.values()
        ]
    )
    style = WriteStyle(taxonomy=as_written)
    write_labels(samples, root / "labels", format_name="coco", style=style)
    return root


@pytest.fixture(scope="module")
def prepared(lab):
    arguments = ["prepare", "--format", "coco", "--input", str(lab / "labels"), "--jobs", "1"]
    arguments += ["--output", str(lab / "prepared"), "--classes", str(lab / "classes.yaml")]
    assert main(arguments) == 0
    return lab / "prepared"


@pytest.fixture(scope="module")
def model(lab, prepared):
    return train_tiny(prepared, lab / "run", settings=replace(TINY, epochs=1)).model_path


def test_labels_become_the_types_of_the_file(lab, prepared):
    dataset = PreparedDataset.open(prepared)
    assert dataset.taxonomy == Taxonomy.read(lab / "classes.yaml")
    cells = [cell for image in dataset.images for cell in image.cells]
    assert {"Parasite", "Blast", "RBC"} <= {cell.cell_type for cell in cells}
    assert not {PLATELET, WBC} & {cell.cell_type for cell in cells}


def test_the_mask_shows_a_type_in_the_channel_of_the_file(prepared):
    blasts = parasites = 0
    for image in PreparedDataset.open(prepared).images:
        _, class_mask = image.read()
        for cell in image.cells:
            x, y = (int(side) for side in cell.bounds.centre)
            if not (0 <= x < class_mask.shape[1] and 0 <= y < class_mask.shape[0]):
                continue
            blasts += cell.cell_type == "Blast" and class_mask[y, x] == MaskClass.WBC
            parasites += cell.cell_type == "Parasite" and class_mask[y, x] == MaskClass.BACKGROUND
    assert blasts
    assert parasites


def test_nobody_is_taught_that_what_was_not_annotated_is_absent(prepared):
    for image in PreparedDataset.open(prepared).images:
        assert set(image.unmarked_types) == {PLATELET, WBC}


def test_verify_accepts_the_folder(prepared, tmp_path):
    report = tmp_path / "verify.json"
    main(
        [
            "verify",
            str(prepared),
            "--json",
            str(report),
            "--contact-sheet",
            str(tmp_path / "sheet.png"),
        ]
    )
    found = json.loads(report.read_text())
    assert found["statistics"]["cells"]["Parasite"] > 0


def test_the_model_has_a_heat_map_for_each_type_and_carries_them(lab, model):
    start = load_starting_point(model)
    assert start.taxonomy.names == ("RBC", "WBC", "Platelet", "Parasite", "Blast")
    assert start.model.output["centres"].shape[-1] == 5


def test_found_cells_have_the_types_of_the_model(lab, model):
    image = read_image(next((lab / "labels" / "images").rglob("*.png")))
    cells = find_cells(load_runtime(model), image).cells
    assert cells.taxonomy == Taxonomy.read(lab / "classes.yaml")
    assert cells.count("Parasite") > 0


def test_the_report_has_the_types_of_the_model(lab, model, tmp_path):
    image = next((lab / "labels" / "images").rglob("*.png"))
    arguments = ["analyze", str(image), "-o", str(tmp_path), "--model", str(model), "--no-classify"]
    assert main([*arguments, "--cell-diameter", "28"]) == 0
    report = json.loads(next(tmp_path.glob("*_report.json")).read_text())
    types = {cell["cell_type"] for cell in report["cells"]}
    assert "Parasite" in types
    assert "free parasites" in next(tmp_path.glob("*_summary.txt")).read_text()


@pytest.mark.parametrize("kind", ["folder", "results"])
def test_own_types_are_written_for_other_tools(lab, prepared, model, tmp_path, kind):
    source = prepared
    if kind == "results":
        source = tmp_path / "results"
        image = next((lab / "labels" / "images").rglob("*.png"))
        arguments = ["analyze", str(image), "-o", str(source), "--model", str(model)]
        assert main([*arguments, "--no-classify", "--cell-diameter", "28"]) == 0
    assert main(["convert", str(source), "--to", "coco", "-o", str(tmp_path / "coco")]) == 0
    written = json.loads(next((tmp_path / "coco").rglob("instances_*.json")).read_text())
    assert "Parasite" in {category["name"] for category in written["categories"]}
