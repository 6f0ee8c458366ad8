import pytest
from support.classifier_start import written_start
from support.tiny_cells import small_cell_folder

from blood_cell_system.cli.main import main
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.training import classifier_fine_tuning


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return written_start(tmp_path_factory.mktemp("start") / "a.keras")


def train(cells, start, target, *more):
    words = ["train-classifier", "rbc", "--data-dir", str(cells), "--init-from", str(start)]
    return main([*words, "-o", str(target), *more])


def test_a_classifier_is_fine_tuned_measured_and_written(tmp_path, start, monkeypatch, capsys):
    monkeypatch.setattr(classifier_fine_tuning, "EXAMPLES", 64)
    labels = ("healthy_RBC", "malaria_RBC")
    small_cell_folder(tmp_path / "cells", per_class=6, labels=labels)
    assert train(tmp_path / "cells", start, tmp_path / "models") == 0
    printed = capsys.readouterr().out
    assert "condition of 24 cells on 6 held-out slides: macro F1" in printed
    stem = ClassifierKind("RBC").file_stem
    written = {path.name for path in (tmp_path / "models").iterdir()}
    assert {f"{stem}.keras", f"{stem}.onnx", f"{stem}.json"} <= written


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--epochs", "3"), "expected no --epochs"),
        (("--preset", "fast"), "expected no --preset"),
        (("--resume-from", "b.keras"), "expected no --resume-from"),
    ],
)
def test_what_only_a_training_takes_is_refused(tmp_path, start, more, message, capsys):
    assert train(tmp_path / "cells", start, tmp_path / "models", *more) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_three_cells_are_refused_and_nothing_is_written(tmp_path, start, capsys):
    small_cell_folder(tmp_path / "c", per_class=1, labels=("healthy_RBC", "malaria_RBC"))
    assert train(tmp_path / "c", start, tmp_path / "models") == 1
    assert "expected 20 or more, and 5 or more of each new class" in capsys.readouterr().err
    assert not list((tmp_path / "models").glob("*.keras"))
