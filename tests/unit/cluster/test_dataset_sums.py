import dataclasses

import pytest
from support.analysed_images import CELLS, analysis_of
from support.classified_cells import classified_report
from support.results_datasets import failed, outcome_of, written

from blood_cell_system.cells.table import Cells
from blood_cell_system.cluster.dataset_sums import sums_by
from blood_cell_system.errors import DatasetError
from blood_cell_system.reports.figure_settings import FiguresSettings
from blood_cell_system.reports.slides import (
    Sums,
    report_patients,
    report_slides,
    sums_of,
)

pytest.importorskip("pyarrow", reason="of the extra [cluster]")

SICK = classified_report(red={"condition": "malaria_RBC"})
UNSURE = classified_report(white={"possible_types": ("lymphocyte", "monocyte")})
SIZED = classified_report(analysis_of(pixel_size_um=0.1))
TWO_SIDES = classified_report(analysis_of(CELLS[:4], rule="two-sides", pixel_size_um=0.1))
OUTCOMES = (
    outcome_of("b", SICK, slide="S1", patient="P1"),
    outcome_of("a", slide="S1", patient="P1"),
    outcome_of("c", UNSURE, slide="S1", patient="P1"),
    outcome_of("empty", classified_report(analysis_of([])), slide="S1", patient="P1"),
    failed("broken", slide="S3"),
    outcome_of("d", SIZED, slide="S2", patient="P1"),
    outcome_of("e", TWO_SIDES, slide="S2", patient="P1"),
    outcome_of("f", slide="S3"),
)


def as_sums(report):
    return Sums(**{name: getattr(report, name) for name in Sums.model_fields})


def test_sums_of_slides_are_those_of_the_local_report(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES[:4], "k2": OUTCOMES[4:]})
    expected = {one.slide: as_sums(one) for one in report_slides(OUTCOMES, FiguresSettings())}
    found = {one.slide: one.sums for one in sums_by(dataset, "slide")}
    assert found == expected
    assert found["S1"].findings["RBC"].rates[0].independent_total is not None


def test_sums_of_patients_are_those_of_the_local_report(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES[::2], "k2": OUTCOMES[1::2]})
    (expected,) = report_patients(OUTCOMES, FiguresSettings())
    (found,) = sums_by(dataset, "patient")
    assert (found.patient, sorted(found.slides)) == ("P1", ["S1", "S2"])
    assert found.sums == as_sums(expected)


def test_images_are_counted_as_analysed_left_out_and_failed(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES})
    found = {one.slide: (one.images, one.left_out, one.failed) for one in sums_by(dataset, "slide")}
    assert found == {"S1": (4, 0, 0), "S2": (2, 0, 0), "S3": (1, 0, 1)}


def test_an_image_unlike_a_smear_is_left_out(tmp_path):
    report = classified_report()
    quality = dataclasses.replace(report.quality, is_smear=False)
    cells = report.cells.with_columns(is_smear=[False] * len(report.cells))
    strange = report.model_copy(update={"quality": quality, "cells": cells})
    outcomes = [outcome_of("a", slide="S1"), outcome_of("b", strange, slide="S1")]
    (found,) = sums_by(written(tmp_path, {"k1": outcomes}), "slide")
    assert (found.images, found.left_out) == (1, 1)
    assert found.sums == sums_of(Cells.joined({"a": outcomes[0].report.cells}))


def test_without_slides_there_is_one_sum_of_all(tmp_path):
    dataset = written(tmp_path, {"k1": [outcome_of("a"), outcome_of("b")]})
    (found,) = sums_by(dataset, "slide")
    assert (found.slide, found.slides, found.images) == (None, (), 2)
    assert found.sums.counts["RBC"] == 6
    assert list(sums_by(dataset, "patient")) == []


def test_a_damaged_file_of_cells_is_named(tmp_path):
    dataset = written(tmp_path, {"k1": OUTCOMES[:2]})
    (tmp_path / "cells/slide=S1/part-k1.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DatasetError, match=r"slide=S1/part-k1.parquet: damaged"):
        list(sums_by(dataset, "slide"))
