"""The same field twice among the real images of BCCD."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.datasets.duplicates.field_features import similar_pairs
from blood_cell_system.datasets.duplicates.groups import field_print, pairs_of_same
from blood_cell_system.imaging.image_file import read_image

SEVEN_PAIRS = [
    ["BloodImage_00037", "BloodImage_00038"],
    ["BloodImage_00227", "BloodImage_00260"],
    ["BloodImage_00229", "BloodImage_00258"],
    ["BloodImage_00230", "BloodImage_00257"],
    ["BloodImage_00231", "BloodImage_00256"],
    ["BloodImage_00382", "BloodImage_00395"],
    ["BloodImage_00386", "BloodImage_00391"],
]


@pytest.fixture(scope="module")
def prints():
    """Stems and what the fields of BCCD are known by."""
    data = os.environ.get("BLOOD_CELL_DATA")
    if data is None:
        pytest.skip("BLOOD_CELL_DATA is not set: it names the folder that holds the BCCD clone")
    paths = sorted((Path(data) / "BCCD_Dataset" / "BCCD" / "JPEGImages").glob("*.jpg"))
    with ThreadPoolExecutor() as pool:
        described = list(pool.map(lambda path: field_print(read_image(path)), paths))
    return [path.stem for path in paths], described


@pytest.mark.bccd
@pytest.mark.slow
def test_of_all_fields_of_bccd_the_seven_that_are_there_twice_are_found(prints):
    stems, described = prints
    pairs, _ = pairs_of_same(described)
    assert [[stems[i] for i in pair] for pair in pairs] == SEVEN_PAIRS


@pytest.mark.bccd
@pytest.mark.slow
def test_no_other_field_of_bccd_comes_near_the_one_that_was_not_moved(prints):
    stems, described = prints
    # Far below the limit in use: ordinary fields of one slide must not come near it.
    pairs, correlations = similar_pairs(np.stack([p.fingerprint for p in described]), at_least=0.6)
    assert [[stems[i] for i in pair] for pair in pairs] == SEVEN_PAIRS[:1]
    assert correlations[0] > 0.95
