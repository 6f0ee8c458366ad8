import dataclasses

import pytest
from support.analysed_images import CELLS, DEFOCUSED, analysis_of, report_of
from support.classified_cells import classified_report
from support.drawn_cells import ellipse_box

from blood_cell_system.analysis.scale import ScaleSource
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.reports.findings import Rate
from blood_cell_system.taxonomy import RBC


def test_it_tells_counts_and_that_it_is_for_research_only():
    text = report_of().to_summary_text()
    assert text.startswith("Blood smear report: field.png\n")
    assert "Research use only; not a medical device." in text
    words = " ".join(text.split())
    assert "red cells 3 median diameter 40 px" in words
    assert "white cells 1 median diameter 60 px" in words
    assert "platelets 1 median" in words


def test_too_few_cells_are_told_with_the_number_that_is_needed():
    words = " ".join(report_of().to_summary_text().split())
    assert "too few cells to say (1 of 4; at least 100 are needed, about 24 more fields)" in words


def test_a_rate_of_cells_enough_has_its_interval():
    rate = Rate(name="r", label="white", count=10, total=200)
    text = report_of().model_copy(update={"rates": (rate,)}).to_summary_text()
    words = "white: 5 % (10 of 200; 95 %: 3 % to 9 %; count about 2 more fields for ± 2 %)"
    assert words in " ".join(text.split())


def test_findings_are_not_assessed_without_classifiers():
    text = report_of().to_summary_text()
    assert "red cells: not assessed (no classifier is loaded)" in text
    assert "white cells: not assessed (no classifier is loaded)" in text


def test_of_a_type_without_cells_no_zeros_are_listed():
    text = classified_report(analysis_of([CELLS[1]])).to_summary_text()
    assert "white cells: there are none to assess\n" in text
    assert "neutrophil" not in text


def test_warnings_stand_before_the_counts():
    text = report_of(analysis_of(findings=[DEFOCUSED])).to_summary_text()
    assert text.index("! Out of focus. Focus anew.") < text.index("Cells\n")


def test_every_model_is_named_however_many_there_are():
    report = report_of()
    names = {f"{name}_classifier.onnx": "0" * 64 for name in ("blast", "yeast", "parasite")}
    made_with = report.provenance.model_copy(update={"other_classifiers": names})
    text = report.model_copy(update={"provenance": made_with}).to_summary_text()
    assert all(name in text for name in names)


def test_what_the_networks_run_in_is_named_where_it_is_known():
    report = report_of()
    made_with = report.provenance.model_copy(update={"runs_in": "onnxruntime 1.2, cpu, f32"})
    text = report.model_copy(update={"provenance": made_with}).to_summary_text()
    assert "Runs in  onnxruntime 1.2, cpu, f32" in text
    assert "Runs in" not in report.to_summary_text()


def test_the_border_rule_is_told():
    text = report_of(rule=BorderRule.TWO_SIDES).to_summary_text()
    assert "2 cut off by the border, of which 1 is counted (border rule: two-sides)" in text
    inner = analysis_of([CELLS[0]])
    assert "cut off" not in report_of(inner).to_summary_text()


def test_ten_of_many_uncertain_cells_are_named():
    cells = [ellipse_box(RBC, 30 + 50 * (n % 5), 30 + 50 * (n // 5), 40) for n in range(15)]
    many = report_of(analysis_of(cells, shape=(192, 288)), threshold=1.0)
    assert len(many.uncertain_cells) == 15
    assert "15 of 15, cell" in many.to_summary_text()
    assert "and 5 more" in " ".join(many.to_summary_text().split())
    assert "no cell" in report_of(threshold=0.0).to_summary_text()


def test_sizes_in_micrometres_are_told_where_they_are_known():
    text = report_of(analysis_of(pixel_size_um=0.2)).to_summary_text()
    assert "median diameter 8.0 µm" in text
    assert "a pixel 0.2 µm" in text


def test_an_unknown_scale_is_told():
    analysis = analysis_of()
    unknown = dataclasses.replace(
        analysis.scale, source=ScaleSource.UNKNOWN, red_cell_diameter_px=None
    )
    text = report_of(dataclasses.replace(analysis, scale=unknown)).to_summary_text()
    assert "not known: taken as in the images of the training" in text


@pytest.mark.parametrize("name", ["a\nb.png", "\x1b[31m.png", "x\udcff.png"])
def test_names_stay_in_one_line_and_are_printable(name):
    first = report_of(name=name).to_summary_text().splitlines()[0]
    assert first.startswith("Blood smear report: ")
    assert first.endswith(".png")
    assert first.isprintable()


def test_lines_fit_into_88_places():
    long = report_of(threshold=1.0, further_warnings=["word " * 60])
    assert max(map(len, long.to_summary_text().splitlines())) <= 88
