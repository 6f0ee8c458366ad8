"""Cells of many images as few rows: all that are alike in what sums ask for are one row."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.table import Cells


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellKinds(Cells):
    """A table of cells without pixels, whose rows are kinds of cells.

    Sums of cells, such as findings, are of it as of the table of the cells themselves.

    Parameters
    ----------
    kinds, images, numbers : ndarray of shape (m,), dtype intp
        A row of the table, an image by the order of names, and how many such cells it has.
    measured : mapping of str to ndarray of shape (n,), dtype float64
        Columns of which medians are asked for, a value a cell.
    measured_kinds : ndarray of shape (n,), dtype intp
        Row of the table of each of these cells.
    """

    kinds: NDArray[np.intp]
    images: NDArray[np.intp]
    numbers: NDArray[np.intp]
    measured: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    measured_kinds: NDArray[np.intp]

    def number(self, rows: NDArray[np.bool_]) -> int:
        """How many cells the chosen rows are."""
        return int(self.numbers[rows[self.kinds]].sum())

    def by_image(self, rows: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Count the chosen cells of each image that has cells, in the order of their names."""
        chosen = rows[self.kinds]
        found = np.zeros(self.images.max(initial=-1) + 1, dtype=np.intp)
        np.add.at(found, self.images[chosen], self.numbers[chosen])
        return found

    def median(self, name: str, rows: NDArray[np.bool_]) -> float | None:
        """Median of a column of the chosen cells; None without a cell or where one has no value."""
        values = self.measured[name][rows[self.measured_kinds]]
        return None if not len(values) or np.isnan(values).any() else float(np.median(values))
