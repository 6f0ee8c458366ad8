from pathlib import Path

import pytest

from blood_cell_system.annotation.label_map import (
    COMMON_LABELS,
    LabelReader,
    likely_type,
    read_label_map,
)
from blood_cell_system.errors import AnnotationError, MissingDataError, SettingsError
from blood_cell_system.taxonomy import PLATELET, RBC, WBC


@pytest.mark.parametrize(
    ("label", "cell_type"),
    [
        ("RBC", RBC),
        ("Red blood cells", RBC),
        ("white-blood_cell", WBC),
        (" Lymphocyte ", WBC),
        ("PLATELETS", PLATELET),
        ("difficult", None),
    ],
)
def test_usual_names_are_known_in_any_spelling(label: str, cell_type: str | None):
    reader = LabelReader(labels=COMMON_LABELS)
    assert reader.type_of(label, where="a") == cell_type
    reader.check()


def test_an_exact_table_takes_labels_letter_by_letter():
    reader = LabelReader(labels={"RBC": RBC}, is_exact=True)
    assert reader.type_of("rbc", where="a.xml: object 1") is None
    with pytest.raises(
        AnnotationError, match=r"^a\.xml: object 1 is labelled 'rbc'; expected RBC\."
    ):
        reader.check()


def test_unknown_labels_are_told_together_with_numbers_and_a_suggestion():
    reader = LabelReader(labels=COMMON_LABELS)
    for label in ("erythrocite", "dust", "erythrocite"):
        reader.type_of(label, where="a.json: object 1")
    with pytest.raises(AnnotationError) as caught:
        reader.check()
    assert "a.json: object 1 is labelled 'erythrocite'" in str(caught.value)
    assert "'erythrocite' (2), 'dust' (1)" in str(caught.value)
    assert "--label-map 'erythrocite=RBC,dust=none'" in str(caught.value)


def test_a_flood_of_unknown_labels_is_cut():
    reader = LabelReader(labels=COMMON_LABELS)
    for number in range(30):
        reader.type_of(f"thing {number}", where="a")
    with pytest.raises(AnnotationError, match="and 10 more"):
        reader.check()


@pytest.mark.parametrize(
    ("label", "cell_type"),
    [("infected RBC", RBC), ("trombocyte", PLATELET), ("background", None)],
)
def test_a_likely_type_is_found_by_spelling(label: str, cell_type: str | None):
    assert likely_type(label) == cell_type


EXPECTED = {"erythro": RBC, "a=b": WBC, "dust": None}


def test_a_map_may_stand_on_the_command_line():
    assert read_label_map("erythro=rbc, a=b=WBC,dust=none") == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        "# our names\nerythro=RBC\n\na=b = WBC\ndust=-\n",
        '{"erythro": "RBC", "a=b": "leukocyte", "dust": null}',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_map_may_be_a_file(tmp_path: Path, text: str, encoding: str):
    path = tmp_path / "map=1.txt"
    path.write_text(text, encoding=encoding)
    assert read_label_map(str(path)) == EXPECTED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("erythro=RBC,dust", "'dust' is no pair"),
        ("=RBC", "'=RBC' is no pair"),
        ("erythro=thing", "'thing' is no type of cell"),
    ],
)
def test_a_map_that_makes_no_sense_is_an_error(text: str, message: str):
    with pytest.raises(SettingsError, match=message):
        read_label_map(text)


def test_a_map_file_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(MissingDataError):
        read_label_map(str(tmp_path / "nowhere.txt"))


def test_a_map_of_damaged_json_is_an_error(tmp_path: Path):
    (tmp_path / "map.json").write_text('{"a": ')
    with pytest.raises(SettingsError, match="not JSON"):
        read_label_map(str(tmp_path / "map.json"))


@pytest.mark.parametrize(
    ("label", "cell_type"),
    [
        ("scale", None),
        ("string", None),
        ("not WBC", None),
        ("RCB", RBC),
        ("RBCs", RBC),
        ("RBC: Positive", RBC),
    ],
)
def test_only_a_strong_likeness_is_suggested(label: str, cell_type: str | None):
    assert likely_type(label) == cell_type
