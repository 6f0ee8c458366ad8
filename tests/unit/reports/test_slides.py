"""Slides and patients: fields are summed within them, never across."""

import dataclasses
import hashlib
import json

import pandas as pd
import pytest
from support.analysed_images import CELLS, analysis_of, report_of
from support.classified_cells import classified_report

from blood_cell_system.cells.table import Cells
from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome, Slide
from blood_cell_system.reports.figure_settings import EnteredCounts, FiguresSettings
from blood_cell_system.reports.lab_figures import Evidence, lab_figures
from blood_cell_system.reports.page.render import render_page
from blood_cell_system.reports.report import DiagnosticReport
from blood_cell_system.reports.slides import (
    SlideReport,
    report_patients,
    report_slides,
    sums_of,
    with_file_names,
)
from blood_cell_system.reports.text import slide_text
from blood_cell_system.taxonomy import BUILT_IN, RBC

PATIENT_1 = Slide(name="S1", patient="P1")
PATIENT_2 = Slide(name="S3", patient="P2")


def read_back(report, words):
    """The report of another file for other words."""
    digest = hashlib.sha256(words.encode()).hexdigest()
    provenance = report.provenance.model_copy(update={"data_sha256": digest})
    return DiagnosticReport.from_json(
        report.model_copy(update={"provenance": provenance}).to_json()
    )


def field(name, slide=PATIENT_1, report=None, digest=None):
    report = classified_report() if report is None else report
    return ImageOutcome(path="", name=name, slide=slide, report=read_back(report, digest or name))


def only(*fields):
    (report,) = report_slides(fields, FiguresSettings())
    return report


def test_fields_are_summed_within_a_slide_and_slides_within_a_patient():
    fields = [
        field("a"),
        field("b"),
        field("c", Slide(name="S2", patient="P1")),
        field("d", PATIENT_2),
        field("e", Slide(name="S4")),
    ]
    slides = report_slides(fields, FiguresSettings())
    assert [(one.slide, one.patient, one.images) for one in slides] == [
        ("S1", "P1", ("a", "b")),
        ("S2", "P1", ("c",)),
        ("S3", "P2", ("d",)),
        ("S4", None, ("e",)),
    ]
    assert [one.counts[RBC] for one in slides] == [6, 3, 3, 3]
    patients = report_patients(fields, FiguresSettings())
    assert [(one.patient, one.slides, one.counts[RBC]) for one in patients] == [
        ("P1", ("S1", "S2"), 9),
        ("P2", ("S3",), 3),
    ]


def test_the_sums_of_a_slide_are_a_function_of_its_table():
    reports = {"a": classified_report(), "b": classified_report(red={"condition": "malaria_RBC"})}
    report = only(field("a", report=reports["a"]), field("b", report=reports["b"]))
    sums = sums_of(Cells.joined({name: one.cells for name, one in reports.items()}))
    assert (report.counts, report.findings, report.rates) == (
        sums.counts,
        sums.findings,
        sums.rates,
    )
    assert report.findings[RBC].counts == {"healthy_RBC": 1, "malaria_RBC": 1, "sickle_RBC": 0}


def test_the_interval_of_a_slide_knows_that_cells_of_one_field_are_alike():
    sick, healthy = classified_report(red={"condition": "malaria_RBC"}), classified_report()
    fields = [field(f"{i}", report=sick if i < 4 else healthy) for i in range(8)]
    rate = next(r for r in only(*fields).findings[RBC].rates if r.name == "malaria_RBC")
    assert (rate.count, rate.total) == (4, 8)
    assert rate.independent_total < 8
    alike = only(*(field(f"{i}", report=healthy) for i in range(8)))
    assert next(r for r in alike.findings[RBC].rates).independent_total == 8


def test_a_slide_of_one_field_says_that_its_intervals_are_too_narrow():
    assert only(field("a")).warnings == (
        "One field alone: intervals cannot know how fields of this slide differ, and are too "
        "narrow. Take more fields.",
    )


def test_a_slide_without_red_cells_says_so_and_gives_no_share():
    fields = [field(n, report=report_of(analysis_of(CELLS[:1]))) for n in ("1", "2")]
    report = only(*fields)
    assert report.counts == {"RBC": 0, "WBC": 1 + 1, "Platelet": 0}
    assert "No red cell was found" in report.warnings[0]
    assert all(rate.share is None for rate in report.rates)
    assert report.types[RBC].median_diameter_px is None


def test_a_slide_without_any_cell_has_a_report():
    report = only(field("a", report=report_of(analysis_of([]))), field("b"))
    assert report.images == ("a", "b")
    assert report.counts[RBC] == 3


@pytest.mark.parametrize("second", [0.2, None])
def test_two_pixel_sizes_in_a_slide_are_warned_of(second):
    fields = [
        field("a", report=report_of(analysis_of(pixel_size_um=0.1))),
        field("b", report=report_of(analysis_of(pixel_size_um=second))),
    ]
    (warning,) = only(*fields).warnings
    shown = "none" if second is None else "0.2 µm"
    assert f"different pixel sizes: 0.1 µm in 1 (a), {shown} in 1 (b). If one" in warning
    assert (only(*fields).types[RBC].median_diameter_um is None) == (second is None)


def test_failed_and_unlike_images_are_named_and_not_summed():
    analysis = analysis_of()
    quality = dataclasses.replace(analysis.quality, is_smear=False)
    unlike = report_of(dataclasses.replace(analysis, quality=quality))
    report = only(
        field("a"),
        field("b"),
        field("sky", report=unlike),
        ImageOutcome(path="", name="broken", slide=PATIENT_1),
    )
    assert (report.images, report.left_out, report.failed) == (("a", "b"), ("sky",), ("broken",))
    assert report.counts[RBC] == 6
    assert report.warnings[0].startswith("Image broken could not be analysed and is missing")
    assert report.warnings[1].startswith("Image sky is unlike a blood smear")


def test_a_slide_of_failed_images_alone_has_a_report():
    report = only(ImageOutcome(path="", name="broken", slide=PATIENT_1))
    assert (report.counts, report.images) == ({}, ())
    assert "No field could be summed up" in report.warnings[0]


def test_the_same_file_twice_is_warned_of():
    report = only(field("a", digest="one"), field("b", digest="one"))
    assert report.warnings == ("Images a, b show the same field, which is counted 2 times.",)


def test_a_report_can_be_read_back():
    report = only(field("a"), field("b"))
    value = json.loads(json.dumps(report.to_json()))
    assert SlideReport.model_validate(value).to_json() == report.to_json()


def test_names_of_files_are_safe_and_differ():
    names = ["P1/S1", "P1:S1", "p1_s1", "..", "Ä ö" * 60]
    fields = [field(name, Slide(name=name)) for name in names]
    stems = [stem for _, stem in with_file_names(report_slides(fields, FiguresSettings()))]
    assert stems[:4] == ["P1_S1_slide", "P1_S1_2_slide", "p1_s1_3_slide", "__slide"]
    assert len({stem.casefold() for stem in stems}) == 5
    assert max(map(len, stems)) < 100


def test_the_text_names_slide_patient_fields_and_warnings():
    report = only(field("a"))
    words = slide_text(report, BUILT_IN, classified_report().provenance)
    assert words.startswith("Blood smear report: slide S1\n====")
    assert "Patient  P1\nImages   1 field\n" in words
    assert "! One field alone" in words
    assert "red cells: 3 = 1 assessed + 2 cut off" in " ".join(words.split())
    assert max(map(len, words.splitlines())) <= 88


# The batch


def outcome(name, slide, report=None):
    one = field(name, slide or PATIENT_1, report)
    return ImageOutcome(name=name, path=f"{name}.png", report=one.report, slide=slide)


def summary_of(*outcomes):
    report = classified_report()
    return BatchSummary(outcomes=outcomes, settings=report.settings, provenance=report.provenance)


def test_sums_across_patients_are_not_given():
    summary = summary_of(outcome("a", PATIENT_1), outcome("d", PATIENT_2))
    value = summary.to_json()
    assert (value["counts"], value["rates"], value["findings"]) == ({}, (), {})
    assert [slide["slide"] for slide in value["slides"]] == ["S1", "S3"]
    assert [patient["patient"] for patient in value["patients"]] == ["P1", "P2"]
    assert [(row["slide"], row["patient"]) for row in value["images"]] == [
        ("S1", "P1"),
        ("S3", "P2"),
    ]
    assert ",S3,P2,ok," in summary.to_csv()


def test_without_slides_the_batch_is_summed_up_as_before():
    value = summary_of(outcome("a", None), outcome("d", None)).to_json()
    assert value["counts"][RBC] == 6
    assert (value["slides"], value["patients"]) == ((), ())
    assert value["images"][0]["slide"] is None


def test_the_index_links_to_the_page_of_each_slide():
    evil = Slide(name='<b>"x"</b>', patient="<i>")
    page = render_page(summary_of(outcome("a", PATIENT_1), outcome("b", evil)))
    assert '<a href="./slides/S1_slide.html">S1</a>' in page
    assert "<b>&#34;x" not in page
    assert "&lt;b&gt;" in page
    assert "<h2>Patient P1</h2>" in page


def test_the_page_of_a_slide_shows_its_sums_and_its_fields_alone():
    summary = summary_of(outcome("a", PATIENT_1), outcome("d", PATIENT_2))
    slide = summary.slides[1]
    page = render_page(summary.of_slide(slide), slide=slide)
    assert "<h1>Slide S3</h1>" in page
    assert "<p>Patient P2</p>" in page
    assert 'href="../d_annotated.png"' in page
    assert "a_annotated.png" not in page
    assert "One field alone" in page


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({}, ("microcytes below 6.8 µm", "macrocytes above 9.2 µm")),
        ({"normal_um": (7.5, 8.5)}, ("microcytes below 7.5 µm", "macrocytes above 8.5 µm")),
    ],
)
def test_the_sizes_of_a_slides_red_cells_show_the_limits_that_are_counted_by(size, words):
    report = classified_report(analysis_of(pixel_size_um=0.2))
    summary = dataclasses.replace(
        summary_of(outcome("a", PATIENT_1, report)),
        figures=FiguresSettings.model_validate({"red_cell_size": size}),
    )
    (slide,) = summary.slides
    page = render_page(summary.of_slide(slide), slide=slide)
    for one in words:
        assert one in page


def test_every_figure_can_be_computed_again_from_a_file_of_the_cells(tmp_path):
    tables = {
        "a": classified_report(analysis_of(pixel_size_um=0.1)).cells,
        "b": classified_report(red={"condition": "malaria_RBC"}).cells,
    }
    cells = Cells.joined(tables)
    frame = cells.to_dataframe()
    for name in ("possible_conditions", "possible_subtypes", "flags"):
        frame[name] = [" ".join(names) for names in frame[name]]
    frame.to_csv(tmp_path / "cells.csv")
    read = pd.read_csv(tmp_path / "cells.csv", index_col="cell_id")
    again = Cells.from_dataframe(read, validation=cells.validation)
    limits = {
        name: {"min_cells": 2, "advised_cells": 2} for name in ("differential", "parasitaemia")
    }
    settings = FiguresSettings.model_validate(limits | {"red_cell_size": {"min_cells": 2}})
    areas = {"a": 245.8, "b": 245.8}
    figures, figures_again = (
        lab_figures(Evidence(cells=one, areas_um2=areas, entered=EnteredCounts()), settings)
        for one in (cells, again)
    )
    assert figures_again == figures
    assert sums_of(again) == sums_of(cells)
    assert any(figure.value for figure in figures)


def test_the_same_table_comes_back_from_a_data_frame():
    cells = Cells.joined({"a": classified_report().cells})
    again = Cells.from_dataframe(cells.to_dataframe(), validation=cells.validation)
    pd.testing.assert_frame_equal(again.to_dataframe(), cells.to_dataframe(), check_like=True)
    assert {name: again[name].shape for name in again} == {n: cells[n].shape for n in cells}


def test_the_index_does_not_repeat_a_patients_only_slide():
    two = [outcome("a", PATIENT_1), outcome("b", Slide(name="S2", patient="P1"))]
    assert "<h3>White count</h3>" in render_page(summary_of(*two))
    page = render_page(summary_of(two[0], outcome("d", PATIENT_2)))
    assert "<h2>Patient P1</h2>" in page
    assert "<h3>White count</h3>" not in page
