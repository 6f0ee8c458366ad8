import time

import pytest
from support.analysed_images import SeeingRuntime, analyze_by_colour, write_smear_image

from blood_cell_system.cli.main import main
from blood_cell_system.pipeline import image as image_module
from blood_cell_system.pipeline import model_slots


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_slots, "load_runtime", lambda path, **_: SeeingRuntime())
    monkeypatch.setattr(model_slots, "bundled_classifier", lambda kind: None)
    monkeypatch.setattr(image_module, "analyze_image", analyze_by_colour)
    (tmp_path / "m.onnx").write_bytes(b"a model")
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.fixture
def between_looks(monkeypatch):
    """Steps that are taken one after the other where the command sleeps; then Ctrl-C."""
    steps = []
    really_sleep = time.sleep

    def sleep(seconds):
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()
        really_sleep(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    return steps


def watch(*words):
    return main(["watch", "in", "--model", "m.onnx", "-o", "out", "--every", "0.1", *words])


def test_images_are_analysed_as_they_come_until_ctrl_c(here, between_looks, capsys):
    between_looks += [lambda: write_smear_image(here / "in" / "a.png"), int, int]
    assert watch() == 130
    printed = capsys.readouterr()
    assert "All of it: out/index.html" in printed.out
    assert "done    in/a.png: 3 RBC, 1 WBC, 0 Platelet" in printed.out
    assert "the same command goes on" in printed.err
    assert (here / "out" / "a_report.json").is_file()
    assert not list((here / "out").glob(".*"))


def test_names_stay_in_one_line(here, between_looks, capsys):
    between_looks += [lambda: write_smear_image(here / "in" / "a\nb\x1b.png"), int, int]
    watch()
    assert "done    in/a\\nb\\x1b.png: 3 RBC" in capsys.readouterr().out


def test_looking_all_the_time_is_refused(capsys):
    assert watch("--every", "0") == 2
    assert "expected a number from 0.1 to 3,600" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_an_error(here, capsys):
    (here / "in").rmdir()
    assert watch() == 1
    assert "in: there is no such folder. Expected a folder" in capsys.readouterr().err


def test_results_among_the_images_are_refused_before_a_model_is_loaded(here, capsys):
    assert main(["watch", "in", "--model", "none.onnx", "-o", "in"]) == 1
    assert "this is the folder of the images" in capsys.readouterr().err
