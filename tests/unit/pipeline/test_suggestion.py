import csv
import json

import pytest
from support.analysed_images import report_of
from support.classified_cells import classified_analysis, classified_report
from support.corrected_cells import an_event

from blood_cell_system.corrections.correction_log import (
    CorrectionsLog,
    log_of,
    write_corrections,
)
from blood_cell_system.corrections.record import Action, Corrections
from blood_cell_system.errors import (
    CorrectionsError,
    DatasetError,
    MissingDataError,
    OutputError,
    SettingsError,
)
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.pipeline.suggestion import Suggestions, suggest, write_suggestions
from blood_cell_system.reports.image_files import write_image_files


@pytest.fixture
def results(tmp_path):
    for name in ("a", "slide/b"):
        write_image_files(tmp_path, name, classified_analysis(), classified_report())
    return ResultsFolder(tmp_path)


def ids(suggestions):
    return {(cell.image, cell.cell_id) for cell in suggestions.cells}


def write_page(results, name="review.html", fields=("a", "slide/b")):
    data = json.dumps({"key": "0123456789abcdef99", "fields": [{"name": one} for one in fields]})
    html = f'<script type="application/json" id="results">{data}</script>'
    (results.path / name).write_text(html, "utf-8")


def test_cells_that_were_classified_are_suggested_by_image_and_id(results):
    found = suggest(results, count=50)
    cells = results.report("a").cells
    whole = [i + 1 for i in range(len(cells)) if cells["reason"][i] is None]
    whole = [i for i in whole if cells["cell_type"][i - 1] != "Platelet"]
    assert ids(found) == {(name, i) for name in results.names for i in whole}
    assert {cell.cell_type for cell in found.cells} == {"RBC", "WBC"}
    assert found.reviewed == 0


def test_a_type_can_be_chosen(results):
    found = suggest(results, count=50, cell_types=["WBC"])
    assert {cell.cell_type for cell in found.cells} == {"WBC"}


def test_fields_are_suggested_with_what_is_open_in_them(results):
    [first, second] = suggest(results, count=1).fields
    assert {first.image, second.image} == set(results.names)
    assert first.cells == len(results.report("a").cells)


def test_what_the_log_says_was_reviewed_is_not_suggested(results):
    before = ids(suggest(results, count=50))
    image, seen = sorted(before)[0]
    log = CorrectionsLog(log_of(results.path), results.header)
    log.append([an_event(Action.REVIEW_CELLS, [seen], image=image)])
    log.append([an_event(Action.REVIEW_FIELD, image="slide/b")])
    log.close()
    found = suggest(results, count=50)
    assert ids(found) == {one for one in before if one[0] == "a"} - {(image, seen)}
    assert found.reviewed == 1 + len(results.report("a").cells)
    assert [field.image for field in found.fields] == ["a"]


def test_what_other_files_say_was_reviewed_is_not_suggested(results, tmp_path):
    deleted = an_event(Action.DELETE, [1], image="a")
    file = tmp_path / "mine.json"
    write_corrections(file, Corrections(header=results.header, events=(deleted,)))
    assert ("a", 1) not in ids(suggest(results, count=50, corrections=[file]))


def test_results_that_are_reviewed_to_the_end_give_nothing(results):
    log = CorrectionsLog(log_of(results.path), results.header)
    log.append([an_event(Action.REVIEW_FIELD, image=name) for name in results.names])
    log.close()
    assert suggest(results, count=5).cells == ()


def test_corrections_of_other_results_are_refused(results, tmp_path):
    other = results.header.model_copy(update={"images": {"a": "0" * 64}})
    file = tmp_path / "other.json"
    events = (an_event(Action.REVIEW_FIELD, image="a"),)
    write_corrections(file, Corrections(header=other, events=events))
    with pytest.raises(CorrectionsError, match="not those that were corrected"):
        suggest(results, count=5, corrections=[file])


def test_files_are_a_list_a_table_and_a_page(results):
    write_page(results)
    found = suggest(results, count=3)
    [link] = write_suggestions(found, results, results.path)
    written = json.loads((results.path / "suggestions.json").read_text("utf-8"))
    assert Suggestions.model_validate(written).to_json() == found.to_json()
    with (results.path / "suggestions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], int(row["cell_id"])) for row in rows] == [
        (cell.image, cell.cell_id) for cell in found.cells
    ]
    assert link.fragment.startswith("#suggested=0123456789abcdef/")
    assert link.cells == 3
    page = (results.path / "suggestions.html").read_text("utf-8")
    assert f'content="0; url=review.html{link.fragment}"' in page


def test_each_page_to_review_has_its_link_and_none_is_opened_by_itself(results):
    write_page(results, "review.html", ["a"])
    write_page(results, "review_2.html", ["slide/b"])
    links = write_suggestions(suggest(results, count=50), results, results.path)
    assert [link.page.name for link in links] == ["review.html", "review_2.html"]
    page = (results.path / "suggestions.html").read_text("utf-8")
    assert "refresh" not in page
    assert page.count("#suggested=") == 2


@pytest.mark.parametrize("text", ["", "<p>mine</p>", 'id="results">{</script>'])
def test_a_page_that_is_none_to_review_is_passed_over(results, text):
    (results.path / "review.html").write_text(text, "utf-8")
    assert write_suggestions(suggest(results, count=3), results, results.path) == ()


def test_names_of_images_cannot_become_a_part_of_the_page(tmp_path):
    name = 'x"><script>alert(1)<'
    write_image_files(tmp_path, name.replace("/", ""), classified_analysis(), classified_report())
    results = ResultsFolder(tmp_path)
    write_page(results, fields=[name])
    write_suggestions(suggest(results, count=3), results, tmp_path)
    assert "<script>" not in (tmp_path / "suggestions.html").read_text("utf-8")


def test_another_folder_may_hold_the_files(results, tmp_path):
    write_page(results)
    write_suggestions(suggest(results, count=3), results, tmp_path / "lists")
    assert "url=../review.html#" in (tmp_path / "lists" / "suggestions.html").read_text("utf-8")


def test_a_damaged_report_does_not_stop_the_others(results):
    (results.path / "a_report.json").write_text("{", "utf-8")
    found = suggest(results, count=50)
    assert {cell.image for cell in found.cells} == {"slide/b"}
    assert "a_report.json" in found.failed[0]


def test_results_without_a_readable_report_are_refused(results):
    for name in results.names:
        results.report_path(name).write_text("{", "utf-8")
    with pytest.raises(DatasetError, match=r"no report can be read.*report\.json"):
        suggest(results, count=5)


def test_results_without_classes_are_refused(tmp_path):
    write_image_files(tmp_path, "a", classified_analysis(), report_of())
    with pytest.raises(DatasetError, match="no cell was classified in these results"):
        suggest(ResultsFolder(tmp_path), count=5)


def test_an_unknown_type_is_refused(results):
    with pytest.raises(SettingsError, match="--cell-type rbc: no type of these results; expected"):
        suggest(results, count=5, cell_types=["rbc"])


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match="expected the folder that bloodcells analyze"):
        ResultsFolder(tmp_path)


def test_a_place_that_cannot_be_written_to_is_refused(results, tmp_path):
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(OutputError):
        write_suggestions(suggest(results, count=3), results, tmp_path / "file")
