import json

import numpy as np
import pytest
from support.prepared_cells import ColourRuntime, write_cells_folder

from blood_cell_system.analysis.segmenter_evaluation import evaluate
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.metrics.matching import count_report
from blood_cell_system.reports.segmenter_sheets import (
    beside_constant,
    evaluation_tables,
    evaluation_to_json,
    text_of,
    worst_images_sheet,
)


@pytest.fixture
def images(tmp_path):
    return PreparedDataset.open(write_cells_folder(tmp_path, splits=["test"] * 3)).images


def test_the_text_names_what_was_compared_and_every_score(images):
    text = text_of(
        evaluation_tables(evaluate(ColourRuntime(), images, training_images=images), title="here")
    )
    for words in ("here", "mean IoU", "exact outlines", "F1@0.9", "StarDist", "best constant"):
        assert words in text
    assert "always 2 (median of training)" in text


@pytest.mark.parametrize(
    ("missed", "words"),
    [
        (0, "RBC: better than the best constant answer (MAE 0.00 against 0.67)"),
        (1, "RBC: worse than the best constant answer (MAE 1.00 against 0.67)"),
    ],
)
def test_the_counts_are_said_to_be_better_or_worse_than_a_constant(missed, words):
    true_counts = [2, 3, 4]
    report = count_report(true_counts, [count - missed for count in true_counts])
    assert beside_constant("RBC", report) == words


def test_no_column_is_cut_on_a_terminal_of_80_places(images):
    text = text_of(evaluation_tables(evaluate(ColourRuntime(), images), title="here"), width=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_text_says_when_there_are_only_boxes(tmp_path):
    root = write_cells_folder(tmp_path / "b", splits=["test"], with_outlines=False)
    evaluation = evaluate(ColourRuntime(), PreparedDataset.open(root).images)
    text = text_of(evaluation_tables(evaluation, title="here"))
    assert "boxes, by IoU of boxes (2 annotated)" in text


def test_the_text_says_that_no_cells_were_compared(tmp_path):
    root = write_cells_folder(tmp_path / "b", splits=["test"])
    (root / "annotations.json").unlink()
    evaluation = evaluate(ColourRuntime(), PreparedDataset.open(root).images)
    text = text_of(evaluation_tables(evaluation, title="here"))
    assert "No cells were compared" in text


def test_the_text_lists_failures(images):
    images[0].image_path.write_bytes(b"no image")
    text = text_of(evaluation_tables(evaluate(ColourRuntime(), images), title="here"))
    assert "1 image failed" in text
    assert "img_0" in text


def test_the_json_is_valid_and_has_null_where_there_is_no_value(images):
    value = evaluation_to_json(evaluate(ColourRuntime(), images), subject={"split": "test"})
    again = json.loads(json.dumps(value, allow_nan=False))
    assert again["split"] == "test"
    assert again["pixels"]["iou"] == {"background": 1.0, "rbc": 1.0, "wbc": 1.0}
    types = again["cells"][0]["types"]
    assert types["RBC"]["matching"]["0.50"]["matched"] == 6
    assert list(types["RBC"]["matching"]) == [f"{t / 100:.2f}" for t in range(50, 95, 5)]
    assert types["Platelet"]["matching"]["0.50"]["f1"] is None
    assert again["images"][0]["true_counts"] == {"RBC": 1, "WBC": 1, "Platelet": 0}


def test_the_sheet_shows_truth_beside_prediction(images):
    evaluation = evaluate(ColourRuntime(), images)
    by_stem = {image.stem: image for image in images}
    one = worst_images_sheet(evaluation, by_stem, ColourRuntime(), count=1)
    three = worst_images_sheet(evaluation, by_stem, ColourRuntime())
    assert one.dtype == np.uint8
    assert three.shape[0] > one.shape[0]
