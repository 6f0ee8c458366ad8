import json

import numpy as np
import pytest
from support.corrected_cells import an_event
from support.corrected_results import corrections_of, write_results

from blood_cell_system.corrections.record import Action
from blood_cell_system.datasets.cell_folder import read_cells_csv
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.errors import CorrectionsError, DatasetError, MissingDataError, OutputError
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.corrected_folders import apply_corrections
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.report import NONE_OF_THESE
from blood_cell_system.taxonomy import NOT_SCORED, RBC, MaskClass

# Of the drawn cells: the white cell, and the red one that the border does not cut off.
SQUARE = [(60, 100), (80, 100), (80, 120), (60, 120)]


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path, "a", "b")


@pytest.fixture
def white(results):
    return _id(results, "WBC")


@pytest.fixture
def red(results):
    cells = results.report("a").cells
    return 1 + int(np.flatnonzero(cells.is_type(RBC) & ~cells["touches_border"])[0])


def _id(results, cell_type):
    return 1 + int(np.flatnonzero(results.report("a").cells.is_type(cell_type))[0])


def applied(results, *events):
    output = results.path.parent / "corrected"
    apply_corrections(results, corrections_of(results, *events), output, where="c.json")
    return output


def cells_of(output, cell_type):
    kind = ClassifierKind(cell_type)
    return read_cells_csv(output / f"cells_{kind}" / "cells.csv", kind)


def report_after(results, *events, name="a"):
    return ResultsFolder(applied(results, *events) / "results").report(name)


def as_malaria(cell):
    return an_event(Action.SET_CLASS, [cell], cell_type=RBC, condition="malaria_RBC")


def test_a_class_that_a_person_sets_is_in_the_report_with_certainty(results, red):
    cells = report_after(results, as_malaria(red)).cells
    assert cells["condition"][red - 1] == "malaria_RBC"
    assert cells["malaria_RBC_prob"][red - 1] == 1
    assert cells["healthy_RBC_prob"][red - 1] == 0
    assert cells["reason"][red - 1] is None


def test_what_nobody_touched_stays_as_it_was(results, red):
    before = results.report("a").cells
    after = report_after(results, as_malaria(red)).cells
    for name in ("cell_type", "whole_box", "area", "confidence", "is_counted", "touches_border"):
        others = np.arange(len(before)) != red - 1
        assert np.array_equal(before[name][others], after[name][others]), name


def test_an_image_without_corrections_keeps_its_files(results, red):
    output = applied(results, as_malaria(red))
    for ending in ("report.json", "mask.png", "instances.png", "summary.txt"):
        former = (results.path / f"b_{ending}").read_bytes()
        assert (output / "results" / f"b_{ending}").read_bytes() == former


def test_the_report_says_who_reviewed_it(results, red, white):
    confirm = an_event(Action.REVIEW_CELLS, [white], by="Eve")
    report = report_after(results, as_malaria(red), confirm)
    assert report.review.people == ("Ada", "Eve")
    assert (report.review.changed, report.review.confirmed) == (1, 1)
    assert not report.review.is_complete
    assert "Reviewed in part by Ada, Eve" in " ".join(report.text.split())
    assert results.report("a").review is None


def test_the_page_says_who_reviewed_it(results, red):
    page = (applied(results, as_malaria(red)) / "results" / "index.html").read_text()
    assert "Reviewed in part by Ada" in page


def test_counts_follow_what_was_deleted_and_drawn(results, red):
    before = results.report("a").counts
    draw = an_event(Action.DRAW, cell_type="Platelet", polygon=SQUARE)
    after = report_after(results, an_event(Action.DELETE, [red]), draw).counts
    assert after == before | {RBC: before[RBC] - 1, "Platelet": before["Platelet"] + 1}


def test_a_drawn_cell_is_measured(results):
    cells = report_after(results, an_event(Action.DRAW, cell_type=RBC, polygon=SQUARE)).cells
    assert cells["area"][-1] == 400
    assert cells["centroid"][-1].tolist() == [70, 110]
    assert not cells["touches_border"][-1]


def test_masks_follow_the_corrections(results, red):
    after = ResultsFolder(applied(results, an_event(Action.DELETE, [red])) / "results")
    assert (
        after.with_pixels("a", after.report("a")).label_image.max()
        == len(results.report("a").cells) - 1
    )


def test_a_cell_of_none_of_the_classes_is_reported_as_such(results, red):
    event = an_event(Action.SET_CLASS, [red], cell_type=RBC, condition=NONE_OF_THESE)
    report = report_after(results, event)
    assert not report.cells["is_known"][red - 1]
    assert report.to_json()["cells"][red - 1]["condition"] == NONE_OF_THESE


def test_corrected_results_can_be_corrected_again(results, red):
    again = ResultsFolder(
        applied(results, as_malaria(red)) / "results", [results.path.parent / "smears"]
    )
    event = an_event(Action.SET_CLASS, [red], cell_type=RBC, condition="healthy_RBC")
    output = results.path.parent / "twice"
    apply_corrections(again, corrections_of(again, event), output, where="c.json")
    after = ResultsFolder(output / "results").report("a").cells
    assert after["condition"][red - 1] == "healthy_RBC"


def test_a_field_reviewed_to_its_end_is_scored_as_a_whole(results):
    output = applied(results, an_event(Action.REVIEW_FIELD))
    [image] = PreparedDataset.open(output / "segmentation").images
    _, class_mask = image.read()
    assert NOT_SCORED not in class_mask
    assert set(np.unique(class_mask)) == {0, MaskClass.RBC, MaskClass.WBC}
    assert len(image.cells) == len(results.report("a").cells)


def test_of_another_field_only_what_a_person_acted_on_is_scored(results, red, white):
    output = applied(results, as_malaria(red), an_event(Action.DELETE, [white]))
    [image] = PreparedDataset.open(output / "segmentation").images
    _, class_mask = image.read()
    labels = results.with_pixels("a", results.report("a")).label_image
    assert (class_mask[labels == red] == MaskClass.RBC).all()
    assert (class_mask[labels == white] == MaskClass.BACKGROUND).all()
    assert (class_mask[(labels != red) & (labels != white)] == NOT_SCORED).all()
    assert [cell.cell_type for cell in image.cells] == [RBC]


def test_named_cells_are_in_the_cell_folders_with_condition_and_subtype(results, red, white):
    name_white = an_event(
        Action.SET_CLASS, [white], cell_type="WBC", condition="healthy_WBC", subtype="neutrophil"
    )
    output = applied(results, as_malaria(red), name_white)
    [cell] = cells_of(output, "RBC")
    assert (cell.condition, cell.cell_type, cell.field) == ("malaria_RBC", None, "a")
    [cell] = cells_of(output, "WBC")
    assert (cell.condition, cell.cell_type) == ("healthy_WBC", "neutrophil")


def test_deleted_cells_and_those_of_no_class_are_examples_of_no_cell(results, red, white):
    none = an_event(Action.SET_CLASS, [red], cell_type=RBC, condition=NONE_OF_THESE)
    output = applied(results, none, an_event(Action.DELETE, [white]))
    for kind in ("RBC", "WBC"):
        assert [record.is_outlier for record in cells_of(output, kind)] == [True]


def test_names_with_odd_letters_give_plain_files(tmp_path):
    odd = "<script>alert(1)<\"q\" 'q' two\nlines \u202eright"
    results = write_results(tmp_path, odd, odd.replace("'", "`"))
    events = [an_event(Action.REVIEW_FIELD, image=name) for name in results.names]
    output = applied(results, *events)
    stems = [image.stem for image in PreparedDataset.open(output / "segmentation").images]
    assert len(stems) == 2
    assert all(stem.replace("_", "").replace(".", "").isalnum() for stem in stems)
    assert ResultsFolder(output / "results").names == results.names


def test_the_same_folder_is_replaced_by_the_next_run(results, red):
    applied(results, as_malaria(red))
    output = applied(results, an_event(Action.DELETE, [red]))
    after = ResultsFolder(output / "results").report("a")
    assert len(after.cells) == len(results.report("a").cells) - 1


def test_a_folder_of_somebody_else_is_refused(results, red):
    (results.path.parent / "corrected").mkdir()
    (results.path.parent / "corrected" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        applied(results, as_malaria(red))


def test_nothing_is_written_where_an_image_is_missing(results, red):
    (results.path.parent / "smears" / "field.png").unlink()
    with pytest.raises(MissingDataError, match="Name its folder with --images"):
        applied(results, as_malaria(red))
    assert not (results.path.parent / "corrected").exists()
    assert not list(results.path.parent.glob(".*partial"))


def test_a_full_disk_leaves_the_former_folder_as_it_was(results, red, monkeypatch):
    output = applied(results, as_malaria(red))
    before = (output / "corrections.json").read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("blood_cell_system.pipeline.corrected_folders._replace", full)
    with pytest.raises(OutputError, match=r"cannot be written.*No space left"):
        applied(results, an_event(Action.DELETE, [red]))
    assert (output / "corrections.json").read_bytes() == before


def test_corrections_of_other_results_are_refused(results, red):
    corrections = corrections_of(results, as_malaria(red))
    images = corrections.header.images | {"a": "0" * 64}
    header = corrections.header.model_copy(update={"images": images})
    other = corrections.model_copy(update={"header": header})
    with pytest.raises(CorrectionsError, match=r"c\.json: the cells of 'a' are not those"):
        apply_corrections(results, other, results.path.parent / "corrected", where="c.json")


def test_an_empty_file_of_corrections_is_refused(results):
    with pytest.raises(DatasetError, match="there is no correction in it"):
        applied(results)


def test_what_was_applied_is_kept_beside_it(results, red):
    event = as_malaria(red)
    kept = json.loads((applied(results, event) / "corrections.json").read_text())
    assert [one["id"] for one in kept["events"]] == [event.id]
