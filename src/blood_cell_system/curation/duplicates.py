"""Groups of pictures that show the same field, also when one is a changed copy of the other."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from blood_cell_system.curation.field_views import same_field_pairs
from blood_cell_system.masks.verification.fingerprints import similar_pairs

Described = TypeVar("Described", bound=np.generic)


def groups_of_same(
    pixel_hashes: Sequence[str],
    fingerprints: Sequence[NDArray[np.float32] | None],
    views: Sequence[NDArray[np.int8] | None],
    belongs_with: Sequence[int],
) -> NDArray[np.intp]:
    """Give each picture the number of its group: pictures that must not be parted.

    Parameters
    ----------
    pixel_hashes : sequence of str
        Equal for equal pixels.
    fingerprints : sequence of ndarray of shape (16, 16), or None
        As of ``verification.fingerprints``; None where a picture shows nothing.
    views : sequence of ndarray of shape (64, 64), or None
        As of ``field_views``.
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
    near = _among_shown(fingerprints, lambda shown: similar_pairs(np.stack(shown))[0])
    same = _among_shown(views, lambda shown: same_field_pairs(shown)[0])
    links = np.concatenate(
        [
            np.array(equal, dtype=np.intp).reshape(-1, 2),
            np.stack([np.arange(count), np.asarray(belongs_with, dtype=np.intp)], axis=1),
            near,
            same,
        ]
    )
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _among_shown(
    described: Sequence[NDArray[Described] | None],
    pairs_of: Callable[[list[NDArray[Described]]], NDArray[np.intp]],
) -> NDArray[np.intp]:
    """Pairs among the pictures that show something, by the numbers of all pictures."""
    shown = [index for index, description in enumerate(described) if description is not None]
    if len(shown) < 2:
        return np.empty((0, 2), dtype=np.intp)
    pairs = pairs_of([description for description in described if description is not None])
    return np.array(shown, dtype=np.intp)[pairs]
