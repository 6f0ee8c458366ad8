"""Reports of slides and of patients: the fields of a slide summed up, never those of two patients.

Everything in such a report is a function of the table of its cells, :func:`sums_of`, and of the
list of its fields. A patient's report has the cells of all slides of the patient.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from blood_cell_system.cells.table import Cells
from blood_cell_system.reports.batch_summary import (
    SLIDE_ENDING,
    ImageOutcome,
    repeated_fields,
)
from blood_cell_system.reports.diagnosis import doubts, type_summary, unfamiliar
from blood_cell_system.reports.figure_settings import FiguresSettings
from blood_cell_system.reports.findings import Count, Findings, Rate, Record, findings_in, rates_in
from blood_cell_system.reports.lab_figures import Evidence, LabFigure, lab_figures
from blood_cell_system.reports.report import (
    DISCLAIMER,
    FORMAT_VERSION,
    DiagnosticReport,
    Provenance,
    ReportSettings,
    Text,
    TypeSummary,
    shown_name,
)
from blood_cell_system.taxonomy import RBC


class Sums(Record):
    """What follows from a table of cells of one slide or one patient."""

    counts: Annotated[dict[str, Count], Field(description="as the border rule counts")]
    types: Annotated[dict[str, TypeSummary], Field(description="by cell type")]
    rates: Annotated[tuple[Rate, ...], Field(description="findings that need no classifier")]
    findings: Annotated[dict[str, Findings], Field(description="by cell type")]


class SlideReport(Sums):
    """What was found on one slide, or on all slides of one patient."""

    slide: Annotated[Text | None, Field(description="null in the report of a patient")]
    patient: Annotated[Text | None, Field(description="null where nobody has named one")]
    slides: tuple[Text, ...]
    images: Annotated[tuple[Text, ...], Field(description="fields that the sums are of")]
    areas_um2: Annotated[
        dict[Text, float | None],
        Field(description="that was analysed of each field; null without a pixel size"),
    ]
    figures: Annotated[
        tuple[LabFigure, ...], Field(description="that a laboratory reports; docs/lab_figures.md")
    ]
    left_out: Annotated[tuple[Text, ...], Field(description="analysed, but unlike a blood smear")]
    failed: tuple[Text, ...]
    warnings: Annotated[tuple[Text, ...], Field(description="before believing the sums")]

    @property
    def name(self) -> str:
        """Slide or patient in words."""
        return f"Patient {self.patient}" if self.slide is None else f"Slide {self.slide}"

    @property
    def other_findings(self) -> dict[str, Findings]:
        """Findings without the shares that are among the figures."""
        known = {figure.name for figure in self.figures}
        return {
            name: part.model_copy(
                update={
                    "rates": tuple(rate for rate in part.rates if rate.name not in known),
                    "not_validated": {
                        one: why for one, why in part.not_validated.items() if one not in known
                    },
                }
            )
            for name, part in self.findings.items()
        }


class ScanRecord(Record):
    """Which parts of a scan a slide's fields are."""

    file_name: Text
    file_sha256: Text
    page: int
    width_px: int
    height_px: int
    levels: Annotated[
        tuple[tuple[int, int, float], ...],
        Field(description="width, height, and pixels of level 0 for each of its own"),
    ]
    level: Annotated[int, Field(description="that was analysed")]
    region: Annotated[
        tuple[int, int, int, int], Field(description="left, top, width, height on level 0")
    ]
    red_cell_diameter_px: Annotated[float | None, Field(description="on the level")]
    pixel_size_um: Annotated[float | None, Field(description="on the level")]
    fields_by_zone: dict[Text, int]
    fields_planned: int
    fields_analysed: int
    is_stopped: Annotated[bool, Field(description="because enough cells were counted")]
    holes: Annotated[
        tuple[tuple[int, int, int, int], ...],
        Field(description="left, top, width, height on the level of what cannot be decoded"),
    ]


class SlideFile(Record):
    """What the file of a slide's report holds."""

    format_version: Literal[4] = FORMAT_VERSION
    disclaimer: str = DISCLAIMER
    provenance: Provenance
    settings: ReportSettings
    figures_settings: FiguresSettings
    scans: Annotated[
        tuple[ScanRecord, ...], Field(description="that its fields are of; empty for images")
    ] = ()
    report: SlideReport


_MAX_STEM: Final = 80
"""Letters of a slide's name that its files' names have."""


def with_file_names(reports: Iterable[SlideReport]) -> Iterator[tuple[SlideReport, str]]:
    """Give each slide's report with the name of its files, without ending."""
    taken: set[str] = set()
    for report in reports:
        wanted = re.sub(r"[^\w.-]+", "_", report.slide or "")[:_MAX_STEM].strip(".") or "_"
        stem, number = wanted, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{wanted}_{number}"
        taken.add(stem.casefold())
        yield report, stem + SLIDE_ENDING


def sums_of(cells: Cells) -> Sums:
    """Sum up a table of cells, whose column ``image`` names their fields."""
    types = {kind.name: type_summary(cells, kind.name) for kind in cells.taxonomy}
    return Sums(
        counts={name: summary.count for name, summary in types.items()},
        types=types,
        rates=rates_in(cells),
        findings={
            kind.name: findings_in(cells, kind) for kind in cells.taxonomy if kind.conditions
        },
    )


def report_slides(
    outcomes: Iterable[ImageOutcome], settings: FiguresSettings
) -> tuple[SlideReport, ...]:
    """Draw up the report of each slide, in the order of their first fields."""
    slides: dict[str, list[ImageOutcome]] = {}
    for outcome in outcomes:
        if outcome.slide:
            slides.setdefault(outcome.slide.name, []).append(outcome)
    return tuple(_report(fields, settings, slide=name) for name, fields in slides.items())


def report_patients(
    outcomes: Iterable[ImageOutcome], settings: FiguresSettings
) -> tuple[SlideReport, ...]:
    """Draw up the report of each patient that was named."""
    patients: dict[str, list[ImageOutcome]] = {}
    for outcome in outcomes:
        if outcome.slide and outcome.slide.patient is not None:
            patients.setdefault(outcome.slide.patient, []).append(outcome)
    return tuple(_report(fields, settings, slide=None) for fields in patients.values())


_NOTHING: Final = Sums(counts={}, types={}, rates=(), findings={})


def _report(
    fields: Sequence[ImageOutcome], settings: FiguresSettings, *, slide: str | None
) -> SlideReport:
    slides = list(dict.fromkeys(field.slide for field in fields if field.slide))
    patient = slides[0].patient
    reports = {field.name: field.report for field in fields if field.report is not None}
    smears = {name: report for name, report in reports.items() if report.quality.is_smear}
    tables = {name: report.cells for name, report in smears.items()}
    areas = {name: _area_um2(report) for name, report in smears.items()}
    sums, figures = _NOTHING, tuple[LabFigure, ...]()
    if tables:
        cells = Cells.joined(tables)
        entered = settings.entered(slide, patient)
        evidence = Evidence(cells=cells, areas_um2=areas, entered=entered)
        sums, figures = sums_of(cells), lab_figures(evidence, settings)
    left_out = tuple(name for name in reports if name not in smears)
    failed = tuple(field.name for field in fields if field.report is None)
    return SlideReport(
        slide=slide,
        patient=patient,
        slides=tuple(dict.fromkeys(one.name for one in slides)),
        images=tuple(smears),
        areas_um2=areas,
        figures=figures,
        left_out=left_out,
        failed=failed,
        warnings=tuple(_warnings(smears, sums, left_out=left_out, failed=failed)),
        **dict(sums),
    )


def _area_um2(report: DiagnosticReport) -> float | None:
    size = report.scale.pixel_size_um
    if size is None:
        return None
    pixels = report.image.width_px * report.image.height_px * report.quality.judged_share
    return round(pixels * size**2, 1)


def _warnings(
    smears: Mapping[str, DiagnosticReport],
    sums: Sums,
    *,
    left_out: Sequence[str],
    failed: Sequence[str],
) -> Iterator[str]:
    if not smears:
        yield "No field could be summed up. Look at the reasons of the images."
        return
    if failed:
        yield f"{_images(failed)} could not be analysed and {_is(failed)} missing from the sums."
    if left_out:
        yield (
            f"{_images(left_out)} {_is(left_out)} unlike a blood smear and left out of the sums. "
            "Look at the image, and take another field."
        )
    if len(smears) == 1:
        yield (
            "One field alone: intervals cannot know how fields of this slide differ, and are too "
            "narrow. Take more fields."
        )
    if not sums.counts.get(RBC):
        yield (
            "No red cell was found, so that nothing can be counted among red cells. Look at the "
            "outlines, and take fields of the thin part of the smear."
        )
    yield from _warnings_of_scale(smears)
    yield from unfamiliar(sums.findings, next(iter(smears.values())).cells.taxonomy)
    yield from doubts(rate for part in sums.findings.values() for rate in part.rates)
    for names in repeated_fields((name, one.provenance) for name, one in smears.items()):
        yield f"{_images(names)} show the same field, which is counted {len(names)} times."


def _warnings_of_scale(smears: Mapping[str, DiagnosticReport]) -> Iterator[str]:
    sizes: dict[float | None, list[str]] = {}
    for name, report in smears.items():
        size = report.scale.pixel_size_um
        sizes.setdefault(None if size is None else float(f"{size:.3g}"), []).append(name)
    if len(sizes) > 1:
        listed = ", ".join(
            f"{'none' if size is None else f'{size:g} µm'} in {len(names)} ({shown_name(names[0])})"
            for size, names in sizes.items()
        )
        yield (
            f"The fields have different pixel sizes: {listed}. If one objective took them all, "
            "give its pixel size with --pixel-size-um; if not, make a slide of each."
        )


def _images(names: Sequence[str]) -> str:
    return ("Image " if len(names) == 1 else "Images ") + ", ".join(map(shown_name, names))


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
