from dataclasses import replace

import numpy as np
import pytest
from support.tiny_cells import TINY, small_cell_folder

from blood_cell_system.errors import DatasetError
from blood_cell_system.pipeline import leave_one_out
from blood_cell_system.pipeline.leave_one_out import left_out_sources

SETTINGS = replace(TINY, epochs=1, cells_per_epoch=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_cell_folder(tmp_path_factory.mktemp("cells") / "c", per_class=4)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("left_out")
    return target, left_out_sources(folder, SETTINGS, output_dir=target)


def test_each_source_is_answered_about_by_a_classifier_that_has_not_seen_it(folder, run):
    _, found = run
    assert [one.source for one in found] == ["one", "two"]
    for one in found:
        other = "two" if one.source == "one" else "one"
        assert one.metadata.data == other
        assert {record.source for record in one.records} == {one.source}
        assert len(one.outputs.condition) == len(one.records) == 12
        assert one.learned == {"healthy_RBC", "malaria_RBC"}


def test_a_run_that_was_done_is_not_trained_again(folder, run, monkeypatch):
    target, found = run

    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(leave_one_out, "train_classifier", fail)
    again = left_out_sources(folder, SETTINGS, output_dir=target)
    for first, second in zip(found, again, strict=True):
        assert first.records == second.records
        assert np.array_equal(first.outputs.condition, second.outputs.condition)
        assert first.metadata == second.metadata
    with pytest.raises(AssertionError, match="trained again"):
        left_out_sources(folder, replace(SETTINGS, seed=9), output_dir=target)


def test_damaged_answers_are_made_again(folder, run, monkeypatch):
    target, _ = run
    (target / "without_one" / "answers.npz").write_bytes(b"damaged")
    trained = []

    def stop(rest, *_, **__):
        trained.append(rest.sources)
        raise KeyboardInterrupt

    monkeypatch.setattr(leave_one_out, "train_classifier", stop)
    with pytest.raises(KeyboardInterrupt):
        left_out_sources(folder, SETTINGS, output_dir=target)
    assert trained == [("two",)]


def test_a_training_that_is_stopped_ends_the_run(folder, tmp_path, monkeypatch):
    class Stopped:
        metadata = None

    monkeypatch.setattr(leave_one_out, "train_classifier", lambda *_, **__: Stopped())
    assert left_out_sources(folder, SETTINGS, output_dir=tmp_path) is None


def test_a_source_of_another_name_is_refused(folder, tmp_path):
    with pytest.raises(DatasetError, match=r"holds the sources one, two, not three"):
        left_out_sources(folder, SETTINGS, output_dir=tmp_path, sources=["three"])


def test_a_folder_of_one_source_is_refused(tmp_path):
    folder = small_cell_folder(tmp_path / "c", per_class=4, sources=("one",))
    with pytest.raises(DatasetError, match="expected two or more, of which each is left out"):
        left_out_sources(folder, SETTINGS, output_dir=tmp_path / "out")


def test_a_source_without_which_one_class_is_left_is_refused(folder, tmp_path):
    records = tuple(
        record
        for record in folder.records
        if record.source == "one" or record.condition == "healthy_RBC"
    )
    with pytest.raises(DatasetError, match=r"without one there are cells of one class only"):
        left_out_sources(
            replace(folder, records=records), SETTINGS, output_dir=tmp_path, sources=["one"]
        )
