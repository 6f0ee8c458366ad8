"""Red cells that are as dense and purple as nuclei: white cells in clumps, smudges, pieces of both.

A network that has seen few clumps of blasts draws some of them as red cells. What it is compared
with are the paler red cells of the same image, so that the stain and the camera matter little.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.table import Cells
from blood_cell_system.stain.optical_density import BLUE, GREEN, RED
from blood_cell_system.taxonomy import RBC

_PALER: Final = 0.25
"""Quantile of the red cells that stands for a usual one: among blasts half of them may be none."""
_LEAST_USUAL: Final = 0.03
"""Density of a usual red cell, at least, that ratios are taken of."""
_SPREADS: Final = 0.84
"""A fifth of a normal distribution lies so many standard deviations above its mean or higher."""
_DENSER: Final = 1.7
"""Density in green light that a fifth of such a cell has at least, in those of a usual one."""
_PURPLER: Final = 0.2
"""Density in green beyond the mean of red and blue, at least, above that of a usual red cell. In 25
fields of acrs with blasts in clumps 40 outlines pass both limits, of some 70 that hold a nucleus;
of 7,115 red cells of IML, Chula, Uganda and Taleqani 23 do, most of them smudges and pieces of
white cells."""
_FEW: Final = 3
"""Red cells below which nothing is said."""


def hold_nuclei(cells: Cells) -> NDArray[np.bool_]:
    """Say which red cells hold what looks like a nucleus.

    Parameters
    ----------
    cells : Cells
        With ``optical_density_mean`` and ``optical_density_std``.

    Returns
    -------
    ndarray of shape (n,), dtype bool
        False for other types.
    """
    is_red = cells.is_type(RBC)
    if np.count_nonzero(is_red) < _FEW:
        return np.zeros(len(cells), dtype=np.bool_)
    mean = cells["optical_density_mean"]
    usual = np.maximum(np.nanquantile(mean[is_red], _PALER, axis=0), _LEAST_USUAL)
    dense = mean + _SPREADS * cells["optical_density_std"]
    is_dense = dense[:, GREEN] >= _DENSER * usual[GREEN]
    is_purple = _purple(dense) >= _purple(usual) + _PURPLER
    return np.asarray(is_red & is_dense & is_purple)


def _purple(density: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(density[..., GREEN] - 0.5 * (density[..., RED] + density[..., BLUE]))
