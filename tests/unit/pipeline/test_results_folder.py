import json

import pytest
from support.analysed_images import analysis_of, report_of
from support.corrected_cells import an_event

from blood_cell_system.corrections.record import Action, Header
from blood_cell_system.corrections.replay import replay
from blood_cell_system.errors import DatasetError
from blood_cell_system.pipeline.results_folder import ResultsFolder
from blood_cell_system.reports.image_files import write_image_files


@pytest.fixture
def results(tmp_path):
    for name in ("a", "slide/b"):
        write_image_files(tmp_path, name, analysis_of(), report_of())
    return ResultsFolder(tmp_path)


def test_images_have_the_names_of_their_results(results):
    assert results.names == ("a", "slide/b")


def test_the_header_is_that_of_the_cells_in_memory(results):
    report = report_of()
    assert results.header == Header.of(
        dict.fromkeys(results.names, report.cells),
        software_version=results.header.software_version,
        models=report.provenance.models,
    )


def test_cells_that_were_read_back_are_corrected(results):
    report = results.report("a")
    cells = results.with_pixels("a", report)
    field = replay([an_event(Action.DELETE, [1])], cells)
    assert len(field.cells) == len(report.cells) - 1
    assert field.label_image.max() == len(report.cells) - 1


def test_slides_are_those_of_the_summary(results):
    rows = [
        {"name": "a", "path": "a.png", "slide": "S1", "patient": "P"},
        {"name": "slide/b", "path": "b.png", "slide": None},
    ]
    (results.path / "batch_summary.json").write_text(json.dumps({"images": rows}))
    assert {name: str(slide) for name, slide in results.slides.items()} == {
        "a": "slide S1 of patient P"
    }


def test_a_report_without_cells_has_no_header(results):
    (results.path / "a_report.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"a_report.json: not a report.*'cells' is missing"):
        _ = results.header
