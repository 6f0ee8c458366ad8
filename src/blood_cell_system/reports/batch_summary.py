"""What came of a batch of images, as a typed summary and as a table."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field, SerializeAsAny

from blood_cell_system.cells.neighbours import connected_groups
from blood_cell_system.datasets.duplicates.field_features import pairs_of_like_hashes
from blood_cell_system.reports.findings import (
    Count,
    FindingCounts,
    Findings,
    Rate,
    Record,
    ratios_of,
    sum_findings,
    sum_rates,
)
from blood_cell_system.reports.image_files import ALL_PARTS, Part, table_to_csv
from blood_cell_system.reports.page.panel import Panel
from blood_cell_system.reports.report import (
    DISCLAIMER,
    FORMAT_VERSION,
    DiagnosticReport,
    Provenance,
    ReportSettings,
    Status,
    Text,
    TypeSummary,
)
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy

if TYPE_CHECKING:
    from blood_cell_system.reports.figure_settings import FiguresSettings
    from blood_cell_system.reports.slides import SlideReport

SLIDES_FOLDER: Final = "slides"
"""Folder of the slides' reports, within that of the results."""
SLIDE_ENDING: Final = "_slide"
"""What the names of their files end with."""

_SUMMED: Final = ("uncertain", "touching_border", "not_counted")
"""Numbers of each type's summary that a row of the summary gives for all types together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """A slide by name, and its patient where that is known."""

    name: str
    patient: str | None = None

    def __str__(self) -> str:
        return f"slide {self.name}" + (f" of patient {self.patient}" if self.patient else "")


def scan_offsets(outcomes: "Iterable[ImageOutcome]") -> dict[str, int]:
    """Say by how much the ids of a field's cells are raised, so that those of a scan are unique.

    Fields of one scan lie in one folder; images that are no fields are left out.
    """
    offsets, counts = {}, Counter[str]()
    for outcome in outcomes:
        if outcome.report is not None and outcome.report.image.place is not None:
            scan = outcome.name.rpartition("/")[0]
            offsets[outcome.name] = counts[scan]
            counts[scan] += len(outcome.report.cells)
    return offsets


class ImageRow(Record):
    """How one input ended, as ``batch_summary.json`` and ``--json-lines`` have it."""

    name: Annotated[Text, Field(description="of its files; empty where there is no image")]
    path: Text
    slide: Annotated[Text | None, Field(description="null without --group-by")] = None
    patient: Annotated[Text | None, Field(description="null where nobody has named one")] = None
    status: Status
    reason: Annotated[Text, Field(description="why it failed; empty otherwise")]
    warnings: tuple[Text, ...] = ()
    counts: Annotated[dict[str, Count] | None, Field(description="null for a failed one")] = None
    is_smear: bool | None = None
    uncertain: Count | None = None
    touching_border: Count | None = None
    not_counted: Count | None = None
    types: Mapping[str, TypeSummary] = Field(default_factory=dict)
    findings: Mapping[str, FindingCounts] = Field(default_factory=dict)
    data_sha256: str | None = None


class FormerImageRow(Record):
    """The part of a row that scripts for version 0.2 read."""

    name: Text
    path: Text
    status: Status
    reason: Text
    warnings: tuple[Text, ...]
    counts: dict[str, Count] | None


_SlideReport = SerializeAsAny[Record]
"""A ``SlideReport``, whose module takes time to load and is not needed without slides."""


class BatchFile(Record):
    """What ``batch_summary.json`` holds."""

    format_version: Literal[4] = FORMAT_VERSION
    disclaimer: str = DISCLAIMER
    provenance: Provenance
    settings: ReportSettings
    images_by_status: dict[str, Count]
    left_out_of_sums: Annotated[Count, Field(description="analysed, but unlike a blood smear")]
    counts: Annotated[dict[str, Count], Field(description="empty where there are slides")]
    rates: tuple[Rate, ...]
    findings: dict[str, Findings]
    slides: Annotated[tuple[_SlideReport, ...], Field(description="with --group-by")] = ()
    patients: Annotated[tuple[_SlideReport, ...], Field(description="that were named")] = ()
    images: tuple[ImageRow, ...]
    pictures: Annotated[
        tuple[FormerImageRow, ...],
        Field(description="images under their name of version 0.2, in short"),
    ]
    passed_over: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """How one input ended.

    Parameters
    ----------
    name : str
        What the names of its files begin with; empty for an input that holds no image.
    path : str
        As it was named.
    reason : str
        Why it failed; empty otherwise.
    report : DiagnosticReport or None
        As its file holds it; None for a failed one.
    panel : Panel or None
        What the page shows; None for a failed one.
    was_kept : bool
        Whether a former run had done it.
    slide : Slide or None
        Which slide it is a field of; None where slides were not named.
    """

    name: str
    path: str
    reason: str = ""
    report: DiagnosticReport | None = None
    panel: Panel | None = None
    was_kept: bool = False
    slide: Slide | None = None

    @property
    def status(self) -> Status:
        """How it ended."""
        return Status.FAILED if self.report is None else self.report.status

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before believing its counts."""
        return () if self.report is None else self.report.warnings

    @property
    def counts(self) -> dict[str, int] | None:
        """Cells by type; None for a failed one."""
        return None if self.report is None else self.report.counts

    @property
    def data_sha256(self) -> str | None:
        """Of the image's file; None for a failed one."""
        return None if self.report is None else self.report.provenance.data_sha256

    @property
    def row(self) -> ImageRow:
        """The outcome as it is written; the same whether the image was kept or not."""
        row = ImageRow(
            name=self.name,
            path=self.path,
            slide=self.slide.name if self.slide else None,
            patient=self.slide.patient if self.slide else None,
            status=self.status,
            reason=self.reason,
        )
        if self.report is None:
            return row
        summaries = self.report.types.values()
        return row.model_copy(
            update={
                "warnings": self.warnings,
                "counts": self.counts,
                "is_smear": self.report.quality.is_smear,
                "types": self.report.types,
                "findings": self.report.findings,
                "data_sha256": self.data_sha256,
                **{name: sum(getattr(one, name) for one in summaries) for name in _SUMMED},
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Give the outcome as it is written."""
        return self.row.to_json()


def repeated_fields(images: Iterable[tuple[str, Provenance]]) -> tuple[tuple[str, ...], ...]:
    """Group the names of images that show the same field: copies of a file, also changed ones."""
    rows = list(images)
    first: dict[str | None, int] = {}
    equal = [(first.setdefault(one.image_sha256, row), row) for row, (_, one) in enumerate(rows)]
    like = pairs_of_like_hashes([one.field_hash for _, one in rows])
    pairs = np.array([*equal, *like], dtype=np.intp).reshape(-1, 2)
    groups: dict[int, list[str]] = {}
    for (name, _), number in zip(rows, connected_groups(len(rows), pairs).tolist(), strict=True):
        groups.setdefault(number, []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


@dataclass(frozen=True, kw_only=True)
class BatchSummary:
    """What came of a batch.

    Parameters
    ----------
    outcomes : tuple of ImageOutcome
        In the order of the inputs.
    passed_over : tuple of str
        Files that are no images by their names.
    figures : FiguresSettings or None
        What is reported of slides; None for the defaults.
    parts : frozenset of Part
        What is written.
    """

    outcomes: tuple[ImageOutcome, ...]
    settings: ReportSettings
    provenance: Provenance
    passed_over: tuple[str, ...] = ()
    figures: "FiguresSettings | None" = None
    parts: frozenset[Part] = ALL_PARTS

    def count(self, status: Status) -> int:
        """How many inputs ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def reports(self) -> tuple[DiagnosticReport, ...]:
        """Reports of the images that were analysed and resemble a smear: sums are of these."""
        return tuple(report for _, report in self.smears)

    @property
    def smears(self) -> tuple[tuple[ImageOutcome, DiagnosticReport], ...]:
        """Images that were analysed and resemble a smear, with their reports."""
        return tuple(
            (outcome, outcome.report)
            for outcome in self.outcomes
            if outcome.report is not None and outcome.report.quality.is_smear
        )

    @property
    def left_out(self) -> int:
        """How many images were analysed, but do not resemble a smear."""
        return len(self.outcomes) - self.count(Status.FAILED) - len(self.smears)

    @property
    def repeated(self) -> tuple[tuple[str, ...], ...]:
        """Names of smears that show the same field several times, and are summed up as often."""
        return repeated_fields((one.name, report.provenance) for one, report in self.smears)

    @property
    def taxonomy(self) -> Taxonomy:
        """Cell types of the reports."""
        done = (one.report.cells.taxonomy for one in self.outcomes if one.report is not None)
        return next(done, BUILT_IN)

    @property
    def is_grouped(self) -> bool:
        """Whether slides were named: then cells are summed up by slide and patient alone."""
        return any(outcome.slide for outcome in self.outcomes)

    @property
    def slides(self) -> "tuple[SlideReport, ...]":
        """Report of each slide that was named."""
        return self._grouped[0]

    @property
    def patients(self) -> "tuple[SlideReport, ...]":
        """Report of each patient that was named."""
        return self._grouped[1]

    @cached_property
    def _grouped(self) -> "tuple[tuple[SlideReport, ...], tuple[SlideReport, ...]]":
        if not self.is_grouped:
            return (), ()
        # Here, not above: without slides nothing of it is needed, and it takes time to load.
        from blood_cell_system.reports.figure_settings import FiguresSettings
        from blood_cell_system.reports.slides import report_patients, report_slides

        settings = self.figures or FiguresSettings()
        return report_slides(self.outcomes, settings), report_patients(self.outcomes, settings)

    def of_slide(self, report: "SlideReport") -> "BatchSummary":
        """Give the images of one slide, as a batch of their own."""
        images = tuple(
            replace(outcome, slide=None)
            for outcome in self.outcomes
            if outcome.slide is not None and outcome.slide.name == report.slide
        )
        return replace(self, outcomes=images, passed_over=())

    @property
    def counts(self) -> dict[str, int]:
        """Cells by type in all smears together; empty where there are slides."""
        names = () if self.is_grouped else self.taxonomy.names
        return {name: sum(report.counts[name] for report in self.reports) for name in names}

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Findings that need no classifier, of the cells of all smears; none of several slides."""
        return () if self.is_grouped else sum_rates(report.rates for report in self.reports)

    @property
    def findings(self) -> dict[str, Findings]:
        """What the classifiers found in all smears together, by cell type; nothing of slides."""
        if self.is_grouped:
            return {}
        return {
            kind.name: sum_findings(
                report.findings[kind.name]
                for report in self.reports
                if kind.name in report.findings
            )
            for kind in self.taxonomy
            if kind.conditions
        }

    def to_json(self) -> dict[str, Any]:
        """Give the summary as ``batch_summary.json`` holds it."""
        rows = tuple(outcome.row for outcome in self.outcomes)
        return BatchFile(
            provenance=self.provenance,
            settings=self.settings,
            images_by_status={str(status): self.count(status) for status in Status},
            left_out_of_sums=self.left_out,
            counts=self.counts,
            rates=self.rates,
            findings=self.findings,
            slides=self.slides,
            patients=self.patients,
            images=rows,
            pictures=tuple(
                FormerImageRow.model_validate(row, from_attributes=True) for row in rows
            ),
            passed_over=self.passed_over,
        ).to_json()

    def to_csv(self) -> str:
        """Lay the images out as comma-separated values, a row an input.

        Every finding has two columns: its count under its name, and its total.
        """
        types, ratios = self.taxonomy.names, [r.name for r in ratios_of(self.taxonomy)]
        columns = [
            *("name", "path", "slide", "patient", "status"),
            *types,
            *_SUMMED,
            *(f"{name.lower()}_median_diameter_{unit}" for name in types for unit in ("px", "um")),
            *(column for name in ratios for column in (name, f"{name}_total")),
            *("reason", "warnings"),
        ]
        return table_to_csv(columns, [_csv_row(outcome) for outcome in self.outcomes])


def _csv_row(outcome: ImageOutcome) -> dict[str, Any]:
    row = outcome.to_json()
    sizes = {
        f"{name.lower()}_{key}": value
        for name, summary in row["types"].items()
        for key, value in summary.items()
    }
    rates = {
        column: value
        for rate in _all_rates(outcome.report)
        for column, value in ((rate.name, rate.count), (f"{rate.name}_total", rate.total))
    }
    return row | (row["counts"] or {}) | sizes | rates | {"warnings": " | ".join(row["warnings"])}


def _all_rates(report: DiagnosticReport | None) -> Iterable[Rate]:
    if report is None:
        return ()
    found: Mapping[str, Findings] = report.findings
    return (*report.rates, *(rate for part in found.values() for rate in part.rates))
