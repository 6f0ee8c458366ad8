import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from blood_cell_system.cli import training_progress
from blood_cell_system.cli.training_progress import ClassifierProgress
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.training.classifier import Calibration, TrainedClassifier
from blood_cell_system.training.domains import ProbeResult
from blood_cell_system.training.presets import CLASSIFIER_PRESETS

ROW = {
    "epoch": 1,
    "train_loss": 0.5,
    "val_loss": 0.25,
    "val_score": 0.9,
    "val_condition_balanced_accuracy": 0.8,
    "val_condition_auroc": 0.99,
    "val_type_macro_f1": float("nan"),
    "val_known_auroc": 0.7,
}
TRAINED = TrainedClassifier(
    model_path=Path("out/rbc_classifier_best.keras"),
    is_complete=True,
    model="a model",
    metadata=None,
    calibration=Calibration(
        temperatures={"condition": 1.5},
        errors_before={"condition": 0.1},
        errors_after={"condition": 0.02},
        condition_thresholds={},
    ),
    probe=ProbeResult(accuracy=0.75, chance=0.5),
    best_score=0.9,
    best_epoch=1,
    epochs=2,
    seconds=83.0,
    warnings=("look at this",),
    history=(ROW,),
)


@pytest.fixture
def progress():
    return ClassifierProgress(replace(CLASSIFIER_PRESETS["fast"], has_domain_adaptation=True))


def test_an_epoch_is_a_line_with_figures_and_time_left(progress, capsys):
    with progress:
        progress.begin_epoch(epoch=1, epochs=8, steps=30)
        progress.end_epoch(ROW, is_best=True, seconds_left=83.0)
    out = capsys.readouterr().out
    assert "8 epochs of 1,920 cells" in out
    assert "domain adaptation" in out
    assert "score 0.9000 (condition 0.800, AUROC 0.990, known AUROC 0.700) best" in out
    assert "left 1 min 23 s" in out


def test_an_epoch_says_how_many_cells_it_learned_from_a_second(progress, capsys, monkeypatch):
    times = iter([100.0, 101.0, 104.0, 109.0])
    clock = SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr(training_progress, "time", clock)
    progress.begin_epoch(epoch=1, epochs=8, steps=2)
    progress.end_step()
    progress.end_step()
    progress.end_epoch(ROW, is_best=True, seconds_left=83.0)
    batch = CLASSIFIER_PRESETS["fast"].batch_size
    assert f"9.0 s, {2 * batch / 4:.1f} cells/s, left" in capsys.readouterr().out


def test_the_result_says_what_came_of_it_and_where_it_lies(progress, capsys):
    progress.report_result(TRAINED, Path("out"), Path("logs"), kind=ClassifierKind("RBC"))
    out = capsys.readouterr().out
    assert "0.100 before, 0.020 after dividing by the temperature 1.50" in out
    assert "in 75% of cases; chance is 50%" in out
    assert "warning: look at this" in out
    assert "out/rbc_classifier.onnx" in out


def test_a_stopped_training_says_how_to_go_on(progress, capsys):
    path = Path("out/wbc_classifier_best.keras")
    unfinished = {"is_complete": False, "model": None, "calibration": None, "probe": None}
    stopped = replace(TRAINED, model_path=path, **unfinished)
    progress.report_result(stopped, Path("out"), Path("logs"), kind=ClassifierKind("WBC"))
    out = capsys.readouterr().out
    assert "--resume-from out/wbc_classifier_best.keras" in out
    assert "wbc_classifier.onnx" not in out


def test_one_epoch_is_one_epoch(capsys):
    with ClassifierProgress(replace(CLASSIFIER_PRESETS["fast"], epochs=1)):
        assert ": 1 epoch of 1,920 cells" in capsys.readouterr().out


def test_quiet_leaves_the_result_and_the_warnings(capsys, caplog):
    with caplog.at_level(logging.WARNING, "blood_cell_system"):
        progress = ClassifierProgress(CLASSIFIER_PRESETS["fast"])
        with progress:
            progress.begin_epoch(epoch=1, epochs=8, steps=30)
            progress.end_epoch(ROW, is_best=True, seconds_left=83.0)
        assert capsys.readouterr().out == ""
        progress.report_result(TRAINED, Path("out"), Path("logs"), kind=ClassifierKind("RBC"))
    assert "warning: look at this" in capsys.readouterr().out
