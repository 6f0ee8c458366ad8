"""Which picture each training crop is taken from, by the crop's index.

Where a set of 18 pictures is learned together with one of 205, pictures in turn would give it a
twelfth of the crops. So pictures of smaller sources come again before all of the largest have come,
in a longer round: what a small source gets is not taken from the others. By how much is a matter of
degree: the crops of a source with *n* pictures are in proportion to n^(1 - evenness).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import SettingsError
from blood_cell_system.seeding import generator_for


class PictureOrder:
    """Positions of pictures by index; a function of seed and index alone.

    Indices come in rounds, in which the pictures of the largest source come once and those of the
    others more often. Every round has the same number of crops of each source, in a new order.
    Within a source every picture comes once, in a new order each time, before any comes again.

    Parameters
    ----------
    sources : sequence of str
        Source of every picture, by position; one at least.
    evenness : float
        From 0, where every picture comes as often as every other, to 1, where every source does.
        Of no effect where there is one source.
    seed : int

    Attributes
    ----------
    lengthening : float
        Length of a round, against the number of pictures; 1 where all come as often.

    Raises
    ------
    SettingsError
        The evenness is not from 0 to 1.

    Examples
    --------
    Crops as the square roots of 16 and 4, so 2 to 1:

    >>> PictureOrder(["large"] * 16 + ["small"] * 4, evenness=0.5, seed=0).counts_of_a_round()
    {'large': 16, 'small': 8}
    """

    def __init__(self, sources: Sequence[str], *, evenness: float, seed: int) -> None:
        if not 0 <= evenness <= 1:
            raise SettingsError(f"source_evenness: received {evenness}; expected from 0 to 1.")
        self._seed = seed
        self._names = sorted(set(sources))
        by_name = np.array([self._names.index(source) for source in sources])
        self._positions = [np.flatnonzero(by_name == i) for i in range(len(self._names))]
        sizes = np.array([len(found) for found in self._positions])
        # All pictures in one turn, whatever their source, is what a single source needs as well.
        self._is_plain = evenness == 0 or len(self._names) == 1
        largest = sizes.max(initial=0)
        self._quotas = np.rint(largest**evenness * sizes ** (1.0 - evenness)).astype(np.intp)
        self._length = int(self._quotas.sum())
        self.lengthening = self._length / max(1, len(sources))

    def counts_of_a_round(self) -> dict[str, int]:
        """How many crops of a round each source gets."""
        return dict(zip(self._names, self._quotas.tolist(), strict=True))

    def frequencies(self) -> NDArray[np.float64]:
        """How often each picture comes in a round, on average; shape (pictures,)."""
        result = np.empty(sum(map(len, self._positions)))
        for positions, quota in zip(self._positions, self._quotas, strict=True):
            result[positions] = quota / len(positions)
        return result

    def position_of(self, index: int) -> int:
        """Position of the picture that a crop is taken from."""
        turn, place = divmod(index, self._length)
        order = generator_for(self._seed, "order", turn).permutation(self._length)
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
