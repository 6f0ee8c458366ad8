"""The words of a report, which its text and its page share, and the report as plain text."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from blood_cell_system.analysis.quality import Severity
from blood_cell_system.analysis.scale import ScaleSource
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.reports.claims import NOT_VALIDATED, Verdict
from blood_cell_system.reports.findings import Findings, Rate
from blood_cell_system.reports.report import (
    DISCLAIMER,
    CellFlag,
    DiagnosticReport,
    Provenance,
    ReportSettings,
    TypeSummary,
    certainty,
    condition_of,
    shown_name,
)
from blood_cell_system.taxonomy import CellType, Taxonomy
from blood_cell_system.wording import counted

if TYPE_CHECKING:
    from blood_cell_system.reports.lab_figures import LabFigure
    from blood_cell_system.reports.slides import SlideReport

_WIDTH: Final = 88
"""Letters of the longest line, but for file names."""
_SHOWN_UNCERTAIN: Final = 10
"""Uncertain cells that the text lists."""
_MANY_FIELDS: Final = 100
"""Nobody counts more, so that no number is named."""
_SHOWN_DIGITS: Final = 16
"""Digits of a hash that the text shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateWords:
    """A share in words; ``share`` is a refusal where there are too few cells."""

    label: str
    found: str
    share: str
    detail: str
    proof: str = ""
    """On how many laboratories the class was proven, and with which figures."""
    more: str = ""
    """How many more images to count."""

    @property
    def rest(self) -> str:
        """Everything but the share."""
        return "; ".join(filter(None, (self.found, self.detail, self.proof, self.more)))

    def __str__(self) -> str:
        return f"{self.label}: {self.share} ({self.rest})"


def percent(share: float, total: int) -> str:
    """Write a share with the decimals that so many cells can carry: two cells or more a step.

    Examples
    --------
    >>> percent(3 / 18, 18), percent(0.0343, 700), percent(0.00123, 60_000)
    ('17 %', '3.4 %', '0.123 %')
    """
    decimals = next((places for places in range(3) if 10.0**-places <= 200 / max(total, 1)), 3)
    return f"{100 * share:.{decimals}f} %"


def rate_words(rate: Rate) -> RateWords:
    """Say how large a share is, how sure that is, and what it rests on."""
    total, proof = rate.total, rate.proof
    low, high = (percent(end, total) for end in rate.interval_95 or (0.0, 1.0))
    detail = f"95 %: {low} to {high}" + ", method's error included" * bool(rate.errors)
    share = percent(rate.count / max(total, 1), total)
    if rate.verdict == Verdict.TOO_FEW:
        share, detail = "too few cells to say", f"at least {rate.min_total:,} are needed"
        detail += ", about " * bool(rate.more_images) + _more_fields(rate)
        if rate.is_within_false_alarms:
            detail += "; what was found is within false alarms"
    elif rate.verdict == Verdict.NONE:
        share = "none found"
    elif rate.verdict == Verdict.UNCERTAIN:
        share, detail = "not sure", f"{rate.uncertain} of these are uncertain: look at them"
    elif rate.verdict == Verdict.FALSE_ALARMS:
        share = "within false alarms, not distinguishable from none"
    return RateWords(
        label=rate.label,
        found=f"{rate.count:,} of {total:,}",
        share=share,
        detail=detail,
        proof="" if proof is None else proof.words,
        more=more_words(rate),
    )


def more_words(rate: Rate) -> str:
    """Say how many more images make a share exact enough; empty where it is, or has no cells."""
    width = f"± {100 * rate.half_width:g} %"
    if rate.verdict in (Verdict.TOO_FEW, Verdict.UNCERTAIN, Verdict.FALSE_ALARMS):
        return ""
    if rate.more_images is None:
        return f"more fields do not bring it to {width}"
    if rate.more_images > _MANY_FIELDS:
        return f"{width} would take more than {_MANY_FIELDS} more fields"
    return f"count about {_more_fields(rate)} for {width}" if rate.more_images else ""


def _more_fields(rate: Rate) -> str:
    count = rate.more_images
    return "" if not count else counted(count, "more field")


def unproven_words(taxonomy: Taxonomy, findings: Findings) -> str:
    """Name the classes about which nothing is claimed, and why; empty without any."""
    reasons: dict[str, list[str]] = {}
    for name, why in findings.not_validated.items():
        reasons.setdefault(why, []).append(taxonomy.display_name(name))
    named = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
    words = f"{NOT_VALIDATED}, so not counted: {named}" if named else ""
    if count := findings.maybe_blasts:
        words += f"; {counted(count, 'cell')} of the differential may be blasts, so that their "
        "types are not sure"
    return words


_GROUPS: Final = {
    "differential": "Differential",
    "nucleated_red_cells": "Nucleated red cells",
    "white_cells": "White count",
    "platelets": "Platelets",
    "parasitaemia": "Malaria parasites",
    "red_cell_size": "Size of red cells",
    "hypochromia": "Colour of red cells",
    "red_cell_shapes": "Shapes of red cells",
    "rouleaux": "Rouleaux",
}
"""Headings of the laboratory's figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureWords:
    """A laboratory's figure in words; ``value`` says why where there is none."""

    label: str
    value: str
    detail: str
    figure: "LabFigure"

    def __str__(self) -> str:
        if self.figure.value is None:
            return f"{self.label}: {self.value}: {self.detail}"
        return f"{self.label}: {self.value}" + (f" ({self.detail})" if self.detail else "")


def figure_words(figure: "LabFigure") -> FigureWords:
    """Say how large a figure is, how sure that is, and what it rests on."""
    if figure.value is None:
        return FigureWords(label=figure.label, value="not given", detail=figure.note, figure=figure)
    parts = []
    if figure.interval_95 is not None:
        low, high = (number_words(end, figure.unit) for end in figure.interval_95)
        parts.append(f"95 %: {low} to {high}")
    if figure.count is not None and figure.total is not None:
        parts.append(f"{figure.count:,} of {figure.total:,}")
    elif figure.total is not None:
        parts.append(counted(figure.total, "cell"))
    if figure.unit.startswith("per") and figure.count is not None and figure.total is not None:
        parts[-1] = f"{figure.count:,} beside {figure.total:,}"
    value = f"{number_words(figure.value, figure.unit)} {figure.unit}".rstrip()
    if figure.grade is not None:
        value += f", {figure.grade}"
    detail = "; ".join([*parts, *filter(None, [figure.note, figure.proof])])
    return FigureWords(label=figure.label, value=value, detail=detail, figure=figure)


def number_words(value: float, unit: str) -> str:
    """Give a number with as many digits as a count of cells allows: two, or one decimal of µm.

    Examples
    --------
    >>> [number_words(x, "%") for x in (61.38, 9.96, 4.17, 0.382, 0, 100)]
    ['61', '10', '4.2', '0.38', '0', '100']
    >>> number_words(254_713, "/µL"), number_words(7.318, "µm"), number_words(4.3, "px")
    ('250,000', '7.3', '4')
    """
    if unit in ("µm", "px"):
        return f"{value:.{1 if unit == 'µm' else 0}f}"
    if value == 0:
        return "0"
    if abs(value) >= 100 and unit != "/µL":
        return f"{value:,.0f}"
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.{max(0, 1 - math.floor(math.log10(abs(rounded))))}f}"


def figure_groups(figures: "Iterable[LabFigure]") -> list[tuple[str, list[FigureWords]]]:
    """Put figures in words under their headings; those that lack the same are one line."""
    groups: dict[str, dict[str, FigureWords]] = {}
    for figure in figures:
        group, said = groups.setdefault(figure.group, {}), figure_words(figure)
        key = said.detail if figure.value is None else figure.name
        if key in group:
            said = replace(said, label=f"{group[key].label}; {said.label}")
        group[key] = said
    return [(_GROUPS[name], list(members.values())) for name, members in groups.items()]


CERTAINTY: Final = (
    "The certainty of a cell is the smallest of the probabilities that its answer rests on: that "
    "there is such a cell, its condition and its type."
)


def settings_words(settings: ReportSettings) -> str:
    """Say with which settings cells were found and counted."""
    if settings.cell_diameter_px:
        scale = f"red cells {settings.cell_diameter_px:g} px wide"
    else:
        size = settings.pixel_size_um
        scale = f"{size:g} µm a pixel" if size else "estimated or of the file"
    return (
        f"cells at the border: {settings.border_rule}; scale: {scale}; "
        f"cells below a confidence of {settings.confidence_threshold:g} are not sure"
    )


def findings_headline(kind: CellType, findings: Findings) -> str:
    """Say whether the cells of a type were assessed, and how many."""
    if findings.is_assessed and findings.seen == 0:
        return f"{kind.display_name}: there are none to assess"
    if not findings.is_assessed:
        return f"{kind.display_name}: {findings.state} ({findings.reason})"
    return f"{kind.display_name}: {account(findings)}"


def account(findings: Findings) -> str:
    """Account for every counted cell: assessed, or why not; the sum adds up.

    Examples
    --------
    >>> account(Findings(counts={"healthy_RBC": 3}, not_assessed={Reason.CUT_OFF: 1}))
    '4 = 3 assessed + 1 cut off'
    """
    parts = [f"{count:,} {why.words}" for why, count in findings.not_assessed.items()]
    return f"{findings.seen:,} = " + " + ".join([f"{findings.assessed:,} assessed", *parts])


def suspected_words(taxonomy: Taxonomy, findings: Findings) -> str:
    """Say which diseases undecided cells may have; empty without one."""
    named = ", ".join(
        f"{taxonomy.display_name(name)} {count:,}" for name, count in findings.suspected.items()
    )
    return f"undecided, counted nowhere; look at them: {named}" if named else ""


def unsure_words(findings: Findings) -> str:
    """Say how many assessed cells a person should review; empty without one."""
    return f"{findings.uncertain:,} of the assessed not sure" if findings.uncertain else ""


def diameter_words(summary: TypeSummary) -> str:
    """Median diameter in micrometres where they are known, else in pixels; empty without a cell."""
    if summary.median_diameter_um is not None:
        return f"{summary.median_diameter_um:.1f} µm"
    return "" if summary.median_diameter_px is None else f"{summary.median_diameter_px:.0f} px"


def scale_words(report: DiagnosticReport) -> str:
    """Say how large cells and pixels are."""
    scale = report.scale
    if scale.source == ScaleSource.UNKNOWN or scale.red_cell_diameter_px is None:
        words = "not known: taken as in the images of the training"
    else:
        diameter = f"{scale.red_cell_diameter_px:.0f} px"
        words = f"a red cell is {diameter} wide ({scale.source}), which set the magnification"
    if scale.pixel_size_um is None:
        return words
    origin = f" ({scale.pixel_size_origin})" if scale.pixel_size_origin else ""
    return f"{words}, a pixel {scale.pixel_size_um:.4g} µm{origin}"


def border_words(report: DiagnosticReport) -> str:
    """Say how many cells the border cuts off; empty where there is none."""
    touching = sum(summary.touching_border for summary in report.types.values())
    left_out = sum(summary.not_counted for summary in report.types.values())
    if not touching:
        return ""
    return (
        f"{touching} cut off by the border, of which "
        f"{counted(touching - left_out, 'is', 'are')} counted "
        f"(border rule: {report.settings.border_rule})"
    )


def name_of(cells: Cells, row: int) -> str:
    """Condition of a cell in a word or two; type of one that was not classified.

    Where nothing may be claimed about the condition, the subtype, or the type.
    """
    if cells["reason"][row] == Reason.UNDECIDED:
        return f"{cells.taxonomy.word(cells['condition'][row])}?"
    name = condition_of(cells, row)
    if cells["condition"][row] is None or CellFlag.NOT_VALIDATED in cells["flags"][row]:
        name = str(cells["subtype"][row] or cells["cell_type"][row])
    return cells.taxonomy.word(name)


def condition_words(cells: Cells, row: int) -> str:
    """Condition and subtype with their probabilities, or why not; empty without a classifier."""
    why, word = cells["reason"][row], cells.taxonomy.word
    if why == Reason.UNDECIDED:
        name = cells["condition"][row]
        return f"{why.words}, {word(name)} {cells[f'{name}_prob'][row]:.2f}"
    if why is not None:
        return "" if why == Reason.NO_CLASSIFIER else why.words
    names = [one for one in (cells["condition"][row], cells["subtype"][row]) if one is not None]
    said = [f"{word(name)} {cells[f'{name}_prob'][row]:.2f}" for name in names]
    if CellFlag.NOT_VALIDATED in cells["flags"][row]:
        said[0] += " (not validated)"
    return ", ".join(said)


def is_abnormal(cells: Cells) -> list[bool]:
    """Whether each cell is called another condition than health that may be claimed."""
    healthy = {condition.name for condition in cells.taxonomy.conditions if condition.is_healthy}
    return [
        condition is not None
        and why is None
        and condition not in healthy
        and CellFlag.NOT_VALIDATED not in flags
        for condition, why, flags in zip(
            *(cells[name] for name in ("condition", "reason", "flags")), strict=True
        )
    ]


def report_text(report: DiagnosticReport) -> str:
    """Lay a report out as lines of at most 88 characters, but for file names."""
    image, taxonomy = report.image, report.cells.taxonomy
    title = f"Blood smear report: {shown_name(image.file_name)}"
    parts: list[list[str]] = [
        [title, "=" * min(len(title), _WIDTH), DISCLAIMER],
        [
            f"Date     {report.analysed_on or 'not recorded'}",
            f"Image    {image.width_px}×{image.height_px} pixels",
            f"Scale    {scale_words(report)}",
            *_wrapped(f"Settings {settings_words(report.settings)}", indent=0),
            *(_wrapped(report.review.words, indent=0) if report.review else ()),
        ],
        _section("Warnings", [f"! {warning}" for warning in report.warnings]),
        [
            "Cells",
            *(_type_line(taxonomy[name], summary) for name, summary in report.types.items()),
            *_wrapped(border_words(report)),
        ],
        _section("Rates", [str(rate_words(rate)) for rate in report.rates]),
        ["Findings", *_findings_lines(report.findings, taxonomy)],
        ["Not sure", *_wrapped(_uncertain(report))],
        ["Image quality", *_quality_lines(report)],
        _provenance_lines(report),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def slide_text(report: "SlideReport", taxonomy: Taxonomy, provenance: Provenance) -> str:
    """Lay a slide's report out as lines of at most 88 characters, but for file names."""
    name = shown_name(report.name)
    title = f"Blood smear report: {name[:1].lower()}{name[1:]}"
    images = {
        "field" if len(report.images) == 1 else "fields": report.images,
        "left out": report.left_out,
        "failed": report.failed,
    }
    fields = ", ".join(f"{len(names)} {words}" for words, names in images.items() if names)
    parts: list[list[str]] = [
        [title, "=" * min(len(title), _WIDTH), DISCLAIMER],
        [f"Patient  {shown_name(report.patient or 'not named')}", f"Images   {fields}"],
        _section("Warnings", [f"! {shown_name(warning)}" for warning in report.warnings]),
        ["Cells", *(_type_line(taxonomy[name], one) for name, one in report.types.items())],
        *(
            _section(heading, [str(words) for words in figures])
            for heading, figures in figure_groups(report.figures)
        ),
        _section("Rates", [str(rate_words(rate)) for rate in report.rates]),
        ["Findings", *_findings_lines(report.other_findings, taxonomy)],
        _model_lines(provenance),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _type_line(kind: CellType, summary: TypeSummary) -> str:
    line = f"  {kind.display_name:<12} {summary.count:>6}"
    diameter = diameter_words(summary)
    return f"{line}   median diameter {diameter}" if diameter else line


def _findings_lines(of_types: Mapping[str, Findings], taxonomy: Taxonomy) -> list[str]:
    lines = []
    for name, findings in of_types.items():
        kind = taxonomy[name]
        lines += _wrapped(findings_headline(kind, findings))
        if not findings.is_assessed or findings.seen == 0:
            continue
        doubtful = {rate.name for rate in findings.rates if rate.is_within_false_alarms}
        words = [
            ", ".join(
                f"{one.display_name} {counts[one.name]:,}"
                + " (within false alarms)" * (one.name in doubtful)
                for one in classes
                if one.name in counts
            )
            for classes, counts in (
                (kind.conditions, findings.counts),
                (kind.subtypes, findings.types),
            )
        ]
        words += [suspected_words(taxonomy, findings), unsure_words(findings)]
        words += _rate_lines(findings.rates)
        words.append(unproven_words(taxonomy, findings))
        lines += [line for part in words for line in _wrapped(part, indent=4)]
    return lines


def _rate_lines(rates: Sequence[Rate]) -> list[str]:
    """Give each share; those that lack the same cells in one line."""
    lines = [str(rate_words(rate)) for rate in rates if rate.verdict != Verdict.TOO_FEW]
    lacking: dict[tuple[int, int], list[Rate]] = {}
    for rate in rates:
        if rate.verdict == Verdict.TOO_FEW:
            lacking.setdefault((rate.total, rate.min_total), []).append(rate)
    for (total, _), some in lacking.items():
        names = ", ".join(rate.label.partition(" among ")[0] for rate in some)
        said = rate_words(some[0])
        lines.append(f"shares of {names}: {said.share} ({total:,}; {said.detail})")
    return lines


def _uncertain(report: DiagnosticReport) -> str:
    cells, uncertain = report.cells, report.uncertain_cells
    if not uncertain:
        return "no cell"
    certainties = certainty(cells)
    shown = ", ".join(
        f"{cell_id} ({name_of(cells, cell_id - 1)}, {certainties[cell_id - 1]:.2f})"
        for cell_id in uncertain[:_SHOWN_UNCERTAIN]
    )
    more = len(uncertain) - _SHOWN_UNCERTAIN
    rest = f" and {more} more" if more > 0 else ""
    words = "cell (type or condition, certainty)"
    return f"{len(uncertain)} of {len(cells)}, {words}: {shown}{rest}. {CERTAINTY}"


def _quality_lines(report: DiagnosticReport) -> list[str]:
    lines = _wrapped(f"judged: {report.quality.judged_share:.0%} of the image")
    for finding in report.quality.findings:
        sign = "!" if finding.severity == Severity.WARNING else "-"
        lines += _wrapped(f"{sign} {finding.name}: {finding.message}")
    return lines


def _provenance_lines(report: DiagnosticReport) -> list[str]:
    digest = report.provenance.data_sha256 or ""
    return [*_model_lines(report.provenance), f"Data     SHA-256 {digest[:_SHOWN_DIGITS]}…"]


def _model_lines(made_with: Provenance) -> list[str]:
    seed = "none, nothing depends on chance" if made_with.seed is None else str(made_with.seed)
    models = [
        f"{shown_name(name)}, SHA-256 {digest[:_SHOWN_DIGITS]}…"
        for name, digest in made_with.models
    ]
    return [
        f"Software {made_with.software_version}, seed: {seed}",
        *(f"{'' if index else 'Model':<8} {model}" for index, model in enumerate(models)),
        *([f"Runs in  {made_with.runs_in}"] if made_with.runs_in else ()),
    ]


def _section(title: str, texts: Sequence[str]) -> list[str]:
    return [title, *(line for text in texts for line in _wrapped(text))] if texts else []


def _wrapped(text: str, *, indent: int = 2) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2)
    )
