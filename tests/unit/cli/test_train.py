"""Which settings a training gets: the preset's, the user's, or those of the run it continues."""

from dataclasses import asdict, replace

import pytest

from blood_cell_system.cli.main import command_named, main
from blood_cell_system.cli.train import resolve_settings
from blood_cell_system.errors import ResumeError, SettingsError
from blood_cell_system.training import segmenter_training
from blood_cell_system.training.presets import PRESETS
from blood_cell_system.training.state import SEGMENTER_FILES, TrainingState


def options_of(*words):
    return command_named("train").make_context("train", list(words)).params


def state_of(settings):
    # As read from JSON: tuples have become lists.
    words = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
    return TrainingState(settings=words, data_hash="", validation_hash="", run_name="run")


def test_the_guides_command_gives_the_presets_settings_changed_by_it():
    options = options_of("--preset", "fast", "--epochs", "10", "--batch-size", "8")
    assert resolve_settings(options, None) == replace(PRESETS["fast"], batch_size=8)


def test_without_a_preset_it_is_the_balanced_one():
    assert resolve_settings(options_of(), None) == PRESETS["balanced"]


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (["--dropout", "0.2"], {"dropout": 0.2}),
        (["--seed", "3"], {"seed": 3}),
        (["--patience", "5"], {"patience": 5}),
        (["--no-instance-head"], {"has_instance_head": False}),
        (["--d-reduced", "0"], {"d_reduced": 0}),
        (["--crop-size", "192"], {"crop_size_px": 192}),
        (["--learning-rate", "0.001"], {"learning_rate": 0.001}),
        (["--precision", "bf16"], {"precision": "bf16"}),
    ],
)
def test_every_value_can_be_overridden(words, change):
    expected = replace(PRESETS["fast"], **change)
    assert resolve_settings(options_of("--preset", "fast", *words), None) == expected


def test_an_automatic_batch_size_is_one_that_fits(monkeypatch):
    monkeypatch.setattr(segmenter_training, "available_bytes", lambda: 1)
    options = options_of("--preset", "accurate", "--batch-size", "auto")
    assert resolve_settings(options, None).batch_size == 1


def test_a_batch_size_is_a_number_or_auto(capsys):
    assert main(["train", "--batch-size", "many"]) == 2
    assert "expected a number or 'auto'" in capsys.readouterr().err


def test_a_continued_run_keeps_its_settings_but_for_epochs_and_patience():
    was = replace(PRESETS["fast"], batch_size=2, seed=9)
    options = options_of("--resume-from", "x.keras", "--epochs", "40", "--patience", "3")
    assert resolve_settings(options, state_of(was)) == replace(was, epochs=40, patience=3)


def test_a_continued_run_keeps_its_batch_size_when_auto_is_asked_for():
    was = replace(PRESETS["fast"], batch_size=2)
    options = options_of("--resume-from", "x.keras", "--batch-size", "auto")
    assert resolve_settings(options, state_of(was)) == was


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--preset", "fast"], "preset = balanced, not fast"),
        (["--seed", "1"], "seed = 0, not 1"),
        (["--batch-size", "4"], "batch_size = 8, not 4"),
        (["--precision", "bf16"], "precision = f32, not bf16"),
    ],
)
def test_a_continued_run_cannot_become_another_one(words, found):
    options = options_of("--resume-from", "x.keras", *words)
    with pytest.raises(ResumeError, match=found):
        resolve_settings(options, state_of(PRESETS["balanced"]))


def test_values_without_sense_are_refused():
    with pytest.raises(SettingsError, match="--epochs 0"):
        resolve_settings(options_of("--epochs", "0"), None)


def test_an_unknown_preset_ends_with_one_clear_line(tmp_path, capsys):
    assert main(["train", "--data-dir", str(tmp_path), "--preset", "fastest"]) == 2
    assert (
        "preset 'fastest': there is none of that name; expected one of fast,"
        in capsys.readouterr().err
    )


def test_a_missing_data_folder_ends_with_one_clear_line(tmp_path, capsys):
    assert main(["train", "--data-dir", str(tmp_path / "nowhere")]) == 1
    assert "there is no such folder" in capsys.readouterr().err


def test_a_run_that_is_complete_says_so_and_changes_nothing(tmp_path, capsys):
    from support.smears import small_prepared_folder

    small_prepared_folder(tmp_path, count=3)
    model = tmp_path / "segmentation_model_best.keras"
    model.write_bytes(b"")
    state = state_of(PRESETS["fast"])
    state.epoch = 10
    state.save(tmp_path / SEGMENTER_FILES.state)
    before = (tmp_path / SEGMENTER_FILES.state).read_bytes()
    words = ["train", "--data-dir", str(tmp_path), "--resume-from", str(model)]
    assert main(words) == 0
    assert "complete: 10 of 10 epochs" in capsys.readouterr().out
    assert (tmp_path / SEGMENTER_FILES.state).read_bytes() == before


def test_a_trained_model_and_a_run_to_continue_cannot_both_be_the_beginning(tmp_path, capsys):
    (tmp_path / SEGMENTER_FILES.state).touch()
    state_of(PRESETS["fast"]).save(tmp_path / SEGMENTER_FILES.state)
    words = ["--init-from", "bundled", "--resume-from", str(tmp_path / SEGMENTER_FILES.state)]
    assert main(["train", *words]) == 1
    assert "--init-from and --resume-from: expected one of them" in capsys.readouterr().err


def test_a_model_to_begin_with_that_is_not_there_ends_with_one_clear_line(tmp_path, capsys):
    assert main(["train", "--init-from", str(tmp_path / "m.keras")]) == 1
    assert "there is no such model" in capsys.readouterr().err


def test_the_architecture_of_the_model_to_begin_with_cannot_change(tmp_path, capsys):
    from blood_cell_system.networks.reynolds_unet import ReynoldsUNetConfig, build_reynolds_unet

    path = tmp_path / "m.keras"
    build_reynolds_unet(ReynoldsUNetConfig(widths=(4, 8), d_reduced=4)).save(path)
    assert main(["train", "--init-from", str(path), "--d-reduced", "32"]) == 1
    assert "that model has d_reduced = 4, not 32" in capsys.readouterr().err


def test_without_a_model_to_begin_with_there_is_nothing_to_keep():
    with pytest.raises(SettingsError, match=r"--kept-share 0\.5: there is nothing to keep"):
        resolve_settings(options_of("--kept-share", "0.5"), None)


@pytest.mark.parametrize("words", [["train"], ["train-classifier", "rbc"]])
def test_a_gpu_that_is_not_there_ends_with_one_line_that_says_what_to_do(tmp_path, capsys, words):
    assert main([*words, "--data-dir", str(tmp_path), "--devices", "64"]) == 1
    error = capsys.readouterr().err
    assert "--devices 64: TensorFlow" in error
    assert "train-gpu" in error


def test_devices_are_a_number_or_a_word(capsys):
    assert main(["train", "--devices", "gpu"]) == 2
    assert "expected a number or 'auto' or 'cpu'" in capsys.readouterr().err
