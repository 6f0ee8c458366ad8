"""Which settings a classifier's training gets, and what the commands say."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.resources import files

import pytest
from support.tiny_cells import small_cell_folder

from blood_cell_system.cli.main import command_named, main
from blood_cell_system.cli.train import resolve_classifier_settings as resolve_settings
from blood_cell_system.errors import ResumeError, SettingsError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.training.presets import CLASSIFIER_PRESETS
from blood_cell_system.training.state import TrainingState


def options_of(*words):
    return command_named("train-classifier").make_context("train", ["rbc", *words]).params


def state_of(settings):
    # As read from JSON: tuples have become lists.
    words = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
    return TrainingState(settings=words, data_hash="", validation_hash="", run_name="run")


def test_without_a_preset_it_is_the_balanced_one():
    assert resolve_settings(options_of(), None) == CLASSIFIER_PRESETS["balanced"]


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (["--epochs", "3"], {"epochs": 3}),
        (["--batch-size", "16"], {"batch_size": 16}),
        (["--cells-per-epoch", "640"], {"cells_per_epoch": 640}),
        (["--d-reduced", "0"], {"d_reduced": 0}),
        (["--domain-adaptation"], {"has_domain_adaptation": True}),
        (["--no-stain-augmentation"], {"has_stain_augmentation": False}),
        (["--dropout", "0.1"], {"dropout": 0.1}),
        (["--label-smoothing", "0"], {"label_smoothing": 0.0}),
        (["--learning-rate", "0.01"], {"learning_rate": 0.01}),
        (["--weight-decay", "0"], {"weight_decay": 0.0}),
        (["--patience", "4"], {"patience": 4}),
        (["--seed", "3"], {"seed": 3}),
    ],
)
def test_every_value_can_be_overridden(words, change):
    expected = replace(CLASSIFIER_PRESETS["fast"], **change)
    assert resolve_settings(options_of("--preset", "fast", *words), None) == expected


def test_a_continued_run_keeps_its_settings_but_may_go_on_longer():
    was = replace(CLASSIFIER_PRESETS["accurate"], seed=5)
    options = options_of("--resume-from", "x.keras", "--epochs", "99")
    assert resolve_settings(options, state_of(was)) == replace(was, epochs=99)


def test_a_continued_run_cannot_become_another():
    options = options_of("--resume-from", "x.keras", "--domain-adaptation")
    with pytest.raises(ResumeError, match="has_domain_adaptation = False, not True"):
        resolve_settings(options, state_of(CLASSIFIER_PRESETS["fast"]))


def test_a_value_that_makes_no_sense_is_an_error():
    with pytest.raises(SettingsError, match="--epochs 0"):
        resolve_settings(options_of("--epochs", "0"), None)


def test_a_number_that_makes_no_sense_is_a_usage_error(tmp_path, capsys):
    small_cell_folder(tmp_path / "cells", per_class=4)
    words = ["train-classifier", "rbc", "--data-dir", str(tmp_path / "cells"), "--epochs", "0"]
    assert main(words) == 2
    assert "--epochs 0" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--output-dir", "--log-dir"])
def test_outputs_within_the_cells_are_refused(tmp_path, capsys, option):
    cells = tmp_path / "cells"
    small_cell_folder(cells, per_class=4)
    words = ["train-classifier", "rbc", "--data-dir", str(cells), option, str(cells / "out")]
    assert main(words) == 1
    assert f"Choose another {option}." in capsys.readouterr().err
    assert not (cells / "out").exists()


def test_an_evaluation_within_the_cells_is_refused(tmp_path, capsys):
    cells = tmp_path / "cells"
    small_cell_folder(cells, per_class=4)
    words = ["evaluate-classifier", "--kind", "rbc", "--data-dir", str(cells)]
    assert main([*words, "-o", str(cells / "out")]) == 1
    assert "Choose another --output-dir." in capsys.readouterr().err


def test_an_evaluation_into_a_folder_of_another_run_is_refused(tmp_path, capsys):
    small_cell_folder(tmp_path / "cells", per_class=8)
    words = [
        "--data-dir",
        str(tmp_path / "cells"),
        "--model",
        str(files("blood_cell_system") / "weights" / "rbc_classifier.onnx"),
    ]
    words = ["evaluate-classifier", "--kind", "rbc", *words, "-o", str(tmp_path / "out")]
    with locked_folder(tmp_path / "out", command="other"), ThreadPoolExecutor(1) as other:
        assert other.submit(main, words).result() == 1
    assert "another run is writing into this folder (other, process" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_a_network_is_chosen_by_name():
    assert resolve_settings(options_of("--architecture", "mine"), None).architecture == "mine"


def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path, capsys):
    assert main(["train-classifier", "rbc", "--data-dir", str(tmp_path / "no")]) == 1
    assert "there is no such folder" in capsys.readouterr().err


def test_a_model_that_cannot_be_continued_is_told_in_one_line(tmp_path, capsys):
    words = ["train-classifier", "wbc", "--resume-from", str(tmp_path / "wbc_classifier.keras")]
    assert main(words) == 1
    assert "wbc_classifier_training_state.npz" in capsys.readouterr().err


def test_measuring_a_model_that_is_not_there_is_told_in_one_line(tmp_path, capsys):
    small_cell_folder(tmp_path / "cells", per_class=4)
    words = ["--data-dir", str(tmp_path / "cells"), "--model", str(tmp_path / "no.onnx")]
    assert main(["evaluate-classifier", "--kind", "rbc", *words]) == 1
    assert "no.onnx" in capsys.readouterr().err


def test_sources_for_commercial_use_that_the_folder_has_not_are_told_in_one_line(tmp_path, capsys):
    small_cell_folder(tmp_path / "cells")
    words = ["train-classifier", "rbc", "--data-dir", str(tmp_path / "cells")]
    assert main([*words, "--sources", "permissive", "-o", str(tmp_path / "m")]) == 1
    error = capsys.readouterr().err
    assert "--sources permissive: the folder has cells of one, two; expected one of bccd" in error


def test_a_training_on_permissive_sources_leaves_the_others_out(tmp_path, capsys, monkeypatch):
    root = small_cell_folder(tmp_path / "cells").root
    table = (root / "cells.csv").read_text("utf-8")
    (root / "cells.csv").write_text(table.replace(",one,", ",bccd,"), "utf-8")
    seen = []

    def stop(folder, *_, **__):
        seen.append(folder.sources)
        raise SettingsError("far enough")

    monkeypatch.setattr(
        "blood_cell_system.pipeline.classifier_training.train_classifier_files", stop
    )
    words = ["train-classifier", "rbc", "--data-dir", str(root), "-o", str(tmp_path / "m")]
    assert main([*words, "--sources", "permissive"]) == 1
    assert main([*words, "--sources", "two, bccd"]) == 1
    assert seen == [("bccd",), ("bccd", "two")]


def test_a_fine_tuning_takes_all_sources_of_its_folder(tmp_path, capsys):
    small_cell_folder(tmp_path / "cells")
    words = ["train-classifier", "rbc", "--data-dir", str(tmp_path / "cells"), "--sources", "one"]
    assert main([*words, "--init-from", "bundled"]) == 1
    assert "expected no --sources" in capsys.readouterr().err
