import pytest
from support.classified_cells import classified_analysis, classified_report
from support.corrected_cells import an_event

from blood_cell_system.cli.main import main
from blood_cell_system.corrections.correction_log import (
    CorrectionsLog,
    log_of,
    write_corrections,
)
from blood_cell_system.corrections.record import Action, Corrections
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.image_files import write_image_files


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image_files(tmp_path / "results", "a", classified_analysis(), classified_report())
    header = ResultsFolder(tmp_path / "results").header
    event = an_event(Action.REVIEW_FIELD, by="Ada")
    write_corrections(tmp_path / "ada.json", Corrections(header=header, events=(event,)))
    log = CorrectionsLog(log_of(tmp_path / "results"), header)
    log.append([an_event(Action.DELETE, [1], by="Bob"), an_event(Action.REVIEW_FIELD, by="Bob")])
    log.close()
    return tmp_path


def test_a_file_and_the_log_of_results_are_compared(here, capsys):
    assert main(["agreement", "ada.json", "results"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Ada and Bob\ncell type: 5 cells, the same answer 0.80, kappa ")
    assert "They disagree on 1 cell\n" in printed
    assert (here / "results" / "agreement.html").is_file()


def test_a_person_is_compared_with_the_program(here, capsys):
    assert main(["agreement", "results", "--output-dir", "compared"]) == 0
    assert capsys.readouterr().out.startswith("Bob and the program\n")
    assert (here / "compared" / "agreement.json").is_file()


def test_results_must_be_named(here, capsys):
    assert main(["agreement", "ada.json"]) == 1
    assert (
        "--results: missing; corrections refer to the cells of results" in capsys.readouterr().err
    )
    assert main(["agreement", "ada.json", "--results", "results", "-o", "out"]) == 0


def test_results_without_corrections_are_an_error(here, capsys):
    log_of(here / "results").unlink()
    assert main(["agreement", "results"]) == 1
    assert "corrections.jsonl" in capsys.readouterr().err
