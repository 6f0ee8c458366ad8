"""A field of a scan, and a scan with its fields: what each reads, and its part of the report."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.image_analysis import Frame
from blood_cell_system.analysis.scale import ScaleEstimate
from blood_cell_system.analysis.scan_zones import Zone
from blood_cell_system.imaging.scan import Scan, Window
from blood_cell_system.pipeline.scan_goal import Goal, Tally
from blood_cell_system.reports.batch_summary import ImageOutcome
from blood_cell_system.reports.report import Place
from blood_cell_system.reports.slides import ScanRecord
from blood_cell_system.wording import counted

_TINTS: Final[Mapping[Zone, tuple[int, int, int]]] = {
    Zone.GLASS: (150, 150, 150),
    Zone.EDGE: (70, 130, 220),
    Zone.MONOLAYER: (0, 158, 115),
    Zone.THICK: (213, 94, 0),
}


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
        count = len(record.holes)
        holes = f" {counted(count, 'tile')} cannot be decoded." if count else ""
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
