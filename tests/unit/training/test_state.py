import contextlib
import json

import numpy as np
import pytest

from blood_cell_system.errors import ResumeError
from blood_cell_system.model_metadata import classifier_kinds
from blood_cell_system.training.state import (
    SEGMENTER_FILES,
    TrainingState,
    classifier_files,
    state_beside,
)


def some_state():
    return TrainingState(
        settings={"preset": "fast", "widths": [4, 8]},
        data_hash="a",
        validation_hash="b",
        run_name="segmentation-fast-001",
        epoch=3,
        step_in_epoch=7,
        loss_sums={"class_loss": 1.25},
        best_score=0.5,
        best_epoch=2,
        seconds=12.5,
        history=[{"epoch": 1, "val_mean_iou": 0.5}],
        arrays={"model/0": np.arange(6, dtype=np.float32).reshape(2, 3)},
    )


def test_a_state_comes_back_as_it_was(tmp_path):
    path = tmp_path / SEGMENTER_FILES.state
    some_state().save(path)
    loaded = TrainingState.load(path)
    np.testing.assert_array_equal(loaded.arrays.pop("model/0"), some_state().arrays["model/0"])
    expected = some_state()
    expected.arrays = {}
    assert loaded == expected


def test_a_state_that_still_calls_its_score_iou_can_be_gone_on_from(tmp_path):
    path = tmp_path / SEGMENTER_FILES.state
    some_state().save(path)
    with np.load(path) as archive:
        words = json.loads(str(archive["__state__"]))
    words["best_iou"] = words.pop("best_score")
    np.savez(path, __state__=np.array(json.dumps(words)))
    assert TrainingState.load(path).best_score == 0.5


def test_the_state_is_found_beside_the_model(tmp_path):
    (tmp_path / "segmentation_model_best.keras").touch()
    some_state().save(tmp_path / SEGMENTER_FILES.state)
    assert state_beside(tmp_path / "segmentation_model_best.keras").epoch == 3
    assert state_beside(tmp_path / SEGMENTER_FILES.state).epoch == 3


def test_a_missing_model_is_an_error(tmp_path):
    with pytest.raises(ResumeError, match="no such checkpoint"):
        state_beside(tmp_path / "nothing.keras")


def test_a_model_from_elsewhere_cannot_be_continued(tmp_path):
    (tmp_path / "other.keras").touch()
    with pytest.raises(ResumeError, match=f"no {SEGMENTER_FILES.state} beside it"):
        state_beside(tmp_path / "other.keras")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04broken"])
def test_a_damaged_state_is_an_error(tmp_path, content):
    (tmp_path / SEGMENTER_FILES.state).write_bytes(content)
    with pytest.raises(ResumeError, match="damaged"):
        TrainingState.load(tmp_path / SEGMENTER_FILES.state)


def test_a_state_cut_in_half_is_an_error(tmp_path):
    path = tmp_path / SEGMENTER_FILES.state
    some_state().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ResumeError, match="damaged"):
        TrainingState.load(path)


def test_a_state_of_another_version_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / SEGMENTER_FILES.state
    monkeypatch.setattr("blood_cell_system.training.state.FORMAT_VERSION", 99)
    some_state().save(path)
    monkeypatch.undo()
    with pytest.raises(ResumeError, match="another version"):
        TrainingState.load(path)


def write_words(path, **changes):
    some_state().save(path)
    with np.load(path) as archive:
        words = json.loads(str(archive["__state__"]))
    np.savez(path, __state__=np.array(json.dumps(words | changes)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", "3"),
        ("epoch", -1),
        ("settings", [1]),
        ("history", [1]),
        ("loss_sums", None),
        ("run_name", 5),
        ("best_score", "good"),
        ("unknown", 1),
    ],
)
def test_values_of_another_type_are_damage(tmp_path, name, value):
    path = tmp_path / SEGMENTER_FILES.state
    write_words(path, **{name: value})
    with pytest.raises(ResumeError, match=rf"{SEGMENTER_FILES.state}: not the state .*{name}"):
        TrainingState.load(path)


def test_every_damaged_byte_is_an_error_in_words_or_no_damage(tmp_path):
    path = tmp_path / SEGMENTER_FILES.state
    some_state().save(path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        for value in (0x00, 0xFF, whole[place] ^ 0x08):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            with contextlib.suppress(ResumeError):
                TrainingState.load(path)


def test_trainings_of_all_kinds_can_share_a_folder():
    def names(files):
        return {files.model, files.state, files.history, files.curves, files.run}

    kinds = [SEGMENTER_FILES, *map(classifier_files, classifier_kinds())]
    assert len(set().union(*map(names, kinds))) == 5 * len(kinds)
    assert SEGMENTER_FILES.curves == "training_curves.png"
