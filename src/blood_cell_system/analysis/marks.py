"""What does not belong to the smear: marks that were drawn over an image, pointers, and dust.

A network takes the letters below a scale bar, the head of an arrow and the needle in an eyepiece
for cells. A mark has a colour that no blood stain has (see ``_alien_planes``), and either sharper
edges than any lens draws, or the shape of a needle that comes in from the border; of soft grey ones
``analysis/pointer.py`` finds more. What lies beside a mark in the same colour, such as the other
letters of its line, belongs to it.

Dust on a camera or a lens has the size and the softness of a platelet, and comes at the same place
in image after image. It is grey: it takes the same share from red, green and blue light. Azure and
eosin dyes let blue light through that they keep back in green.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.pointer import find_pointer
from blood_cell_system.cells.separation import in_reading_order
from blood_cell_system.cells.table import Cells
from blood_cell_system.stain.optical_density import BLUE, GREEN
from blood_cell_system.taxonomy import PLATELET, RBC

_MAX_PX: Final = 1_200_000
"""Pixels in which marks are searched, at most."""
_UNIT_PX: Final = 640.0
"""Longer side of an image whose marks are as large as the lengths below say."""
_SCALE: Final = 64
"""Optical densities are whole numbers of this part, which is three times as fast."""
_COMMON: Final = 0.3
"""Part of the field from which on a colour is that of the stain, or of the light."""

_LEAST_UNIT: Final = 0.75
"""In smaller images marks are not smaller still: nobody could read them."""
_RIM_PX: Final = 8.0
"""Width along the rim of a round field that is left out, in pixels of an image 640 wide."""
_WHITER: Final = 0.5
"""How far a white mark is on the way from the slide to white, in its darkest channel."""
_DARK_SLIDE: Final = 235.0
"""Brightness of the slide in its darkest channel, of 255, up to which white stands out."""
_MIN_EXTENT_PX: Final = 10.0
"""Least length of what makes a mark, in pixels of an image 640 wide."""
_MIN_RIM_PX: Final = 14
"""Least length of its outline, in pixels, also of an image 640 wide."""
_SHARP_STEP: Final = 0.66
"""Part of the change of light within 9 pixels that happens within 3 of them, at a sharp edge; real
ones have 0.2 to 0.5."""
_VERY_SHARP_STEP: Final = 0.78
"""The same of lines and strips, which have no neighbours that speak for them."""
_SHARP_ALL_AROUND: Final = 0.8
"""Part of the outline of a short bar that is very sharp."""
_STEP: Final = 32
"""Least change of light at a sharp edge, of 255."""
_SHARP_SHARE: Final = 0.55
"""Part of the outline that is sharp."""
_VERY_SHARP_SHARE: Final = 0.75
"""The same of an oblique line in the colour of nuclei or of the light."""
_PART_SHARE: Final = 0.25
"""The same of what lies beside a mark, or has a colour that is alien to smears."""
_LINE_PX: Final = 36.0
"""Least length of a line or an arrow, in pixels of an image 640 wide."""
_LINE_ASPECT: Final = 3.5
"""Least length of an oblique line or an arrow over its width."""
_BAR_ASPECT: Final = 5.0
"""The same of one along the rows or columns: rims of nuclei have up to 4."""
_STROKE_PX: Final = 24.0
"""Least length of a bar that is sharp all around, in pixels of an image 640 wide."""
_THIN_PX: Final = 8.0
"""Width up to which a line is thin, in pixels of an image 640 wide."""
_THIN_STEP: Final = 40
"""How much darker or brighter than its sides a thin line is in a channel, of 255."""
_THIN_ASPECT: Final = 8.0
"""Least length of a thin line in any direction over its width."""
_LONG_PX: Final = 50.0
"""Length of a line from which on it may be soft, in pixels of an image 640 wide."""
_LONG_ASPECT: Final = 14.0
"""Least length of such a line over its width."""
_AXIS_PX: Final = 40.0
"""Least length of a thin line along rows or columns, in pixels of an image 640 wide."""
_AXIS_GAP_PX: Final = 4.0
"""Largest gap in such a line, in pixels of an image 640 wide."""
_AXIS_WIDTH_PX: Final = 6.0
"""Largest width of such a line, in pixels of an image 640 wide."""
_AXIS_SHARP: Final = 0.75
"""Part of its outline that is very sharp."""
_AXIS_FILLED: Final = 0.85
"""Part of such a line that is no gap; in nuclei 0.6 to 0.9."""
_AXIS_BESIDE: Final = 0.3
"""Part of what lies two pixels beside it that is narrow as well; in nuclei 0.35 to 0.7, at the
ticks of a ruler up to 0.3."""
_BASELINE_PX: Final = 1.5
"""How far from the line on which it stands a letter may begin, in pixels of an image 640 wide."""
_ON_BASELINE: Final = 0.7
"""Part of the letters of thin writing that stand on one line."""
_STRAIGHT: Final = 0.4
"""Part of a cross or a ruler that lies in straight runs along rows or columns."""
_CROSS_PX: Final = 40.0
"""Least length of a cross or a ruler, in pixels of an image 640 wide."""
_SPARSE: Final = 0.25
"""Area of these in squares of their length; specks of dust have 0.6 and more."""
_SHARP_LETTER: Final = 0.5
"""Part of the outline of a letter that is very sharp."""
_ROUND: Final = 0.6
"""Area in squares of its length from which on a body may be a cell; a triangle has 0.5."""
_LETTERS: Final = 4
"""Least letters of a line of writing."""
_THIN_LETTERS: Final = 5
"""The same of letters of any colour."""
_LETTER_PX: Final = 50.0
"""Largest extent of a letter, in pixels of an image 640 wide."""
_LETTER_GAP_PX: Final = 8.0
"""Half of the largest gap between letters, in pixels of an image 640 wide."""
_ROW_ASPECT: Final = 2.5
"""Least length of a line of writing over its height."""
_UNEVEN_LETTERS: Final = 0.35
"""Spread of the heights of letters over their mean, at most."""
_UNEVEN_THIN_LETTERS: Final = 0.27
"""The same of letters of any colour."""
_MOST_STROKE_PX: Final = 5.0
"""Area of a mark over the length of its outline, in pixels of an image 640 wide: half of the width
of its strokes; nuclei have more."""
_FILLED: Final = 0.7
"""Part of its box that a strip fills at least, with its writing left out."""
_REACH_PX: Final = 22.0
"""How far beside, in pixels of an image 640 wide."""
_ROUNDS: Final = 12
"""How often what lies beside a mark is added."""
_NEEDLE_SHARE: Final = 0.12
"""Least length of a needle, in longer sides of the image."""
_NEEDLE_ASPECT: Final = 5.0
"""Least length of a needle over its width."""
_LEAST_NEEDLE_PX: Final = 1.8
"""Area of a needle over the length of its outline, at least, in pixels of an image 640 wide: half
of its width. The coloured rims that a lens draws have less."""
_BORDER_PX: Final = 30.0
"""How near to the border of the field a needle begins, in pixels of an image 640 wide."""
_RECTANGULAR: Final = 0.88
"""Part of its box that a strip fills, without its writing."""
_HALO_PX: Final = 4.0
"""Width that is taken around a mark, in pixels of an image 640 wide: resampled ones have soft
rims."""
_INPAINT_PX: Final = 5
"""Radius from which OpenCV takes the colours that it fills in, in pixels."""
_CONTEXT_PX: Final = 40
"""Width around a mark that is handed to the filling, in pixels."""
_WIDE_PX: Final = 24.0
"""Width from which on a mark is filled with the colour of the slide, in pixels of an image 640
wide: filling from the rim would take long and invent cells."""


def find_marks(image: NDArray[np.uint8], field: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """Find scale bars, writing, arrows, rulers, cross hairs, strips and pointers.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    field : ndarray of shape (height, width), dtype bool
        As of ``survey.find_field``; what lies outside is ignored.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8, or None
        1 on marks and close around them; None where there is none.
    """
    height, width = field.shape
    shrink = min(1.0, float(np.sqrt(_MAX_PX / (height * width))))
    if shrink < 1:
        size = max(round(width * shrink), 1), max(round(height * shrink), 1)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        small = cv2.resize(field.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        field = np.asarray(small) > 0
    unit = max(_LEAST_UNIT, max(field.shape) / _UNIT_PX)
    if not field.all():
        # The rim of a round field has colours of its own.
        rim = np.ones((2 * round(_RIM_PX * unit) + 1,) * 2, np.uint8)
        field = cv2.erode(field.view(np.uint8), rim, borderValue=0) > 0
    found: NDArray[np.uint8] | None = None
    contrast = _Contrast(image)
    for kind, plane in _alien_planes(image, field):
        if (mark := _marks_in(plane, kind, contrast, field, unit)) is not None:
            found = mark if found is None else np.asarray(cv2.bitwise_or(found, mark))
    for plane in _thin_planes(image, field, unit):
        if (mark := _thin_marks_in(plane, contrast, unit)) is not None:
            found = mark if found is None else np.asarray(cv2.bitwise_or(found, mark))
    if (pointer := find_pointer(image, field)) is not None:
        found = pointer if found is None else np.asarray(cv2.bitwise_or(found, pointer))
    if found is None:
        return None
    halo = 2 * round(_HALO_PX * unit) + 1
    found = np.asarray(cv2.dilate(found, np.ones((halo, halo), np.uint8)))
    if shrink < 1:
        found = np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST))
    return found


class _Kind(Enum):
    """How often a smear has a colour, too."""

    ALIEN = 0
    """Hardly ever: a body of it is a mark unless all its edges are soft."""
    COMMON = 1
    """In nuclei, debris, clumps and bright spots: it takes the shape of a mark as well."""


def _alien_planes(
    image: NDArray[np.uint8], field: NDArray[np.bool_]
) -> Iterator[tuple["_Kind", NDArray[np.bool_]]]:
    """Pixels of each kind of colour that no blood stain has on this slide.

    Relative to the slide, stains take most from green light and least from red or blue. Black and
    grey take the same from all, white gives more light than the slide, green and cyan take less
    from green than from red, red and yellow most from blue and next to nothing from red, blue
    nothing from blue. A mark through which one sees the smear takes less, but of the same kind.
    """
    sample = image[::8, ::8][field[::8, ::8]]
    if not len(sample):
        return
    # Cells may cover four fifths of the field; they are darkest in green.
    in_green = sample[:, GREEN]
    light = np.median(sample[in_green >= np.percentile(in_green, 80)], axis=0)
    levels = np.arange(256, dtype=np.float32)[:, None] + 1
    table = np.clip(-_SCALE * np.log(levels / (light + 1)), -100, 250).astype(np.int16)
    channels = cv2.split(image)
    red, green, blue = (np.take(table[:, index], channel) for index, channel in enumerate(channels))
    highest = np.maximum(np.maximum(red, green), blue)
    lowest = np.minimum(np.minimum(red, green), blue)

    def density(value: float) -> int:
        return round(_SCALE * value)

    brightest = cv2.max(cv2.max(*channels[:2]), channels[2])
    darkest = cv2.min(cv2.min(*channels[:2]), channels[2])
    colour = np.asarray(cv2.subtract(brightest, darkest))
    is_grey = highest - lowest <= density(0.2) + lowest // 6
    is_black = (np.asarray(brightest) <= 60) & (colour <= 30)
    yield _Kind.COMMON, ((lowest >= density(0.5)) & is_grey | is_black) & field
    least = float(light.min())
    if least < _DARK_SLIDE:
        yield _Kind.COMMON, (np.asarray(darkest) >= least + _WHITER * (255 - least)) & field
    # Compression mixes the colours of fine lines with those around them.
    yield _Kind.ALIEN, (red - green >= density(0.35)) & field
    is_greenish = (red - green >= density(0.18)) & (blue - green >= density(0.1))
    yield _Kind.COMMON, is_greenish & field
    is_red = (4 * red <= blue) & (blue >= density(0.5)) & (5 * blue >= 4 * green)
    is_yellow = (red <= density(0.15)) & (green <= density(0.2)) & (blue >= density(0.45))
    yield _Kind.ALIEN, (is_red | is_yellow) & field
    is_reddish = (2 * red <= blue) & (blue >= density(0.55)) & (10 * blue >= 9 * green)
    yield _Kind.COMMON, is_reddish & field
    paler = np.minimum(red, green)
    yield _Kind.COMMON, (blue <= density(0.15)) & (paler >= density(0.5)) & field


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bodies:
    """Connected bodies of one colour, a row each; row 0 is what is around them."""

    labels: NDArray[np.int32]
    left: NDArray[np.int32]
    top: NDArray[np.int32]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    area: NDArray[np.int32]
    sharp_share: NDArray[np.float64]
    very_sharp_share: NDArray[np.float64]
    rim_px: NDArray[np.int64]

    @property
    def extent(self) -> NDArray[np.int32]:
        return np.maximum(self.width, self.height)


def _marks_in(
    plane: NDArray[np.bool_],
    kind: _Kind,
    contrast: "_Contrast",
    field: NDArray[np.bool_],
    unit: float,
) -> NDArray[np.uint8] | None:
    count = int(np.count_nonzero(plane))
    if count < _MIN_RIM_PX or count > _COMMON * field.size:
        return None
    bodies = _bodies(plane, contrast)
    is_long = bodies.extent >= _MIN_EXTENT_PX * unit
    along, oblique = _are_sparse(bodies, plane, unit)
    along = along | _are_strips(bodies, unit)
    if kind == _Kind.ALIEN:
        is_mark = (along | oblique) & (bodies.sharp_share >= _PART_SHARE)
        is_round = bodies.area > _ROUND * bodies.extent.astype(np.float64) ** 2
        is_mark |= (bodies.very_sharp_share >= _SHARP_SHARE) & ~is_round
        is_mark |= _are_straight(bodies, bodies.extent >= _LONG_PX * unit, _LONG_ASPECT)
    else:
        is_mark = along & (bodies.very_sharp_share >= _SHARP_SHARE)
        is_mark |= oblique & (bodies.very_sharp_share >= _VERY_SHARP_SHARE)
        is_mark |= _are_strokes(bodies, unit)
    is_mark &= is_long & (bodies.rim_px >= _MIN_RIM_PX * max(1.0, 1.25 * unit))
    is_mark |= _are_writing(bodies, unit)
    for row in np.flatnonzero(is_long & (bodies.extent >= _NEEDLE_SHARE * max(field.shape))):
        is_mark[row] |= row > 0 and _is_needle(bodies, int(row), field, unit)
    is_mark[0] = False
    if not is_mark.any():
        return None
    is_part = bodies.sharp_share >= _PART_SHARE
    is_part |= bodies.extent <= _MIN_EXTENT_PX * unit
    if kind == _Kind.COMMON:
        is_part &= bodies.area <= _MOST_STROKE_PX * unit * np.maximum(bodies.rim_px, 1)
    mark = _with_parts(is_mark, is_part, bodies, unit)
    for row in np.flatnonzero(is_mark & (bodies.area > 0.5 * bodies.width * bodies.height)):
        _fill_strip(mark, bodies, int(row))
    return np.asarray(mark)


def _with_parts(
    is_mark: NDArray[np.bool_],
    is_part: NDArray[np.bool_],
    bodies: _Bodies,
    unit: float,
    more: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Pixels of marks, and of more if given, with the parts beside them, and those beside these."""
    reach = 2 * round(_REACH_PX * unit) + 1
    is_part[0] = False
    mark = is_mark[bodies.labels].view(np.uint8)
    for _ in range(_ROUNDS):
        before = int(is_mark.sum())
        if more is not None:
            mark |= more
        near = cv2.dilate(mark, np.ones((reach, reach), np.uint8))
        is_mark |= is_part & (np.bincount(bodies.labels[near > 0], minlength=len(is_mark)) > 0)
        mark = is_mark[bodies.labels].view(np.uint8)
        if int(is_mark.sum()) == before:
            break
    return mark if more is None else mark | more


def _thin_planes(
    image: NDArray[np.uint8], field: NDArray[np.bool_], unit: float
) -> Iterator[NDArray[np.bool_]]:
    """Pixels of what is narrow, and darker or brighter than both its sides, of whatever colour.

    Fine lines and letters lose their colour to compression, and lie on cells of about the same. The
    rims of cells and the gaps between them are narrow as well, but neither straight nor writing.
    """
    kernel = np.ones((2 * round(_THIN_PX / 2 * unit) + 1,) * 2, np.uint8)
    for operation in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT):
        apart = cv2.split(cv2.morphologyEx(image, operation, kernel))
        yield (np.asarray(cv2.max(cv2.max(*apart[:2]), apart[2])) >= _THIN_STEP) & field


def _thin_marks_in(
    plane: NDArray[np.bool_], contrast: "_Contrast", unit: float
) -> NDArray[np.uint8] | None:
    if np.count_nonzero(plane) < _MIN_RIM_PX:
        return None
    lines = _axis_lines(plane, contrast, unit)
    rest = plane & (cv2.dilate(lines, np.ones((3, 3), np.uint8)) == 0)
    bodies = _bodies(rest, contrast)
    is_mark = _are_writing(bodies, unit, has_baseline=True)
    is_mark |= (
        _are_straight(bodies, bodies.extent >= _LINE_PX * unit, _THIN_ASPECT)
        & (bodies.very_sharp_share >= _AXIS_SHARP)
        & (bodies.rim_px >= _MIN_RIM_PX)
    )
    is_mark |= _are_straight(bodies, bodies.extent >= _LONG_PX * unit, _LONG_ASPECT)
    is_mark[0] = False
    if not is_mark.any() and not lines.any():
        return None
    is_part = (bodies.sharp_share >= _PART_SHARE) & (bodies.extent <= _LETTER_PX * unit)
    return _with_parts(is_mark, is_part, bodies, unit, lines)


def _straight_kernel(length: int, *, is_row: bool) -> NDArray[np.uint8]:
    return np.ones((1, length) if is_row else (length, 1), np.uint8)


def _axis_lines(plane: NDArray[np.bool_], contrast: "_Contrast", unit: float) -> NDArray[np.uint8]:
    """Pixels of thin sharp lines along the rows or columns of an image."""
    found = np.zeros(plane.shape, np.uint8)
    length, gap = round(_AXIS_PX * unit), round(_AXIS_GAP_PX * unit) + 1
    for is_row in (True, False):
        closed = cv2.morphologyEx(
            plane.view(np.uint8), cv2.MORPH_CLOSE, _straight_kernel(gap, is_row=is_row)
        )
        kernel = _straight_kernel(length, is_row=is_row)
        runs = np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel))
        if not runs.any():
            continue
        bodies = _bodies(runs > 0, contrast)
        is_line = np.minimum(bodies.width, bodies.height) <= _AXIS_WIDTH_PX * unit
        is_line &= (bodies.very_sharp_share >= _AXIS_SHARP) & (bodies.extent >= length)
        is_line[0] = False
        for row in np.flatnonzero(is_line):
            line = (bodies.labels == row).view(np.uint8)
            around = np.asarray(cv2.dilate(line, np.ones((3, 3), np.uint8)))
            beside = np.asarray(cv2.dilate(line, _straight_kernel(5, is_row=not is_row))) > around
            is_line[row] = (
                plane[line > 0].mean() >= _AXIS_FILLED
                and beside.any()
                and plane[beside].mean() <= _AXIS_BESIDE
            )
        found |= is_line[bodies.labels].view(np.uint8)
    return found


def _are_sparse(
    bodies: _Bodies, plane: NDArray[np.bool_], unit: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether bodies are lines, arrows, crosses or rulers, which leave most of their box empty.

    First those of which a good part lies along rows or columns, then the others.
    """
    extent = bodies.extent.astype(np.float64)
    is_line = (extent >= _LINE_PX * unit) & (bodies.area <= _SPARSE * extent**2)
    is_line[0] = False
    if not is_line.any():
        return is_line, is_line
    length = round(_STROKE_PX * unit)
    runs = np.zeros(plane.shape, dtype=np.bool_)
    for is_row in (True, False):
        kernel = _straight_kernel(length, is_row=is_row)
        opened = cv2.morphologyEx(plane.view(np.uint8), cv2.MORPH_OPEN, kernel)
        runs |= np.asarray(opened) > 0
    in_runs = np.bincount(bodies.labels[runs], minlength=len(extent))
    is_along = in_runs >= _STRAIGHT * bodies.area
    is_cross = (extent >= _CROSS_PX * unit) & (bodies.area <= _SPARSE / 2 * extent**2) & is_along
    is_line &= ~is_cross
    is_bar = _are_straight(bodies, is_line & is_along, _BAR_ASPECT)
    is_oblique = _are_straight(bodies, is_line & ~is_along, _LINE_ASPECT)
    return np.asarray(is_cross | is_bar), is_oblique


def _are_straight(
    bodies: _Bodies, is_candidate: NDArray[np.bool_], aspect: float
) -> NDArray[np.bool_]:
    """Whether bodies are at least ``aspect`` times as long as wide along one line."""
    is_straight = np.zeros(len(is_candidate), dtype=np.bool_)
    for row in np.flatnonzero(is_candidate):
        spread = _spread(bodies, int(row))
        is_straight[row] = row > 0 and spread[1] >= aspect**2 * max(spread[0], 0.1)
    return is_straight


def _are_strokes(bodies: _Bodies, unit: float) -> NDArray[np.bool_]:
    """Whether bodies are short bars along the rows or columns that are sharp all around."""
    low = np.minimum(bodies.width, bodies.height)
    is_bar = (low <= 5 * unit) & (bodies.extent >= np.maximum(3 * low, _STROKE_PX * unit))
    is_bar &= bodies.area >= 0.6 * bodies.width * bodies.height
    return np.asarray(is_bar & (bodies.very_sharp_share >= _SHARP_ALL_AROUND))


def _spread(bodies: _Bodies, row: int) -> NDArray[np.float64]:
    """Variances across and along a body."""
    left, top = int(bodies.left[row]), int(bodies.top[row])
    height, width = int(bodies.height[row]), int(bodies.width[row])
    is_body = bodies.labels[top : top + height, left : left + width] == row
    of_body = cv2.moments(is_body.view(np.uint8), binaryImage=True)
    if of_body["m00"] < 2:
        return np.zeros(2)
    across, both, down = (of_body[name] / (of_body["m00"] - 1) for name in ("mu20", "mu11", "mu02"))
    apart = np.hypot((across - down) / 2, both)
    return np.array([(across + down) / 2 - apart, (across + down) / 2 + apart])


def _are_writing(bodies: _Bodies, unit: float, *, has_baseline: bool = False) -> NDArray[np.bool_]:
    """Whether bodies are letters: sharp, of thin strokes, several in a row or a column.

    ``has_baseline`` asks that most of them stand on one line.
    """
    is_thin = bodies.area <= _MOST_STROKE_PX * unit * np.maximum(bodies.rim_px, 1)
    is_letter = is_thin & (bodies.very_sharp_share >= _SHARP_LETTER)
    is_letter &= (bodies.extent >= 7 * unit) & (bodies.extent <= _LETTER_PX * unit)
    is_letter[0] = False
    found = np.zeros(len(is_letter), dtype=np.bool_)
    if is_letter.sum() < _LETTERS:
        return found
    letters = is_letter[bodies.labels].view(np.uint8)
    reach = 2 * round(_LETTER_GAP_PX * unit) + 1
    for kernel in ((1, reach), (reach, 1)):
        joined = cv2.dilate(letters, np.ones(kernel, np.uint8))
        count, rows, stats, _ = cv2.connectedComponentsWithStats(joined)
        pairs = np.unique(np.stack([rows, bodies.labels])[:, letters > 0], axis=1)
        long, high = stats[:, cv2.CC_STAT_WIDTH] - reach + 1, stats[:, cv2.CC_STAT_HEIGHT]
        if kernel[1] == 1:
            long, high = stats[:, cv2.CC_STAT_HEIGHT] - reach + 1, stats[:, cv2.CC_STAT_WIDTH]
        is_line = (long >= _ROW_ASPECT * high) & (high <= _LETTER_PX * unit)
        letters_in = np.bincount(pairs[0], minlength=count)
        sides = (bodies.height if kernel[0] == 1 else bodies.width)[pairs[1]].astype(np.float64)
        mean = np.bincount(pairs[0], weights=sides, minlength=count) / np.maximum(letters_in, 1)
        square = np.bincount(pairs[0], weights=sides**2, minlength=count)
        spread = np.sqrt(np.maximum(square / np.maximum(letters_in, 1) - mean**2, 0))
        is_line &= (letters_in >= _LETTERS) & (spread <= _UNEVEN_LETTERS * mean)
        for line in np.flatnonzero(is_line) if has_baseline else ():
            members = pairs[1][pairs[0] == line]
            is_even = spread[line] <= _UNEVEN_THIN_LETTERS * mean[line]
            is_line[line] = (
                is_even
                and len(members) >= _THIN_LETTERS
                and any(
                    np.mean(np.abs(feet - np.median(feet)) <= _BASELINE_PX * unit) >= _ON_BASELINE
                    for feet in _feet(bodies, members, is_row=kernel[0] == 1)
                )
            )
        found[pairs[1][is_line[pairs[0]]]] = True
    return found


def _feet(
    bodies: _Bodies, rows: NDArray[np.intp], *, is_row: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Where letters of a line begin and end across it."""
    start = (bodies.top if is_row else bodies.left)[rows]
    return start, start + (bodies.height if is_row else bodies.width)[rows]


def _are_strips(bodies: _Bodies, unit: float) -> NDArray[np.bool_]:
    """Whether bodies are upright rectangles of the size of a strip with writing."""
    low, long = np.minimum(bodies.width, bodies.height), bodies.extent
    fills = bodies.area >= _FILLED * bodies.width.astype(np.float64) * bodies.height
    return np.asarray(fills & (low >= 12 * unit) & (long >= np.maximum(2 * low, 80 * unit)))


def _bodies(plane: NDArray[np.bool_], contrast: "_Contrast") -> _Bodies:
    pixels = plane.view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pixels)
    rim = pixels - cv2.erode(pixels, np.ones((3, 3), np.uint8), borderValue=1)
    # Of one axis, and of truth values: many times as fast.
    at = np.flatnonzero(rim.view(np.bool_))
    of_rim = labels.ravel()[at]
    is_worth = stats[of_rim, cv2.CC_STAT_AREA] >= 5
    at, of_rim = at[is_worth], of_rim[is_worth]
    step = contrast.steps(at)
    rim_px = np.bincount(of_rim, minlength=count)
    sharp, very_sharp = (
        np.bincount(of_rim, weights=step >= least, minlength=count) / np.maximum(rim_px, 1)
        for least in (_SHARP_STEP, _VERY_SHARP_STEP)
    )
    return _Bodies(
        labels=labels,
        left=stats[:, cv2.CC_STAT_LEFT],
        top=stats[:, cv2.CC_STAT_TOP],
        width=stats[:, cv2.CC_STAT_WIDTH],
        height=stats[:, cv2.CC_STAT_HEIGHT],
        area=stats[:, cv2.CC_STAT_AREA],
        sharp_share=sharp,
        very_sharp_share=very_sharp,
        rim_px=rim_px,
    )


class _Contrast:
    """How sharply the light of an image changes around its pixels."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image = image

    @cached_property
    def _gradients(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Change of light close to each pixel, and around it; shape (pixels, 3)."""
        step, change = (
            np.asarray(
                cv2.morphologyEx(self._image, cv2.MORPH_GRADIENT, np.ones((side, side), np.uint8))
            )
            for side in (3, 9)
        )
        step = np.asarray(cv2.dilate(step, np.ones((3, 3), np.uint8)))
        return step.reshape(-1, 3), change.reshape(-1, 3)

    def steps(self, at: NDArray[np.intp]) -> NDArray[np.float32]:
        """Part of the change of light around pixels that happens close to them; 0 for a slight one.

        The steepest place may lie a pixel off: compression takes the colour from the rim of a mark.
        """
        step, change = (part[at].astype(np.float32) for part in self._gradients)
        share = np.where(change >= _STEP, step / np.maximum(change, 1), 0)
        return np.asarray(np.maximum(np.maximum(share[:, 0], share[:, 1]), share[:, 2]))


def _is_needle(bodies: _Bodies, row: int, field: NDArray[np.bool_], unit: float) -> bool:
    """Whether a body is long, straight, and begins at the border of the field."""
    left, top = int(bodies.left[row]), int(bodies.top[row])
    window = (
        slice(top, top + int(bodies.height[row])),
        slice(left, left + int(bodies.width[row])),
    )
    spread = _spread(bodies, row)
    if spread[1] < _NEEDLE_ASPECT**2 * max(spread[0], 0.1):
        return False
    reach = round(_BORDER_PX * unit)
    inner = cv2.erode(
        cv2.copyMakeBorder(field.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0),
        np.ones((2 * reach + 1, 2 * reach + 1), np.uint8),
    )[1:-1, 1:-1]
    at_border = (bodies.labels[window] == row) & (inner[window] == 0)
    # What runs along the border is its shadow.
    is_wide = bodies.area[row] >= _LEAST_NEEDLE_PX * unit * bodies.rim_px[row]
    return bool(is_wide and 0 < at_border.sum() < 0.75 * bodies.area[row])


def _fill_strip(mark: NDArray[np.uint8], bodies: _Bodies, row: int) -> None:
    """Close the letters in a filled rectangle."""
    top, left = int(bodies.top[row]), int(bodies.left[row])
    window = mark[top : top + bodies.height[row], left : left + bodies.width[row]]
    outlines, _ = cv2.findContours(window, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if sum(cv2.contourArea(outline) for outline in outlines) >= _RECTANGULAR * window.size:
        window[:] = 1


def paint_over(image: NDArray[np.uint8], marks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill marks from what is around them.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    marks : ndarray of shape (height, width), dtype uint8
        As of ``find_marks``.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
    """
    painted = image.copy()
    side = max(1, round(_WIDE_PX * max(1.0, max(marks.shape) / _UNIT_PX)))
    wide = np.asarray(cv2.morphologyEx(marks, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)))
    if wide.any():
        bright = image[marks == 0].max(axis=1)
        if len(bright):
            light = np.median(image[marks == 0][bright >= np.percentile(bright, 70)], axis=0)
            painted[wide > 0] = light.astype(np.uint8)
    narrow = marks & ~wide
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(narrow, np.ones((2 * _CONTEXT_PX + 1,) * 2, np.uint8))
    )
    for row in range(1, count):
        x, y, width, height = (int(value) for value in stats[row, :4])
        crop = slice(y, y + height), slice(x, x + width)
        part = np.where(labels[crop] == row, narrow[crop], 0).astype(np.uint8)
        painted[crop] = cv2.inpaint(
            np.ascontiguousarray(painted[crop]), part, _INPAINT_PX, cv2.INPAINT_TELEA
        )
    return painted


MARK_COVERS: Final = 0.1
"""Part of a cell under a mark from which on it is not assessed."""
MARK_HIDES: Final = 0.5
"""The same from which on it is not counted: what is seen of it may be the mark's."""


def mark_share(cells: Cells, marks: NDArray[np.uint8] | None) -> NDArray[np.float64]:
    """Part of each cell that lies under a mark, 0 to 1; ``marks`` are those of ``find_marks``."""
    if marks is None or not len(cells):
        return np.zeros(len(cells))
    labels = cells.label_image
    pixels = np.bincount(labels.ravel(), minlength=len(cells) + 1)[1:]
    hidden = np.bincount(labels[marks > 0], minlength=len(cells) + 1)[1:]
    return np.asarray(hidden / np.maximum(pixels, 1))


LEAST_COLOUR: Final = 0.3
"""Share of its density in green that a stained body is less dense in blue, at least. Platelets of
BCCD have 0.45 and more, dust up to 0.25."""

_DUST_REACH: Final = 0.5
"""Width of the surroundings whose light is compared, in extents of the body."""
_SURE: Final = 0.6
"""Confidence from which a red cell is one however pale. In 240 images of all collections outlines
of empty slide, of fibres and of writing have 0.29 to 0.57."""
_EMPTY_SHARE: Final = 0.25
"""Density in green light, in medians of the sure red cells', below which an outline holds no cell:
up to 0.21 in such outlines there, 0.36 in the palest red cells."""
_FEW_SURE: Final = 3
"""Sure red cells below which nobody knows how dense they are."""
_SAMPLE: Final = 24
"""So many sure red cells are measured."""
_MIN_PIXELS: Final = 12
"""Fewer pixels of body or slide give no colour, and the body is kept."""
_GREY_IMAGE: Final = 3.0
"""Mean difference of an image's brightest and darkest channel, of 255, below which it has no
colours to judge by."""


def without_dust(cells: Cells, image: NDArray[np.uint8]) -> Cells:
    """Leave out platelets that have no colour, and red cells that are empty slide.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB, the image that the cells were found in.

    Returns
    -------
    Cells
        The given ones where none is left out. In an image without colours all platelets stay.
    """
    is_dust = _are_empty(cells, image)
    platelets = np.flatnonzero(cells.is_type(PLATELET))
    is_grey = [_is_grey(_density(cells, image, row)) for row in platelets]
    if any(is_grey) and not _has_no_colours(image):
        is_dust[platelets] = is_grey
    if not is_dust.any():
        return cells
    return in_reading_order(cells.select(~is_dust))


def _are_empty(cells: Cells, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which doubtful red cells are hardly denser than the slide around them.

    The measure is those of which the network is sure; without some no cell is empty.
    """
    is_empty = np.zeros(len(cells), dtype=np.bool_)
    is_sure = cells["confidence"] >= _SURE
    doubtful = np.flatnonzero(cells.is_type(RBC) & ~is_sure)
    sure = np.flatnonzero(cells.is_type(RBC) & is_sure)
    if not len(doubtful) or len(sure) < _FEW_SURE:
        return is_empty
    sample = sure[:: max(1, len(sure) // _SAMPLE)]
    densities = np.array([_density(cells, image, row)[GREEN] for row in sample])
    seen = densities[~np.isnan(densities)]
    usual = float(np.median(seen)) if len(seen) >= _FEW_SURE else 0.0
    if usual <= 0:
        return is_empty
    for row in doubtful:
        is_empty[row] = _density(cells, image, row)[GREEN] < _EMPTY_SHARE * usual
    return is_empty


def _density(cells: Cells, image: NDArray[np.uint8], row: int | np.intp) -> NDArray[np.float64]:
    """Optical density of a cell against the slide near by; NaN where little is seen of either."""
    x_min, y_min, x_max, y_max = cells["box"][row].astype(int).tolist()
    height, width = cells.label_image.shape
    margin = max(2, round(_DUST_REACH * max(x_max - x_min, y_max - y_min)))
    window = (
        slice(max(0, y_min - margin), min(height, y_max + margin)),
        slice(max(0, x_min - margin), min(width, x_max + margin)),
    )
    labels, pixels = cells.label_image[window], image[window]
    inside, slide = ((labels == label).view(np.uint8) for label in (row + 1, 0))
    if min(cv2.countNonZero(inside), cv2.countNonZero(slide)) < _MIN_PIXELS:
        return np.full(3, np.nan)
    light = np.array([_median_level(pixels, channel, slide) for channel in range(3)])
    return np.asarray(-np.log((np.array(cv2.mean(pixels, inside)[:3]) + 1) / (light + 1)))


def _median_level(pixels: NDArray[np.uint8], channel: int, chosen: NDArray[np.uint8]) -> float:
    """Median of a channel where ``chosen`` is not 0: by counting levels, many times as fast."""
    counts = cv2.calcHist([pixels], [channel], chosen, [256], [0, 256])
    below = np.cumsum(counts)
    middles = (below[-1] - 1) // 2, below[-1] // 2
    return float(np.searchsorted(below, middles, side="right").mean())


def _is_grey(density: NDArray[np.float64]) -> bool:
    return bool(density[GREEN] - density[BLUE] < LEAST_COLOUR * density[GREEN])


def _has_no_colours(image: NDArray[np.uint8]) -> bool:
    """Whether red, green and blue are nearly the same throughout."""
    sample = image[::8, ::8].astype(np.float32)
    return float(np.mean(sample.max(axis=2) - sample.min(axis=2))) < _GREY_IMAGE
