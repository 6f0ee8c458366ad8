import json

import pytest
from support.analysed_images import SeeingRuntime, analyze_by_colour, write_smear_image
from support.drawn_cells import ellipse_box

from blood_cell_system.cli.main import main
from blood_cell_system.pipeline import image as image_module
from blood_cell_system.pipeline import model_slots
from blood_cell_system.taxonomy import RBC


@pytest.fixture(autouse=True)
def _by_colour(tmp_path, monkeypatch):
    monkeypatch.setattr(model_slots, "load_runtime", lambda path, **_: SeeingRuntime())
    monkeypatch.setattr(model_slots, "bundled_classifier", lambda kind: None)
    monkeypatch.setattr(image_module, "analyze_image", analyze_by_colour)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"a model")


def run(tmp_path, day, diameter=40, *words):
    """Measure two cells of a diameter, at a place of the day."""
    cells = [ellipse_box(RBC, x, 60 + day, diameter) for x in (50, 140)]
    write_smear_image(tmp_path / f"day{day}" / "a.png", cells)
    date = f"2026-11-{day:02d}"
    fixed = ["--reference", "control", "--model", "m.onnx", "--date", date]
    return main(["control", f"day{day}", *fixed, *words])


def baseline(tmp_path):
    assert run(tmp_path, 1, 40, "--baseline-runs", "5") == 0
    for day in range(2, 6):
        assert run(tmp_path, day) == 0


def test_the_baseline_is_gathered_run_by_run(tmp_path, capsys):
    assert run(tmp_path, 1, 40, "--baseline-runs", "5") == 0
    assert "The baseline lacks 4 more runs" in capsys.readouterr().out
    value = json.loads((tmp_path / "control" / "control.json").read_text("utf-8"))
    assert value["baseline_runs"] == 5
    assert value["runs"][0]["date"] == "2026-11-01T00:00"
    assert (tmp_path / "control" / "control.html").is_file()


def test_the_exit_code_says_whether_the_run_is_in_control(tmp_path, capsys):
    baseline(tmp_path)
    assert run(tmp_path, 6) == 0
    assert "In control." in capsys.readouterr().out
    assert run(tmp_path, 7, 30) == 1
    printed = capsys.readouterr().out
    assert "Out of control: median diameter of red cells (1-3s)" in printed
    assert "SD) 1-2s 1-3s" in printed


def test_the_same_images_again_are_an_error_and_change_nothing(tmp_path, capsys):
    run(tmp_path, 1)
    before = (tmp_path / "control" / "control.json").read_bytes()
    assert run(tmp_path, 1) == 1
    assert "error: control/control.json: the run of 2026-11-01T00:00" in capsys.readouterr().err
    assert (tmp_path / "control" / "control.json").read_bytes() == before


def test_an_image_that_cannot_be_read_ends_the_run(tmp_path, capsys):
    (tmp_path / "day1").mkdir()
    (tmp_path / "day1" / "b.png").write_bytes(b"no image")
    assert run(tmp_path, 1) == 1
    assert "day1/b.png" in capsys.readouterr().err
    assert not (tmp_path / "control" / "control.json").exists()


def test_a_folder_without_images_is_an_error(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["control", "empty", "--reference", "control", "--model", "m.onnx"]) == 1
    assert "there is no image in it" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--date", "yesterday"], ["--baseline-runs", "2"]])
def test_impossible_options_are_usage_errors(words, capsys):
    assert main(["control", "x", "--reference", "control", *words]) == 2
    assert "expected" in capsys.readouterr().err
