"""The parts of the page; every word that comes from outside is escaped here."""

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

from blood_cell_system.classes import CELL_TYPES, CellType
from blood_cell_system.reports.batch import BatchSummary, PictureOutcome
from blood_cell_system.reports.diagnostic import Status
from blood_cell_system.reports.findings import ASSESSED, HEALTHY, Findings
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
    ("Abnormal", "number"),
    ("RBC size", "number"),
    ("Remarks", "words"),
)


def count_tiles(summary: BatchSummary) -> Iterable[str]:
    """Show numbers of pictures and cells, in large letters."""
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
    uncertain = sum(outcome.summary["uncertain"] for outcome in summary.smears)
    yield f'<div class="tile"><b>{uncertain:,}</b>uncertain cells</div></div>'
    if summary.left_out:
        verb = "picture does" if summary.left_out == 1 else "pictures do"
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


def picture_table(outcomes: Sequence[PictureOutcome]) -> Iterable[str]:
    """Lay the inputs out, a row each."""
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
    numbers += [summary.get("uncertain"), summary.get("touching_border"), _abnormal(summary)]
    remarks = [outcome.reason] if outcome.reason else list(outcome.warnings)
    cells = [
        f'<td data-value="{escape(shown)}"><div class="picture">{_thumbnail(index, outcome)}'
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


def size_histograms(smears: Sequence[PictureOutcome]) -> Iterable[str]:
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
        + ("" if in_um else " In pixels: comparable between pictures of one magnification only.")
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
            f'<button type="button" class="cell" data-picture="{index}" data-cell="{crop.cell_id}">'
            f'<img decoding="async" alt="" src="{_source(crop.jpeg)}">'
            f"<span>{escape(crop.name)} {crop.cell_id}, {certainty:.2f}</span>"
            f'<span title="{name}">{name}</span></button>'
        )
    yield "</div>"


def _source(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
