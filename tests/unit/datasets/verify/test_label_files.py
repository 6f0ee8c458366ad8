import json

import pytest
from support.verified_folders import found, rows

from blood_cell_system.datasets.prepared import write_manifest
from blood_cell_system.datasets.verify.checks import Severity
from blood_cell_system.datasets.verify.verification import verify_folder


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format_version": 99}', '{"format_version": 1, "images": 3}', "\xff"]
)
@pytest.mark.parametrize("name", ["manifest", "annotations"])
def test_a_broken_label_file_is_reported_not_raised(root, name, text):
    (root / f"{name}.json").write_bytes(text.encode("latin-1"))
    assert found(verify_folder(root), f"broken-{name}")[0].severity == Severity.ERROR


def test_a_broken_entry_of_the_manifest_does_not_hide_the_others(root):
    entries = [7, {"split": "train"}, {"stem": "a", "split": "exam"}, *rows()[1:], *rows()[1:2]]
    manifest = {"format_version": 1, "images": entries}
    (root / "manifest.json").write_text(json.dumps(manifest))
    report = verify_folder(root)
    messages = " ".join(f.message for f in found(report, "broken-manifest"))
    assert "entry 0" in messages
    assert "entry 1" in messages
    assert "'exam'" in messages
    assert "b is listed twice" in messages
    assert report.statistics["splits"]["val"]["images"] == 1


def test_images_that_only_manifest_or_folder_know_are_named(root):
    write_manifest(root, [*rows()[1:], {"stem": "gone", "split": "train"}], {})
    report = verify_folder(root)
    assert found(report, "not-in-folder")[0].stems == ("gone",)
    assert found(report, "not-in-manifest")[0].stems == ("a",)


def test_cells_that_cannot_be_read_are_counted_one_by_one(root):
    cells = [{"cell_type": "rbc", "bbox": [1, 2, 3, 4]}, {"bbox": [1]}, None]
    value = {"format_version": 1, "images": {"a": cells, "b": 5}}
    (root / "annotations.json").write_text(json.dumps(value))
    assert len(found(verify_folder(root), "broken-annotations")) == 4
