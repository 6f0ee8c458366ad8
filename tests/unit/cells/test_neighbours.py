"""What is done in NumPy gives what SciPy gives."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from blood_cell_system.cells.neighbours import close_pairs, connected_groups, crops_of
from blood_cell_system.cells.separation import _small_holes

SEEDS = pytest.mark.parametrize("seed", range(6))


@SEEDS
@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
def test_crops_are_those_of_find_objects(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 9, rng.integers(1, 40, 2))
    labels[rng.random(labels.shape) < 0.9] = 0
    expected = ndimage.find_objects(labels, max_label=8)
    nothing = (slice(0, 0), slice(0, 0))
    assert crops_of(labels.astype(dtype), 8) == [crop or nothing for crop in expected]


@SEEDS
@pytest.mark.parametrize("count", [0, 1, 60])
def test_close_pairs_are_those_of_a_tree(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 30, (count, 2)) if seed % 2 else rng.integers(0, 30, (count, 2))
    reach = rng.uniform(0, 20)
    expected = cKDTree(points).query_pairs(reach) if count else set()
    assert set(map(tuple, close_pairs(points, reach).tolist())) == expected


@SEEDS
def test_groups_are_those_of_the_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, 40, (rng.integers(0, 40), 2))
    links = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(40, 40))
    expected = connected_components(links, directed=False)[1]
    assert connected_groups(40, pairs).tolist() == expected.tolist()


@SEEDS
def test_holes_are_those_of_binary_fill_holes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 40, 2)) < 0.6
    expected = ndimage.binary_fill_holes(mask) & ~mask
    assert np.array_equal(_small_holes(mask, largest=mask.size), expected)
