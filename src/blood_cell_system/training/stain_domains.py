"""Laboratories guessed from the stain, where nobody has written down where pictures come from.

Pictures are grouped by the optical density of what is stained, above the empty slide: light and
white balance are out of it, dye and thickness are in it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.masks.stain import GREEN, optical_density
from blood_cell_system.seeding import generator_for

DEFAULT_GROUPS: Final = 3

_STAINED_FROM: Final = 0.08
_FEWEST_PIXELS: Final = 16
_LARGEST_SIDE_PX: Final = 320
_ROUNDS: Final = 50

Floats = NDArray[np.float64]


def stain_of_smear(image: NDArray[np.uint8]) -> Floats:
    """Mean and spread of the density of all that is stained in a smear.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    ndarray of shape (6,)
        Means, then standard deviations, of red, green and blue; 0 for an empty slide.
    """
    step = max(1, max(image.shape[:2]) // _LARGEST_SIDE_PX)
    density = optical_density(np.ascontiguousarray(image[::step, ::step]))
    return _mean_and_spread(density[density[:, :, GREEN] > _STAINED_FROM])


def stain_of_cell(cell_picture: NDArray[np.uint8]) -> Floats:
    """Mean and spread of the density within a cell's outline.

    Parameters
    ----------
    cell_picture : ndarray of shape (height, width, 4), dtype uint8
        RGBA; the empty slide is white.

    Returns
    -------
    ndarray of shape (6,)
        As of :func:`stain_of_smear`.
    """
    inside = cell_picture[cell_picture[:, :, 3] > 127][:, :3]
    return _mean_and_spread(-np.log(np.maximum(inside, 1) / 255.0))


def stain_groups(
    statistics: NDArray[np.floating], *, groups: int = DEFAULT_GROUPS, seed: int
) -> NDArray[np.int32]:
    """Group pictures by k-means on standardised statistics.

    Parameters
    ----------
    statistics : ndarray of shape (n, features)
    groups : int
        At most; fewer when there are fewer different pictures.
    seed : int

    Returns
    -------
    ndarray of shape (n,), dtype int32
        Group of each picture, numbered from the largest one.

    References
    ----------
    .. [1] D. Arthur, S. Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.
    """
    values = np.asarray(statistics, dtype=np.float64)
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    centres = _first_centres(values, groups, generator_for(seed, "stain groups"))
    nearest = np.zeros(len(values), dtype=np.intp)
    for round_index in range(_ROUNDS):
        former = nearest
        nearest = _squared_distances(values, centres).argmin(axis=1)
        if round_index and np.array_equal(former, nearest):
            break
        for index in np.unique(nearest):
            centres[index] = values[nearest == index].mean(axis=0)
    order = np.argsort(-np.bincount(nearest, minlength=len(centres)), kind="stable")
    rank = np.empty(len(centres), dtype=np.int32)
    rank[order] = np.arange(len(centres))
    return np.asarray(rank[nearest], dtype=np.int32)


def _mean_and_spread(densities: NDArray[np.floating]) -> Floats:
    if len(densities) < _FEWEST_PIXELS:
        return np.zeros(6)
    return np.concatenate([densities.mean(axis=0), densities.std(axis=0)]).astype(np.float64)


def _first_centres(values: Floats, groups: int, generator: np.random.Generator) -> Floats:
    centres = [values[generator.integers(len(values))]]
    while len(centres) < groups:
        distance = _squared_distances(values, np.array(centres)).min(axis=1)
        if distance.sum() == 0:
            break
        centres.append(values[generator.choice(len(values), p=distance / distance.sum())])
    return np.array(centres)


def _squared_distances(values: Floats, centres: Floats) -> Floats:
    return np.asarray(((values[:, None] - centres[None]) ** 2).sum(axis=2))
