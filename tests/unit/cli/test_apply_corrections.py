import numpy as np
import pytest
from support.corrected_cells import an_event
from support.corrected_results import corrections_of, write_results

from blood_cell_system.cli.main import main
from blood_cell_system.corrections.correction_log import (
    CorrectionsLog,
    log_of,
    write_corrections,
)
from blood_cell_system.corrections.record import Action


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path, "a")


def apply(results, *more):
    output = results.path.parent / "corrected"
    images = results.path.parent / "smears"
    words = ["apply-corrections", str(results.path), "-o", str(output), "--images", str(images)]
    return main([*words, *more])


def test_what_the_server_has_saved_is_applied(results, capsys):
    log = CorrectionsLog(log_of(results.path), results.header)
    log.append([an_event(Action.REVIEW_FIELD)])
    log.close()
    assert apply(results) == 0
    assert "1 field, 1 of them reviewed to their end" in capsys.readouterr().out


def test_what_the_page_has_exported_is_applied(results, tmp_path, capsys):
    path = tmp_path / "c.json"
    write_corrections(path, corrections_of(results, an_event(Action.DELETE, [1], by="Eve")))
    assert apply(results, "--corrections", str(path)) == 0
    assert "reviewed by Eve" in capsys.readouterr().out


def test_results_without_corrections_are_reported(results, capsys):
    assert apply(results) == 1
    assert "corrections.jsonl: there is no such file; expected corrections" in (
        capsys.readouterr().err
    )


def test_corrections_that_changed_nothing_are_counted(results, tmp_path, capsys):
    path = tmp_path / "c.json"
    events = [an_event(Action.DELETE, [1]), an_event(Action.REVIEW_CELLS, [1])]
    write_corrections(path, corrections_of(results, *events))
    assert apply(results, "--corrections", str(path)) == 0
    assert "1 corrections changed nothing" in capsys.readouterr().out


def test_too_few_cells_to_train_on_are_reported_and_the_rest_is_written(results, tmp_path, capsys):
    path = tmp_path / "c.json"
    cells = results.report("a").cells
    white = 1 + int(np.flatnonzero(cells.is_type("WBC"))[0])
    event = an_event(Action.SET_CLASS, [white], cell_type="WBC", condition="healthy_WBC")
    write_corrections(path, corrections_of(results, event))
    assert apply(results, "--corrections", str(path), "--train") == 1
    assert "wbc: no classifier was trained." in capsys.readouterr().out
    assert (results.path.parent / "corrected" / "segmentation" / "manifest.json").is_file()
