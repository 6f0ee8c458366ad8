"""The review page: all cells by class, to be corrected in a browser without a server.

Its script is the modules of the folder ``review``, joined to one. Each page has the pixels of its
fields in itself; results that are too large for one page have several, with one record of
corrections.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from blood_cell_system.atomic_files import replacing
from blood_cell_system.cells.unassessed import NONE_OF_THESE, Reason
from blood_cell_system.corrections.record import Header
from blood_cell_system.reports.batch_summary import BatchSummary, ImageOutcome
from blood_cell_system.reports.image_files import as_written, remove_file
from blood_cell_system.reports.page.field_spool import PackedField, SpooledField
from blood_cell_system.reports.page.render import (
    as_data,
    asset,
    filled,
    joined_script,
    own_colours,
)
from blood_cell_system.reports.report import CellFlag, DiagnosticReport, certainty, shown_name
from blood_cell_system.taxonomy import Taxonomy

REVIEW_NAME: Final = "review.html"

_MAX_PAGE: Final = 60_000_000
"""Letters of the fields of one page: some 700 fields of 640x480, which open in three seconds."""

_Field = PackedField | SpooledField
_Shown = tuple[ImageOutcome, DiagnosticReport, _Field]


def write_review_pages(summary: BatchSummary, output_dir: Path) -> tuple[Path, ...]:
    """Write the fields of a batch as pages to review; those of a former run go.

    Gives the pages that were written: none where no image has pixels for one.

    Raises
    ------
    OutputError
        A page cannot be written.
    """
    shown = [
        (outcome, outcome.report, outcome.panel.review)
        for outcome in summary.outcomes
        if outcome.report is not None and outcome.panel is not None and outcome.panel.review
    ]
    pages = list(_divided(shown))
    names = [_page_name(number) for number in range(len(pages))]
    header = results_header(summary)
    for number, fields in enumerate(pages):
        with replacing(output_dir / names[number]) as temporary, temporary.open("wb") as file:
            file.write(as_written(_head(summary, header, pages, number)))
            for place, (_, _, field) in enumerate(fields):
                file.write(
                    f'<script type="text/plain" id="f{place}">{field.text}</script>\n'.encode()
                )
            file.write(b"</body></html>\n")
    for path in output_dir.glob("review*.html"):
        if path.name not in names and re.fullmatch(r"review(_\d+)?\.html", path.name):
            remove_file(path)
    return tuple(output_dir / name for name in names)


def results_header(summary: BatchSummary) -> Header:
    """Name the results that corrections are of."""
    return Header.of(
        {one.name: one.report.cells for one in summary.outcomes if one.report is not None},
        software_version=summary.provenance.software_version,
        models=summary.provenance.models,
        taxonomy=summary.taxonomy,
    )


def _divided(shown: Sequence[_Shown]) -> Iterator[list[_Shown]]:
    page: list[_Shown] = []
    for one in shown:
        if page and sum(field.size for _, _, field in page) + one[2].size > _MAX_PAGE:
            yield page
            page = []
        page.append(one)
    if page:
        yield page


def _page_name(number: int) -> str:
    return f"review_{number + 1}.html" if number else REVIEW_NAME


def _head(
    summary: BatchSummary, header: Header, pages: Sequence[Sequence[_Shown]], number: int
) -> str:
    """Give a page up to the pixels of its fields."""
    taxonomy, fields = summary.taxonomy, pages[number]
    return filled(
        "review.html",
        style=asset("page.css") + asset("review.css") + own_colours(taxonomy),
        script=joined_script("review/review.js"),
        images="data: blob:",
        # The server that may give this page is asked for events; from the disk nothing is.
        servers="'self'",
        slides=sorted({outcome.slide.name for outcome, _, _ in fields if outcome.slide}),
        others=list(_addresses(pages, number)) if len(pages) > 1 else [],
        results=as_data(_results(summary, header, fields)),
        cells=as_data(_columns(taxonomy, [report for _, report, _ in fields])),
    )


def _addresses(pages: Sequence[Sequence[_Shown]], number: int) -> Iterator[tuple[str, str]]:
    """Name the fields of each page, with its address unless it is this one."""
    first = 1
    for other, fields in enumerate(pages):
        last = first + len(fields) - 1
        yield f"{first}–{last}", "" if other == number else quote(_page_name(other))
        first = last + 1


def _results(summary: BatchSummary, header: Header, fields: Sequence[_Shown]) -> dict[str, Any]:
    named = header.model_dump()
    key = hashlib.sha256(json.dumps(named["images"], sort_keys=True).encode()).hexdigest()
    return {
        "header": named,
        "key": key,
        "types": [
            {
                "name": kind.name,
                "display": kind.display_name,
                "conditions": [
                    {
                        "name": one.name,
                        "display": one.display_name,
                        "one": one.one,
                        "healthy": one.is_healthy,
                    }
                    for one in kind.conditions
                ],
                "subtypes": [
                    {"name": one.name, "display": one.display_name, "one": one.one}
                    for one in kind.subtypes
                ],
            }
            for kind in summary.taxonomy
        ],
        "names": _names(summary.taxonomy),
        "reasons": {reason.value: reason.words for reason in Reason},
        "reason_names": [reason.value for reason in Reason],
        "is_grouped": summary.is_grouped,
        "fields": [_field(*one) for one in fields],
    }


def _field(outcome: ImageOutcome, report: DiagnosticReport, field: _Field) -> dict[str, Any]:
    slide, cells = outcome.slide, report.cells
    diameter = report.scale.red_cell_diameter_px
    if diameter is None:
        sizes = cells["equivalent_diameter_area"]
        diameter = float(np.median(sizes)) if len(sizes) else report.image.width_px / 8
    return {
        "name": outcome.name,
        "shown": shown_name(outcome.name),
        "slide": slide.name if slide else None,
        "patient": slide.patient if slide else None,
        "is_smear": report.quality.is_smear,
        "width": report.image.width_px,
        "height": report.image.height_px,
        "shown_width": field.width_px,
        "shown_height": field.height_px,
        "block": field.block_px,
        "cell_diameter": round(diameter, 2),
        "um_per_px": report.scale.pixel_size_um,
    }


def _names(taxonomy: Taxonomy) -> list[str]:
    """Names of all types and classes, which columns refer to by their place."""
    return [*taxonomy.names, *(one.name for one in taxonomy.classes), NONE_OF_THESE]


_FLAGS: Final[Mapping[CellFlag, int]] = {
    CellFlag.UNCERTAIN: 1,
    CellFlag.NOT_COUNTED: 2,
    CellFlag.TOUCHING_BORDER: 4,
    CellFlag.NOT_VALIDATED: 8,
}


def _columns(taxonomy: Taxonomy, reports: Sequence[DiagnosticReport]) -> dict[str, list[int]]:
    """Give what the page needs of all cells: a column each, of whole numbers."""
    place_of = {name: place for place, name in enumerate(_names(taxonomy))}
    reason_of = {reason: place for place, reason in enumerate(Reason)}
    columns: dict[str, list[int]] = {name: [] for name in _OF_CELLS}
    for place, report in enumerate(reports):
        cells = report.cells
        pixel = report.scale.pixel_size_um or 1.0
        conditions = np.where(cells["is_known"], cells["condition"], NONE_OF_THESE)
        columns["field"] += [place] * len(cells)
        columns["id"] += cells.ids.tolist()
        columns["type"] += [place_of[name] for name in cells["cell_type"]]
        columns["condition"] += [place_of.get(name, -1) for name in conditions]
        columns["subtype"] += [place_of.get(name, -1) for name in cells["subtype"]]
        columns["reason"] += [reason_of.get(reason, -1) for reason in cells["reason"]]
        columns["certainty"] += _whole(certainty(cells), 1e4)
        columns["flags"] += [sum(_FLAGS.get(flag, 0) for flag in flags) for flags in cells["flags"]]
        columns["box"] += _whole(cells["whole_box"].reshape(-1), 1)
        columns["diameter"] += _whole(cells["equivalent_diameter_area"] * pixel, 100)
        columns["roundness"] += _whole(cells["form_factor"], 1e3)
    return columns


_OF_CELLS: Final = (
    *("field", "id", "type", "condition", "subtype", "reason"),
    *("certainty", "flags", "box", "diameter", "roundness"),
)


def _whole(values: Any, factor: float) -> list[int]:
    found: list[int] = np.rint(np.nan_to_num(values) * factor).astype(np.int64).tolist()
    return found
