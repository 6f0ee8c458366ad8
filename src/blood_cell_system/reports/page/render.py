"""The page itself."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from blood_cell_system.reports.batch import BatchSummary, PictureOutcome
from blood_cell_system.reports.diagnostic import Provenance
from blood_cell_system.reports.disclaimer import DISCLAIMER
from blood_cell_system.reports.names import shown_name
from blood_cell_system.reports.page.sections import (
    count_tiles,
    findings_section,
    picture_table,
    rate_line,
    size_histograms,
    uncertain_gallery,
)


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
        *count_tiles(summary),
        *(rate_line(rate) for rate in summary.rates),
        "<h2>Findings</h2>",
        *findings_section("Red cells", summary.findings["rbc_findings"]),
        *findings_section("White cells", summary.findings["wbc_findings"]),
        "<h2>Pictures</h2>",
        *picture_table(summary.outcomes),
        "<h2>Sizes of cells</h2>",
        *size_histograms(summary.smears),
        "<h2>Not sure</h2>",
        *uncertain_gallery(summary),
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
