"""What is measured of cells: for each measure one function and the description of its column.

Names and definitions are those of ``skimage.measure.regionprops`` where it has the property, with x
before y. To add a measure, write a function of :class:`Regions` below and register it with
:func:`measure`. All are computed for all cells at once, most of them on runs of pixels.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.neighbours import Runs, crops_of, runs_of
from blood_cell_system.cells.nucleus import count_lobes, nucleus_of_cell
from blood_cell_system.cells.table import COLUMNS, Cells, Column
from blood_cell_system.stain.optical_density import GREEN
from blood_cell_system.stain.slide_light import SlideLight
from blood_cell_system.taxonomy import RBC, WBC

_CENTRE: Final = 1 / 3
"""Radius of a red cell's middle, in radii of its ellipse: a normal pallor is a third as wide."""
_RING: Final = (0.6, 0.85)
"""Inner and outer radius of the ring that a pallor is compared with; beyond, the rim fades."""
_PALE: Final = 0.8
"""Part of the ring's density below which a pixel is pale."""
_PIXELS_AT_ONCE: Final = 500_000
"""Pixels of red cells whose pallors are measured at once."""
_LOGARITHMS: Final = np.log(np.maximum(np.arange(256, dtype=np.float32), 1))


class Regions:
    """Pixels of cells, and what several measures need of them; computed once.

    Parameters
    ----------
    label_image : ndarray of shape (height, width), integer
        0 in no cell, 1..``count`` in the cells.
    count : int
        How many cells there are, those without pixels included.
    cells : Cells, optional
        Their table, for measures that depend on types.
    image : ndarray of shape (height, width, 3), dtype uint8, optional
        RGB, for measures of density.
    light : SlideLight, optional
        Of the empty slide in the image.
    """

    def __init__(
        self,
        label_image: NDArray[np.integer],
        count: int,
        *,
        cells: Cells | None = None,
        image: NDArray[np.uint8] | None = None,
        light: SlideLight | None = None,
    ) -> None:
        self.label_image = label_image
        self.count = count
        self._cells, self._image, self._light = cells, image, light

    @cached_property
    def runs(self) -> Runs:
        """Stretches of pixels of one cell within a row."""
        return runs_of(self.label_image)

    @cached_property
    def crops(self) -> list[tuple[slice, slice]]:
        """Rows and columns around each cell; empty for one without pixels."""
        return crops_of(self.label_image, self.count, runs=self.runs)

    def masks(self) -> Iterator[NDArray[np.bool_]]:
        """Pixels of each cell within its crop."""
        for label, crop in enumerate(self.crops, start=1):
            yield self.label_image[crop] == label

    def is_type(self, name: str) -> NDArray[np.bool_]:
        """Whether each cell is of a type; none where types are not known."""
        if self._cells is None:
            return np.zeros(self.count, dtype=np.bool_)
        return self._cells.is_type(name)

    @property
    def is_whole_red_cell(self) -> NDArray[np.bool_]:
        """Red cells that the border does not cut off."""
        is_red = self.is_type(RBC)
        if self._cells is not None and "touches_border" in self._cells:
            is_red &= ~self._cells["touches_border"]
        return is_red

    def sums(self, of_runs: NDArray[Any]) -> NDArray[np.float64]:
        """Add up a value of each run in each cell; shape (n,)."""
        sums = np.bincount(self.runs.labels - 1, weights=of_runs, minlength=self.count)
        return sums.astype(np.float64)

    @cached_property
    def area(self) -> NDArray[np.float64]:
        """Number of pixels."""
        return self.sums(self.runs.stops - self.runs.starts)

    @cached_property
    def centroid(self) -> NDArray[np.float64]:
        """Mean x, y of the pixels' centres, NaN for a cell without pixels; shape (n, 2)."""
        _, rows, starts, stops = self.runs
        lengths = stops - starts
        sums = self.sums(lengths * (starts + stops) / 2), self.sums(lengths * (rows + 0.5))
        with np.errstate(invalid="ignore"):
            return np.asarray(np.stack(sums, axis=1) / self.area[:, None])

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Variance of x, of y, and their covariance, of the pixels' centres; shape (n, 3)."""
        index, rows, starts, stops = self.runs
        lengths = stops - starts
        middle = self.centroid[index - 1]
        x = (starts + stops) / 2 - middle[:, 0]
        y = rows + 0.5 - middle[:, 1]
        # Within a run of n pixels the variance of x is (n² - 1) / 12.
        of_runs = lengths * (x**2 + (lengths**2 - 1) / 12), lengths * y**2, lengths * x * y
        with np.errstate(invalid="ignore"):
            return np.stack([self.sums(part) for part in of_runs], axis=1) / self.area[:, None]

    @cached_property
    def variances(self) -> NDArray[np.float64]:
        """Variance along the longer and the shorter axis; shape (n, 2)."""
        x, y, xy = self.covariance.T
        spread = np.sqrt(4 * xy**2 + (x - y) ** 2)
        return np.maximum(np.stack([x + y + spread, x + y - spread], axis=1) / 2, 0)

    @cached_property
    def hulls(self) -> NDArray[np.float64]:
        """Area and longest diagonal of each convex hull of pixels' sides; shape (n, 2)."""
        index, rows, starts, stops = self.runs
        order = np.argsort(index, kind="stable")
        y, left, right = rows[order] + 0.5, starts[order], stops[order]
        sides = (left, right, left + 0.5, left + 0.5, right - 0.5, right - 0.5)
        corners = zip(sides, (y, y, y - 0.5, y + 0.5, y - 0.5, y + 0.5), strict=True)
        points = np.stack([np.stack(c, axis=1) for c in corners], axis=1).astype(np.float32)
        ends = np.cumsum(np.bincount(index - 1, minlength=self.count))
        found = np.full((self.count, 2), np.nan)
        for row, (start, stop) in enumerate(zip([0, *ends.tolist()], ends.tolist(), strict=False)):
            if stop > start:
                hull = cv2.convexHull(points[start:stop].reshape(-1, 2))
                x_y = hull.reshape(-1, 2) @ np.array([1, 1j])
                found[row] = cv2.contourArea(hull), np.abs(x_y[:, None] - x_y).max()
        return found

    @cached_property
    def framed(self) -> NDArray[np.integer]:
        """Label image in a frame of zeros, one pixel wide."""
        labels = self.label_image
        framed = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2), dtype=labels.dtype)
        framed[1:-1, 1:-1] = labels
        return framed

    @cached_property
    def boundaries(self) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp], float], ...]:
        """Pixels of ``framed`` at both sides of each boundary, flat, and the lines' spacing.

        Along rows, along columns, and along both diagonals.
        """
        flat, width = self.framed.ravel(), self.framed.shape[1]
        diagonal = math.sqrt(0.5)
        found = []
        for step, spacing in ((1, 1.0), (width, 1.0), (width + 1, diagonal), (width - 1, diagonal)):
            # The frame of zeros is on both sides where a row ends and the next one begins.
            places = np.flatnonzero(flat[step:] != flat[:-step])
            found.append((places + step, places, spacing))
        return tuple(found)

    @property
    def image(self) -> NDArray[np.uint8]:
        """RGB pixels.

        Raises
        ------
        ValueError
            Nobody has given them.
        """
        if self._image is None:
            raise ValueError("image: received none; expected one, as densities are measured in it.")
        return self._image

    @cached_property
    def log_light(self) -> NDArray[np.float32]:
        """Logarithm of the empty slide's light in the middle of each cell; shape (n, 3).

        Raises
        ------
        ValueError
            Nobody has given the light.
        """
        if self._light is None:
            raise ValueError("light: received none; expected that of the empty slide.")
        return np.asarray(np.log(self._light.at(*self.centroid.T)))

    @cached_property
    def densities(self) -> NDArray[np.float64]:
        """Mean and standard deviation of the optical density by channel; shape (n, 2, 3)."""
        _, rows, starts, stops = self.runs
        ends = (
            np.stack([starts, stops], axis=1) + rows[:, None] * self.label_image.shape[1]
        ).ravel()
        found = np.full((self.count, 2, 3), np.nan)
        if not len(ends):
            return found
        # The last run may end with the image, where reduceat needs no end.
        ends = ends[:-1] if ends[-1] == self.label_image.size else ends
        for channel, plane in enumerate(cv2.split(self.image)):
            logs = cv2.LUT(plane, _LOGARITHMS).ravel()
            of_runs = np.add.reduceat(logs, ends)[::2]
            squares = np.add.reduceat(np.square(logs, out=logs), ends)[::2]
            sums = (self.sums(part) for part in (of_runs, squares))
            with np.errstate(invalid="ignore"):
                first, second = (part / self.area for part in sums)
            found[:, 0, channel] = self.log_light[:, channel] - first
            found[:, 1, channel] = np.sqrt(np.maximum(second - first**2, 0))
        return found

    @cached_property
    def pallors(self) -> NDArray[np.float64]:
        """Area share and density ratio of the pallor of red cells, NaN of others; shape (n, 2)."""
        found = np.full((self.count, 2), np.nan)
        is_red = self.is_type(RBC)
        of_red = np.flatnonzero(is_red[self.runs.labels - 1])
        # Cell by cell, as many at once as fit into a processor's memory.
        of_red = of_red[np.argsort(self.runs.labels[of_red], kind="stable")]
        index = self.runs.labels[of_red] - 1
        pixels = np.cumsum(self.runs.stops[of_red] - self.runs.starts[of_red])
        first = 0
        while first < len(of_red):
            done = pixels[first - 1] if first else 0
            last = min(int(np.searchsorted(pixels, done + _PIXELS_AT_ONCE)), len(of_red) - 1)
            stop = int(np.searchsorted(index, index[last], side="right"))
            cells = slice(int(index[first]), int(index[last]) + 1)
            found[cells] = self._pallors_of(cells, of_red[first:stop])
            first = stop
        found[~is_red] = np.nan
        return found

    def _pallors_of(self, cells: slice, runs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Pallors of cells that follow each other; NaN of those of which no run is given."""
        count = cells.stop - cells.start
        index, rows, starts, stops = (part[runs] for part in self.runs)
        index = index - 1
        lengths = stops - starts
        # With d from the centroid, d' · inverse covariance · d / 4 is 1 at the ellipse's rim.
        x, y, xy = (
            np.maximum(part, tiny)
            for part, tiny in zip(self.covariance.T, (1e-9, 1e-9, -np.inf), strict=True)
        )
        scale = 4 * np.maximum(x * y - xy**2, 1e-9)
        up = (rows + 0.5 - self.centroid[index, 1]).astype(np.float32)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        across = (
            np.repeat((starts + 0.5 - self.centroid[index, 0]).astype(np.float32), lengths) + within
        )
        quadratic, linear, constant = (
            np.repeat(part.astype(np.float32), lengths)
            for part in (
                (y / scale)[index],
                -2 * (xy / scale)[index] * up,
                (x / scale)[index] * up**2,
            )
        )
        radius = (quadratic * across + linear) * across + constant
        cell = np.repeat(index - cells.start, lengths)
        flat = np.repeat(rows * self.label_image.shape[1] + starts, lengths) + within
        green = self.image.reshape(-1, 3)[flat, GREEN]
        density = self.log_light[cells][cell, GREEN] - _LOGARITHMS[green]

        def mean(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
            sums = np.bincount(cell[chosen], weights=density[chosen], minlength=count)
            return np.asarray(sums / np.bincount(cell[chosen], minlength=count))

        inner, outer = (limit**2 for limit in _RING)
        with np.errstate(invalid="ignore", divide="ignore"):
            ring = mean((radius >= inner) & (radius <= outer))
            ring[ring <= 0] = np.nan
            is_pale = (radius <= outer) & (density < _PALE * ring.astype(np.float32)[cell])
            pale = np.bincount(cell[is_pale], minlength=count)
            shares = pale / self.area[cells], mean(radius <= _CENTRE**2) / ring
        found = np.stack(shares, axis=1)
        found[np.isnan(ring)] = np.nan
        return found

    @cached_property
    def nuclei(self) -> NDArray[np.float64]:
        """Area of the nucleus in pixels and its lobes, NaN but of white cells; shape (n, 2)."""
        found = np.full((self.count, 2), np.nan)
        for row in np.flatnonzero(self.is_type(WBC) & (self.area > 0)):
            crop = self.crops[row]
            own = self.label_image[crop] == row + 1
            density = self.log_light[row] - _LOGARITHMS[self.image[crop]]
            nucleus = nucleus_of_cell(density.astype(np.float32), own)
            found[row] = np.count_nonzero(nucleus), count_lobes(nucleus)
        return found

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


def measure_cells(
    cells: Cells,
    *names: str,
    image: NDArray[np.uint8] | None = None,
    light: SlideLight | None = None,
) -> Cells:
    """Add columns of measures.

    Parameters
    ----------
    *names : str
        Keys of :data:`MEASURES`.
    image : ndarray of shape (height, width, 3), dtype uint8, optional
        RGB, for measures of density.
    light : SlideLight, optional
        Of the empty slide in the image, for the same.

    Raises
    ------
    KeyError
        There is no such measure.
    ValueError
        A measure of density, without an image or its light.

    Examples
    --------
    >>> square = np.zeros((9, 9), np.int32)
    >>> square[2:6, 2:6] = 1
    >>> cells = Cells(label_image=square).with_columns(cell_type=["RBC"])
    >>> measure_cells(cells, "area", "centroid")["centroid"].tolist()
    [[4.0, 4.0]]
    """
    regions = Regions(cells.label_image, len(cells), cells=cells, image=image, light=light)
    return cells.with_columns(**{name: MEASURES[name](regions) for name in names})


def measured_columns() -> tuple[Column, ...]:
    """Describe the columns of the registered measures that :data:`COLUMNS` does not have."""
    return tuple(column for name, column in _MEASURED.items() if name not in COLUMNS)


def data_dictionary() -> tuple[Column, ...]:
    """Describe every column that a table of cells may have: name, type, unit, definition."""
    return (*COLUMNS.values(), *measured_columns(), *_micrometre_columns().values())


def in_micrometres(cells: Cells, pixel_size_um: float | None) -> Cells:
    """Add lengths and areas in micrometres beside those in pixels.

    Parameters
    ----------
    pixel_size_um : float or None
        Side of a pixel; None where it is not known, which makes NaN.
    """
    size = np.nan if pixel_size_um is None else pixel_size_um
    return cells.with_columns(
        **{
            column.name: cells[source] * size ** _POWERS[_MEASURED[source].unit]
            for source, column in _micrometre_columns().items()
            if source in cells
        }
    )


_POWERS: Final = {"px": 1, "px²": 2}


def _micrometre_columns() -> dict[str, Column]:
    """Give the column in micrometres of each measure in pixels, by the measure's name."""
    found = {}
    for name, column in _MEASURED.items():
        if column.unit in _POWERS and column.width == 1 and name != "equivalent_diameter_area":
            power = _POWERS[column.unit]
            found[name] = Column(
                name=f"{name}_um" if power == 1 else f"{name}_um2",
                dtype="float64",
                unit="µm" if power == 1 else "µm²",
                definition=f"{name} in micrometres; NaN where the size of a pixel is not known.",
            )
    return found


@measure(COLUMNS["box"])
def box(regions: Regions) -> NDArray[np.float64]:
    """Give x_min, y_min, x_max, y_max; shape (n, 4)."""
    corners = [(c.start, r.start, c.stop, r.stop) for r, c in regions.crops]
    return np.array(corners, dtype=np.float64).reshape(-1, 4)


@measure(COLUMNS["centroid"])
def centroid(regions: Regions) -> NDArray[np.float64]:
    """Give the mean x, y of the pixels' centres; shape (n, 2)."""
    return regions.centroid


@measure(COLUMNS["area"])
def area(regions: Regions) -> NDArray[np.int64]:
    """Count the pixels."""
    return regions.area.astype(np.int64)


@measure(COLUMNS["equivalent_diameter_area"])
def equivalent_diameter_area(regions: Regions) -> NDArray[np.float64]:
    """Give the diameter of the disc of the same area."""
    return np.asarray(np.sqrt(4 * regions.area / np.pi))


@measure(
    Column(
        name="perimeter",
        dtype="float64",
        unit="px",
        definition="Length of the line through the centres of its border pixels, holes included.",
    )
)
def perimeter(regions: Regions) -> NDArray[np.float64]:
    """Give the length of the border as scikit-image does, of all cells at once.

    Notes
    -----
    K. Benkrid, D. Crookes, A. Benkrid, *Design and FPGA implementation of a perimeter estimator*,
    2000: each border pixel counts 1, √2 or (1 + √2)/2, by where its neighbours on the border are.
    """
    labels, width = regions.framed.ravel(), regions.framed.shape[1]
    on_border = np.zeros(labels.shape, dtype=np.bool_)
    for side in (side for sides in regions.boundaries[:2] for side in sides[:2]):
        on_border[side] = True
    pixels = np.flatnonzero(on_border)
    own = labels[pixels]
    on_border[pixels[own == 0]] = False
    pixels, own = pixels[own > 0], own[own > 0]
    pattern = np.ones(len(pixels), dtype=np.intp)
    for step, weight in ((-1, 2), (1, 2), (-width, 2), (width, 2)):
        pattern += weight * (on_border[pixels + step] & (labels[pixels + step] == own))
    for step in (-width - 1, -width + 1, width - 1, width + 1):
        pattern += 10 * (on_border[pixels + step] & (labels[pixels + step] == own))
    lengths = np.zeros(50)
    lengths[[5, 7, 15, 17, 25, 27]] = 1
    lengths[[21, 33]] = math.sqrt(2)
    lengths[[13, 23]] = (1 + math.sqrt(2)) / 2
    sums = np.bincount(own - 1, weights=lengths[pattern], minlength=regions.count)
    return sums.astype(np.float64)


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
    lengths = np.zeros(regions.count + 1)
    labels = regions.framed.ravel()
    for *sides, spacing in regions.boundaries:
        for side in sides:
            lengths += spacing * np.bincount(labels[side], minlength=regions.count + 1)
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
    lengths = perimeter_crofton(regions)
    values = np.zeros(regions.count)
    np.divide(4 * math.pi * regions.area, lengths**2, out=values, where=lengths > 0)
    return np.minimum(values, 1.0)


@measure(
    Column(
        name="axis_major_length",
        dtype="float64",
        unit="px",
        definition="Longer axis of the ellipse of the same second moments.",
    )
)
def axis_major_length(regions: Regions) -> NDArray[np.float64]:
    """Give four standard deviations along the longer axis."""
    return np.asarray(4 * np.sqrt(regions.variances[:, 0]))


@measure(
    Column(
        name="axis_minor_length",
        dtype="float64",
        unit="px",
        definition="Shorter axis of the ellipse of the same second moments.",
    )
)
def axis_minor_length(regions: Regions) -> NDArray[np.float64]:
    """Give four standard deviations along the shorter axis."""
    return np.asarray(4 * np.sqrt(regions.variances[:, 1]))


@measure(
    Column(
        name="eccentricity",
        dtype="float64",
        definition="Of the ellipse of the same second moments: 0 for a circle, near 1 for a line.",
    )
)
def eccentricity(regions: Regions) -> NDArray[np.float64]:
    """Give the distance of the ellipse's foci in major axes."""
    longer, shorter = regions.variances.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(longer == 0, 0.0, np.sqrt(1 - shorter / longer))


@measure(
    Column(
        name="orientation",
        dtype="float64",
        unit="rad",
        definition="Angle between the image's vertical and its longer axis, -π/2 to π/2, "
        "counter-clockwise.",
    )
)
def orientation(regions: Regions) -> NDArray[np.float64]:
    """Give the direction of the longer axis; of a cell without one that of a diagonal."""
    x, y, xy = regions.covariance.T
    diagonal = np.where(xy > 0, np.pi / 4, -np.pi / 4)
    return np.where(x == y, diagonal, 0.5 * np.arctan2(2 * xy, y - x))


@measure(
    Column(
        name="solidity",
        dtype="float64",
        definition="Its area over that of its convex hull: 1 without bays.",
    )
)
def solidity(regions: Regions) -> NDArray[np.float64]:
    """Give the area over that of the hull of the pixels' sides, at most 1."""
    return np.minimum(regions.area / regions.hulls[:, 0], 1.0)


@measure(
    Column(
        name="extent",
        dtype="float64",
        definition="Its area over that of its box.",
    )
)
def extent(regions: Regions) -> NDArray[np.float64]:
    """Give the area over that of the box."""
    corners = box(regions)
    with np.errstate(invalid="ignore"):
        return np.asarray(regions.area / (corners[:, 2:] - corners[:, :2]).prod(axis=1))


@measure(
    Column(
        name="feret_diameter_max",
        dtype="float64",
        unit="px",
        definition="Longest distance between points on its convex hull's contour.",
    )
)
def feret_diameter_max(regions: Regions) -> NDArray[np.float64]:
    """Give the longest diagonal of the hull."""
    return regions.hulls[:, 1]


@measure(
    Column(
        name="optical_density_mean",
        dtype="float64",
        width=3,
        definition="Mean of -ln(pixel / empty slide) over its pixels, in red, green and blue.",
    )
)
def optical_density_mean(regions: Regions) -> NDArray[np.float64]:
    """Say how dense the stain is; shape (n, 3)."""
    return regions.densities[:, 0]


@measure(
    Column(
        name="optical_density_std",
        dtype="float64",
        width=3,
        definition="Standard deviation of the optical density over its pixels, in red, green and "
        "blue.",
    )
)
def optical_density_std(regions: Regions) -> NDArray[np.float64]:
    """Say how uneven the stain is; shape (n, 3)."""
    return regions.densities[:, 1]


@measure(
    Column(
        name="pallor_area_share",
        dtype="float64",
        definition="Part of a red cell's area within 0.85 radii of its ellipse whose green density "
        "is less than 0.8 of that of the ring from 0.6 to 0.85 radii.",
    )
)
def pallor_area_share(regions: Regions) -> NDArray[np.float64]:
    """Say how large the central pallor of red cells is; NaN for others."""
    return regions.pallors[:, 0]


@measure(
    Column(
        name="pallor_density_ratio",
        dtype="float64",
        definition="Mean green density of the inner third of a red cell's radius over that of the "
        "ring from 0.6 to 0.85 radii: 1 without a pallor, less the paler it is.",
    )
)
def pallor_density_ratio(regions: Regions) -> NDArray[np.float64]:
    """Say how pale the middle of red cells is; NaN for others."""
    return regions.pallors[:, 1]


@measure(
    Column(
        name="nucleus_area",
        dtype="float64",
        unit="px²",
        definition="Pixels of a white cell that are dense in red light, as nuclei are.",
    )
)
def nucleus_area(regions: Regions) -> NDArray[np.float64]:
    """Count the pixels of the nuclei of white cells; NaN for others."""
    return regions.nuclei[:, 0]


@measure(
    Column(
        name="nucleus_cytoplasm_ratio",
        dtype="float64",
        definition="Area of a white cell's nucleus over that of the rest of the cell (N:C ratio); "
        "none where nothing is left.",
    )
)
def nucleus_cytoplasm_ratio(regions: Regions) -> NDArray[np.float64]:
    """Give the N:C ratio of white cells; NaN for others."""
    nucleus = regions.nuclei[:, 0]
    rest = regions.area - nucleus
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(rest > 0, nucleus / rest, np.nan)


@measure(
    Column(
        name="nucleus_lobes",
        dtype="float64",
        definition="Lobes of a white cell's nucleus: parts, and what a neck parts from them.",
    )
)
def nucleus_lobes(regions: Regions) -> NDArray[np.float64]:
    """Count the lobes of the nuclei of white cells; NaN for others."""
    return regions.nuclei[:, 1]


@measure(
    Column(
        name="touching_cells",
        dtype="int64",
        definition="How many other cells it touches, corners of pixels included.",
    )
)
def touching_cells(regions: Regions) -> NDArray[np.int64]:
    """Count the neighbours of each cell that it touches."""
    labels = regions.framed.ravel()
    first, second = (
        labels[np.concatenate([part[side] for part in regions.boundaries])].astype(np.int64)
        for side in (0, 1)
    )
    is_between = (first > 0) & (second > 0)
    first, second = first[is_between] - 1, second[is_between] - 1
    # Each pair of cells has a number.
    pairs = np.unique(np.minimum(first, second) * regions.count + np.maximum(first, second))
    met = np.concatenate(np.divmod(pairs, max(regions.count, 1)))
    return np.bincount(met, minlength=regions.count).astype(np.int64)


@measure(
    Column(
        name="area_in_red_cells",
        dtype="float64",
        definition="Its area over the median of the image's whole red cells, the smear's own "
        "standard of size.",
    )
)
def area_in_red_cells(regions: Regions) -> NDArray[np.float64]:
    """Measure the area in red cells; NaN without a whole one."""
    return _in_red_cells(regions.area, regions)


@measure(
    Column(
        name="density_in_red_cells",
        dtype="float64",
        definition="Its mean green density over the median of the image's whole red cells, the "
        "smear's own standard of stain.",
    )
)
def density_in_red_cells(regions: Regions) -> NDArray[np.float64]:
    """Measure the density in red cells; NaN without a whole one."""
    return _in_red_cells(regions.densities[:, 0, GREEN], regions)


def _in_red_cells(values: NDArray[np.float64], regions: Regions) -> NDArray[np.float64]:
    of_red = values[regions.is_whole_red_cell]
    median = float(np.median(of_red)) if len(of_red) else np.nan
    return values / (median if median > 0 else np.nan)


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
