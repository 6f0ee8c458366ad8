"""The page itself."""

import base64
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from blood_cell_system.reports.batch import BatchSummary, ImageOutcome
from blood_cell_system.reports.findings import ASSESSED, HEALTHY, Findings
from blood_cell_system.reports.rates import Rate
from blood_cell_system.reports.report import DISCLAIMER, Provenance, Status, shown_name
from blood_cell_system.taxonomy import CELL_TYPES, PLATELET, RBC, WBC

_WIDTH: Final = 320
_HEIGHT: Final = 150
_BASE: Final = 124
_TOP: Final = 14
_BINS: Final = 24


def histogram_svg(values: Sequence[float], *, css_class: str, unit: str) -> str:
    """Draw how often values occur, as scalable graphics that need no script.

    Parameters
    ----------
    values : sequence of float
        One at least.
    css_class : str
        Of the bars.
    unit : str
        Of the values, for the axis.
    """
    low, high = _round_range(min(values), max(values))
    # Rounding may have put a limit a hair inside of a value.
    counts, edges = np.histogram(np.clip(values, low, high), bins=_BINS, range=(low, high))
    largest = int(counts.max())
    step = _WIDTH / _BINS
    bars = []
    for place, count in enumerate(counts):
        height = (_BASE - _TOP) * int(count) / largest
        told = f"{edges[place]:.3g}–{edges[place + 1]:.3g} {unit}: {_cells(int(count))}"
        bars.append(
            f'<rect class="{escape(css_class)}" x="{place * step + 0.5:.2f}" '
            f'y="{_BASE - height:.2f}" width="{step - 1:.2f}" height="{height:.2f}" rx="1">'
            f"<title>{escape(told)}</title></rect>"
        )
    middle = (low + high) / 2
    labels = "".join(
        f'<text x="{x}" y="{_BASE + 16}" text-anchor="{anchor}">{value:.4g}{words}</text>'
        for x, anchor, value, words in (
            (0, "start", low, ""),
            (_WIDTH / 2, "middle", middle, f" {escape(unit)}"),
            (_WIDTH, "end", high, ""),
        )
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Histogram">'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_BASE}" y2="{_BASE}"/>'
        f'<text x="0" y="10">{_cells(largest)}</text>{"".join(bars)}{labels}</svg>'
    )


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


def _round_range(low: float, high: float) -> tuple[float, float]:
    """Limits around values that are multiples of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 0.1 * abs(high), 1e-6)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 8)
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    return first, last if last > first else first + step


_SHOWN_CROPS: Final = 60

_TYPE_NAMES: Final = {
    RBC: "Red cells",
    WBC: "White cells",
    PLATELET: "Platelets",
}
_COLUMNS: Final = (
    ("Image", "name"),
    ("Status", "state"),
    ("RBC", "number"),
    ("WBC", "number"),
    ("Platelets", "number"),
    ("Not sure", "number"),
    ("Cut off", "number"),
    ("Abnormal", "number"),
    ("RBC size", "number"),
    ("Remarks", "words"),
)


def count_tiles(summary: BatchSummary) -> Iterable[str]:
    """Show numbers of images and cells, in large letters."""
    counts = summary.counts
    done = len(summary.outcomes) - summary.count(Status.FAILED)
    states = ", ".join(
        f'<span class="{status}">{summary.count(status)} {status}</span>'
        for status in Status
        if summary.count(status)
    )
    yield '<div class="tiles">'
    analysed = f"<b>{done}</b>images analysed"
    yield f'<div class="tile">{analysed}<br><span class="soft">{states}</span></div>'
    for cell_type in CELL_TYPES:
        name = _TYPE_NAMES[cell_type].lower()
        yield f'<div class="tile {cell_type}"><b>{counts[cell_type]:,}</b>{name}</div>'
    uncertain = sum(outcome.summary["uncertain"] for outcome in summary.smears)
    yield f'<div class="tile"><b>{uncertain:,}</b>uncertain cells</div></div>'
    if summary.left_out:
        verb = "image does" if summary.left_out == 1 else "images do"
        yield (
            f'<p class="warned">{summary.left_out} {verb} not look like a blood smear: '
            "left out of sums, sizes and the gallery.</p>"
        )
    for names in summary.repeated:
        told = ", ".join(escape(shown_name(name)) for name in names)
        yield f'<p class="warned">The same file, summed up {len(names)} times: {told}.</p>'


def rate_line(rate: Rate) -> str:
    """Tell a share, or that there are too few cells to say."""
    found = f"{rate.count:,} of {rate.total:,}"
    label = escape(rate.label[0].upper() + rate.label[1:])
    if rate.share is None or rate.interval is None:
        words = f"too few cells to say ({found}; at least {rate.min_total} are needed)"
    else:
        low, high = rate.interval
        words = f"<b>{rate.share:.2%}</b> ({found}; 95&nbsp;%: {low:.2%} to {high:.2%})"
    return f"<p>{label}: {words}</p>"


def findings_section(title: str, findings: Findings) -> Iterable[str]:
    """Tell what a classifier found among the cells of one type."""
    if not findings.is_assessed:
        yield f'<p class="soft">{title}: {findings.state} ({escape(findings.reason)}).</p>'
        return
    if findings.seen == 0:
        yield f'<p class="soft">{title}: there are none to assess.</p>'
        return
    yield f"<h3>{title}</h3>"
    aside = {
        "none of these": findings.none_of_these,
        "cut off, covered or too small": findings.cut_off,
        "not sure": findings.uncertain,
    }
    told = [f"{findings.assessed:,} cells assessed"]
    told += [f"{count:,} {words}" for words, count in aside.items() if count]
    yield f'<p class="soft">{", ".join(told)}</p>'
    yield '<div class="scroll"><table class="findings"><tbody>'
    for rate in findings.rates:
        yield _finding_row(rate)
    yield "</tbody></table></div>"


def _finding_row(rate: Rate) -> str:
    if rate.share is None or rate.interval is None:
        words = f"too few cells to say; at least {rate.min_total:,} are needed"
        bar = ""
    else:
        low, high = rate.interval
        words = f"<b>{rate.share:.2%}</b> (95&nbsp;%: {low:.2%} to {high:.2%})"
        bar = (
            '<svg class="bar-of" viewBox="0 0 100 10" preserveAspectRatio="none" '
            'aria-hidden="true">'
            f'<rect width="{100 * rate.share:.2f}" height="10"/>'
            f'<line x1="{100 * low:.2f}" x2="{100 * high:.2f}" y1="5" y2="5"/></svg>'
        )
    label = escape(rate.label[0].upper() + rate.label[1:])
    return (
        f'<tr class="{escape(rate.name)}"><td>{label}</td><td>{rate.count:,} of {rate.total:,}</td>'
        f'<td class="words">{words}</td><td>{bar}</td></tr>'
    )


def image_table(outcomes: Sequence[ImageOutcome]) -> Iterable[str]:
    """Lay the inputs out, a row each."""
    yield '<div class="scroll"><table><thead><tr>'
    for name, css_class in _COLUMNS:
        yield f'<th class="{css_class}" scope="col"><button type="button">{name}</button></th>'
    yield "</tr></thead><tbody>"
    for index, outcome in enumerate(outcomes):
        yield _row(index, outcome)
    yield "</tbody></table></div>"
    yield '<p class="note">A click on a heading sorts, one on an image enlarges it.</p>'


def _row(index: int, outcome: ImageOutcome) -> str:
    shown = shown_name(outcome.name or outcome.path)
    summary = outcome.summary
    counts = summary.get("counts", {})
    numbers = [counts.get(str(cell_type)) for cell_type in CELL_TYPES]
    numbers += [summary.get("uncertain"), summary.get("touching_border"), _abnormal(summary)]
    remarks = [outcome.reason] if outcome.reason else list(outcome.warnings)
    cells = [
        f'<td data-value="{escape(shown)}"><div class="image">{_thumbnail(index, outcome)}'
        f"<span>{_link(outcome, shown)}</span></div></td>",
        f'<td class="state" data-value="{outcome.status}">'
        f'<span class="status {outcome.status}">{outcome.status}</span></td>',
        *(_number(value) for value in numbers),
        _size(outcome),
        f'<td class="words" data-value="{escape(" ".join(remarks))}">{_remarks(remarks)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _abnormal(summary: Mapping[str, Any]) -> int | None:
    """Cells of any condition but health; None where nothing was assessed."""
    found = [summary.get(kind, {}) for kind in ("rbc_findings", "wbc_findings")]
    assessed = [part["counts"] for part in found if part.get("state") == ASSESSED]
    if not assessed:
        return None
    counts = [item for part in assessed for item in part.items()]
    return sum(int(count) for name, count in counts if name not in HEALTHY)


def _remarks(remarks: Sequence[str]) -> str:
    """Show the first remark, and the others when asked for."""
    paragraphs = [f"<p>{escape(shown_name(remark))}</p>" for remark in remarks]
    if len(paragraphs) < 2:
        return "".join(paragraphs)
    more = f"<summary>{len(paragraphs) - 1} more</summary>{''.join(paragraphs[1:])}"
    return f"{paragraphs[0]}<details>{more}</details>"


def _thumbnail(index: int, outcome: ImageOutcome) -> str:
    if outcome.panel is None or not outcome.panel.jpeg:
        return ""
    source = _source(outcome.panel.jpeg)
    return (
        f'<button type="button" class="open" data-image="{index}" aria-label="Enlarge">'
        f'<img id="p{index}" decoding="async" alt="" src="{source}"></button>'
    )


def _link(outcome: ImageOutcome, shown: str) -> str:
    if not outcome.summary:
        return escape(shown)
    # "./" so that no name can be taken for a scheme, such as javascript:.
    address = "./" + quote(os.fsencode(f"{outcome.name}_annotated.png"))
    return f'<a href="{escape(address)}">{escape(shown)}</a>'


def _number(value: int | None) -> str:
    shown = "" if value is None else str(value)
    return f'<td data-value="{shown}">{shown}</td>'


def _size(outcome: ImageOutcome) -> str:
    in_um = outcome.summary.get("rbc_median_diameter_um")
    in_px = outcome.summary.get("rbc_median_diameter_px")
    if in_um is not None:
        return f'<td data-value="{in_um}">{in_um:.1f} µm</td>'
    return _number(None) if in_px is None else f'<td data-value="{in_px}">{in_px:.0f} px</td>'


def size_histograms(smears: Sequence[ImageOutcome]) -> Iterable[str]:
    """Draw how large the whole cells of each type are."""
    in_um = bool(smears) and all(outcome.pixel_size_um is not None for outcome in smears)
    unit = "µm" if in_um else "px"
    drawn = []
    for cell_type in CELL_TYPES:
        values = [
            diameter * ((outcome.pixel_size_um or 1.0) if in_um else 1.0)
            for outcome in smears
            for diameter in outcome.diameters[cell_type]
        ]
        if values:
            name = _TYPE_NAMES[cell_type]
            drawn.append(
                f"<figure><figcaption>{name} <span>{len(values):,} whole cells</span></figcaption>"
                f"{histogram_svg(values, css_class=cell_type, unit=unit)}</figure>"
            )
    if not drawn:
        yield '<p class="soft">No whole cell was found.</p>'
        return
    yield f'<div class="charts">{"".join(drawn)}</div>'
    yield (
        '<p class="note">Diameter of the disc of the same area, of cells that the border does not '
        "cut off."
        + ("" if in_um else " In pixels: comparable between images of one magnification only.")
        + "</p>"
    )


def uncertain_gallery(summary: BatchSummary) -> Iterable[str]:
    """Show the cells that a person should look at, the least certain first."""
    crops = sorted(
        (
            (crop.certainty, index, crop)
            for index, outcome in enumerate(summary.outcomes)
            if outcome.panel is not None and outcome.summary["is_smear"]
            for crop in outcome.panel.crops
        ),
        key=lambda entry: (entry[0], entry[1], entry[2].cell_id),
    )
    if not crops:
        yield '<p class="soft">No cell is uncertain.</p>'
        return
    threshold = summary.settings.confidence_threshold
    shown = crops[:_SHOWN_CROPS]
    yield (
        f'<p class="note">Cells of a confidence below {threshold:g}, or of which the condition is '
        f"open, the least certain first; {len(shown)} are shown. Look at them before you use the "
        "counts.</p>"
    )
    yield '<div class="gallery">'
    for certainty, index, crop in shown:
        name = escape(shown_name(summary.outcomes[index].name))
        yield (
            f'<button type="button" class="cell" data-image="{index}" data-cell="{crop.cell_id}">'
            f'<img decoding="async" alt="" src="{_source(crop.jpeg)}">'
            f"<span>{escape(crop.name)} {crop.cell_id}, {certainty:.2f}</span>"
            f'<span title="{name}">{name}</span></button>'
        )
    yield "</div>"


def _source(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def render_page(summary: BatchSummary) -> str:
    """Lay a batch out as one HTML page that refers to nothing outside but its images' files.

    Every word that comes from outside is escaped, and the page forbids itself all scripts but its
    own.

    Parameters
    ----------
    summary : BatchSummary

    Returns
    -------
    str
        HTML; file names that are no text have lone surrogates in them, to be escaped on writing.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Blood smear report</title><style>{style}</style></head><body><main>",
        "<h1>Blood smear report</h1>",
        f'<p class="research">{DISCLAIMER}</p>',
        *count_tiles(summary),
        *(rate_line(rate) for rate in summary.rates),
        "<h2>Findings</h2>",
        *findings_section("Red cells", summary.findings["rbc_findings"]),
        *findings_section("White cells", summary.findings["wbc_findings"]),
        "<h2>Images</h2>",
        *image_table(summary.outcomes),
        "<h2>Sizes of cells</h2>",
        *size_histograms(summary.smears),
        "<h2>Not sure</h2>",
        *uncertain_gallery(summary),
        *_footer(summary),
        "</main>",
        _asset("viewer.html"),
        f'<script type="application/json" id="images">{_data(summary.outcomes)}</script>',
        f"<script>{script}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _asset(name: str) -> str:
    return resources.files("blood_cell_system.reports.page").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _footer(summary: BatchSummary) -> Iterable[str]:
    made_with = summary.provenance
    settings = summary.settings
    scale = f"{settings.pixel_size_um:g} µm a pixel" if settings.pixel_size_um else ""
    if settings.cell_diameter_px:
        scale = f"red cells {settings.cell_diameter_px:g} px wide"
    yield (
        f"<footer>blood-cell-system {escape(made_with.software_version)}; "
        f"model {escape(shown_name(made_with.model))}, SHA-256 {escape(made_with.model_sha256)}; "
        f"{_classifiers(made_with)}"
        f"cells at the border: {escape(str(settings.border_rule))}; "
        f"scale: {scale or 'estimated'}.<br>"
        f"{DISCLAIMER}</footer>"
    )


def _classifiers(made_with: Provenance) -> str:
    names = (
        (made_with.rbc_classifier, made_with.rbc_classifier_sha256),
        (made_with.wbc_classifier, made_with.wbc_classifier_sha256),
    )
    return "".join(
        f"{escape(shown_name(name))}, SHA-256 {escape(digest)}; "
        for name, digest in names
        if name is not None and digest is not None
    )


def _data(outcomes: Sequence[ImageOutcome]) -> str:
    images = [
        None
        if outcome.panel is None or not outcome.panel.jpeg
        else {
            "name": shown_name(outcome.name),
            "width": outcome.panel.width_px,
            "height": outcome.panel.height_px,
            "outlines": outcome.panel.outlines,
            "cells": outcome.cells,
        }
        for outcome in outcomes
    ]
    # Nothing in a string may end the script's element or begin a comment.
    return json.dumps(images, separators=(",", ":")).replace("<", "\\u003c")
