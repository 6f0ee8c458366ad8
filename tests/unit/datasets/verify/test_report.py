import re
from pathlib import Path

import pytest
from support.labelled_smears import HEIGHT, WIDTH
from support.verified_folders import copy_pair

from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.datasets.verify.checks import Severity, checks, listed
from blood_cell_system.datasets.verify.verification import verify_folder


def test_statistics_count_images_cells_and_shares(root):
    statistics = verify_folder(root).statistics
    assert statistics["images"] == 5
    assert statistics["splits"]["train"]["images"] == 3
    assert statistics["cells"] == {"RBC": 30, "WBC": 5, "Platelet": 0}
    assert sum(statistics["class_shares"].values()) == pytest.approx(1, abs=1e-5)
    assert statistics["median_cell_side_px"]["WBC"] > statistics["median_cell_side_px"]["RBC"]
    assert statistics["image_sizes"] == {f"{WIDTH}×{HEIGHT}": 5}


def test_the_report_is_the_same_with_one_thread_and_with_several(root):
    copy_pair(root, "a", "e")
    (root / "masks" / "b.png").unlink()
    alone, together = (verify_folder(root, jobs=jobs).to_json() for jobs in (1, 4))
    assert alone == together


def test_errors_come_before_warnings(root):
    copy_pair(root, "a", "b")
    (root / "masks" / "e.png").unlink()
    severities = [finding.severity for finding in verify_folder(root).findings]
    assert severities == sorted(severities, key=list(Severity).index)
    assert len(set(severities)) > 1


def test_what_verifies_without_errors_can_be_opened(root):
    assert verify_folder(root).is_ok
    assert len(PreparedDataset.open(root).images) == 5


def test_a_short_list_is_written_whole():
    assert listed(("a", "b")) == "a, b"


def test_the_documents_list_every_check_with_its_severity():
    page = (Path(__file__).parents[4] / "docs" / "data_formats.md").read_text(encoding="utf-8")
    table = page.partition("## The checks of `verify`")[2]
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.+) \|$", table, re.MULTILINE)
    assert rows == [(name, str(check.severity), check.found) for name, check in checks().items()]
