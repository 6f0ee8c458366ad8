from dataclasses import replace

import keras
import numpy as np
import pytest
from support.classifier_start import RBC, TWO, written_start
from support.single_cells import drawn_cell_image, write_rgba
from support.tiny_cells import small_cell_folder

from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.errors import CheckpointError, DatasetError, MissingDataError
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.taxonomy import BUILT_IN, Condition
from blood_cell_system.training import classifier_fine_tuning
from blood_cell_system.training.classifier_fine_tuning import (
    fine_tune_classifier,
    load_classifier_start,
)

WBC = ClassifierKind("WBC")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    path = written_start(tmp_path_factory.mktemp("start") / "a.keras")
    return load_classifier_start(path, RBC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cells") / "c"
    opened = small_cell_folder(root, per_class=12, labels=("healthy_RBC", "malaria_RBC"))
    records = tuple(
        replace(record, block=f"slide {int(record.field.split('-')[1]) // 3}")
        for record in opened.records
    )
    return replace(opened, records=records)


@pytest.fixture(autouse=True)
def few_examples(monkeypatch):
    monkeypatch.setattr(classifier_fine_tuning, "EXAMPLES", 128)


def test_cells_of_unseen_slides_are_told_better_afterwards(start, folder):
    tuned = fine_tune_classifier(start, folder)
    (figure,) = tuned.figures
    assert (figure.output, figure.cells, figure.slides) == ("condition", 48, 4)
    assert figure.after.value > figure.before.value + 0.05
    assert figure.gain.value == pytest.approx(figure.after.value - figure.before.value)
    assert figure.after.interval is not None
    assert tuned.metadata.measured["fine_tuning"]["condition"]["after"]["value"] == pytest.approx(
        figure.after.value, abs=1e-4
    )
    assert tuned.metadata.data == "elsewhere; fine-tuned on one, two"


def test_the_body_stays_as_it_was_and_the_same_seed_gives_the_same_heads(start, folder):
    first = fine_tune_classifier(start, folder).model
    again = fine_tune_classifier(start, folder).model
    for layer in start.model.layers:
        own, new = layer.get_weights(), first.get_layer(layer.name).get_weights()
        is_same = all(np.array_equal(a, b) for a, b in zip(own, new, strict=True))
        assert is_same == (layer.name != "condition_logits")
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_heads_that_are_held_firmly_hardly_change(start, folder):
    def change(pull):
        tuned = fine_tune_classifier(start, folder, pull=pull).model
        before = start.model.get_layer("condition_logits").get_weights()
        after = tuned.get_layer("condition_logits").get_weights()
        return sum(float(np.abs(a - b).sum()) for a, b in zip(before, after, strict=True))

    assert change(1e4) < 0.02 * change(1e-3)


def test_a_new_condition_is_added_and_the_others_stay(start, folder):
    cell_type = BUILT_IN["RBC"]
    own = (*cell_type.conditions, Condition(name="babesia_RBC", display_name="babesia"))
    kind = ClassifierKind("RBC", BUILT_IN.extended([replace(cell_type, conditions=own)]))
    records = tuple(
        replace(record, condition="babesia_RBC") if record.condition == "malaria_RBC" else record
        for record in folder.records
    )
    tuned = fine_tune_classifier(start, replace(folder, kind=kind, records=records))
    assert tuned.metadata.conditions == (*TWO, "babesia_RBC")
    assert set(tuned.metadata.condition_thresholds) == set(tuned.metadata.conditions)
    assert tuned.metadata.condition_thresholds["malaria_RBC"] == 0.4
    assert tuned.model.output["condition"].shape[-1] == 3
    (figure,) = tuned.figures
    assert figure.after.value > figure.before.value


def test_shapes_get_a_head_of_their_own(start, folder):
    shapes = ("burr", "teardrop")
    records = tuple(
        replace(
            record, cell_type=shapes[record.condition == "malaria_RBC"], condition="healthy_RBC"
        )
        for record in folder.records
    )
    tuned = fine_tune_classifier(start, replace(folder, records=records))
    assert tuned.metadata.subtypes == ("teardrop", "burr")
    assert [one.output for one in tuned.figures] == ["type"]
    assert tuned.metadata.conditions == TWO


def test_cells_of_no_known_slide_give_no_figures(start, folder):
    tuned = fine_tune_classifier(start, replace(folder, has_known_blocks=False))
    assert tuned.figures == ()
    assert "nobody says which cells are of one slide" in tuned.notes[0]
    assert tuned.metadata.condition_thresholds == dict.fromkeys(TWO, 0.4)


def test_cells_of_one_slide_give_no_figures(start, folder):
    records = tuple(replace(record, block="a") for record in folder.records)
    tuned = fine_tune_classifier(start, replace(folder, records=records))
    assert tuned.figures == ()
    assert "all cells are of one slide" in tuned.notes[0]


def test_a_few_cells_are_refused(start, folder):
    with pytest.raises(DatasetError, match="3 cells; expected 20 or more, and 5 or more of each"):
        fine_tune_classifier(start, replace(folder, records=folder.records[:3]))


def test_a_few_cells_of_a_new_class_are_refused(start, folder):
    few = tuple(replace(record, cell_type="teardrop") for record in folder.records[:2])
    with pytest.raises(DatasetError, match=r"few of teardrop \(2\); expected 20 or more"):
        fine_tune_classifier(start, replace(folder, records=few + folder.records[2:]))


def test_two_cells_of_a_known_class_are_welcome(start, folder):
    ordered = sorted(folder.records, key=lambda record: record.condition)
    tuned = fine_tune_classifier(start, replace(folder, records=tuple(ordered[:26])))
    assert tuned.metadata.conditions == TWO


def test_images_that_show_no_cell_are_named(start, folder, tmp_path):
    for record in folder.records:
        write_rgba(tmp_path / record.file, drawn_cell_image(spot=(80, 40, 130)))
    (tmp_path / folder.records[0].file).write_bytes(b"damaged")
    tuned = fine_tune_classifier(start, replace(folder, root=tmp_path))
    assert "1 image is left out" in tuned.notes[0]


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such model"):
        load_classifier_start(tmp_path / "a.keras", RBC)


def test_a_classifier_of_other_cells_is_refused(tmp_path):
    path = written_start(tmp_path / "a.keras", conditions=WBC.conditions, kind=WBC)
    with pytest.raises(CheckpointError, match="a classifier of WBC cells; expected one of RBC"):
        load_classifier_start(path, RBC)


def test_a_model_without_metadata_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / "a.keras")
    with pytest.raises(CheckpointError, match="no classifier that this program trained"):
        load_classifier_start(tmp_path / "a.keras", RBC)


def test_a_folder_on_disk_is_opened_with_the_classes_of_its_folders(start, tmp_path):
    small_cell_folder(tmp_path / "c", per_class=12, labels=("healthy_RBC", "malaria_RBC"))
    tuned = fine_tune_classifier(start, CellFolder.open(tmp_path / "c", kind=RBC))
    assert tuned.metadata.conditions == TWO
