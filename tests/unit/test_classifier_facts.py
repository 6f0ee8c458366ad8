import dataclasses
import json

import pytest

from blood_cell_system.model_metadata import ClassifierFacts, ClassifierKind
from blood_cell_system.taxonomy import RBC, WBC

FACTS = ClassifierFacts(
    kind=ClassifierKind.WBC,
    conditions=("cancer_WBC", "healthy_WBC"),
    types=("lymphocyte", "monocyte"),
    known_threshold=0.25,
    condition_thresholds={"cancer_WBC": 0.2, "healthy_WBC": 0.1},
    type_thresholds={"lymphocyte": 0.3, "monocyte": 0.4},
    coverage=0.95,
    preset="fast",
    seed=7,
    data_sha256="ab",
    measured={"test": {"auroc": 0.9}},
    data="drawn cells",
    licence="MIT",
    software_version="1.2.3",
)


def test_facts_come_back_from_their_json():
    assert ClassifierFacts.from_text(json.dumps(FACTS.to_json())) == FACTS


def test_a_kind_knows_its_cells_and_its_files():
    assert ClassifierKind.RBC.cell_type == RBC
    assert ClassifierKind.WBC.cell_type == WBC
    assert ClassifierKind("wbc").file_stem == "wbc_classifier"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conditions": ("healthy_WBC", "sick_WBC")}, "sick_WBC; expected each at most once"),
        ({"conditions": ("healthy_WBC", "healthy_WBC")}, "expected each at most once"),
        ({"conditions": ("healthy_WBC",), "condition_thresholds": {}}, "1 conditions; expected"),
        ({"types": ("neutrophile",), "type_thresholds": {}}, "neutrophile; expected"),
        ({"condition_thresholds": {"healthy_WBC": 0.5}}, "condition_thresholds of healthy_WBC"),
        ({"known_threshold": 1.5}, "from 0 to 1"),
        ({"coverage": float("nan")}, "from 0 to 1"),
    ],
)
def test_facts_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(FACTS, **changes)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "list; expected an object"),
        ({"format_version": 99}, "format_version 99; expected 1"),
        ({"format_version": 1, "kind": "rbc"}, "KeyError"),
        ({"format_version": 1, "kind": "rbc", "conditions": 3}, "TypeError"),
        ({"format_version": 1, "kind": "abc", "conditions": []}, "abc"),
    ],
)
def test_json_of_something_else_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        ClassifierFacts.from_json(value)


def test_text_that_is_no_json_is_refused():
    with pytest.raises(ValueError, match="Expecting property name"):
        ClassifierFacts.from_text("{facts")
