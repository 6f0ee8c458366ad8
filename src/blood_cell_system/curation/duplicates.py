"""Groups of pictures that show the same field, also when one is a changed copy of the other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from blood_cell_system.masks.verification.fingerprints import similar_pairs


def groups_of_same(
    pixel_hashes: Sequence[str],
    fingerprints: Sequence[NDArray[np.float32] | None],
    belongs_with: Sequence[int],
) -> NDArray[np.intp]:
    """Give each picture the number of its group: pictures that must not be parted.

    Parameters
    ----------
    pixel_hashes : sequence of str
        Equal for equal pixels.
    fingerprints : sequence of ndarray of shape (16, 16), or None
        As of ``verification.fingerprints``; None where a picture shows nothing.
    belongs_with : sequence of int
        Of each picture the index of the one that it belongs with in any case: its original, or
        itself.

    Returns
    -------
    ndarray of shape (n,), dtype intp
        Of each picture the number of its group, from 0.
    """
    count = len(pixel_hashes)
    first_of: dict[str, int] = {}
    equal = [(first_of.setdefault(name, index), index) for index, name in enumerate(pixel_hashes)]
    shown = np.array([i for i, f in enumerate(fingerprints) if f is not None], dtype=np.intp)
    near = np.empty((0, 2), dtype=np.intp)
    if len(shown) > 1:
        stack = np.stack([f for f in fingerprints if f is not None])
        near = shown[similar_pairs(stack)[0]]
    links = np.concatenate(
        [
            np.array(equal, dtype=np.intp).reshape(-1, 2),
            np.stack([np.arange(count), np.asarray(belongs_with, dtype=np.intp)], axis=1),
            near,
        ]
    )
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)
