"""The training's promises, kept with a network of a few thousand weights."""

import csv
import errno
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from support import tiny_training
from support.smears import small_prepared_folder
from support.stopped_training import StopAfter, assert_ended_alike, in_a_process
from support.tiny_training import TINY, train_tiny

from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    write_manifest,
)
from blood_cell_system.errors import DatasetError, OutputError, ResumeError, TrainingMemoryError
from blood_cell_system.model_metadata import diameter_in_name
from blood_cell_system.taxonomy import RBC
from blood_cell_system.training.devices import find_devices
from blood_cell_system.training.loop import TrainingListener
from blood_cell_system.training.state import SEGMENTER_FILES, TrainingState

pytestmark = pytest.mark.slow


class DataOnly(TrainingListener):
    """Keeps what a training says of its data, and ends it there."""

    def begin(self, *, remarks, warnings):
        self.remarks, self.warnings = remarks, warnings
        raise StopIteration


# Building and tracing are most of a tiny training, and the Reynolds bottleneck is half of them.
QUICK = replace(TINY, d_reduced=0, widths=(4, 4, 8), epochs=1)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("smears")
    small_prepared_folder(root, count=8)
    return root


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """A training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train_tiny(data_dir, folder)


@pytest.fixture(scope="module")
def quickly_finished(data_dir, tmp_path_factory):
    """A training of one epoch."""
    folder = tmp_path_factory.mktemp("quickly_finished")
    train_tiny(data_dir, folder, settings=QUICK)
    return folder


@pytest.fixture
def quick_folder(quickly_finished, tmp_path):
    """A copy of it, to go on in."""
    return shutil.copytree(quickly_finished, tmp_path / "copy")


def state_file(folder):
    return folder / "checkpoints" / SEGMENTER_FILES.state


def final_state(folder):
    return TrainingState.load(state_file(folder))


def test_a_run_killed_in_mid_epoch_and_resumed_ends_as_one_never_interrupted(
    data_dir, finished, tmp_path
):
    folder, _ = finished
    steps_into_the_second_epoch = 5
    assert (
        in_a_process(tiny_training, data_dir, tmp_path, "fresh", steps_into_the_second_epoch)
        == -signal.SIGKILL
    )
    assert final_state(tmp_path).epoch == 1
    assert in_a_process(tiny_training, data_dir, tmp_path, "resume") == 0
    assert_ended_alike(state_file(folder), state_file(tmp_path))


def test_ctrl_c_saves_in_mid_epoch_and_the_run_goes_on_from_that_step(data_dir, finished, tmp_path):
    folder, _ = finished
    result = train_tiny(data_dir, tmp_path, listener=StopAfter(1, signal.SIGINT))
    assert not result.is_complete
    # In its first epoch it has no model yet.
    assert not (tmp_path / "checkpoints" / SEGMENTER_FILES.model).exists()
    train_tiny(data_dir, tmp_path, resume=True, listener=StopAfter(4, signal.SIGINT))
    assert (final_state(tmp_path).epoch, final_state(tmp_path).step_in_epoch) == (1, 2)
    assert train_tiny(data_dir, tmp_path, resume=True).is_complete
    assert_ended_alike(state_file(folder), state_file(tmp_path))


def test_the_record_of_a_training_is_complete(finished):
    folder, result = finished
    checkpoints = folder / "checkpoints"
    assert (checkpoints / "training_curves.png").stat().st_size > 10_000
    with (checkpoints / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert json.loads((checkpoints / "history.json").read_text())[2]["epoch"] == 3
    run = json.loads((checkpoints / "run.json").read_text())
    assert run["settings"]["seed"] == 7
    assert run["settings"]["precision"] == "f32"
    assert run["devices"] == [*find_devices("auto")]
    assert run["best_val_mean_iou"] == result.best_score
    assert {"keras", "tensorflow", "numpy", "blood-cell-system"} <= run["versions"].keys()
    assert len(run["data_hash"]) == 64


def test_the_model_tells_how_large_the_cells_were_that_it_learned_from(data_dir, finished):
    folder, result = finished
    images = PreparedDataset.open(data_dir).of_split(Split.TRAIN)
    sides = [c.width for image in images for c in image.cells if c.cell_type == RBC]
    model = keras.saving.load_model(result.model_path)
    assert diameter_in_name(model.name) == pytest.approx(np.median(sides), rel=0.1)
    run = json.loads((folder / "checkpoints" / "run.json").read_text())
    assert run["red_cell_diameter_px"] == pytest.approx(np.median(sides), rel=0.1)


def test_tensorboard_finds_scalars_a_class_and_images(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = finished
    events = EventAccumulator(str(folder / "logs" / "segmentation-fast-001"))
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"iou_rbc/val", "iou_wbc/val", "iou_background/val", "class_loss/train"} <= tags
    assert "validation" in tags


def test_the_best_model_is_the_one_of_the_best_epoch(finished):
    folder, result = finished
    history = final_state(folder).history
    assert result.best_score == max(row["val_mean_iou"] for row in history)
    model = keras.saving.load_model(folder / "checkpoints" / SEGMENTER_FILES.model)
    if result.best_epoch == len(history):
        averaged = [
            values
            for name, values in final_state(folder).arrays.items()
            if name.startswith("averaged/")
        ]
        assert sum(w.size for w in model.get_weights()) <= sum(v.size for v in averaged)
    assert set(model(np.zeros((1, 64, 64, 3), np.float32))) == {"classes", "centres", "log_size"}


@pytest.mark.parametrize(("split", "words"), [("train", "to choose"), ("val", "to learn from")])
def test_a_folder_with_one_split_only_is_refused(tmp_path, split, words):
    small_prepared_folder(tmp_path, count=3)
    rows = [
        {"stem": image.stem, "split": split, "original": image.original}
        for image in PreparedDataset.open(tmp_path).images
    ]
    write_manifest(tmp_path, rows, {})
    with pytest.raises(DatasetError, match=words):
        train_tiny(tmp_path, tmp_path)


def test_a_plain_folder_without_a_manifest_is_split_and_learned_from(tmp_path):
    small_prepared_folder(tmp_path, count=6)
    for name in ("manifest.json", "annotations.json"):
        (tmp_path / name).unlink()
    assert train_tiny(tmp_path, tmp_path, settings=QUICK).best_score > 0


def test_a_full_memory_is_an_error_with_advice(data_dir, tmp_path, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(
        "blood_cell_system.training.segmenter_training.SegmenterLearner.train_step", no_memory
    )
    with pytest.raises(TrainingMemoryError, match="Batches of 4: the memory is exhausted"):
        train_tiny(data_dir, tmp_path)


def test_a_checkpoint_folder_that_is_a_file_is_an_error(data_dir, tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(OutputError, match="cannot make this folder"):
        train_tiny(data_dir, tmp_path)


def test_a_new_training_keeps_the_former_model_aside_and_another_seed_gives_another_model(
    data_dir, quick_folder
):
    checkpoints = quick_folder / "checkpoints"
    former = (checkpoints / SEGMENTER_FILES.model).read_bytes()
    weights = final_state(quick_folder).arrays
    train_tiny(data_dir, quick_folder, settings=replace(QUICK, seed=1))
    assert (checkpoints / SEGMENTER_FILES.previous_model).read_bytes() == former
    others = final_state(quick_folder).arrays
    assert any(not np.array_equal(values, others[name]) for name, values in weights.items())


def test_a_finished_run_goes_on_with_other_data_and_reports_them(quick_folder, tmp_path, caplog):
    other = tmp_path / "other"
    small_prepared_folder(other, count=8, seed=5)
    result = train_tiny(other, quick_folder, resume=True, settings=replace(QUICK, epochs=2))
    assert [row["epoch"] for row in result.history] == [1, 2]
    assert "The data are not those" in caplog.text
    assert "the best model is chosen anew" in caplog.text
    assert result.best_epoch == 2


def test_a_state_of_another_model_is_refused(data_dir, quick_folder):
    with pytest.raises(ResumeError, match="another model"):
        train_tiny(data_dir, quick_folder, resume=True, settings=replace(QUICK, widths=(4, 8, 8)))


def test_a_full_disk_is_an_error_and_loses_nothing(data_dir, quick_folder, monkeypatch):
    before = state_file(quick_folder).read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="Make room on the disk"):
        train_tiny(data_dir, quick_folder, resume=True, settings=replace(QUICK, epochs=2))
    monkeypatch.undo()
    assert state_file(quick_folder).read_bytes() == before


def test_a_training_that_gets_no_better_stops_and_gets_another_try_when_resumed(data_dir, tmp_path):
    hopeless = replace(QUICK, epochs=20, learning_rate=1e-12, patience=1)
    stopped = train_tiny(data_dir, tmp_path, settings=hopeless)
    assert stopped.epochs <= stopped.best_epoch + 1 < 20
    resumed = train_tiny(data_dir, tmp_path, resume=True, settings=hopeless)
    assert resumed.epochs > stopped.epochs


def test_a_training_says_what_it_learns_from(data_dir, tmp_path):
    listener = DataOnly()
    with pytest.raises(StopIteration):
        train_tiny(data_dir, tmp_path, listener=listener, settings=QUICK)
    dataset = PreparedDataset.open(data_dir).with_splits(QUICK.seed)
    learned, chosen = (len(dataset.of_split(split)) for split in (Split.TRAIN, Split.VAL))
    assert len(listener.remarks) == 1
    assert f"Learns from {learned} image" in listener.remarks[0]
    assert f"by {chosen} image" in listener.remarks[0]
    assert "will not make a usable model" in listener.warnings[0]
