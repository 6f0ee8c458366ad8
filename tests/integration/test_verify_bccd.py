"""Near duplicates among the real fields of BCCD."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from blood_cell_system.image_io import read_image
from blood_cell_system.masks.verification.fingerprints import fingerprint, similar_pairs


@pytest.mark.bccd
@pytest.mark.slow
def test_of_all_fields_of_bccd_one_pair_is_found_and_no_other_comes_near():
    data = os.environ.get("BLOOD_CELL_DATA")
    if data is None:
        pytest.skip("BLOOD_CELL_DATA is not set: it names the folder that holds the BCCD clone")
    paths = sorted((Path(data) / "BCCD_Dataset" / "BCCD" / "JPEGImages").glob("*.jpg"))
    with ThreadPoolExecutor() as pool:
        prints = np.stack(list(pool.map(lambda path: fingerprint(read_image(path)), paths)))
    # Far below the limit in use: ordinary fields of one slide must not come near it.
    pairs, correlations = similar_pairs(prints, at_least=0.6)
    assert [[paths[i].stem for i in pair] for pair in pairs] == [
        ["BloodImage_00037", "BloodImage_00038"]
    ]
    assert correlations[0] > 0.95
