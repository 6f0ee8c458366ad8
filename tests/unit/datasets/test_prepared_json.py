import json
from pathlib import Path

import pytest
from support.prepared_pairs import row, three_pairs

from blood_cell_system.datasets.prepared import (
    PreparedDataset,
    read_versioned_json,
    write_manifest,
)
from blood_cell_system.errors import DatasetError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return three_pairs(tmp_path)


def test_equal_input_gives_equal_files(root):
    contents = []
    for order in ("abc", "cba"):
        write_manifest(root, [row(stem, split="train") for stem in order], {"seed": 0})
        contents.append((root / "manifest.json").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", ["manifest.json", "annotations.json"])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not JSON, or cut off"),
        ("", "not JSON, or cut off"),
        ("\udcff", "not JSON in UTF-8"),
        ('{"format_version": 1, "iou": NaN}', "contains NaN, which is not JSON"),
    ],
)
def test_a_file_that_is_not_json_is_an_error(root, name, text, fault):
    (root / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DatasetError, match=rf"{name}: {fault}.*Prepare the folder again"):
        PreparedDataset.open(root)


def test_a_json_file_that_cannot_be_read_is_an_error(root, monkeypatch):
    (root / "manifest.json").write_text("{}")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"manifest\.json: cannot be read: [Pp]ermission denied"):
        PreparedDataset.open(root)


@pytest.mark.parametrize("name", ["manifest.json", "annotations.json"])
@pytest.mark.parametrize("value", [[], {}, {"format_version": 2}, {"format_version": "1"}])
def test_a_json_file_of_another_version_is_an_error(root, name, value):
    (root / name).write_text(json.dumps(value))
    with pytest.raises(DatasetError, match=rf"{name}: expected an object with format_version 1"):
        PreparedDataset.open(root)


def test_a_json_file_that_is_not_there_is_empty(tmp_path):
    assert read_versioned_json(tmp_path / "manifest.json") == {}


@pytest.mark.parametrize(
    "cell",
    [
        {"cell_type": "rbc", "bbox": [0, 0, 1, 1]},
        {"cell_type": "RBC", "bbox": [0, 0, 1]},
        {"cell_type": "RBC", "bbox": [0, 0, 1, 1, 1]},
        {"cell_type": "RBC", "bbox": [0, 0, 1, "x"]},
        {"cell_type": "RBC"},
        {"cell_type": "RBC", "bbox": [0, 0, 1, 1], "origin": "guess"},
        "RBC",
    ],
)
def test_a_cell_that_cannot_be_read_is_an_error(root, cell):
    value = {"format_version": 1, "images": {"a": [cell]}}
    (root / "annotations.json").write_text(json.dumps(value))
    with pytest.raises(DatasetError, match=r"annotations\.json: a cell cannot be read"):
        PreparedDataset.open(root)
