"""A scan as fields of one slide: which parts are analysed, in which order, and when it is enough.

1. Open the scan, choose a level, find how large its red cells are.
2. Measure each part at low magnification, and name its zone (``analysis/scan_zones.py``).
3. Cut the level into fields that fit into the memory. Each has a margin in which its cells are
   whole, on a grid that all share, so that neighbours see the same cells; a cell belongs to the
   field that holds its centroid.
4. Give the fields of the monolayer in an order whose every beginning is spread over all of it, so
   that one may stop when enough cells are counted.

Each field then goes the way of an image, with files of its own, and their sums are the slide's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.image_analysis import AnalysisSettings
from blood_cell_system.analysis.marks import find_marks
from blood_cell_system.analysis.scale import (
    RED_CELL_DIAMETER_UM,
    DiameterEstimate,
    ScaleEstimate,
    estimate_diameter,
    estimate_scale,
)
from blood_cell_system.analysis.scan_zones import (
    SURVEY_DIAMETER_PX,
    Zone,
    measure_zone,
    stain_of_slide,
    zones_of,
)
from blood_cell_system.analysis.segmentation import GRID_PX, block_grid
from blood_cell_system.analysis.survey import find_field
from blood_cell_system.errors import ImageReadError, SettingsError
from blood_cell_system.imaging.image_file import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    read_image_shape,
)
from blood_cell_system.imaging.pixel_size import PixelSize
from blood_cell_system.imaging.scan import (
    SCAN_SUFFIXES,
    TIFF_SUFFIXES,
    Scan,
    Window,
    digest_of_file,
    open_in_memory,
    open_scan,
)
from blood_cell_system.pipeline.scan_fields import PlannedScan, ScanField
from blood_cell_system.pipeline.scan_goal import Goal

DEFAULT_MEMORY: Final = 1_500_000_000
"""Bytes that the analysis of a scan takes at most, where nothing else is said."""
_BASE_BYTES: Final = 420_000_000
"""Of the process with its models, before the first field."""
_NETWORK_BYTES: Final = 155
"""A pixel that the network sees, of which all feature maps are held at once: 0.82 GB for 2,304 by
2,304 pixels in ONNX Runtime."""
_FIELD_BYTES: Final = 75
"""A pixel of a field that is in work: image, probabilities, labels, what is drawn and packed,
by the peaks of runs on a drawn slide."""
_PYRAMID_PX: Final = 16_000_000
"""A pyramid of more pixels is one of a slide, of which parts may be glass or too thick; photographs
have no levels."""
_WHOLE_BYTES: Final = 40
"""A pixel of an image that is analysed in one piece."""
_MARGIN_PX: Final = 192
"""What a field has beyond its own part, in pixels that the network sees: three red cells, and the
reach of its receptive field but for its rim. Cells at a seam are joined and left out by their
neighbours: within 6 drawn smears cut into tiles of 256 pixels 5 of 326 cells differ from those of
the whole with 128, none with 192."""
_SIDES: Final = (4, 48)
"""Least and largest side of a field, in blocks of the grid."""
_SAMPLES: Final = 4
"""Windows along a side in which red cells are measured."""
_SAMPLE_PX: Final = 1200
"""Side of such a window."""
_LEAST_AGREEMENT: Final = 0.5
"""Agreement of a window's outlines, as part of the best, from which it has a say."""
_MARKED_PX: Final = 30_000_000
"""Up to so many pixels marks are searched, once for all fields, where there is no pyramid: people
draw them over images that they save, not over scans."""
_MARKS_SEEN_PX: Final = 1_200_000
"""Pixels in which they are searched."""
_STAIN_SAMPLES: Final = 64
"""Fields of which glass and stain are measured."""
_THUMBNAIL_PX: Final = 1200
"""Longer side of the overview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSettings:
    """What of a scan is analysed.

    Parameters
    ----------
    region : tuple of int, optional
        Left, top, width and height in pixels of level 0.
    level : int
        Of the pyramid; 0 is the largest.
    max_memory : int, optional
        Bytes that the analysis may take.
    is_everywhere : bool
        Whether all zones with cells are analysed, not the monolayer alone.
    each_page : bool
        Whether each image of a file of several is analysed, not the first alone.
    goal : Goal, optional
        Fields are analysed until it is reached; all of them by default.
    """

    region: Window | None = None
    level: int = 0
    max_memory: int | None = None
    is_everywhere: bool = False
    each_page: bool = False
    goal: Goal | None = None

    def is_scan(self, path: Path) -> bool:
        """Whether a file is analysed field by field.

        That is one of a slide scanner, one that is too large for one piece, and every one of which
        a part or all pages are to be analysed. What cannot be read is none.
        """
        suffix = path.suffix.lower()
        if suffix in SCAN_SUFFIXES:
            return True
        if suffix not in IMAGE_SUFFIXES | TIFF_SUFFIXES or not path.is_file():
            return False
        if self.region is not None or self.level:
            return True
        if suffix in TIFF_SUFFIXES:
            try:
                scan = open_scan(path)
            except ImageReadError:
                return False
            pixels = scan.shape[0] * scan.shape[1]
            scan.close()
            is_slide = len(scan.levels) > 1 and pixels > _PYRAMID_PX
            has_pages = self.each_page and scan.pages > 1
            return is_slide or has_pages or self._is_large(pixels)
        if self.max_memory is None:
            return False
        try:
            height, width = read_image_shape(path)
        except ImageReadError:
            return False
        return self._is_large(height * width)

    def _is_large(self, pixels: int) -> bool:
        budget = self.max_memory
        is_too_much = budget is not None and _BASE_BYTES + _WHOLE_BYTES * pixels > budget
        return pixels > MAX_PIXELS or is_too_much


def plan_scans(
    path: Path,
    name: str,
    settings: ScanSettings,
    analysis: AnalysisSettings,
    *,
    training_diameter_px: float,
    jobs: int,
) -> Iterator[PlannedScan]:
    """Plan what is analysed of a scan, or of each image in its file.

    Parameters
    ----------
    name : str
        What the names of its results begin with.
    training_diameter_px : float
        Diameter of a red cell in the images that the network learned from.
    jobs : int
        Fields in work at the same time.

    Raises
    ------
    MissingDataError, ImageReadError
        It cannot be read, or has no part to analyse.
    SettingsError
        There is no such level or region, or the memory is too small for a field.
    """
    digest = digest_of_file(path)
    first = _opened(path, 0, settings)
    count = first.pages if settings.each_page else 1
    for page in range(count):
        scan = first if page == 0 else _opened(path, page, settings)
        of_page = name if count == 1 else f"{name}_page{page + 1}"
        plan = _Plan(
            scan=scan,
            settings=settings,
            analysis=analysis,
            training_diameter_px=training_diameter_px,
            jobs=jobs,
        )
        yield plan.made(path=path, name=of_page, page=page, digest=digest)


def _opened(path: Path, page: int, settings: ScanSettings) -> Scan:
    suffix = path.suffix.lower()
    if suffix in SCAN_SUFFIXES | TIFF_SUFFIXES:
        return open_scan(path, page=page)
    height, width = read_image_shape(path)
    budget = settings.max_memory
    if budget is not None and _BASE_BYTES + 4 * height * width > budget:
        raise ImageReadError(
            f"{path}: {width}×{height} pixels, which can only be decoded whole and need "
            f"{(_BASE_BYTES + 4 * height * width) / 1e9:.1f} GB, more than --max-memory allows. "
            "Save it as a tiled TIFF."
        )
    return open_in_memory(path)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    scan: Scan
    settings: ScanSettings
    analysis: AnalysisSettings
    training_diameter_px: float
    jobs: int

    def made(self, *, path: Path, name: str, page: int, digest: str) -> PlannedScan:
        level, region = self._level(), self._region()
        scale = self._scale(region)
        block, magnification = block_grid(scale.magnification_applied)
        scale = replace(scale, magnification_applied=magnification)
        by = self.scan.levels[level].downsample
        owns = list(self._owns(region, block, magnification, by))
        shrink = self._survey_shrink(scale, by)
        small = _SmallParts(self.scan, owns, by, shrink)
        zones = small.zones()
        wanted = self._wanted(zones, path)
        marks = self._marks(region)
        largest = max(own[2] for _, own in owns), max(own[3] for _, own in owns)
        fields = {}
        digits = len(str(max(max(index) for index, _ in owns) + 1))
        for k in wanted:
            (row, column), own = owns[k]
            of_field = f"{name}/r{row + 1:0{digits}d}_c{column + 1:0{digits}d}"
            seen = self._wider(own, block)
            fields[of_field] = ScanField(
                scan=self.scan,
                page=page,
                level=level,
                around=self._around(own, block, largest),
                seen=seen,
                own=own,
                marks=None if marks is None else _part_of(marks, seen, region, by),
                zone=zones[k],
                scale=scale,
                file_digest=digest,
            )
        return PlannedScan(
            path=path,
            name=name,
            scan=self.scan,
            page=page,
            level=level,
            region=region,
            scale=scale,
            file_digest=digest,
            fields=fields,
            parts=tuple((own, zone) for (_, own), zone in zip(owns, zones, strict=True)),
            overview=small.overview(region),
            goal=self.settings.goal,
        )

    def _level(self) -> int:
        levels = self.scan.levels
        if not 0 <= self.settings.level < len(levels):
            listed = ", ".join(
                f"{i} ({one.shape[1]}×{one.shape[0]})" for i, one in enumerate(levels)
            )
            raise SettingsError(
                f"{self.scan.path}: has no level {self.settings.level}; it has {listed}. Choose "
                "one with --level."
            )
        return self.settings.level

    def _region(self) -> Window:
        height, width = self.scan.shape
        if self.settings.region is None:
            return 0, 0, width, height
        left, top, across, down = self.settings.region
        if left >= width or top >= height:
            raise SettingsError(
                f"{self.scan.path}: --region {left},{top},{across},{down} lies outside of its "
                f"{width}×{height} pixels. Give it in pixels of level 0."
            )
        return left, top, min(across, width - left), min(down, height - top)

    def _scale(self, region: Window) -> ScaleEstimate:
        """Scale of the level, from what is given, what the file states, and outlines."""
        by = self.scan.levels[self.settings.level].downsample
        stated = self.analysis.pixel_size or self.scan.pixel_size
        size = None if stated is None else replace(stated, um=stated.um * by)
        given = self.analysis.cell_diameter_px
        vote = self._vote(region, size)
        return estimate_scale(
            vote,
            cell_diameter_px=None if given is None else given / by,
            pixel_size=size,
            training_diameter_px=self.training_diameter_px,
        )

    def _vote(self, region: Window, size: PixelSize | None) -> DiameterEstimate | None:
        """Let outlines all over the region vote; the median of those that agree with themselves."""
        by = self.scan.levels[self.settings.level].downsample
        left, top, width, height = (side / by for side in region)
        side_x, side_y = min(_SAMPLE_PX, width), min(_SAMPLE_PX, height)
        places = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        votes: list[DiameterEstimate] = []
        corners = {
            (
                round(left + (width - side_x) * across),
                round(top + (height - side_y) * down),
            )
            for across, down in product(places, places)
        }
        for x, y in sorted(corners):
            window = (x, y, max(round(side_x), 1), max(round(side_y), 1))
            pixels = self.scan.read(window, self.settings.level)
            if pixels[::8, ::8].std(axis=(0, 1)).max() < 1:
                continue
            vote = estimate_diameter(pixels, find_field(pixels))
            if vote is not None:
                votes.append(vote)
        if not votes:
            return None
        best = max(one.agreement for one in votes)
        sound = [one for one in votes if one.agreement >= _LEAST_AGREEMENT * best]
        sound.sort(key=lambda one: one.diameter_px)
        return replace(sound[len(sound) // 2], agreement=best)

    def _marks(self, region: Window) -> NDArray[np.uint8] | None:
        """Find marks in the region made smaller; None where there are none."""
        pixels = region[2] * region[3]
        if len(self.scan.levels) > 1 or pixels > _MARKED_PX:
            return None
        small = self.scan.read_small(region, min(1.0, (_MARKS_SEEN_PX / pixels) ** 0.5))
        return find_marks(small, np.ones(small.shape[:2], dtype=bool))

    def _survey_shrink(self, scale: ScaleEstimate, by: float) -> float:
        """Pixels of the survey for each of level 0."""
        diameter = scale.red_cell_diameter_px
        if diameter is None and scale.pixel_size_um is not None:
            diameter = RED_CELL_DIAMETER_UM / scale.pixel_size_um
        return min(1.0, SURVEY_DIAMETER_PX / ((diameter or self.training_diameter_px) * by))

    def _owns(
        self, region: Window, block: int, magnification: float, by: float
    ) -> Iterator[tuple[tuple[int, int], Window]]:
        """Cut the region into own parts of the level, with their rows and columns."""
        most = self._side(magnification)
        left, top, width, height = (round(one / by) for one in region)
        rows, columns = self.scan.levels[self.settings.level].shape
        width, height = min(width, columns - left), min(height, rows - top)
        for row, (y, down) in enumerate(_cut(top, height, block, most)):
            for column, (x, across) in enumerate(_cut(left, width, block, most)):
                yield (row, column), (x, y, across, down)

    def _side(self, magnification: float) -> int:
        """Side of a field in blocks, as large as the memory allows."""
        budget = self.settings.max_memory or DEFAULT_MEMORY
        # Of each pixel that the network sees.
        bytes_each = _NETWORK_BYTES + self.jobs * _FIELD_BYTES / magnification**2
        seen = (max(budget - _BASE_BYTES, 0) / bytes_each) ** 0.5
        least, largest = _SIDES
        side = int((seen - 2 * _MARGIN_PX) // GRID_PX)
        if side >= least:
            return min(side, largest)
        needed = _BASE_BYTES + bytes_each * (least * GRID_PX + 2 * _MARGIN_PX) ** 2
        fewer = " or --jobs 1" if self.jobs > 1 else ""
        raise SettingsError(
            f"--max-memory: received {budget / 1e9:.2f} GB; the smallest field of "
            f"{self.scan.path.name} needs {needed / 1e9:.2f} GB. Allow more{fewer}."
        )

    def _around(self, own: Window, block: int, largest: tuple[int, int]) -> Window:
        """Say what the network sees of a field: of all fields the same size.

        ONNX Runtime keeps memory for each size that it has seen.
        """
        margin = _MARGIN_PX // GRID_PX
        starts, sides = [], []
        for start, length, whole in zip(
            own[:2], largest, self.scan.levels[self.settings.level].shape[::-1], strict=True
        ):
            side = min(-(-length // block) + 2 * margin, -(-whole // block)) * block
            before = min(margin, start // block)
            # At the end of the scan more of it before the field, rather than less behind.
            beyond = max(start - before * block + side - whole, 0) // block
            before = min(before + beyond, start // block)
            starts.append(start - before * block)
            sides.append(side)
        return starts[0], starts[1], sides[0], sides[1]

    def _wider(self, own: Window, block: int) -> Window:
        """Add a margin to a field in whole blocks of the grid, as far as there is a scan."""
        rows, columns = self.scan.levels[self.settings.level].shape
        margin = _MARGIN_PX // GRID_PX
        left, top, width, height = own
        x = left - min(margin, left // block) * block
        y = top - min(margin, top // block) * block
        right = min(left + width + margin * block, columns)
        bottom = min(top + height + margin * block, rows)
        return x, y, right - x, bottom - y

    def _wanted(self, zones: Sequence[Zone], path: Path) -> list[int]:
        """Which parts are analysed, in their order."""
        everything = self.settings.is_everywhere or self.settings.region is not None
        wanted = [
            k
            for k, zone in enumerate(zones)
            if zone is Zone.MONOLAYER or (everything and zone is not Zone.GLASS)
        ]
        if not wanted:
            found = ", ".join(sorted({str(zone) for zone in zones}))
            raise ImageReadError(
                f"{path}: no part of it is a monolayer of cells; found {found}. Name a part with "
                "--region, or analyse all with --zones all."
            )
        return spread(wanted) if self.settings.goal is not None else wanted


def _cut(start: int, length: int, block: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut a length into starts and lengths of whole blocks, about alike, of ``most`` blocks."""
    count = -(-max(length, 1) // (most * block))
    side = -(-length // (count * block)) * block
    for place in range(start, start + max(length, 1), max(side, block)):
        yield place, min(max(side, 1), start + length - place)


def _part_of(
    marks: NDArray[np.uint8], seen: Window, region: Window, by: float
) -> NDArray[np.uint8] | None:
    """Cut the marks in a window of a level from those of a region made smaller."""
    ratio = marks.shape[1] / region[2]
    left, top = seen[0] * by - region[0], seen[1] * by - region[1]
    width, height = (max(round(side * by * ratio), 1) for side in seen[2:])
    part = np.zeros((height, width), np.uint8)
    x, y = round(left * ratio), round(top * ratio)
    found = marks[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    part[max(-y, 0) :, max(-x, 0) :][: found.shape[0], : found.shape[1]] = found
    return part if part.any() else None


def spread(items: Sequence[int]) -> list[int]:
    """Order items so that every beginning is spread over all of them, always in the same way.

    Source: van der Corput's sequence, here as the order of its numbers.

    Examples
    --------
    >>> spread([0, 1, 2, 3, 4, 5, 6, 7])
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    bits = max(len(items) - 1, 1).bit_length()
    turned = (int(f"{k:0{bits}b}"[::-1], 2) for k in range(1 << bits))
    return [items[k] for k in turned if k < len(items)]


class _SmallParts:
    """Own parts at low magnification: their zones, and the overview of them."""

    def __init__(
        self,
        scan: Scan,
        owns: Sequence[tuple[tuple[int, int], Window]],
        by: float,
        shrink: float,
    ) -> None:
        self._scan, self._shrink = scan, shrink
        self._windows = [tuple(round(side * by) for side in own) for _, own in owns]
        largest = max(max(w[0] + w[2], w[1] + w[3]) for w in self._windows)
        self._ratio = min(1.0, _THUMBNAIL_PX / (largest * shrink))
        self._thumbnails: list[NDArray[np.uint8]] = []

    def _read(self, window: tuple[int, ...]) -> NDArray[np.uint8]:
        left, top, width, height = window
        return self._scan.read_small((left, top, width, height), self._shrink)

    def zones(self) -> tuple[Zone, ...]:
        """Name the zone of each part."""
        step = max(len(self._windows) // _STAIN_SAMPLES, 1)
        stain = stain_of_slide([self._read(window) for window in self._windows[::step]])
        measures = []
        for window in self._windows:
            part = self._read(window)
            measures.append(measure_zone(part, stain))
            size = [max(round(side * self._ratio), 1) for side in part.shape[1::-1]]
            self._thumbnails.append(
                np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))
            )
        return zones_of(measures)

    def overview(self, region: Window) -> NDArray[np.uint8]:
        """Put the parts together."""
        ratio = self._shrink * self._ratio
        left, top, width, height = region
        overview = np.full(
            (max(round(height * ratio), 1), max(round(width * ratio), 1), 3), 255, np.uint8
        )
        for window, small in zip(self._windows, self._thumbnails, strict=True):
            y, x = round((window[1] - top) * ratio), round((window[0] - left) * ratio)
            part = overview[y:, x:][: small.shape[0], : small.shape[1]]
            part[:] = small[: part.shape[0], : part.shape[1]]
        return overview
