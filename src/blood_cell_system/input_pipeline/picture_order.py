"""Which picture each training crop is taken from, by the crop's index.

Where a set of 18 pictures is learned together with one of 205, pictures in turn would give it a
twelfth of the crops. How far small sources are brought forward is a matter of degree: the share of
a source with *n* pictures is in proportion to n^(1 - evenness).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import SettingsError
from blood_cell_system.seeding import generator_for


class PictureOrder:
    """Positions of pictures by index; a function of seed and index alone.

    Indices come in rounds of as many as there are pictures. Every round has the same number of
    crops of each source, in a new order. Within a source every picture comes once, in a new order
    each time, before any comes again.

    Parameters
    ----------
    sources : sequence of str
        Source of every picture, by position; one at least.
    evenness : float
        From 0, where every picture comes as often as every other, to 1, where every source does.
        Of no effect where there is one source.
    seed : int

    Raises
    ------
    SettingsError
        The evenness is not from 0 to 1.

    Examples
    --------
    Crops as the square roots of 16 and 4, so 2 to 1:

    >>> PictureOrder(["large"] * 16 + ["small"] * 4, evenness=0.5, seed=0).counts_of_a_round()
    {'large': 13, 'small': 7}
    """

    def __init__(self, sources: Sequence[str], *, evenness: float, seed: int) -> None:
        if not 0 <= evenness <= 1:
            raise SettingsError(f"source_evenness: received {evenness}; expected from 0 to 1.")
        self._seed = seed
        self._count = len(sources)
        self._names = sorted(set(sources))
        by_name = np.array([self._names.index(source) for source in sources])
        self._positions = [np.flatnonzero(by_name == i) for i in range(len(self._names))]
        sizes = np.array([len(found) for found in self._positions])
        # All pictures in one turn, whatever their source, is what a single source needs as well.
        self._is_plain = evenness == 0 or len(self._names) == 1
        self._quotas = sizes if self._is_plain else _quotas(sizes, evenness)

    def counts_of_a_round(self) -> dict[str, int]:
        """How many crops of a round each source gets."""
        return dict(zip(self._names, self._quotas.tolist(), strict=True))

    def frequencies(self) -> NDArray[np.float64]:
        """How often each picture comes, against the mean of all; shape (pictures,)."""
        result = np.empty(self._count)
        for positions, quota in zip(self._positions, self._quotas, strict=True):
            result[positions] = quota / len(positions)
        return result

    def position_of(self, index: int) -> int:
        """Position of the picture that a crop is taken from."""
        turn, place = divmod(index, self._count)
        order = generator_for(self._seed, "order", turn).permutation(self._count)
        if self._is_plain:
            return int(order[place])
        # The slots 0 to n - 1 of a round belong to the sources one after the other.
        ends = np.cumsum(self._quotas)
        source = int(np.searchsorted(ends, order[place], side="right"))
        quota, positions = int(self._quotas[source]), self._positions[source]
        before = order[:place]
        own_before = np.count_nonzero((before >= ends[source] - quota) & (before < ends[source]))
        taken = turn * quota + int(own_before)
        own_turn, own_place = divmod(taken, len(positions))
        own_order = generator_for(self._seed, "order", self._names[source], own_turn)
        return int(positions[own_order.permutation(len(positions))[own_place]])


def _quotas(sizes: NDArray[np.intp], evenness: float) -> NDArray[np.intp]:
    """Deal the slots of a round out to the sources, by the largest remainder.

    No source goes without: the smallest gets more than its number of pictures says.
    """
    weights = sizes ** (1.0 - evenness)
    ideal = sizes.sum() * weights / weights.sum()
    quotas: NDArray[np.intp] = np.floor(ideal).astype(np.intp)
    left = int(sizes.sum() - quotas.sum())
    quotas[np.argsort(quotas - ideal, kind="stable")[:left]] += 1
    return quotas
