import os
from pathlib import Path

import pytest

from blood_cell_system.annotation.formats.voc import read_voc_folder
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.masks.prepare_folder import prepare_voc
from blood_cell_system.taxonomy import BUILT_IN


@pytest.fixture(scope="module")
def clone() -> Path:
    data = os.environ.get("BLOOD_CELL_DATA")
    if not data:
        pytest.skip("BLOOD_CELL_DATA is not set")
    return Path(data) / "BCCD_Dataset"


@pytest.mark.bccd
def test_the_known_flaws_of_bccd_are_dropped(clone: Path):
    dropped = read_voc_folder(clone).dropped
    tiny = [box.file for box in dropped if "too small" in box.reason]
    assert tiny == [f"Annotations/BloodImage_00{number}.xml" for number in (338, 343)]
    assert sum("same RBC" in box.reason for box in dropped) == len(dropped) - 2 == 8


@pytest.mark.bccd
def test_the_clone_is_prepared_as_it_is(clone: Path, tmp_path: Path):
    summary = prepare_voc(clone, tmp_path / "out", mask_method="ellipse")
    assert summary.split_counts == {"train": 205, "val": 87, "test": 72}
    assert summary.failed == ()
    dataset = PreparedDataset.open(tmp_path / "out")
    assert len(dataset.images) == 364
    types = [cell.cell_type for image in dataset.images for cell in image.cells]
    assert [types.count(kind) for kind in BUILT_IN.names] == [4155 - 10, 372, 361]
