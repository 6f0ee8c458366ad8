"""What is reported of one picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.classes import CellType
from blood_cell_system.errors import SettingsError
from blood_cell_system.inference.picture_quality import PictureQuality
from blood_cell_system.inference.scale import ScaleEstimate
from blood_cell_system.reports.findings import HEALTHY, NONE_OF_THESE, NOT_ASSESSED, Findings
from blood_cell_system.reports.rates import Rate
from blood_cell_system.reports.report_json import report_to_json
from blood_cell_system.reports.report_text import report_to_text


class CellFlag(StrEnum):
    """What a reader should know of a cell."""

    UNCERTAIN = "uncertain"
    TOUCHING_BORDER = "touching_border"
    NOT_COUNTED = "not_counted"
    NONE_OF_THESE = "none_of_these"


class Status(StrEnum):
    """How a picture ended."""

    OK = "ok"
    WARNED = "warned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedCell:
    """One cell of the report.

    Parameters
    ----------
    cell_id : int
        From 1; the value of its pixels in the label picture.
    cell_type : CellType
    bbox : tuple of int
        ``(x_min, y_min, x_max, y_max)`` in pixels, 0-based and half-open.
    centroid : tuple of float
        ``(x, y)`` in pixels.
    area_px : int
    equivalent_diameter_px : float
        Diameter of the disc of the same area.
    equivalent_diameter_um : float or None
        None where the size of a pixel is not known.
    circularity : float
        1 for a disc, less for all else.
    confidence : float
        0 to 1: how sure it is that there is such a cell.
    flags : tuple of CellFlag
    condition : str
        What a classifier says of it; ``not assessed`` without one or where the border cuts it off,
        ``none of these`` for what is none of the classes.
    probabilities : mapping of str to float
        By condition; empty without a classifier.
    possible_conditions : tuple of str
        Conditions that the calibration cannot rule out: one is an answer, several or none are not.
    wbc_type : str or None
        Type of a white cell; None without a classifier of types, and for blasts.
    type_probabilities : mapping of str to float
        By type; empty without a classifier of types.
    known : float or None
        0 to 1: whether it is any of the classes; None where no classifier says so.
    """

    cell_id: int
    cell_type: CellType
    bbox: tuple[int, int, int, int]
    centroid: tuple[float, float]
    area_px: int
    equivalent_diameter_px: float
    equivalent_diameter_um: float | None
    circularity: float
    confidence: float
    flags: tuple[CellFlag, ...] = ()
    condition: str = NOT_ASSESSED
    probabilities: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    possible_conditions: tuple[str, ...] = ()
    wbc_type: str | None = None
    type_probabilities: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    known: float | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the border rule counts it."""
        return CellFlag.NOT_COUNTED not in self.flags

    @property
    def is_uncertain(self) -> bool:
        """Whether a person should look at it."""
        return CellFlag.UNCERTAIN in self.flags

    @property
    def is_abnormal(self) -> bool:
        """Whether it has a condition other than health."""
        return self.condition not in HEALTHY | {NOT_ASSESSED, NONE_OF_THESE}

    @property
    def certainty(self) -> float:
        """The smaller of its confidence and the probability of its condition, 0 to 1."""
        return min(self.confidence, max(self.probabilities.values(), default=1.0))

    @property
    def touches_border(self) -> bool:
        """Whether it is cut off, so that its size is a lower bound."""
        return CellFlag.TOUCHING_BORDER in self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeSummary:
    """All cells of one type.

    Parameters
    ----------
    cell_type : CellType
    count : int
        As the border rule counts.
    touching_border, not_counted, uncertain : int
        Cells of each flag.
    median_diameter_px, median_diameter_um : float or None
        Equivalent diameter of the whole cells; None where there is none, or no pixel size.
    """

    cell_type: CellType
    count: int
    touching_border: int
    not_counted: int
    uncertain: int
    median_diameter_px: float | None
    median_diameter_um: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Which picture a report is of.

    Parameters
    ----------
    file_name : str
    width_px, height_px : int
    sha256 : str
        Of the file's bytes.
    """

    file_name: str
    width_px: int
    height_px: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """What was asked for.

    Parameters
    ----------
    confidence_threshold : float
        A cell of a lower confidence is uncertain.
    uncertain_margin : float
        So is one whose two most likely conditions are less than this apart.
    border_rule : BorderRule
    cell_diameter_px, pixel_size_um : float or None
        As given; None where they were to be estimated.
    classifier_views : int or None
        Views of a cell that a classifier's answer is the mean of; None for the usual ones, 1 of a
        red cell and 4 of a white one.

    Raises
    ------
    SettingsError
        Threshold or margin is not within 0..1.
    """

    confidence_threshold: float
    uncertain_margin: float
    border_rule: BorderRule
    cell_diameter_px: float | None = None
    pixel_size_um: float | None = None
    classifier_views: int | None = None

    def __post_init__(self) -> None:
        for name in ("confidence_threshold", "uncertain_margin"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise SettingsError(f"{name}: received {value}; expected a number from 0 to 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a report was made with.

    Parameters
    ----------
    software_version : str
    model : str
        Name of the model's file.
    model_sha256 : str
        Of the file, or of the weights of a model in memory.
    seed : int or None
        Of random numbers; None where none were drawn, as in segmenting.
    rbc_classifier, wbc_classifier : str or None
        Names of the classifiers' files; None without one.
    rbc_classifier_sha256, wbc_classifier_sha256 : str or None
    """

    software_version: str
    model: str
    model_sha256: str
    seed: int | None = None
    rbc_classifier: str | None = None
    rbc_classifier_sha256: str | None = None
    wbc_classifier: str | None = None
    wbc_classifier_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticReport:
    """What was found in one picture. Research use only; not a medical device.

    Parameters
    ----------
    picture : Picture
    settings : ReportSettings
    provenance : Provenance
    types : tuple of TypeSummary
        In ``CELL_TYPES`` order.
    rates : tuple of Rate
    rbc_findings, wbc_findings : Findings
    cells : tuple of ReportedCell
    scale : ScaleEstimate
    quality : PictureQuality
    warnings : tuple of str
        Everything that a reader should know before believing the counts.
    """

    picture: Picture
    settings: ReportSettings
    provenance: Provenance
    types: tuple[TypeSummary, ...]
    rates: tuple[Rate, ...]
    rbc_findings: Findings
    wbc_findings: Findings
    cells: tuple[ReportedCell, ...]
    scale: ScaleEstimate
    quality: PictureQuality
    warnings: tuple[str, ...]

    @property
    def status(self) -> Status:
        """``warned`` where there is a warning."""
        return Status.WARNED if self.warnings else Status.OK

    @property
    def counts(self) -> Mapping[CellType, int]:
        """Cells by type, as the border rule counts."""
        return MappingProxyType({summary.cell_type: summary.count for summary in self.types})

    @property
    def uncertain_cells(self) -> tuple[ReportedCell, ...]:
        """Cells that a person should look at, the least certain first."""
        uncertain = (cell for cell in self.cells if cell.is_uncertain)
        return tuple(sorted(uncertain, key=lambda cell: (cell.certainty, cell.cell_id)))

    def to_summary_text(self) -> str:
        """Tell the report in some twenty lines of plain text."""
        return report_to_text(self)

    def to_json(self) -> dict[str, Any]:
        """Tell all of the report, as ``docs/report_schema.json`` describes it."""
        return report_to_json(self)
