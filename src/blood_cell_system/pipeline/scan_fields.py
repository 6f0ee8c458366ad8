"""A scan as fields of one slide: which parts are analysed, in which order, and when it is enough.

1. Open the scan, choose a level, find how large its red cells are.
2. Measure each part at low magnification, and name its zone (``analysis/scan_zones.py``).
3. Cut the level into fields that fit into the memory. Each has a margin in which its cells are
   whole, and the network sees still more around it, on a grid that all share, so that neighbours
   see the same cells; a cell belongs to the field that holds its centroid.
4. Give the fields of the monolayer in an order whose every beginning is spread over all of it, so
   that one may stop when enough cells are counted.

Each field then goes the way of an image, with files of its own, and their sums are the slide's.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.image_analysis import AnalysisSettings, Frame
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
from blood_cell_system.reports.batch_summary import ImageOutcome
from blood_cell_system.reports.findings import Rate, sum_rates
from blood_cell_system.reports.report import DiagnosticReport, Place
from blood_cell_system.reports.slides import ScanRecord
from blood_cell_system.taxonomy import Taxonomy

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
"""What a field has beyond its own part, in pixels that the network sees: three red cells. Cells at
a seam are joined and left out by their neighbours: within 6 drawn smears cut into tiles of 256
pixels 5 of 326 cells differ from those of the whole with 128, none with 192."""
_AROUND_PX: Final = 256
"""The same that the network sees: the reach of its receptive field. At the rims of cells on seams
probabilities then differ from those of the whole by up to 0.04, with 192 by 0.06, with 128 by 0.35,
with 320 not at all."""
_SIDES: Final = (48, 44, 40, 36, 34, 32, 30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4)
"""Sides of fields that are tried, in blocks of the grid."""
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
_TINTS: Final[Mapping[Zone, tuple[int, int, int]]] = {
    Zone.GLASS: (150, 150, 150),
    Zone.EDGE: (70, 130, 220),
    Zone.MONOLAYER: (0, 158, 115),
    Zone.THICK: (213, 94, 0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """How many cells are enough.

    Parameters
    ----------
    counts : mapping of str to int
        Cells by type, all of which are to be counted.
    precision : tuple of (str, float) or None
        A finding, or ``TYPE_differential``, and half the width of its 95 % interval at most.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    precision: tuple[str, float] | None = None

    @classmethod
    def read(cls, until: str | None, precision_of: str | None) -> "Goal | None":
        """Read ``rbc=2000,wbc=200`` and ``wbc_differential=3%``; None where neither is given.

        Raises
        ------
        SettingsError
            One of them is something else.

        Examples
        --------
        >>> Goal.read("rbc=2000", "wbc_differential=3%")
        Goal(counts={'rbc': 2000}, precision=('wbc_differential', 0.03))
        """
        if until is None and precision_of is None:
            return None
        counts = {}
        for part in (until or "").split(",") if until is not None else ():
            name, _, number = (word.strip() for word in part.partition("="))
            if not name or not number.isdecimal() or int(number) < 1:
                raise SettingsError(
                    f"--until: received {until!r}; expected numbers of cells, for instance "
                    "rbc=2000,wbc=200."
                )
            counts[name.casefold()] = int(number)
        precision = None
        if precision_of is not None:
            found = re.fullmatch(r"\s*([\w-]+)\s*=\s*([\d.]+)\s*%?\s*", precision_of)
            value = float(found[2]) if found and found[2].count(".") < 2 else 0.0
            if found is None or not 0 < value < 50:
                raise SettingsError(
                    f"--precision-of: received {precision_of!r}; expected a share and half the "
                    "width of its interval, for instance wbc_differential=3%."
                )
            precision = found[1], value / 100
        return cls(counts=counts, precision=precision)

    def check(self, taxonomy: Taxonomy) -> None:
        """Refuse names of no cell type.

        Raises
        ------
        SettingsError
            A name is of no type.
        """
        known = {name.casefold() for name in taxonomy.names}
        if strange := sorted(set(self.counts) - known):
            expected = ", ".join(sorted(known))
            raise SettingsError(
                f"--until: {', '.join(strange)} is no cell type; expected one of {expected}."
            )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has been counted of a scan so far."""

    goal: Goal
    counts: dict[str, int] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()
    subtypes: frozenset[str] = frozenset()

    def add(self, report: DiagnosticReport) -> None:
        """Add a field."""
        if not report.quality.is_smear:
            return
        for name, count in report.counts.items():
            self.counts[name.casefold()] = self.counts.get(name.casefold(), 0) + count
        found = [report.rates, *(part.rates for part in report.findings.values())]
        self.rates = sum_rates([self.rates, *found])
        if self.goal.precision and self.goal.precision[0].casefold().endswith(_DIFFERENTIAL):
            kind = self.goal.precision[0].casefold().removesuffix(_DIFFERENTIAL)
            self.subtypes |= {
                subtype.name
                for one in report.cells.taxonomy
                if one.name.casefold() == kind
                for subtype in one.subtypes
            }

    @property
    def is_enough(self) -> bool:
        """Whether the goal is reached."""
        if any(self.counts.get(name, 0) < count for name, count in self.goal.counts.items()):
            return False
        return self.goal.precision is None or self._is_precise(*self.goal.precision)

    def _is_precise(self, name: str, half_width: float) -> bool:
        wanted = self.subtypes or {name}
        widths = [
            (rate.interval_95[1] - rate.interval_95[0]) / 2
            for rate in self.rates
            if rate.name in wanted and rate.interval_95 is not None
        ]
        return bool(widths) and max(widths) <= half_width


_DIFFERENTIAL: Final = "_differential"


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScanField:
    """A field of a scan.

    Parameters
    ----------
    scan : Scan
    around : tuple of int
        Left, top, width and height in pixels of the level: what the network sees.
    seen : tuple of int
        The same of the field with its margin.
    own : tuple of int
        The same of the field's own part.
    scale : ScaleEstimate
        Of the level.
    file_digest : str
        SHA-256 of the file.
    marks : ndarray, dtype uint8, optional
        Those of the field with its margin, made smaller.
    """

    scan: Scan
    page: int
    level: int
    around: Window
    seen: Window
    own: Window
    zone: Zone
    scale: ScaleEstimate
    file_digest: str
    marks: NDArray[np.uint8] | None = None

    def read(self) -> NDArray[np.uint8]:
        """Read it with its margin; RGB."""
        return self.scan.read(self.seen, self.level)

    def read_around(self) -> NDArray[np.uint8]:
        """Read what the network sees, beyond the scan by reflection; RGB."""
        left, top, width, height = self.around
        rows, columns = self.scan.levels[self.level].shape
        there = (left, top, min(width, columns - left), min(height, rows - top))
        beyond = ((0, height - there[3]), (0, width - there[2]), (0, 0))
        return np.pad(self.scan.read(there, self.level), beyond, mode="reflect")

    @property
    def frame(self) -> Frame:
        """Where its own part is, and what cannot be read; to be asked for after reading."""
        holes = self.scan.holes_in(self.seen, self.level)
        marks = None
        if self.marks is not None:
            marks = cv2.resize(self.marks, self.seen[2:], interpolation=cv2.INTER_NEAREST)
        return Frame(
            inner=_slices(self.seen, self.around),
            own=_slices(self.own, self.seen),
            scale=self.scale,
            holes=tuple(_slices(hole, self.seen) for hole in holes),
            marks=None if marks is None else np.asarray(marks, dtype=np.uint8),
        )

    @property
    def place(self) -> Place:
        """Its place for the report."""
        by = self.scan.levels[self.level].downsample
        left, top = self.own[0] - self.seen[0], self.own[1] - self.seen[1]
        return Place(
            page=self.page + 1,
            level=self.level,
            downsample=round(by, 6),
            x_px=round(self.seen[0] * by, 2),
            y_px=round(self.seen[1] * by, 2),
            own=(left, top, left + self.own[2], top + self.own[3]),
            zone=str(self.zone),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the file's, and of the place in it."""
        words = f"{self.file_digest} {self.page} {self.level} {self.seen} {self.own}"
        return hashlib.sha256(words.encode()).hexdigest()


def _slices(window: Window, within: Window) -> tuple[slice, slice]:
    """Rows and columns of a window in another one, cut at its borders."""
    left, top, width, height = window
    x, y = left - within[0], top - within[1]
    return (
        slice(max(y, 0), min(y + height, within[3])),
        slice(max(x, 0), min(x + width, within[2])),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedScan:
    """A scan with its fields.

    Parameters
    ----------
    name : str
        What the names of its results begin with.
    fields : mapping of str to ScanField
        Those to analyse, in their order, by the names of their results.
    parts : tuple of (Window, Zone)
        All own parts, in pixels of the level.
    overview : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """

    path: Path
    name: str
    scan: Scan
    page: int
    level: int
    region: Window
    scale: ScaleEstimate
    file_digest: str
    fields: Mapping[str, ScanField]
    parts: tuple[tuple[Window, Zone], ...]
    overview: NDArray[np.uint8]
    goal: Goal | None

    def new_tally(self) -> Tally | None:
        """Begin to count; None where all fields are analysed."""
        return None if self.goal is None else Tally(goal=self.goal)

    def record(self, outcomes: Iterable[ImageOutcome]) -> ScanRecord:
        """Say what was done of it."""
        done = [one for one in outcomes if one.name in self.fields]
        zones: dict[str, int] = {}
        for _, zone in self.parts:
            zones[str(zone)] = zones.get(str(zone), 0) + 1
        height, width = self.scan.shape
        return ScanRecord(
            file_name=self.path.name,
            file_sha256=self.file_digest,
            page=self.page + 1,
            width_px=width,
            height_px=height,
            levels=tuple(
                (one.shape[1], one.shape[0], round(one.downsample, 6)) for one in self.scan.levels
            ),
            level=self.level,
            region=self.region,
            red_cell_diameter_px=self.scale.red_cell_diameter_px,
            pixel_size_um=self.scale.pixel_size_um,
            fields_by_zone=zones,
            fields_planned=len(self.fields),
            fields_analysed=len(done),
            is_stopped=self.goal is not None and len(done) < len(self.fields),
            holes=self.scan.holes_in((0, 0, *self.scan.levels[self.level].shape[::-1]), self.level),
        )

    def words(self, outcomes: Iterable[ImageOutcome]) -> str:
        """Say in a sentence or two what was done of it."""
        record = self.record(outcomes)
        zones = ", ".join(f"{count} {zone}" for zone, count in record.fields_by_zone.items())
        stopped = ", enough for what was asked for" if record.is_stopped else ""
        holes = f" {len(record.holes)} tiles cannot be decoded." if record.holes else ""
        return (
            f"{record.file_name}, level {record.level}: {record.fields_analysed} of "
            f"{record.fields_planned} fields analysed{stopped} (framed). Parts by zone: {zones}."
            f"{holes}"
        )

    def drawn_overview(self, outcomes: Iterable[ImageOutcome]) -> NDArray[np.uint8]:
        """Draw the zones over the overview, and frames around the fields that were analysed."""
        drawn = self.overview.copy()
        by = self.scan.levels[self.level].downsample
        ratio = drawn.shape[1] / self.region[2] * by
        left, top = self.region[0] / by, self.region[1] / by
        done = {one.name for one in outcomes}
        framed = {one.own for name, one in self.fields.items() if name in done}
        for (x, y, width, height), zone in self.parts:
            x0, y0 = round((x - left) * ratio), round((y - top) * ratio)
            x1, y1 = round((x + width - left) * ratio), round((y + height - top) * ratio)
            part = drawn[y0:y1, x0:x1]
            part[:] = (0.78 * part + 0.22 * np.array(_TINTS[zone])).astype(np.uint8)
            if (x, y, width, height) in framed:
                cv2.rectangle(drawn, (x0 + 1, y0 + 1), (x1 - 2, y1 - 2), (30, 30, 30), 1)
        return drawn


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
        most = self._side(block, magnification)
        left, top, width, height = (round(one / by) for one in region)
        rows, columns = self.scan.levels[self.settings.level].shape
        width, height = min(width, columns - left), min(height, rows - top)
        for row, (y, down) in enumerate(_cut(top, height, block, most)):
            for column, (x, across) in enumerate(_cut(left, width, block, most)):
                yield (row, column), (x, y, across, down)

    def _side(self, block: int, magnification: float) -> int:
        """Side of a field in blocks, as large as the memory allows."""
        budget = self.settings.max_memory or DEFAULT_MEMORY
        needed = 0.0
        for side in _SIDES:
            network = (side * GRID_PX + 2 * _AROUND_PX) ** 2
            source = ((side * GRID_PX + 2 * _MARGIN_PX) / magnification) ** 2
            needed = _BASE_BYTES + _NETWORK_BYTES * network + self.jobs * _FIELD_BYTES * source
            if needed <= budget:
                return side
        fewer = " or --jobs 1" if self.jobs > 1 else ""
        raise SettingsError(
            f"--max-memory: received {budget / 1e9:.2f} GB; the smallest field of "
            f"{self.scan.path.name} needs {needed / 1e9:.2f} GB. Allow more{fewer}."
        )

    def _around(self, own: Window, block: int, largest: tuple[int, int]) -> Window:
        """Say what the network sees of a field: of all fields the same size.

        ONNX Runtime keeps memory for each size that it has seen.
        """
        margin = _AROUND_PX // GRID_PX
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
