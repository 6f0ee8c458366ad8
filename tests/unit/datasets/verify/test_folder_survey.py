import json
import os
from pathlib import Path

import pytest
from PIL import Image
from support.labelled_smears import write_by_hand
from support.verified_folders import found

from blood_cell_system.datasets.prepared import UNFINISHED_NAME
from blood_cell_system.datasets.verify.checks import Severity
from blood_cell_system.datasets.verify.verification import verify_folder
from blood_cell_system.errors import MissingDataError


def test_nothing_is_found_in_a_sound_folder(root):
    report = verify_folder(root)
    assert report.findings == ()
    assert report.is_ok


def test_nothing_but_a_missing_manifest_distinguishes_a_folder_made_by_hand(tmp_path):
    report = verify_folder(write_by_hand(tmp_path))
    assert report.findings == ()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(MissingDataError, match="no such folder"):
        verify_folder(tmp_path / "none")


def test_a_folder_without_images_and_masks_is_reported_not_raised(tmp_path):
    report = verify_folder(tmp_path)
    assert {f.message for f in found(report, "missing-folder")} == {
        "there is no folder images/",
        "there is no folder masks/",
    }
    assert not report.is_ok


def test_an_unfinished_folder_is_an_error(root):
    (root / UNFINISHED_NAME).write_text("{}")
    assert found(verify_folder(root), "unfinished-folder")[0].severity == Severity.ERROR


def test_an_image_without_a_mask_and_a_mask_without_an_image_are_named(root):
    (root / "masks" / "a.png").rename(root / "masks" / "z.png")
    report = verify_folder(root)
    assert found(report, "missing-mask")[0].stems == ("a",)
    assert found(report, "missing-image")[0].stems == ("z",)


def test_a_mask_with_an_ending_of_its_own_is_pointed_out(root):
    (root / "masks" / "a.png").rename(root / "masks" / "a_mask.png")
    assert "masks/a_mask.png looks like it" in found(verify_folder(root), "missing-mask")[0].message


def test_two_images_of_one_name_are_an_error(root):
    Image.open(root / "images" / "a.png").save(root / "images" / "a.jpg")
    assert found(verify_folder(root), "same-name")[0].stems == ("a",)


def test_a_file_name_that_is_no_text_is_reported_and_does_not_break_the_report(root):
    odd = os.fsencode(root / "images") + b"/\xff.png"
    with open(odd, "wb") as file:  # noqa: PTH123 (a Path cannot hold these bytes everywhere)
        file.write((root / "images" / "a.png").read_bytes())
    report = verify_folder(root)
    assert found(report, "odd-name")
    json.dumps(report.to_json(), ensure_ascii=False).encode()


def test_a_folder_that_cannot_be_listed_is_reported(root, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "Permission denied" in found(verify_folder(root), "unreadable-folder")[0].message


def test_files_that_are_no_images_are_information(root):
    (root / "images" / "notes.txt").write_text("x")
    (root / "masks" / "old").mkdir()
    assert [f.severity for f in found(verify_folder(root), "passed-over")] == [Severity.INFO] * 2
