"""How large red cells are in an image, and how far the image is resampled for the network.

A network detects cells of about the size that it was trained on. Their size is given, or estimated
from the shape of the stain. The red cell is the ruler of a smear: most cells are red, and a
person's are all of about one size.

1. Every point of a boundary between stain and slide votes for the place at a distance *r* inwards.
   Where *r* is the radius of the cells, the votes of a whole cell meet in its middle; also those of
   a cell in a clump, of which only an arc is seen.
2. The share of votes that meet, as a function of *r*, is largest at the radius of most cells.
3. Large images are surveyed whole and in ever smaller windows, as they may show ten cells or ten
   thousand. The share does not depend on size, so that the
   largest wins.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.pose import standard_pose
from blood_cell_system.analysis.survey import Survey, find_field, survey
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.watershed import fill_round_holes
from blood_cell_system.imaging.pixel_size import PixelSize
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX
from blood_cell_system.stain.optical_density import RED, median_density
from blood_cell_system.taxonomy import RBC

_RADII: Final = np.exp(np.linspace(np.log(5.0), np.log(160.0), 48))
"""Radii that are tried, in pixels of the survey, in steps of 8 %."""
_VOTERS: Final = 20_000
"""Points of the boundary that vote, at most, so that the time does not grow with the image. Where
5,000 voted, an image of BCCD that lost a row had others that did, and its diameter differed by
0.65 %, at most 4.4 %."""
_MIN_VOTERS: Final = 60
"""Fewer points of boundary say nothing of a size."""
_GRID_SHARE: Final = 0.12
"""Side of a grid cell in which votes meet, in radii."""
_GRID_BLUR: Final = 0.8
"""Blur of the grid, in grid cells."""
_NORMAL_BLUR_PX: Final = 2.0
"""Blur before the direction of the boundary is taken, in pixels."""
_EDGE_PX: Final = 7
"""Width of the strip along the border in which no boundary votes, in pixels."""
_RADII_OF_FIELD: Final = 4
"""Radii of a cell that the shorter side of an image has at least."""
_RADII_OF_FEW: Final = 3
"""The same of a small image, which may show one cell."""
_SELF: Final = 1 / (4 * np.pi * _GRID_BLUR**2)
"""Sum of the squared weights of the grid's blur: what a vote gives by meeting itself."""
_FULL: Final = 2 * np.pi * _SELF
"""Agreement of perfect circles, to which others are compared."""
_PEAK_SHARE: Final = 0.8
"""Share of the largest agreement from which a radius has a say. Of 60 images of BCCD without their
first or last row and column the diameter differs by 0.34 %, at most 3.8 %
(``benchmarks/invariance.py``)."""
_PEAK_REACH: Final = 4
"""How many radii away a second peak has a say, too: chance decides which of two is the higher.
Without it the cells of one of these images were 100 px wide, and 80 without its last row."""
_WORTH_SHARE: Final = 0.65
"""Share of the largest agreement of every second radius from which the radii beside one are tried
as well. A peak is four radii wide at half its height."""
_OVAL: Final = 1.07
"""Oval cells vote for their narrow side; a red cell's diameter is this much larger."""
_SECTORS: Final = 12
"""Directions from which votes for one place are told apart."""
_MEETING_SHARE: Final = 0.2
"""Side of a grid cell in which these meet, in radii."""
_ALONG_DEGREES: Final = 4.0
"""How far a boundary may turn from the image's rows or columns to run along them."""
_NUCLEUS_DENSITY: Final = 0.4
"""Optical density in red from which a pixel may be a nucleus."""
_NUCLEUS_RATIO: Final = 2.5
"""The same in medians of the stain's density in red."""
_NUCLEUS_REACH_PX: Final = 7
"""Width of a nucleus's surroundings that do not vote, in pixels of the survey."""
_WINDOW_PX: Final = 400_000
"""Pixels of the smallest window; one that size is surveyed without being made smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiameterEstimate:
    """What the boundaries of the stain say about the size of cells.

    Parameters
    ----------
    diameter_px : float
        In the image as it was given.
    agreement : float
        Share of the votes that meet, about 0 to 1: high for round cells, low for anything else.
    completeness : float
        How far round the place that a point votes for others vote for it, too; mean, 0 to 1.
    along_axes : float
        Share of the boundary that runs along the image's rows or columns: letters and windows do.
    """

    diameter_px: float
    agreement: float
    completeness: float = 1.0
    along_axes: float = 0.0


def estimate_diameter(
    image: NDArray[np.uint8], field: NDArray[np.bool_], *, first: Survey | None = None
) -> DiameterEstimate | None:
    """Estimate the diameter of an image's red cells from the shape of its stain.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    field : ndarray of shape (height, width), dtype bool
        As of ``find_field``.
    first : Survey, optional
        Of the whole image, where it is there already.

    Returns
    -------
    DiameterEstimate or None
        None where there is hardly a boundary.
    """
    votes = []
    for window in _windows(field.shape):
        is_whole = window == (slice(0, field.shape[0]), slice(0, field.shape[1]))
        view = first if is_whole and first else survey(image[window], field[window])
        if (vote := _vote(view)) is not None:
            votes.append(vote)
    return max(votes, key=lambda vote: vote.agreement, default=None)


def _windows(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Cut the whole, its middle quarter, and so on down to one that is not made smaller."""
    height, width = shape
    while True:
        top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
        yield slice(top, top + height), slice(left, left + width)
        # One more halving would show nothing that this window does not.
        if height * width <= 4 * _WINDOW_PX:
            return
        height, width = height // 2, width // 2


def _vote(view: Survey) -> DiameterEstimate | None:
    places, inwards, each = _boundary(view)
    if len(places) < _MIN_VOTERS:
        return None
    height, width = view.foreground.shape
    # A cell as wide as half the image leaves no slide to be seen, but for images of a cell or two.
    most = _RADII_OF_FEW if view.shrink > 1 else _RADII_OF_FIELD
    tried = np.count_nonzero(most * _RADII <= min(height, width))
    agreement = np.full(tried, -np.inf)
    for index in (*range(0, tried, 2), *range(tried - 1, tried)):
        agreement[index] = _agreement(places, inwards, each, _RADII[index], (height, width))
    # Between two radii of little agreement there is no maximum.
    worth = _WORTH_SHARE * agreement.max(initial=0.0)
    for index in range(1, tried - 1, 2):
        if max(agreement[index - 1], agreement[index + 1]) >= worth:
            agreement[index] = _agreement(places, inwards, each, _RADII[index], (height, width))
    best = int(agreement.argmax()) if tried else 0
    if best in (0, tried - 1):
        # No maximum: it lies beyond the radii that were tried.
        return None
    radius = _middle_of_peak(agreement, best)
    directions = np.degrees(np.arctan2(inwards[:, 1], inwards[:, 0])) % 90
    return DiameterEstimate(
        diameter_px=float(2 * _OVAL * radius / view.shrink),
        agreement=float(agreement[best]),
        completeness=_completeness(places, inwards, each, radius, (height, width)),
        along_axes=float((np.minimum(directions, 90 - directions) < _ALONG_DEGREES).mean()),
    )


def _agreement(
    places: NDArray[np.float64],
    inwards: NDArray[np.float64],
    each: float,
    radius: float,
    shape: tuple[int, int],
) -> float:
    """Share of the votes that meet at a radius; chance alone gives 0."""
    # The grid grows with the radius, so that its agreement is comparable with the others'.
    step = _GRID_SHARE * radius
    columns, rows = ((places + radius * inwards) / step).astype(np.intp).T
    height, width = (int(side / step) + 1 for side in shape)
    inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
    at = rows[inside] * width + columns[inside]
    votes = np.zeros(height * width, dtype=np.float32)
    np.add.at(votes, at, np.float32(1))
    meeting = cv2.GaussianBlur(votes.reshape(height, width), (0, 0), _GRID_BLUR)
    # A vote always meets itself, and as many others as chance brings to its place.
    chance = len(at) ** 2 / votes.size
    meetings = cv2.norm(meeting, cv2.NORM_L2SQR) - _SELF * len(at) - chance
    return float(each * meetings / (_FULL * radius * len(places)))


def _completeness(
    places: NDArray[np.float64],
    inwards: NDArray[np.float64],
    each: float,
    radius: float,
    shape: tuple[int, int],
) -> float:
    """Share of the directions from which others vote for the place of a vote, mean of all votes."""
    step = _MEETING_SHARE * radius
    grid = tuple(int(side / step) + 3 for side in shape)
    columns, rows = ((places + radius * inwards) / step + 1).astype(np.intp).T
    inside = (columns >= 0) & (rows >= 0) & (columns < grid[1]) & (rows < grid[0])
    turn = (np.arctan2(inwards[:, 1], inwards[:, 0]) + np.pi) / (2 * np.pi)
    sector = (turn * _SECTORS).astype(np.intp) % _SECTORS
    at = (sector * grid[0] + rows) * grid[1] + columns
    votes = np.bincount(at[inside], minlength=_SECTORS * grid[0] * grid[1])
    needed = 0.5 * 2 * np.pi * radius / _SECTORS / each
    seen = np.zeros(grid, dtype=np.float32)
    for plane in votes.reshape(_SECTORS, *grid).astype(np.float32):
        seen += (
            cv2.boxFilter(plane, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
            > needed
        )
    return float(seen[rows[inside], columns[inside]].mean() / _SECTORS) if inside.any() else 0.0


def _boundary(view: Survey) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Points where stain meets slide, the directions inwards, and for how many each point speaks.

    The pallor of a red cell has a boundary of its own, of a smaller circle; it is closed first.
    """
    filled = fill_round_holes(view.foreground, always_below_px=20)
    smooth = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), _NORMAL_BLUR_PX)
    slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    slope_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    is_boundary = filled - cv2.erode(filled, np.ones((3, 3), np.uint8)) > 0
    # Where the image or the field of view ends, no cell does.
    is_seen = cv2.erode(
        cv2.copyMakeBorder(view.field.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0),
        np.ones((_EDGE_PX, _EDGE_PX), np.uint8),
    )[1:-1, 1:-1]
    rows, columns = np.nonzero(is_boundary & (is_seen > 0) & ~_is_near_nucleus(view))
    each = max(1.0, len(rows) / _VOTERS)
    chosen = (np.arange(int(len(rows) / each)) * each).astype(np.intp)
    rows, columns = rows[chosen], columns[chosen]
    inwards = np.stack([slope_x[rows, columns], slope_y[rows, columns]], axis=1).astype(np.float64)
    inwards /= np.linalg.norm(inwards, axis=1, keepdims=True) + 1e-9
    return np.stack([columns, rows], axis=1).astype(np.float64) + 0.5, inwards, each


def _is_near_nucleus(view: Survey) -> NDArray[np.bool_]:
    """Surroundings of nuclei: white cells are larger than red ones, and must not set the size.

    Nuclei are dense in red light. How dense red cells are there depends on the stain, so that a
    nucleus is what is far denser than most of the stain.
    """
    red = view.density[:, :, RED]
    stained = red[view.foreground > 0]
    if not len(stained):
        return np.zeros(red.shape, dtype=bool)
    limit = max(_NUCLEUS_DENSITY, _NUCLEUS_RATIO * median_density(stained))
    is_nucleus = (red > limit).astype(np.uint8)
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_NUCLEUS_REACH_PX, _NUCLEUS_REACH_PX))
    is_nucleus = cv2.morphologyEx(is_nucleus, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.dilate(is_nucleus, reach) > 0)


def _middle_of_peak(agreement: NDArray[np.float64], best: int) -> float:
    """Radius in the middle of the peak's upper part, of the logarithms.

    Where cells are of several sizes there is a plateau, or a second peak beside it, and chance sets
    the maximum.
    """
    weights = np.maximum(agreement - _PEAK_SHARE * agreement[best], 0)
    weights[: max(best - _PEAK_REACH, 0)] = weights[best + _PEAK_REACH + 1 :] = 0
    return float(np.exp(np.average(np.log(_RADII[: len(weights)]), weights=weights)))


RED_CELL_DIAMETER_UM: Final = 7.5
"""Diameter of a person's red cell on a dried smear, in micrometres."""

MIN_AGREEMENT: Final = 0.07
"""How well outlines must agree on a size: 0.08 to 0.57 in smears, up to 0.06 in coloured noise."""

AS_IT_IS: Final = (0.87, 1.1)
"""Magnifications that are not worth resampling for. Training varies the size by more, but cells
that are shown too small are missed sooner than those shown too large."""

MAX_MAGNIFICATION: Final = 8.0
"""An image is resampled no further, whatever the size of its cells."""

MIN_MAGNIFICATION: Final = 1 / 16
"""An image is made no smaller, whatever the size of its cells."""


class ScaleSource(StrEnum):
    """Where a red-cell diameter comes from."""

    GIVEN = "given"
    FILE = "file"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEstimate:
    """How large a red cell is in an image.

    Parameters
    ----------
    red_cell_diameter_px : float or None
        In the image as it was given; None where nothing shows it.
    magnification_applied : float
        By how much the image was resampled before the network saw it.
    pixel_size_um : float or None
        Side of a pixel in micrometres, where it was given or the file states it.
    pixel_size_origin : str or None
        Who says so, in words.
    """

    red_cell_diameter_px: float | None
    magnification_applied: float
    source: ScaleSource
    pixel_size_um: float | None = None
    pixel_size_origin: str | None = None


MAX_RATIO: Final = 1.6
"""Ratio of two diameters of red cells from which on one of them is wrong: those of two people
differ by less than a quarter."""


def is_contradicted(diameter_px: float, vote: DiameterEstimate | None) -> bool:
    """Whether the outlines of an image clearly show cells of another size."""
    return (
        vote is not None
        and vote.agreement >= MIN_AGREEMENT
        and not 1 / MAX_RATIO <= vote.diameter_px / diameter_px <= MAX_RATIO
    )


def estimate_scale(
    vote: DiameterEstimate | None,
    *,
    cell_diameter_px: float | None = None,
    pixel_size: PixelSize | None = None,
    training_diameter_px: float = TRAINING_DIAMETER_PX,
) -> ScaleEstimate:
    """Decide how large red cells are, and how far to resample.

    A diameter that was given goes first, then the pixel size, then the vote. A pixel size of the
    file is not used where it is not plausible, or where the outlines contradict it.

    Parameters
    ----------
    training_diameter_px : float
        Diameter of a red cell in the images that the network learned from.
    """
    diameter, source = cell_diameter_px, ScaleSource.GIVEN
    if pixel_size is not None:
        by_size = RED_CELL_DIAMETER_UM / pixel_size.um
        if not pixel_size.is_given and (
            not pixel_size.is_plausible or is_contradicted(by_size, vote)
        ):
            pixel_size = None
        elif diameter is None:
            diameter = by_size
            source = ScaleSource.GIVEN if pixel_size.is_given else ScaleSource.FILE
    if diameter is None and vote is not None and vote.agreement >= MIN_AGREEMENT:
        diameter, source = vote.diameter_px, ScaleSource.ESTIMATED
    magnification = 1.0
    if diameter is None:
        source = ScaleSource.UNKNOWN
    else:
        magnification = float(
            np.clip(training_diameter_px / diameter, MIN_MAGNIFICATION, MAX_MAGNIFICATION)
        )
    return ScaleEstimate(
        red_cell_diameter_px=diameter,
        magnification_applied=1.0 if AS_IT_IS[0] <= magnification <= AS_IT_IS[1] else magnification,
        source=source,
        pixel_size_um=None if pixel_size is None else pixel_size.um,
        pixel_size_origin=None if pixel_size is None else pixel_size.origin,
    )


OUTLINE_SHARE: Final = 0.93
"""Diameter of the outlines that are found, as part of that of the circles that the stain's boundary
votes for: medians of 0.86 to 1.0 in 12 images of seven collections."""
MAX_DISAGREEMENT: Final = 1.22
"""Ratio of the diameter of the cells that were found to the estimated one, of either sign, from
which on the image is segmented once more; oval cells of camels have 1.35, their outlines vote for
the narrow side."""
_MIN_SIZED: Final = 12
"""Whole red cells that say how large they are, at least."""
_EVEN_SIZES: Final = 1.45
"""Ratio of the upper quartile of their diameters to the lower one, at most: pieces of cells and
clumps are of any size."""


def scale_of_cells(
    cells: Cells, first: ScaleEstimate, *, training_diameter_px: float
) -> ScaleEstimate | None:
    """Decide whether an image is to be segmented again, at the size of the cells that were found.

    Parameters
    ----------
    cells : Cells
        Found at the first scale, in pixels of the image.
    first : ScaleEstimate
        What is given, or stated by the file, stays.

    Returns
    -------
    ScaleEstimate or None
        By both axes of the red cells; None where the first holds.
    """
    if first.source not in (ScaleSource.ESTIMATED, ScaleSource.UNKNOWN):
        return None
    is_whole = cells.is_type(RBC) & ~cells["touches_border"]
    if np.count_nonzero(is_whole) < _MIN_SIZED:
        return None
    lower, diameter, upper = np.quantile(
        cells["equivalent_diameter_area"][is_whole], (0.25, 0.5, 0.75)
    ).tolist()
    assumed = first.red_cell_diameter_px or training_diameter_px
    diameter /= OUTLINE_SHARE
    if upper > _EVEN_SIZES * lower:
        return None
    if 1 / MAX_DISAGREEMENT <= diameter / assumed <= MAX_DISAGREEMENT:
        return None
    second = estimate_scale(
        None, cell_diameter_px=diameter, training_diameter_px=training_diameter_px
    )
    return replace(second, source=ScaleSource.ESTIMATED)


def magnification_for(
    image: NDArray[np.uint8],
    *,
    training_diameter_px: float | None,
    cell_diameter_px: float | None = None,
) -> float:
    """By how much to resample an image for a network.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    training_diameter_px : float or None
        Diameter of a red cell in the images that the network learned from; where it is unknown
        (None), the image is taken as it is.
    cell_diameter_px : float, optional
        Diameter of a red cell in the image; estimated by default.

    Returns
    -------
    float
        Pixels that the network sees for each pixel of the image.
    """
    if training_diameter_px is None:
        return 1.0
    is_given = cell_diameter_px is not None
    image = image if is_given else standard_pose(image).apply(image)
    scale = estimate_scale(
        None if is_given else estimate_diameter(image, find_field(image)),
        cell_diameter_px=cell_diameter_px,
        training_diameter_px=training_diameter_px,
    )
    return scale.magnification_applied
