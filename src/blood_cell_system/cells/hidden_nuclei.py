"""Red cells that are as dense and purple as nuclei: white cells in clumps, smudges, pieces of both.

A network that has seen few clumps of blasts draws some of them as red cells. What it is compared
with is the usual red cell of the same image, so that the stain and the camera matter little.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.table import Cells
from blood_cell_system.stain.optical_density import BLUE, GREEN, RED
from blood_cell_system.taxonomy import RBC

_LEAST_USUAL: Final = 0.03
"""Density of a usual red cell, at least, that ratios are taken of."""
_DENSER: Final = 1.5
"""Mean density in red and in green light, at least, in those of a usual one."""
_PURPLER: Final = 2.0
"""Density in green beyond the mean of red and blue, at least, in that of a usual red cell: a dense
red cell is no more purple. In 25 fields of acrs with blasts in clumps 26 outlines pass all limits,
of some 70 that hold a nucleus; of 7,115 red cells of IML, Chula, Uganda and Taleqani 11 do, and of
1,343 of ``bcdd_kaggle`` and of iron deficiency, where dense and pale cells lie side by side, 1."""
_LEAST_PURPLE: Final = 0.12
"""How much more that density is, at least: of pale cells a little is twice as much as well."""
_FEW: Final = 3
"""Red cells below which nothing is said."""


def hold_nuclei(cells: Cells) -> NDArray[np.bool_]:
    """Say which red cells hold what looks like a nucleus.

    Parameters
    ----------
    cells : Cells
        With ``optical_density_mean``.

    Returns
    -------
    ndarray of shape (n,), dtype bool
        False for other types.
    """
    is_red = cells.is_type(RBC)
    if np.count_nonzero(is_red) < _FEW:
        return np.zeros(len(cells), dtype=np.bool_)
    mean = cells["optical_density_mean"]
    usual = np.maximum(np.nanmedian(mean[is_red], axis=0), _LEAST_USUAL)
    is_dense = (mean[:, RED] >= _DENSER * usual[RED]) & (mean[:, GREEN] >= _DENSER * usual[GREEN])
    of_usual = _purple(usual)
    is_purple = _purple(mean) >= max(_PURPLER * of_usual, of_usual + _LEAST_PURPLE)
    return np.asarray(is_red & is_dense & is_purple)


def _purple(density: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(density[..., GREEN] - 0.5 * (density[..., RED] + density[..., BLUE]))
