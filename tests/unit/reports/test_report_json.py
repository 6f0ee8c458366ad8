import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from support.analysed_images import DEFOCUSED, analysis_of, report_of, to_version_2, to_version_3
from support.classified_cells import classified_report

from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.cells.measures import measured_columns
from blood_cell_system.reports.report import DiagnosticReport, report_schema
from blood_cell_system.taxonomy import BUILT_IN, CellType

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report_schema.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "report",
    [
        report_of(),
        report_of(analysis_of([])),
        report_of(rule=BorderRule.TWO_SIDES, threshold=1.0),
        report_of(analysis_of(pixel_size_um=0.1, findings=[DEFOCUSED])),
        classified_report(),
        classified_report(red={"is_known": False}),
    ],
    ids=["plain", "no cells", "flags", "micrometres", "classified", "none of these"],
)
def test_a_report_comes_back_from_its_file(report):
    value = json.loads(json.dumps(report.to_json()))
    again = DiagnosticReport.from_json(value)
    assert json.loads(json.dumps(again.to_json())) == value
    assert again.counts == report.counts
    assert again.cells["flags"].tolist() == report.cells["flags"].tolist()


def test_the_published_schema_is_that_of_the_models():
    message = "python -m blood_cell_system.reports.report > docs/report_schema.json"
    assert json.loads(json.dumps(report_schema())) == SCHEMA, message


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value.update(format_version=1),
        lambda value: value.update(format_version=5),
        lambda value: value.pop("rates"),
        lambda value: value.update(extra=1),
        lambda value: value["cells"][0].update(cell_type="rbc"),
        lambda value: value["cells"][0].update(bbox=[1, 2, 3]),
        lambda value: value["cells"][0].update(confidence=1.5),
        lambda value: value["cells"][0].update(touching_border="?"),
        lambda value: value["provenance"].update(model_sha256="?"),
        lambda value: value["settings"].update(border_rule="?"),
        lambda value: value["image"].update(file_name=1),
    ],
)
def test_what_is_no_report_is_refused(damage):
    value = json.loads(json.dumps(report_of().to_json()))
    damage(value)
    with pytest.raises(ValueError, match="validation error"):
        DiagnosticReport.from_json(value)


def test_a_report_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        report_of().warnings = ()


def test_the_schema_knows_no_field_that_is_not_written():
    value = report_of().to_json()
    assert set(SCHEMA["properties"]) == set(value)
    assert set(SCHEMA["$defs"]["CellRow"]["properties"]) == set(value["cells"][0])


def test_cells_have_the_fields_of_the_original_system():
    cell = report_of(threshold=1.0).to_json()["cells"][0]
    assert cell["cell_id"] == 1
    assert cell["cell_type"] in ("RBC", "WBC", "Platelet")
    assert [type(corner) for corner in cell["bbox"]] == [int] * 4
    assert cell["condition"] == "not assessed"
    assert cell["probabilities"] == {}
    assert "uncertain" in cell["flags"]
    assert {"centroid", "area_px", "confidence", "circularity"} <= set(cell)


def test_it_says_with_what_it_was_made():
    value = report_of().to_json()
    assert value["disclaimer"] == "Research use only; not a medical device."
    assert value["provenance"] == {
        "software_version": "1.2.3",
        "model": "m.onnx",
        "model_sha256": "cd" * 32,
        "runs_in": None,
        "seed": None,
        "rbc_classifier": None,
        "rbc_classifier_sha256": None,
        "wbc_classifier": None,
        "wbc_classifier_sha256": None,
        "other_classifiers": {},
        "data_sha256": "ab" * 32,
        "pixels_sha256": None,
        "field_hash": None,
    }


def test_nothing_is_assessed_without_classifiers():
    value = report_of().to_json()
    for kind in ("RBC", "WBC"):
        assert value["findings"][kind] == {
            "state": "not assessed",
            "reason": "no classifier is loaded",
            "assessed": 0,
            "counts": {},
            "types": {},
            "not_validated": {},
            "not_assessed": {"no_classifier": 3 if kind == "RBC" else 1},
            "none_of_these": 0,
            "cut_off": 0,
            "suspected": {},
            "uncertain": 0,
            "maybe_blasts": 0,
            "rates": (),
        }


def test_a_classified_cell_has_its_probabilities_and_findings_their_rates():
    value = classified_report(red={"condition": "malaria_RBC"}).to_json()
    red = next(cell for cell in value["cells"] if cell["probabilities"].get("malaria_RBC"))
    assert red["condition"] == "malaria_RBC"
    assert red["probabilities"] == {"healthy_RBC": 0.05, "malaria_RBC": 0.9, "sickle_RBC": 0.05}
    assert red["possible_conditions"] == ("malaria_RBC",)
    assert red["known"] == 0.9
    assert value["findings"]["RBC"]["counts"] == {
        "healthy_RBC": 0,
        "malaria_RBC": 1,
        "sickle_RBC": 0,
    }
    rates = {rate["name"]: rate for rate in value["findings"]["RBC"]["rates"]}
    assert rates["malaria_RBC"]["is_enough"] is False
    assert rates["malaria_RBC"]["min_total"] == 500
    white = next(cell for cell in value["cells"] if cell["cell_type"] == "WBC")
    assert white["wbc_type"] == "lymphocyte"
    assert value["findings"]["WBC"]["types"]["lymphocyte"] == 1
    assert value["provenance"]["rbc_classifier"] == "rbc_classifier.onnx"


@pytest.mark.parametrize("downgrade", [to_version_2, to_version_3])
@pytest.mark.parametrize(
    "report",
    [
        report_of(threshold=1.0),
        classified_report(),
        classified_report(red={"is_known": False}),
        classified_report(analysis_of(rule=BorderRule.TWO_SIDES), rule=BorderRule.TWO_SIDES),
    ],
    ids=["no classifier", "classified", "none of these", "two sides"],
)
def test_a_report_of_a_former_version_is_read(report, downgrade):
    value = json.loads(json.dumps(report.to_json()))
    downgrade(value)
    again = DiagnosticReport.from_json(value).to_json()
    now = DiagnosticReport.from_json(report.to_json()).to_json()
    assert again | {"cells": []} == now | {"cells": []}
    for before, cell in zip(again["cells"], now["cells"], strict=True):
        assert known_before(before) == known_before(cell)
        assert before["reason"] == cell["reason"]


def known_before(cell):
    """The fields of a cell that reports of version 3 had too."""
    later = ("reason", "box", "possible_subtypes", "measures", "certainty")
    return {name: value for name, value in cell.items() if name not in later}


def test_a_report_that_version_0_2_0_wrote_is_read():
    value = json.loads((Path(__file__).parent / "report_0.2.0.json").read_text("utf-8"))
    report = DiagnosticReport.from_json(value)
    assert value["format_version"] == 2
    assert report.counts == value["counts"]
    assert report.image.file_name == value["picture"]["file_name"]
    assert list(report.uncertain_cells) == value["uncertain_cells"]
    assert report.findings["RBC"].counts == value["rbc_findings"]["counts"]
    assert [rate.count for rate in report.rates] == [rate["count"] for rate in value["rates"]]
    again = json.loads(json.dumps(report.to_json()))
    assert [known_before(cell) for cell in again["cells"]] == value["cells"]
    assert [cell["reason"] for cell in again["cells"]] == [
        *("cut_off", "cut_off", None, None, "no_classifier")
    ]
    assert again["types"] == value["types"]


def test_cells_are_a_table_with_pixels():
    report = classified_report()
    frame = report.cells.to_dataframe()
    assert list(frame.index) == [1, 2, 3, 4, 5]
    assert {"cell_type", "healthy_RBC_prob", "in_distribution", "area"} <= set(frame.columns)
    assert (report.cells.label_image > 0).any()


def test_the_types_of_a_laboratory_travel_with_the_report():
    analysis = analysis_of()
    own = BUILT_IN.extended([CellType(name="Clump", display_name="clumps", colour=(1, 2, 3))])
    cells = dataclasses.replace(analysis.cells, taxonomy=own)
    report = report_of(dataclasses.replace(analysis, cells=cells))
    again = DiagnosticReport.from_json(json.loads(json.dumps(report.to_json())))
    assert again.cells.taxonomy == own
    assert again.counts["Clump"] == 0
    assert "clumps" in again.text
    assert report_of().to_json()["taxonomy"] is None


def test_measures_of_a_cell_come_back_from_its_file():
    report = classified_report(analysis_of(pixel_size_um=0.2))
    again = DiagnosticReport.from_json(json.loads(json.dumps(report.to_json()))).cells
    for column in measured_columns():
        assert again[column.name] == pytest.approx(report.cells[column.name], abs=1e-2, nan_ok=True)
    assert again["perimeter_um"] == pytest.approx(0.2 * again["perimeter"])
    assert again["nucleus_area_um2"] == pytest.approx(0.04 * again["nucleus_area"], nan_ok=True)


def test_a_report_of_a_file_has_the_columns_of_a_new_one():
    report = classified_report()
    again = DiagnosticReport.from_json(report.to_json())
    assert list(again.cells.to_dataframe()) == list(report.cells.to_dataframe())


def test_without_the_size_of_a_pixel_micrometres_are_not_known():
    cells = classified_report().cells
    assert np.isnan([*cells["perimeter_um"], *cells["equivalent_diameter_um"]]).all()
