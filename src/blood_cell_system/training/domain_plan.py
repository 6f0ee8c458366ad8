"""Which cells take part in domain adaptation, and against which others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import SettingsError
from blood_cell_system.input_pipeline.cell_batches import CellLabels

_LARGEST_WEIGHT: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DomainPlan:
    """For each class, which domains are told apart on it, and what a cell of each counts.

    A class is a condition with a type, as far as they are known. A class that comes from one domain
    only has no part: all that could be unlearned there is the class. What is no cell has none
    either. Last rows and columns, at index -1, stand for what is not labelled.

    Parameters
    ----------
    names : tuple of str
        Domains, in the order of their indices.
    is_possible : ndarray of shape (conditions + 1, types + 1, domains), dtype bool
        Whether the class comes from the domain; nowhere for a class without part.
    weight : ndarray of shape (conditions + 1, types + 1, domains), dtype float32
        Makes the domains count alike within a class, however often each is drawn.
    """

    names: tuple[str, ...]
    is_possible: NDArray[np.bool_]
    weight: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        labels: CellLabels,
        drawn: Sequence[int],
        *,
        conditions: int,
        types: int,
    ) -> "DomainPlan":
        """Plan for cells whose ``source`` is their domain.

        Parameters
        ----------
        labels : CellLabels
            Of the training cells.
        drawn : sequence of int
            Positions of a few thousand training examples, as the sampler draws them.
        conditions, types : int
            Numbers of classes.

        Raises
        ------
        SettingsError
            No class comes from two domains, so that there is nothing to adapt by.
        """
        shape = (conditions + 1, types + 1, len(labels.sources))
        counts = np.zeros(shape)
        is_cell = labels.known > 0
        places = (labels.condition, labels.cell_type, labels.source)
        np.add.at(counts, tuple(values[is_cell] for values in places), 1)
        # Of a cell without any label nobody can say that others are of its class.
        counts[-1, -1] = 0
        is_shared = (counts > 0).sum(axis=2, keepdims=True) >= 2
        is_possible = (counts > 0) & is_shared
        if not is_possible.any():
            raise SettingsError(
                f"--domain-adaptation: no class comes from two of the sources "
                f"{', '.join(labels.sources)}; expected one at least, since within one source only "
                "the class itself could be unlearned. Add cells of a second laboratory, or leave "
                "the option out."
            )
        often = np.zeros(shape)
        positions = np.asarray(drawn, dtype=np.intp)
        positions = positions[is_cell[positions]]
        np.add.at(often, tuple(values[positions] for values in places), 1)
        domains = is_possible.sum(axis=2, keepdims=True)
        total = np.where(is_possible, often, 0).sum(axis=2, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(is_possible, total / (domains * often), 0.0)
        weight = np.nan_to_num(weight, nan=1.0, posinf=_LARGEST_WEIGHT)
        return cls(
            names=labels.sources,
            is_possible=is_possible,
            weight=np.minimum(weight, _LARGEST_WEIGHT).astype(np.float32) * is_possible,
        )

    def takes_part(self, labels: CellLabels) -> NDArray[np.bool_]:
        """Whether each cell is of a class that comes from two domains, shape (n,)."""
        rows = self.is_possible[labels.condition, labels.cell_type, labels.source]
        return np.asarray(rows & (labels.known > 0))
