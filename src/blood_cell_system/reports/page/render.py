"""The page itself."""

import base64
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Final
from urllib.parse import quote

from blood_cell_system.classes import CELL_TYPES, CellType
from blood_cell_system.reports.batch import BatchSummary, PictureOutcome
from blood_cell_system.reports.diagnostic import Status
from blood_cell_system.reports.disclaimer import DISCLAIMER
from blood_cell_system.reports.names import shown_name
from blood_cell_system.reports.page.histogram import histogram_svg
from blood_cell_system.reports.rates import Rate

_SHOWN_CROPS: Final = 60

_TYPE_NAMES: Final = {
    CellType.RBC: "Red cells",
    CellType.WBC: "White cells",
    CellType.PLATELET: "Platelets",
}
_COLUMNS: Final = (
    ("Picture", "name"),
    ("Status", "state"),
    ("RBC", "number"),
    ("WBC", "number"),
    ("Platelets", "number"),
    ("Not sure", "number"),
    ("Cut off", "number"),
    ("RBC size", "number"),
    ("Remarks", "words"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    """What a page shows of each picture, so that it stays below some 50 MB.

    Parameters
    ----------
    pictures : int
        Up to how many pictures these limits are for.
    side_px : int
        Longer side of a picture on the page; 0 where pictures are only linked to.
    crops : int
        Uncertain cells of a picture that the gallery may choose from.
    """

    pictures: int
    side_px: int
    crops: int


_LIMITS: Final = (
    PageLimits(pictures=60, side_px=1280, crops=20),
    PageLimits(pictures=250, side_px=768, crops=12),
    PageLimits(pictures=1000, side_px=400, crops=6),
)
_NO_PICTURES: Final = PageLimits(pictures=sys.maxsize, side_px=0, crops=2)


def page_limits(pictures: int) -> PageLimits:
    """Choose what a page of so many pictures shows of each."""
    return next((limits for limits in _LIMITS if pictures <= limits.pictures), _NO_PICTURES)


def render_page(summary: BatchSummary) -> str:
    """Lay a batch out as one HTML page that refers to nothing outside but its pictures' files.

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
        *_tiles(summary),
        *(_rate(rate) for rate in summary.rates),
        "<h2>Pictures</h2>",
        *_table(summary.outcomes),
        "<h2>Sizes of cells</h2>",
        *_histograms(summary.outcomes),
        "<h2>Not sure</h2>",
        *_gallery(summary),
        *_footer(summary),
        "</main>",
        _asset("viewer.html"),
        f'<script type="application/json" id="pictures">{_data(summary.outcomes)}</script>',
        f"<script>{script}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _asset(name: str) -> str:
    return resources.files("blood_cell_system.reports.page").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _tiles(summary: BatchSummary) -> Iterable[str]:
    counts = summary.counts
    done = len(summary.outcomes) - summary.count(Status.FAILED)
    states = ", ".join(
        f'<span class="{status}">{summary.count(status)} {status}</span>'
        for status in Status
        if summary.count(status)
    )
    yield '<div class="tiles">'
    analysed = f"<b>{done}</b>pictures analysed"
    yield f'<div class="tile">{analysed}<br><span class="soft">{states}</span></div>'
    for cell_type in CELL_TYPES:
        name = _TYPE_NAMES[cell_type].lower()
        yield f'<div class="tile {cell_type}"><b>{counts[cell_type]:,}</b>{name}</div>'
    uncertain = sum(outcome.summary.get("uncertain", 0) for outcome in summary.outcomes)
    yield f'<div class="tile"><b>{uncertain:,}</b>uncertain cells</div></div>'


def _rate(rate: Rate) -> str:
    found = f"{rate.count:,} of {rate.total:,}"
    label = escape(rate.label[0].upper() + rate.label[1:])
    if rate.share is None or rate.interval is None:
        words = f"too few cells to say ({found}; at least {rate.min_total} are needed)"
    else:
        low, high = rate.interval
        words = f"<b>{rate.share:.2%}</b> ({found}; 95&nbsp;%: {low:.2%} to {high:.2%})"
    return f"<p>{label}: {words}</p>"


def _table(outcomes: Sequence[PictureOutcome]) -> Iterable[str]:
    yield '<div class="scroll"><table><thead><tr>'
    for name, css_class in _COLUMNS:
        yield f'<th class="{css_class}" scope="col"><button type="button">{name}</button></th>'
    yield "</tr></thead><tbody>"
    for index, outcome in enumerate(outcomes):
        yield _row(index, outcome)
    yield "</tbody></table></div>"
    yield '<p class="note">A click on a heading sorts, one on a picture enlarges it.</p>'


def _row(index: int, outcome: PictureOutcome) -> str:
    shown = shown_name(outcome.name or outcome.path)
    summary = outcome.summary
    counts = summary.get("counts", {})
    numbers = [counts.get(str(cell_type)) for cell_type in CELL_TYPES]
    numbers += [summary.get("uncertain"), summary.get("touching_border")]
    remarks = outcome.reason or " · ".join(outcome.warnings)
    cells = [
        f'<td data-value="{escape(shown)}"><div class="picture">{_thumbnail(index, outcome)}'
        f"<span>{_link(outcome, shown)}</span></div></td>",
        f'<td class="state" data-value="{outcome.status}">'
        f'<span class="status {outcome.status}">{outcome.status}</span></td>',
        *(_number(value) for value in numbers),
        _size(outcome),
        f'<td class="words" data-value="{escape(remarks)}">{escape(shown_name(remarks))}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _thumbnail(index: int, outcome: PictureOutcome) -> str:
    if outcome.panel is None or not outcome.panel.jpeg:
        return ""
    source = _source(outcome.panel.jpeg)
    return (
        f'<button type="button" class="open" data-picture="{index}" aria-label="Enlarge">'
        f'<img id="p{index}" decoding="async" alt="" src="{source}"></button>'
    )


def _link(outcome: PictureOutcome, shown: str) -> str:
    if not outcome.summary:
        return escape(shown)
    # "./" so that no name can be taken for a scheme, such as javascript:.
    address = "./" + quote(os.fsencode(f"{outcome.name}_annotated.png"))
    return f'<a href="{escape(address)}">{escape(shown)}</a>'


def _number(value: int | None) -> str:
    shown = "" if value is None else str(value)
    return f'<td data-value="{shown}">{shown}</td>'


def _size(outcome: PictureOutcome) -> str:
    in_um = outcome.summary.get("rbc_median_diameter_um")
    in_px = outcome.summary.get("rbc_median_diameter_px")
    if in_um is not None:
        return f'<td data-value="{in_um}">{in_um:.1f} µm</td>'
    return _number(None) if in_px is None else f'<td data-value="{in_px}">{in_px:.0f} px</td>'


def _histograms(outcomes: Sequence[PictureOutcome]) -> Iterable[str]:
    done = [outcome for outcome in outcomes if outcome.summary]
    in_um = bool(done) and all(outcome.pixel_size_um is not None for outcome in done)
    unit = "µm" if in_um else "px"
    drawn = []
    for cell_type in CELL_TYPES:
        values = [
            diameter * ((outcome.pixel_size_um or 1.0) if in_um else 1.0)
            for outcome in done
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
        + ("" if in_um else " In pixels: comparable between pictures of one magnification only.")
        + "</p>"
    )


def _gallery(summary: BatchSummary) -> Iterable[str]:
    crops = sorted(
        (
            (crop.confidence, index, crop)
            for index, outcome in enumerate(summary.outcomes)
            if outcome.panel is not None
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
        f'<p class="note">Cells of a confidence below {threshold:g}, the least certain first; '
        f"{len(shown)} are shown. Look at them before you use the counts.</p>"
    )
    yield '<div class="gallery">'
    for confidence, index, crop in shown:
        name = escape(shown_name(summary.outcomes[index].name))
        yield (
            f'<button type="button" class="cell" data-picture="{index}" data-cell="{crop.cell_id}">'
            f'<img decoding="async" alt="" src="{_source(crop.jpeg)}">'
            f"<span>{escape(crop.cell_type)} {crop.cell_id}, {confidence:.2f}</span>"
            f'<span title="{name}">{name}</span></button>'
        )
    yield "</div>"


def _footer(summary: BatchSummary) -> Iterable[str]:
    made_with = summary.provenance
    settings = summary.settings
    scale = f"{settings.pixel_size_um:g} µm a pixel" if settings.pixel_size_um else ""
    if settings.cell_diameter_px:
        scale = f"red cells {settings.cell_diameter_px:g} px wide"
    yield (
        f"<footer>blood-cell-system {escape(made_with.software_version)}; "
        f"model {escape(shown_name(made_with.model))}, SHA-256 {escape(made_with.model_sha256)}; "
        f"cells at the border: {escape(str(settings.border_rule))}; "
        f"scale: {scale or 'estimated'}.<br>"
        f"{DISCLAIMER}</footer>"
    )


def _data(outcomes: Sequence[PictureOutcome]) -> str:
    pictures = [
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
    return json.dumps(pictures, separators=(",", ":")).replace("<", "\\u003c")


def _source(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
