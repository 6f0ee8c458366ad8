"""What the training of a classifier promises, kept with a network of a few thousand weights."""

import json
import signal
from dataclasses import replace

import keras
import numpy as np
import pytest
from support import tiny_cells
from support.stopped_training import StopAfter, assert_ended_alike, in_a_process
from support.tiny_cells import TINY, small_cell_folder, train_tiny

from blood_cell_system.analysis.trained_models import load_classifier
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_folder import CellFolder, write_cells_csv
from blood_cell_system.errors import DatasetError, SettingsError, TrainingMemoryError
from blood_cell_system.model_metadata import ClassifierKind, on_white
from blood_cell_system.pipeline.classifier_training import ClassifierFiles, train_classifier_files
from blood_cell_system.training.state import TrainingState, classifier_files

pytestmark = pytest.mark.slow

FILES = classifier_files(ClassifierKind("RBC"))


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    root = tmp_path_factory.mktemp("cells")
    small_cell_folder(root)
    return root


@pytest.fixture(scope="module")
def finished(cells, tmp_path_factory):
    """A training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train_tiny(cells, folder)


def final_state(folder):
    return TrainingState.load(folder / FILES.state)


def without_source(cells, root, source):
    """Cells of the other source only, which stay where they are."""
    folder = CellFolder.open(cells, kind=ClassifierKind("RBC"))
    kept = [record for record in folder.records if record.source != source]
    root.mkdir()
    for record in kept:
        place = root / record.file
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(cells / record.file)
    write_cells_csv(root, kept)
    return root


def test_a_run_killed_in_mid_epoch_and_resumed_ends_as_one_never_interrupted(
    cells, finished, tmp_path
):
    folder, whole = finished
    steps_into_the_second_epoch = 4
    assert (
        in_a_process(tiny_cells, cells, tmp_path, "fresh", steps_into_the_second_epoch)
        == -signal.SIGKILL
    )
    assert final_state(tmp_path).epoch == 1
    assert in_a_process(tiny_cells, cells, tmp_path, "resume") == 0
    assert_ended_alike(folder / FILES.state, tmp_path / FILES.state)
    assert train_tiny(cells, tmp_path, resume=True).calibration == whole.calibration


def test_a_run_that_is_stopped_has_no_metadata_yet(cells, tmp_path):
    stopped = train_tiny(cells, tmp_path, listener=StopAfter(1, signal.SIGINT))
    assert not stopped.is_complete
    assert (stopped.model, stopped.metadata) == (None, None)
    assert final_state(tmp_path).step_in_epoch == 1


def test_the_record_of_a_training_is_complete(finished):
    folder, trained = finished
    assert (folder / "rbc_classifier_training_curves.png").stat().st_size > 10_000
    assert [
        row["epoch"] for row in json.loads((folder / "rbc_classifier_history.json").read_text())
    ] == [1, 2, 3]
    run = json.loads((folder / "rbc_classifier_run.json").read_text())
    assert run["settings"]["seed"] == 7
    assert run["best_val_score"] == trained.best_score
    assert run["cells"] == {"train": 24, "val": 12}
    assert len(run["data_hash"]) == 64


def test_the_facts_name_what_was_learned_and_chosen(finished):
    _, trained = finished
    metadata = trained.metadata
    assert metadata.conditions == ("healthy_RBC", "malaria_RBC")
    assert (metadata.preset, metadata.seed) == ("fast", 7)
    assert metadata.in_distribution_threshold is not None
    assert set(metadata.condition_thresholds) == set(metadata.conditions)
    assert metadata.measured["validation"]["cells"] == 12


def test_the_temperature_is_part_of_the_weights(finished):
    folder, trained = finished
    best = keras.saving.load_model(folder / FILES.model)
    image = np.random.default_rng(0).uniform(0, 255, (4, 130, 130, 3)).astype(np.float32)
    raw = np.asarray(best(image)["condition"], dtype=np.float64)
    powers = raw ** (1 / trained.calibration.temperatures["condition"])
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(trained.model(image)["condition"], expected, atol=1e-5)


def test_the_files_of_a_classifier_agree_and_know_their_figures(cells, tmp_path):
    folder = CellFolder.open(cells, kind=ClassifierKind("RBC"))
    said = []
    trained = train_classifier_files(
        folder,
        replace(TINY, epochs=1),
        output_dir=tmp_path,
        log_dir=tmp_path / "logs",
        report=said.append,
    )
    files = ClassifierFiles.within(tmp_path, ClassifierKind("RBC"))
    runtimes = [load_classifier(path, ClassifierKind("RBC")) for path in (files.onnx, files.keras)]
    generator = np.random.default_rng(0)
    image = tiny_cells.drawn_cell("malaria_RBC", "one", generator)
    batch = on_white(image)[None].astype(np.float32)
    answers = [runtime.predict(batch).condition for runtime in runtimes]
    np.testing.assert_allclose(*answers, atol=1e-5)
    for runtime in runtimes:
        assert runtime.metadata.replace(content_sha256="") == trained.metadata
    assert trained.metadata.measured["test"]["cells"] == 12
    assert any("malaria_RBC against healthy, within one: AUROC" in words for words in said)
    written = {path.name for path in (tmp_path / "rbc_classifier_test").iterdir()}
    assert {"evaluation.json", "evaluation.txt", "confusion_matrix.png", "answers.png"} <= written


def test_domain_adaptation_trains_a_head_that_the_classifier_does_not_keep(
    cells, finished, tmp_path
):
    settings = replace(TINY, epochs=1, has_domain_adaptation=True)
    trained = train_tiny(cells, tmp_path, settings=settings)
    assert all(0 < row["train_domain_loss"] < 5 for row in trained.history)
    assert set(trained.model.output) == {"condition", "known"}
    _, plain = finished
    assert trained.model.count_params() == plain.model.count_params()
    run = json.loads((tmp_path / "rbc_classifier_run.json").read_text())
    assert run["domains"] == ["one", "two"]


def test_without_sources_domains_are_groups_of_stain(cells, tmp_path):
    alone = without_source(cells, tmp_path / "cells", "two")
    settings = replace(TINY, epochs=1, has_domain_adaptation=True)
    train_tiny(alone, tmp_path / "out", settings=settings)
    run = json.loads((tmp_path / "out" / "rbc_classifier_run.json").read_text())
    assert run["domains"][0] == "stain 1"
    assert len(run["domains"]) > 1


def test_domains_that_share_no_class_cannot_be_adapted(cells, tmp_path):
    folder = CellFolder.open(cells, kind=ClassifierKind("RBC"))
    own = {"one": "healthy_RBC", "two": "malaria_RBC"}
    apart = replace(
        folder, records=tuple(r for r in folder.records if r.condition == own[r.source])
    )
    with pytest.raises(SettingsError, match="no class comes from two of the sources one, two"):
        tiny_cells.train_classifier(
            apart,
            replace(TINY, has_domain_adaptation=True),
            output_dir=tmp_path,
            log_dir=tmp_path,
        )


@pytest.mark.parametrize(
    ("split", "words"), [(Split.TRAIN, "to choose"), (Split.VAL, "to learn from")]
)
def test_a_folder_with_one_split_only_is_refused(cells, tmp_path, split, words):
    folder = CellFolder.open(cells, kind=ClassifierKind("RBC"))
    with pytest.raises(DatasetError, match=words):
        tiny_cells.train_classifier(
            replace(folder, records=folder.select(split)),
            TINY,
            output_dir=tmp_path,
            log_dir=tmp_path,
        )


def test_a_full_memory_is_an_error_with_advice(cells, tmp_path, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(
        "blood_cell_system.training.classifier.ClassifierLearner.train_step", no_memory
    )
    with pytest.raises(TrainingMemoryError, match="Batches of 8: the memory is exhausted"):
        train_tiny(cells, tmp_path)
