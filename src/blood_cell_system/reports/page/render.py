"""The page of a batch and the report of a notebook, rendered from templates.

Every word that comes from outside is escaped by the templates, and the page forbids itself all
scripts and styles but its own.
"""

import base64
import hashlib
import json
import math
import os
import posixpath
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemBytecodeCache, FunctionLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from blood_cell_system.reports import text
from blood_cell_system.reports.batch_summary import SLIDES_FOLDER, BatchSummary, ImageOutcome
from blood_cell_system.reports.image_files import Part
from blood_cell_system.reports.page.panel import CellCrop
from blood_cell_system.reports.report import (
    DISCLAIMER,
    CellFlag,
    DiagnosticReport,
    Status,
    certainty,
    shown_name,
)
from blood_cell_system.reports.text import number_words
from blood_cell_system.taxonomy import BUILT_IN, RBC, Taxonomy
from blood_cell_system.wording import counted

if TYPE_CHECKING:
    from blood_cell_system.reports.slides import SlideReport

_SHOWN_CROPS: Final = 60
"""Uncertain cells in the gallery: some six rows of a desktop."""
_BINS: Final = 24
"""Bars of a histogram: narrow enough to see two populations in some hundred cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line of a histogram: the median, or a limit."""

    value: float
    words: str
    is_limit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How often values occur; ``edges`` are one more than ``counts``."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]
    unit: str
    marks: tuple[Mark, ...] = ()

    @property
    def labels(self) -> list[str]:
        """What each bar stands for."""
        return [
            f"{left:.3g}–{right:.3g} {self.unit}: {_cells(count)}"
            for count, (left, right) in zip(self.counts, pairwise(self.edges), strict=True)
        ]


def histogram(
    values: Sequence[float], *, unit: str, limits: Sequence[tuple[float, str]] = ()
) -> Histogram:
    """Count how often values occur, one at least, in bars of one width.

    Parameters
    ----------
    limits : sequence of tuple
        Values to mark beside the median, each with its words.
    """
    shown = [*values, *(value for value, _ in limits)]
    low, high = _round_range(min(shown), max(shown))
    # Rounding may have put a limit a hair inside of a value.
    counts, edges = np.histogram(np.clip(values, low, high), bins=_BINS, range=(low, high))
    median = float(np.median(values))
    marks = [Mark(value=median, words=f"median {number_words(median, unit)} {unit}")]
    marks += [
        Mark(value=value, words=f"{words} {number_words(value, unit)} {unit}", is_limit=True)
        for value, words in limits
    ]
    return Histogram(
        counts=tuple(counts.tolist()), edges=tuple(edges.tolist()), unit=unit, marks=tuple(marks)
    )


def _cells(count: int) -> str:
    return counted(count, "cell")


def _round_range(low: float, high: float) -> tuple[float, float]:
    """Limits around values that are multiples of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 0.1 * abs(high), 1e-6)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 8)
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    return first, last if last > first else first + step


def render_page(
    summary: BatchSummary,
    *,
    slide: "SlideReport | None" = None,
    review: str = "",
    overviews: Sequence[tuple[str, bytes]] = (),
) -> str:
    """Lay a batch out as one HTML page that refers to nothing outside but its images' files.

    Parameters
    ----------
    summary : BatchSummary
        Where its slides were named the page is their index.
    slide : SlideReport, optional
        That the images are the fields of; the page then lies in the folder of slides.
    review : str
        Address of the page to review the cells; empty without one.
    overviews : sequence of (str, bytes)
        Of the scans that the images are fields of: words, and a JPEG.

    Returns
    -------
    str
        File names that are no text have lone surrogates in them, to be escaped on writing.
    """
    if summary.is_grouped:
        return _render_index(summary, review=review)
    taxonomy = summary.taxonomy
    in_um, sizes = _sizes(summary, with_limits=slide is not None)
    return filled(
        "page.html",
        style=asset("page.css") + own_colours(taxonomy),
        script=joined_script("page.js"),
        images="data:",
        summary=summary,
        has_overlays=Part.OVERLAY in summary.parts,
        review=review,
        overviews=overviews,
        sums=slide or summary,
        dates=_dates(summary),
        slide=slide,
        taxonomy=taxonomy,
        viewer=Markup(asset("viewer.html")),
        data=as_data(_images(summary.outcomes)),
        statuses=[(status, summary.count(status)) for status in Status if summary.count(status)],
        analysed=len(summary.outcomes) - summary.count(Status.FAILED),
        uncertain=sum(len(report.uncertain_cells) for report in summary.reports),
        rows=[
            _row(outcome, folder="./" if slide is None else "../") for outcome in summary.outcomes
        ],
        sizes=sizes,
        in_um=in_um,
        crops=_gallery(summary),
    )


def _render_index(summary: BatchSummary, *, review: str) -> str:
    """Lay the slides of a batch out as a page that links to that of each."""
    from blood_cell_system.reports.slides import with_file_names

    return filled(
        "slides.html",
        style=asset("page.css") + own_colours(summary.taxonomy),
        script=joined_script("page.js"),
        summary=summary,
        dates=_dates(summary),
        review=review,
        taxonomy=summary.taxonomy,
        viewer=Markup(asset("viewer.html")),
        slides=[
            (report, f"./{SLIDES_FOLDER}/{quote(os.fsencode(stem))}.html")
            for report, stem in with_file_names(summary.slides)
        ],
    )


def render_report(report: DiagnosticReport) -> str:
    """Lay the report of one image out as a piece of HTML that needs nothing else."""
    template = _templates().get_template("report.html")
    return template.render(report=report, taxonomy=report.cells.taxonomy)


def filled(
    template: str,
    *,
    style: str,
    script: str = "",
    images: str = "",
    servers: str = "",
    **values: Any,
) -> str:
    """Fill a page's template in; its policy allows it nothing but what is named.

    Parameters
    ----------
    style, script : str
        Its own, the only ones that it may use.
    images, servers : str
        Where images may come from, and what its script may connect to; empty for nothing.
    **values
        Of the template.
    """
    allowed = {
        "default-src": "'none'",
        "img-src": images,
        "style-src": f"'{digest_of(style)}'",
        "script-src": f"'{digest_of(script)}'" if script else "",
        "connect-src": servers,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    policy = "; ".join(f"{name} {sources}" for name, sources in allowed.items() if sources)
    own = {"policy": policy, "style": Markup(style), "script": Markup(script)}
    return _templates().get_template(template).render(**own, **values)


def as_data(value: Any) -> Markup:
    """Write a value as JSON for the script of a page."""
    # Nothing in a string may end the script's element or begin a comment.
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


class _CompiledTemplates(FileSystemBytecodeCache):
    """Templates compiled, beside the modules that Python has compiled; where it may write there.

    Two pages take 3 ms from here, and 35 ms from their source.
    """

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)


@cache
def _templates() -> Environment:
    """Give the environment of all pages' templates."""
    environment = Environment(
        autoescape=True,
        bytecode_cache=_CompiledTemplates(str(Path(__file__).with_name("__pycache__"))),
        loader=FunctionLoader(asset),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown_name,
        "capital": lambda words: words[:1].upper() + words[1:],
        "jpeg": lambda data: "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii"),
    }
    environment.globals |= {"words": text, "DISCLAIMER": DISCLAIMER}
    return environment


def asset(name: str) -> str:
    """Read a template, a style sheet or a script of the pages."""
    return resources.files("blood_cell_system.reports.page").joinpath(name).read_text("utf-8")


_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "(\.[^"]*)";\n', re.MULTILINE)


@cache
def joined_script(name: str) -> str:
    """Join a module of the pages' script and those that it imports, to a script of one block.

    Browsers do not load modules from the disk. No two modules may have a name in common.
    """
    joined: dict[str, str] = {}

    def add(name: str) -> None:
        if name in joined:
            return
        joined[name] = ""  # Its place is after those that it imports; circles end here.
        source = asset(name)
        for other in _IMPORT.findall(source):
            add(posixpath.normpath(posixpath.join(posixpath.dirname(name), other)))
        words = _IMPORT.sub("", source)
        joined[name] = re.sub(r"^export ", "", words, flags=re.MULTILINE)
        joined[name] = joined.pop(name)

    add(name)
    return '"use strict";\n{\n' + "\n".join(joined.values()) + "}\n"


def digest_of(text: str) -> str:
    """Give the hash by which a page allows its own style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def own_colours(taxonomy: Taxonomy) -> str:
    """Style of the types that the style sheet does not know."""
    rules = ""
    for kind in taxonomy:
        if kind.name not in BUILT_IN:
            name, colour = f'[class~="{kind.name}"]', f"rgb{kind.colour}"
            rules += (
                f".tile{name} {{ border-top-color: {colour}; }} rect{name} {{ fill: {colour}; }}\n"
            )
            rules += f"#stage polygon{name} {{ stroke: {colour}; }}\n"
    return rules


def _row(outcome: ImageOutcome, *, folder: str) -> dict[str, Any]:
    """Give the numbers of an input's row; None where there is none."""
    remarks = [outcome.reason] if outcome.reason else list(outcome.warnings)
    if outcome.report is not None and outcome.report.review is not None:
        remarks.insert(0, outcome.report.review.words)
    row: dict[str, Any] = {
        "outcome": outcome,
        "shown": shown_name(outcome.name or outcome.path),
        "remarks": [shown_name(remark) for remark in remarks],
        # A folder first, so that no name can be taken for a scheme, such as javascript:.
        "address": folder + quote(os.fsencode(f"{outcome.name}_annotated.png")),
        "summary": outcome.row,
        "red": None,
        "abnormal": None,
    }
    if outcome.report is not None:
        report = outcome.report
        main_type = report.cells.taxonomy.names[0]
        row["red"] = report.types[main_type]
        if any(findings.is_assessed for findings in report.findings.values()):
            is_abnormal = np.array(text.is_abnormal(report.cells), dtype=np.bool_)
            row["abnormal"] = int(np.count_nonzero(is_abnormal & report.cells["is_counted"]))
    return row


def _dates(summary: BatchSummary) -> list[str]:
    """First and last day on which the images were analysed, once where they are one."""
    found = (one.report.analysed_on for one in summary.outcomes if one.report is not None)
    days = sorted({day for day in found if day is not None})
    return list(dict.fromkeys((*days[:1], *days[-1:])))


def _sizes(
    summary: BatchSummary, *, with_limits: bool
) -> tuple[bool, list[tuple[str, str, int, Histogram]]]:
    """How large the whole cells of each type are, in micrometres where all images have them."""
    reports = summary.reports
    in_um = bool(reports) and all(report.scale.pixel_size_um is not None for report in reports)
    drawn = []
    for kind in summary.taxonomy:
        values: list[float] = []
        for report in reports:
            cells = report.cells
            is_whole = cells.is_type(kind.name) & ~cells["touches_border"]
            diameters = cells["equivalent_diameter_area"][is_whole]
            values += (diameters * ((report.scale.pixel_size_um or 1.0) if in_um else 1.0)).tolist()
        if values:
            is_limited = with_limits and kind.name == RBC
            limits = _size_limits(summary, values, in_um=in_um) if is_limited else ()
            bars = histogram(values, unit="µm" if in_um else "px", limits=limits)
            drawn.append((kind.name, kind.display_name, len(values), bars))
    return in_um, drawn


def _size_limits(
    summary: BatchSummary, values: Sequence[float], *, in_um: bool
) -> Sequence[tuple[float, str]]:
    """Diameters from which red cells are microcytes and macrocytes."""
    # Here, not above: pages without slides need none of it, and it takes time to load.
    from blood_cell_system.reports.figure_settings import FiguresSettings

    size = (summary.figures or FiguresSettings()).red_cell_size
    median = float(np.median(values))
    low, high = size.small_below * median, size.large_above * median
    if in_um and size.normal_um is not None:
        low, high = size.normal_um
    return (low, "microcytes below"), (high, "macrocytes above")


def _gallery(summary: BatchSummary) -> list[tuple[int, str, CellCrop]]:
    """Cells for a person to review, the least certain first, with their images."""
    crops = [
        (index, outcome.name, crop)
        for index, outcome in enumerate(summary.outcomes)
        if outcome.panel is not None and outcome.report and outcome.report.quality.is_smear
        for crop in outcome.panel.crops
    ]
    return sorted(crops, key=lambda one: (one[2].certainty, one[0], one[2].cell_id))[:_SHOWN_CROPS]


def _images(outcomes: Iterable[ImageOutcome]) -> list[dict[str, Any] | None]:
    """Images for the script: outlines, and columns with a value a cell."""
    images: list[dict[str, Any] | None] = []
    for outcome in outcomes:
        panel, report = outcome.panel, outcome.report
        if panel is None or report is None or not panel.jpeg:
            images.append(None)
            continue
        cells = report.cells
        rows = range(len(cells))
        images.append(
            {
                "name": shown_name(outcome.name),
                "width": panel.width_px,
                "height": panel.height_px,
                "outlines": panel.outlines,
                "cells": {
                    "id": cells.ids.tolist(),
                    "type": cells["cell_type"].tolist(),
                    "name": [text.name_of(cells, row) for row in rows],
                    "certainty": certainty(cells).tolist(),
                    "uncertain": [CellFlag.UNCERTAIN in flags for flags in cells["flags"]],
                    "counted": cells["is_counted"].tolist(),
                    "reason": ["" if why is None else why.words for why in cells["reason"]],
                    "condition": [text.condition_words(cells, row) for row in rows],
                    "abnormal": text.is_abnormal(cells),
                },
            }
        )
    return images
