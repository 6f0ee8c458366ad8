"""Groups of images that show the same field, also when one is a changed copy of the other."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from blood_cell_system.datasets.duplicates.field_alignment import field_view, same_field_pairs
from blood_cell_system.datasets.duplicates.field_features import fingerprint, similar_pairs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldPrint:
    """Three descriptions of an image, each of which forgives more than the one before.

    Parameters
    ----------
    pixel_hash : str
        Equal for equal pixels.
    fingerprint : ndarray of shape (16, 16), dtype float32, or None
        As of ``fingerprint``; None where an image shows nothing.
    view : ndarray of shape (64, 64), dtype int8, or None
        As of ``field_view``.
    """

    pixel_hash: str
    fingerprint: NDArray[np.float32] | None
    view: NDArray[np.int8] | None


def field_print(image: NDArray[np.uint8]) -> FieldPrint:
    """Describe an image, so that others of the same field can be found.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    return FieldPrint(
        pixel_hash=hash_of_pixels(image), fingerprint=fingerprint(image), view=field_view(image)
    )


def hash_of_pixels(pixels: NDArray[np.uint8]) -> str:
    """Hash of an array's shape and values: equal for equal images, whatever their files are."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


Described = TypeVar("Described", bound=np.generic)
Pairs = tuple[NDArray[np.intp], NDArray[np.float64]]


def groups_of_same(prints: Sequence[FieldPrint], belongs_with: Sequence[int]) -> NDArray[np.intp]:
    """Give each image the number of its group: images that must stay together.

    Parameters
    ----------
    belongs_with : sequence of int
        Of each image the index of the one that it belongs with in any case: its original, or
        itself.

    Returns
    -------
    ndarray of shape (n,), dtype intp
        Of each image the number of its group, from 0.
    """
    count = len(prints)
    first_of: dict[str, int] = {}
    equal = [(first_of.setdefault(p.pixel_hash, index), index) for index, p in enumerate(prints)]
    related = np.stack([np.arange(count), np.asarray(belongs_with, dtype=np.intp)], axis=1)
    pairs, _ = pairs_of_same(prints)
    links = np.concatenate([np.array(equal, dtype=np.intp).reshape(-1, 2), related, pairs])
    return linked_groups(links, count)


def pairs_of_same(prints: Sequence[FieldPrint]) -> Pairs:
    """Find pairs of images that show nearly the same, or the same field.

    Returns
    -------
    pairs : ndarray of shape (m, 2), dtype intp
        Indices, the smaller first, ordered.
    correlations : ndarray of shape (m,), dtype float64
        Of the fingerprints or of the details of the views, whichever agree more.
    """
    found: dict[tuple[int, int], float] = {}
    for pairs, correlations in (
        _among_shown([p.fingerprint for p in prints], lambda shown: similar_pairs(np.stack(shown))),
        _among_shown([p.view for p in prints], same_field_pairs),
    ):
        for (first, second), value in zip(pairs.tolist(), correlations.tolist(), strict=True):
            found[first, second] = max(value, found.get((first, second), -1.0))
    ordered = sorted(found)
    return (
        np.array(ordered, dtype=np.intp).reshape(-1, 2),
        np.array([found[pair] for pair in ordered], dtype=np.float64),
    )


def linked_groups(links: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Give what is linked, directly or through others, the number of its group.

    Parameters
    ----------
    links : ndarray of shape (m, 2), dtype intp
        Pairs of indices.

    Returns
    -------
    ndarray of shape (count,), dtype intp
        From 0, in the order in which groups appear.

    Examples
    --------
    >>> linked_groups(np.array([[0, 2], [2, 3]]), 4).tolist()
    [0, 1, 0, 0]
    """
    is_linked = np.ones(len(links), dtype=np.bool_)
    graph = coo_array((is_linked, (links[:, 0], links[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _among_shown(
    described: Sequence[NDArray[Described] | None],
    pairs_among: Callable[[list[NDArray[Described]]], Pairs],
) -> Pairs:
    """Pairs among the images that show something, by the numbers of all images."""
    shown = [index for index, description in enumerate(described) if description is not None]
    if len(shown) < 2:
        return np.empty((0, 2), dtype=np.intp), np.empty(0)
    pairs, correlations = pairs_among([d for d in described if d is not None])
    return np.array(shown, dtype=np.intp)[pairs], correlations
