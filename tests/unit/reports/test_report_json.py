import copy
import json
from pathlib import Path

import pytest
from support.analysed_images import DEFOCUSED, analysis_of, report_of
from support.classified_cells import classified_report
from support.json_schema import violations

from blood_cell_system.cells.border_rule import BorderRule

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
def test_a_report_follows_the_published_schema(report):
    assert violations(json.loads(json.dumps(report.to_json())), SCHEMA) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value.update(format_version=1),
        lambda value: value.pop("rates"),
        lambda value: value.update(extra=1),
        lambda value: value["cells"][0].update(cell_type="rbc"),
        lambda value: value["cells"][0].update(bbox=[1, 2, 3]),
        lambda value: value["cells"][0].update(confidence=1.5),
        lambda value: value["cells"][0].update(touching_border=1),
        lambda value: value["provenance"].update(model_sha256="?"),
    ],
)
def test_the_schema_refuses_what_is_no_report(damage):
    value = copy.deepcopy(report_of().to_json())
    damage(value)
    assert len(violations(value, SCHEMA)) == 1


def test_the_schema_knows_no_field_that_is_not_written():
    value = report_of().to_json()
    assert set(SCHEMA["properties"]) == set(value)
    assert set(SCHEMA["$defs"]["cell"]["properties"]) == set(value["cells"][0])


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
        "seed": None,
        "rbc_classifier": None,
        "rbc_classifier_sha256": None,
        "wbc_classifier": None,
        "wbc_classifier_sha256": None,
        "data_sha256": "ab" * 32,
    }


def test_nothing_is_assessed_without_classifiers():
    value = report_of().to_json()
    for kind in ("rbc_findings", "wbc_findings"):
        assert value[kind] == {
            "state": "not assessed",
            "reason": "no classifier is loaded",
            "counts": {},
            "types": {},
            "none_of_these": 0,
            "cut_off": 0,
            "uncertain": 0,
            "rates": [],
        }


def test_a_classified_cell_has_its_probabilities_and_findings_their_rates():
    value = classified_report(red={"condition": "malaria_RBC"}).to_json()
    red = next(cell for cell in value["cells"] if cell["probabilities"].get("malaria_RBC"))
    assert red["condition"] == "malaria_RBC"
    assert red["probabilities"] == {"healthy_RBC": 0.05, "malaria_RBC": 0.9, "sickle_RBC": 0.05}
    assert red["possible_conditions"] == ["malaria_RBC"]
    assert red["known"] == 0.9
    assert value["rbc_findings"]["counts"] == {"healthy_RBC": 0, "malaria_RBC": 1, "sickle_RBC": 0}
    rates = {rate["name"]: rate for rate in value["rbc_findings"]["rates"]}
    assert rates["malaria_RBC"]["is_enough"] is False
    assert rates["malaria_RBC"]["min_total"] == 500
    white = next(cell for cell in value["cells"] if cell["cell_type"] == "WBC")
    assert white["wbc_type"] == "lymphocyte"
    assert value["wbc_findings"]["types"]["lymphocyte"] == 1
    assert value["provenance"]["rbc_classifier"] == "rbc_classifier.onnx"
