import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from support.analysed_images import CELLS, analysis_of, report_of, to_version_2, write_smear_image

from blood_cell_system.annotation.sample import Origin
from blood_cell_system.annotation.writer import write_labels
from blood_cell_system.errors import DatasetError, ImageReadError, MissingDataError
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.pipeline.analysed_samples import analysed_samples
from blood_cell_system.pipeline.model_slots import sha256_of
from blood_cell_system.pipeline.results_folder import ResultsFolder, is_results_folder
from blood_cell_system.reports.image_files import write_image_files


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_results(tmp_path, "field", tmp_path / "smears" / "field.png")
    return tmp_path / "results"


def write_results(root: Path, name: str, image: Path) -> None:
    write_smear_image(image)
    analysis = analysis_of()
    report = report_of(analysis, name=image.name)
    provenance = report.provenance.model_copy(update={"data_sha256": sha256_of(image)})
    report = report.model_copy(update={"provenance": provenance})
    write_image_files(root / "results", name, analysis, report)


def change_report(results: Path, change) -> None:
    path = results / "field_report.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))


def test_cells_come_with_their_types_boxes_and_outlines(results: Path, tmp_path: Path):
    (sample,) = analysed_samples(ResultsFolder(results, [tmp_path / "smears"]))
    found = analysis_of().cells
    assert (sample.stem, sample.shape, len(sample.cells)) == ("field", (128, 192), len(CELLS))
    for label, cell in enumerate(sample.cells, start=1):
        assert cell.cell_type == found["cell_type"][label - 1]
        assert cell.origin is Origin.PREDICTED
        rows, columns, inside = cell.outline.window(sample.shape)
        painted = np.zeros(sample.shape, bool)
        painted[rows, columns] = inside
        np.testing.assert_array_equal(painted, found.label_image == label)


def test_the_image_is_found_in_folders_within_those_that_are_named(results, tmp_path):
    (sample,) = analysed_samples(ResultsFolder(results, [tmp_path]))
    assert sample.image_path == tmp_path / "smears" / "field.png"


def test_the_image_is_found_where_it_was_analysed(results: Path, tmp_path: Path):
    rows = {"images": [{"name": "field", "path": str(tmp_path / "smears" / "field.png")}]}
    (results / "batch_summary.json").write_text(json.dumps(rows))
    (sample,) = analysed_samples(ResultsFolder(results))
    assert sample.image_path == tmp_path / "smears" / "field.png"


def test_results_in_folders_have_names_of_their_own(results: Path, tmp_path: Path):
    write_results(tmp_path, "slide 1/field", tmp_path / "smears" / "1" / "field.png")
    stems = [
        sample.stem for sample in analysed_samples(ResultsFolder(results, [tmp_path / "smears"]))
    ]
    assert stems == ["field", "slide 1_field"]


def test_an_image_that_was_changed_since_is_refused(results: Path, tmp_path: Path):
    path = tmp_path / "smears" / "field.png"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(MissingDataError, match="is another image"):
        list(analysed_samples(ResultsFolder(results, [tmp_path / "smears"])))


def test_an_image_that_is_not_there_is_told_with_a_way_out(results: Path):
    with pytest.raises(MissingDataError, match="--images"):
        list(analysed_samples(ResultsFolder(results)))


def test_a_folder_without_reports_is_refused(tmp_path: Path):
    with pytest.raises(MissingDataError, match="expected the folder that bloodcells analyze"):
        list(analysed_samples(ResultsFolder(tmp_path)))


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report.update(format_version=99),
        lambda report: report.pop("cells"),
        lambda report: report["cells"][0].update(cell_type="yeast"),
        lambda report: report["cells"][0].update(bbox=[1, 2]),
        lambda report: report.update(image=None),
    ],
)
def test_a_report_of_another_kind_is_refused(results: Path, change):
    change_report(results, change)
    with pytest.raises(DatasetError, match="not a report that this version reads"):
        list(analysed_samples(ResultsFolder(results)))


def test_a_number_out_of_range_in_a_report_is_told_in_our_words(results: Path):
    change_report(results, lambda report: report["cells"][0].update(equivalent_diameter_px=-1))
    with pytest.raises(DatasetError) as caught:
        list(analysed_samples(ResultsFolder(results)))
    assert "cells.0.equivalent_diameter_px: " in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_the_cells_of_what_was_not_taken_for_a_smear_are_not_known(tmp_path: Path):
    image = tmp_path / "smears" / "field.png"
    write_smear_image(image)
    refused = dataclasses.replace(analysis_of([]).quality, is_smear=False)
    analysis = dataclasses.replace(analysis_of([]), quality=refused)
    report = report_of(analysis, name=image.name)
    provenance = report.provenance.model_copy(update={"data_sha256": sha256_of(image)})
    report = report.model_copy(update={"provenance": provenance})
    write_image_files(tmp_path / "results", "field", analysis, report)
    (sample,) = analysed_samples(ResultsFolder(tmp_path / "results", [tmp_path / "smears"]))
    assert sample.cells is None
    with pytest.raises(DatasetError, match="an analysis took it for a smear"):
        write_labels([sample], tmp_path / "out", format_name="coco")


def test_a_report_of_version_2_is_read(results: Path, tmp_path: Path):
    (now,) = analysed_samples(ResultsFolder(results, [tmp_path / "smears"]))
    change_report(results, to_version_2)
    (sample,) = analysed_samples(ResultsFolder(results, [tmp_path / "smears"]))
    assert len(sample.cells) == len(now.cells)
    for one, other in zip(sample.cells, now.cells, strict=True):
        assert (one.cell_type, one.box) == (other.cell_type, other.box)


def test_a_report_that_is_no_json_is_refused(results: Path):
    (results / "field_report.json").write_text("{")
    with pytest.raises(DatasetError, match=r"field_report\.json: not JSON, .*Analyse the image"):
        list(analysed_samples(ResultsFolder(results)))


@pytest.mark.parametrize("part", ["cells", "image", "types", "provenance", "taxonomy"])
@pytest.mark.parametrize("value", [None, [], [3], {"a": 1}, "x"])
def test_a_report_with_a_damaged_part_is_refused_or_harmless(results: Path, part: str, value):
    def damage(report):
        report[part] = value

    change_report(results, damage)
    with contextlib.suppress(DatasetError, MissingDataError):
        list(analysed_samples(ResultsFolder(results)))


def test_a_report_of_fewer_cells_than_its_label_image_is_refused(results: Path):
    def lose_one(report):
        report["cells"] = report["cells"][1:]

    change_report(results, lose_one)
    with pytest.raises(DatasetError, match="cells, its label image"):
        list(analysed_samples(ResultsFolder(results)))


def test_a_label_image_of_another_size_is_refused(results: Path):
    write_image(results / "field_instances.png", np.zeros((5, 5), np.uint16))
    with pytest.raises(DatasetError, match="its label image has"):
        list(analysed_samples(ResultsFolder(results)))


def test_a_damaged_label_image_is_refused(results: Path):
    (results / "field_instances.png").write_text("no image")
    with pytest.raises(ImageReadError):
        list(analysed_samples(ResultsFolder(results)))


def test_a_damaged_summary_is_refused(results: Path):
    (results / "batch_summary.json").write_text("[]")
    with pytest.raises(DatasetError, match="batch_summary"):
        list(analysed_samples(ResultsFolder(results)))


def test_results_are_told_from_other_folders(results: Path, tmp_path: Path):
    assert is_results_folder(results)
    assert not is_results_folder(tmp_path)
