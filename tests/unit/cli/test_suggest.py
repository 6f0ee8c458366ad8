import pytest
from support.classified_cells import classified_analysis, classified_report

from blood_cell_system.cli.main import main
from blood_cell_system.reports.image_files import write_image_files


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image_files(tmp_path / "out", "a", classified_analysis(), classified_report())
    return tmp_path / "out"


def test_cells_and_fields_are_named_and_where_the_list_is(results, capsys):
    assert main(["suggest", "out", "--count", "2"]) == 0
    printed = capsys.readouterr().out
    assert "2 cells to look at (1 WBC, 1 RBC) in 1 field; 0 were reviewed before" in printed
    assert "Field to review to its end: a, 5 cells" in printed
    assert "List: out/suggestions.json, .csv" in printed
    assert "No page to review: analyse again with --resume" in printed
    assert (results / "suggestions.csv").is_file()


def test_a_damaged_report_makes_the_exit_code_1_and_is_named(results, capsys):
    (results / "b_report.json").write_text("{", "utf-8")
    assert main(["suggest", "out", "--output-dir", "lists"]) == 1
    assert "failed  out/b_report.json" in capsys.readouterr().out
    assert (results.parent / "lists" / "suggestions.json").is_file()


def test_a_folder_without_results_is_an_error(results, capsys):
    assert main(["suggest", "nowhere"]) == 1
    assert "nowhere: no *_report.json in this folder" in capsys.readouterr().err


def test_no_cells_at_all_are_not_asked_for(results, capsys):
    assert main(["suggest", "out", "--count", "0"]) == 2
    assert "expected a whole number from 1 to 10,000" in capsys.readouterr().err
