"""What is measured of cells: for each measure one function and the description of its column.

Names and definitions are those of ``skimage.measure.regionprops``, with x before y. To add a
measure, write a function of :class:`Regions` below and register it with :func:`measure`.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.neighbours import crops_of
from blood_cell_system.cells.table import COLUMNS, Cells, Column


class Regions:
    """Pixels of cells, and what several measures need of them; computed once.

    Parameters
    ----------
    label_image : ndarray of shape (height, width), integer
        0 in no cell, 1..``count`` in the cells.
    count : int
        How many cells there are, those without pixels included.
    """

    def __init__(self, label_image: NDArray[np.integer], count: int) -> None:
        self.label_image = label_image
        self.count = count

    @cached_property
    def crops(self) -> list[tuple[slice, slice]]:
        """Rows and columns around each cell; empty for one without pixels."""
        return crops_of(self.label_image, self.count)

    def masks(self) -> Iterator[NDArray[np.bool_]]:
        """Pixels of each cell within its crop."""
        for label, crop in enumerate(self.crops, start=1):
            yield self.label_image[crop] == label

    @cached_property
    def moments(self) -> NDArray[np.float64]:
        """Number of pixels and sums of x and of y within the crop; shape (n, 3)."""
        rows = []
        for mask in self.masks():
            found = cv2.moments(mask.view(np.uint8), binaryImage=True) if mask.size else None
            rows.append([found["m00"], found["m10"], found["m01"]] if found else [0.0] * 3)
        return np.array(rows, dtype=np.float64).reshape(-1, 3)

    def regionprops(self, name: str) -> NDArray[Any]:
        """Property of scikit-image of each cell; NaN for one without pixels."""
        from skimage.measure import regionprops_table

        table = regionprops_table(self.label_image, properties=("label", name))
        values = np.full(self.count, np.nan)
        values[table["label"] - 1] = table[name]
        return values


Measure = Callable[[Regions], NDArray[Any]]

MEASURES: Final[dict[str, Measure]] = {}
"""Functions by the names of their columns."""

_MEASURED: Final[dict[str, Column]] = {}


def measure(column: Column) -> Callable[[Measure], Measure]:
    """Register a function as the measure of a column."""

    def register(function: Measure) -> Measure:
        MEASURES[column.name] = function
        _MEASURED[column.name] = column
        return function

    return register


def measure_cells(cells: Cells, *names: str) -> Cells:
    """Add columns of measures.

    Parameters
    ----------
    *names : str
        Keys of :data:`MEASURES`.

    Raises
    ------
    KeyError
        There is no such measure.

    Examples
    --------
    >>> square = np.zeros((9, 9), np.int32)
    >>> square[2:6, 2:6] = 1
    >>> cells = Cells(label_image=square).with_columns(cell_type=["RBC"])
    >>> measure_cells(cells, "area", "centroid")["centroid"].tolist()
    [[4.0, 4.0]]
    """
    regions = Regions(cells.label_image, len(cells))
    return cells.with_columns(**{name: MEASURES[name](regions) for name in names})


def data_dictionary() -> tuple[Column, ...]:
    """Describe every column that a table of cells may have: name, type, unit, definition."""
    return tuple({**COLUMNS, **_MEASURED}.values())


@measure(COLUMNS["box"])
def box(regions: Regions) -> NDArray[np.float64]:
    """Give x_min, y_min, x_max, y_max; shape (n, 4)."""
    corners = [(c.start, r.start, c.stop, r.stop) for r, c in regions.crops]
    return np.array(corners, dtype=np.float64).reshape(-1, 4)


@measure(COLUMNS["centroid"])
def centroid(regions: Regions) -> NDArray[np.float64]:
    """Give the mean x, y of the pixels' centres; shape (n, 2)."""
    count, *sums = regions.moments.T
    corner = np.array([(c.start, r.start) for r, c in regions.crops]).reshape(-1, 2)
    with np.errstate(invalid="ignore"):
        return np.asarray(corner + np.stack(sums, axis=1) / count[:, None] + 0.5)


@measure(COLUMNS["area"])
def area(regions: Regions) -> NDArray[np.int64]:
    """Count the pixels."""
    return np.array([np.count_nonzero(mask) for mask in regions.masks()], dtype=np.int64)


@measure(COLUMNS["equivalent_diameter_area"])
def equivalent_diameter_area(regions: Regions) -> NDArray[np.float64]:
    """Give the diameter of the disc of the same area."""
    return np.asarray(np.sqrt(4 * area(regions) / np.pi))


@measure(
    Column(
        name="perimeter_crofton",
        dtype="float64",
        unit="px",
        definition="Length of its boundary, holes included, by Crofton's formula in four "
        "directions.",
    )
)
def perimeter_crofton(regions: Regions) -> NDArray[np.float64]:
    """Give the length of the boundary of every cell, holes included, in whatever direction it runs.

    Notes
    -----
    Cauchy and Crofton: a curve's length is half the integral over all lines of how often they cross
    it. Rows, columns and both diagonals stand for all lines. Counting the sides of pixels would
    call a disc's boundary 27 % too long, and a chain of pixels' centres does so by 5 %. All cells
    at once, where scikit-image takes one after the other.

    Examples
    --------
    >>> rows, columns = np.ogrid[:101, :101]
    >>> disc = ((rows - 50) ** 2 + (columns - 50) ** 2 <= 40**2).astype(np.int32)
    >>> bool(abs(perimeter_crofton(Regions(disc, 1))[0] / (2 * np.pi * 40) - 1) < 0.02)
    True
    """
    padded = np.pad(regions.label_image, 1)
    lengths = np.zeros(regions.count + 1)
    pairs = (
        (padded[:, 1:], padded[:, :-1], 1.0),
        (padded[1:], padded[:-1], 1.0),
        (padded[1:, 1:], padded[:-1, :-1], math.sqrt(0.5)),
        (padded[1:, :-1], padded[:-1, 1:], math.sqrt(0.5)),
    )
    for first, second, spacing in pairs:
        crossed = first != second
        for side in (first[crossed], second[crossed]):
            lengths += spacing * np.bincount(side, minlength=regions.count + 1)
    # Half of the sum, at angles that are an eighth of a full turn apart.
    return np.asarray(lengths[1:] * (math.pi / 8))


@measure(
    Column(
        name="form_factor",
        dtype="float64",
        definition="4π · area / perimeter_crofton²: 1 for a disc, less for all else; also called "
        "circularity.",
    )
)
def form_factor(regions: Regions) -> NDArray[np.float64]:
    """Say how round each cell is; 0 for one without pixels."""
    perimeter = perimeter_crofton(regions)
    values = np.zeros(regions.count)
    np.divide(4 * math.pi * area(regions), perimeter**2, out=values, where=perimeter > 0)
    return np.minimum(values, 1.0)


@measure(
    Column(
        name="eccentricity",
        dtype="float64",
        definition="Of the ellipse of the same second moments: 0 for a circle, near 1 for a line.",
    )
)
def eccentricity(regions: Regions) -> NDArray[np.float64]:
    """Give the eccentricity by scikit-image."""
    return regions.regionprops("eccentricity")


@measure(
    Column(
        name="solidity",
        dtype="float64",
        definition="Its area over that of its convex hull: 1 without bays.",
    )
)
def solidity(regions: Regions) -> NDArray[np.float64]:
    """Give the solidity by scikit-image."""
    return regions.regionprops("solidity")


def covered_share(cells: Cells) -> NDArray[np.float64]:
    """Part of each cell that others hide: what they take of the ellipse in its ``whole_box``.

    0 for a cell that touches none. Slide within the ellipse hides nothing: predicted boxes are
    often too wide.
    """
    labels, whole = cells.label_image, cells["whole_box"]
    shares = np.zeros(len(cells))
    for row in np.flatnonzero((whole != cells["box"]).any(axis=1)):
        x_min, y_min, x_max, y_max = whole[row].tolist()
        left, top = math.floor(x_min), math.floor(y_min)
        window = labels[top : math.ceil(y_max), left : math.ceil(x_max)]
        across, down = (np.arange(length, dtype=np.float32) + 0.5 for length in window.shape[::-1])
        across = (across + left - (x_min + x_max) / 2) / ((x_max - x_min) / 2)
        down = (down + top - (y_min + y_max) / 2) / ((y_max - y_min) / 2)
        is_within = across**2 + (down**2)[:, None] <= 1
        is_hidden = is_within & (window > 0) & (window != row + 1)
        shares[row] = int(np.count_nonzero(is_hidden)) / max(int(np.count_nonzero(is_within)), 1)
    return shares
