"""The report of one image: a typed record, whose JSON schema is ``docs/report_schema.json``.

Numbers are rounded where they are written. Reports of former versions are read through
:func:`upgraded`.
"""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    computed_field,
)

from blood_cell_system.analysis.quality import ImageQuality
from blood_cell_system.analysis.scale import ScaleEstimate
from blood_cell_system.cells.border_rule import BorderRule
from blood_cell_system.cells.measures import in_micrometres, measured_columns
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import NONE_OF_THESE, UNDECIDED, Reason
from blood_cell_system.errors import value_words
from blood_cell_system.model_metadata import Validation
from blood_cell_system.reports.findings import Count, Findings, Rate, Record, Share, rounded
from blood_cell_system.settings import check_ranges, ranged
from blood_cell_system.taxonomy import BUILT_IN, RBC, WBC, Taxonomy
from blood_cell_system.wording import counted

DISCLAIMER: Final = "Research use only; not a medical device."

FORMAT_VERSION: Final = 4
"""Of reports and of the summary of a batch."""

NOT_ASSESSED: Final = "not assessed"
"""Condition of a cell that was not classified."""


def shown_name(name: str) -> str:
    r"""Write a file name in one line: what cannot be printed is escaped.

    Examples
    --------
    >>> shown_name("Größe 1.png"), shown_name("two\nlines.png"), shown_name("odd\udcff.png")
    ('Größe 1.png', 'two\\nlines.png', 'odd\\udcff.png')
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


class CellFlag(StrEnum):
    """What a reader should know of a cell."""

    UNCERTAIN = "uncertain"
    TOUCHING_BORDER = "touching_border"
    NOT_COUNTED = "not_counted"
    NONE_OF_THESE = "none_of_these"
    NOT_VALIDATED = "not_validated"


class Status(StrEnum):
    """How an image ended."""

    OK = "ok"
    WARNED = "warned"
    FAILED = "failed"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
"""Text that may hold the name of a file: also one that is not UTF-8, which pydantic refuses."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Length = Annotated[float, Field(ge=0)]
Hundredths = Annotated[float, rounded(2)]
Probability = Annotated[Share, rounded(4)]


class CellRow(Record):
    """A cell as the file of a report holds it; in the report it is a row of ``Cells``."""

    cell_id: Annotated[int, Field(ge=1, description="value of its pixels in the label image")]
    cell_type: str
    bbox: Annotated[
        tuple[int, int, int, int], Field(description="x_min, y_min, x_max, y_max, half-open")
    ]
    centroid: Annotated[tuple[Hundredths, Hundredths], Field(description="x, y")]
    area_px: Annotated[int, Field(ge=1)]
    equivalent_diameter_px: Annotated[
        Hundredths, Field(ge=0, description="of the disc of the same area")
    ]
    equivalent_diameter_um: Annotated[float | None, Field(ge=0), rounded(3)]
    circularity: Annotated[
        Share, rounded(3), Field(description="4 pi area / perimeter squared; 1 for a disc")
    ]
    touching_border: Annotated[bool, Field(description="cut off: its size is a lower bound")]
    condition: Annotated[
        str, Field(description="or: not assessed; none of these, for one of none of the classes")
    ]
    probabilities: Annotated[dict[str, Probability], Field(description="by condition")]
    possible_conditions: Annotated[
        tuple[str, ...], Field(description="that the calibration cannot rule out; one is an answer")
    ]
    wbc_type: Annotated[str | None, Field(description="subtype; null for blasts")]
    confidence: Annotated[Probability, Field(description="that there is such a cell")]
    known: Annotated[
        Share | None, rounded(4), Field(description="probability that it is any of the classes")
    ]
    type_probabilities: Annotated[dict[str, Probability], Field(description="by subtype")]
    box: Annotated[
        tuple[int, int, int, int] | None,
        Field(description="as bbox, around its pixels alone; null in a report of a former version"),
    ] = None
    possible_subtypes: Annotated[
        tuple[str, ...], Field(description="that the calibration cannot rule out")
    ] = ()
    measures: Annotated[
        dict[str, float | tuple[float | None, float | None, float | None] | None],
        Field(
            default_factory=dict,
            description="by the names of docs/cells_table.md; of colours red, green and blue",
        ),
    ]
    certainty: Annotated[
        Probability | None,
        Field(description="the smallest of the probabilities that its answer rests on"),
    ] = None
    reason: Annotated[
        Reason | None, Field(description="why it was not assessed; null for a cell that was")
    ]
    flags: Annotated[
        tuple[CellFlag, ...],
        Field(description="not_validated: the condition is not proven elsewhere, and no finding"),
    ]


def rows_of(cells: Cells) -> tuple[CellRow, ...]:
    """Turn a table of reported cells into the rows of its file."""
    conditions, subtypes = (probabilities_of(cells, names) for names in classes_in(cells))
    boxes = np.rint(cells["whole_box"]).astype(np.int64).tolist()
    own_boxes = _as_written(cells["box"], decimals=0)
    measured = {name: _as_written(cells[name]) for name in _measures_in(cells)}
    certainties = certainty(cells).tolist()
    return tuple(
        CellRow(
            cell_id=row + 1,
            cell_type=cell_type,
            bbox=boxes[row],
            centroid=cells["centroid"][row].tolist(),
            area_px=cells["area"][row],
            equivalent_diameter_px=cells["equivalent_diameter_area"][row],
            equivalent_diameter_um=_or_none(cells["equivalent_diameter_um"][row]),
            circularity=cells["form_factor"][row],
            touching_border=cells["touches_border"][row],
            condition=condition_of(cells, row),
            confidence=cells["confidence"][row],
            probabilities=conditions[row],
            possible_conditions=cells["possible_conditions"][row],
            wbc_type=cells["subtype"][row],
            type_probabilities=subtypes[row],
            known=_or_none(cells["in_distribution"][row]),
            box=None if None in own_boxes[row] else own_boxes[row],
            possible_subtypes=cells["possible_subtypes"][row],
            measures={name: values[row] for name, values in measured.items()},
            certainty=certainties[row],
            reason=cells["reason"][row],
            flags=cells["flags"][row],
        )
        for row, cell_type in enumerate(cells["cell_type"])
    )


def _measures_in(cells: Cells) -> list[str]:
    """Measures that a row has no field of its own for."""
    names = (column.name for column in measured_columns())
    return [name for name in names if name in cells and name != "form_factor"]


_DECIMALS: Final = 4
"""Of measures in files: a tenth of a thousandth of a pixel, of a density, of a share."""


def _as_written(values: NDArray[Any], *, decimals: int = _DECIMALS) -> list[Any]:
    """Round a column, and turn what is no number into None."""
    numbers = np.round(values.astype(np.float64), decimals)
    written = numbers.astype(np.object_)
    written[np.isnan(numbers)] = None
    found: list[Any] = written.tolist()
    return found


def classes_in(cells: Cells) -> tuple[list[str], list[str]]:
    """Conditions and subtypes that the classifiers distinguish."""
    conditions, subtypes = (
        [one.name for one in classes if f"{one.name}_prob" in cells]
        for classes in (cells.taxonomy.conditions, cells.taxonomy.subtypes)
    )
    return conditions, subtypes


def condition_of(cells: Cells, row: int) -> str:
    """Condition of a cell in words."""
    if not cells["is_known"][row]:
        return NONE_OF_THESE
    if cells["reason"][row] == Reason.UNDECIDED:
        return UNDECIDED
    return str(cells["condition"][row] or NOT_ASSESSED)


def probabilities_of(cells: Cells, names: Sequence[str]) -> list[dict[str, float]]:
    """Probabilities of each cell by class; none where it was not classified."""
    columns = [cells[f"{name}_prob"] for name in names]
    table = np.array(columns, dtype=np.float64).reshape(len(names), len(cells)).T.tolist()
    return [
        {name: value for name, value in zip(names, row, strict=True) if not math.isnan(value)}
        for row in table
    ]


def certainty(cells: Cells) -> NDArray[np.float64]:
    """Give the smallest of the probabilities that the answer of each cell rests on; shape (n,).

    Of its confidence, its condition unless that is not validated, and its subtype. Rounded as in
    the file, so that a report that was read again has the same order of cells.
    """
    least = []
    for row, (confidence, condition, subtype, is_known, flags) in enumerate(
        zip(
            *(cells[name] for name in ("confidence", "condition", "subtype", "is_known", "flags")),
            strict=True,
        )
    ):
        named = [subtype] if CellFlag.NOT_VALIDATED in flags else [condition, subtype]
        rests_on = [f"{name}_prob" for name in named if name is not None and is_known]
        least.append(min([confidence, *(cells[name][row] for name in rests_on)]))
    return np.array([round(float(value), 4) for value in least], dtype=np.float64)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


_ROWS: Final = TypeAdapter(tuple[CellRow, ...])


def _cells_of_rows(value: Any, info: ValidationInfo) -> Any:
    """Read rows of a file as a table without pixels."""
    if isinstance(value, Cells):
        return value
    rows = _ROWS.validate_python(value)
    if len(info.data) < len(DiagnosticReport.model_fields) - 1:
        # A part before is damaged, and is what the error will be about.
        raise ValueError("cells: another part is damaged")
    taxonomy = taxonomy_in(info.data["taxonomy"])
    found = [{**row.probabilities, **row.type_probabilities} for row in rows]
    summed_up = [
        name
        for part in info.data["findings"].values()
        for name in (*part.counts, *part.types, *part.not_validated)
    ]
    probabilities = {
        f"{name}_prob": [one.get(name, np.nan) for one in found]
        for name in dict.fromkeys((*summed_up, *(name for one in found for name in one)))
    }
    measured = _measures_of(rows)
    is_none = [CellFlag.NONE_OF_THESE in row.flags for row in rows]
    no_cells = Cells(
        label_image=np.zeros((0, 0), dtype=np.int32),
        taxonomy=taxonomy,
        validation=info.data["validation"],
    )
    cells = no_cells.with_columns(
        is_smear=np.full(len(rows), info.data["quality"].is_smear),
        box=[row.box or (np.nan,) * 4 for row in rows],
        cell_type=[taxonomy.checked(row.cell_type) for row in rows],
        whole_box=[row.bbox for row in rows],
        centroid=[row.centroid for row in rows],
        area=[row.area_px for row in rows],
        equivalent_diameter_area=[row.equivalent_diameter_px for row in rows],
        equivalent_diameter_um=_or_nan(row.equivalent_diameter_um for row in rows),
        confidence=[row.confidence for row in rows],
        touches_border=[row.touching_border for row in rows],
        is_counted=[CellFlag.NOT_COUNTED not in row.flags for row in rows],
        condition=[
            max(row.probabilities, key=row.probabilities.__getitem__, default=None) for row in rows
        ],
        possible_conditions=[row.possible_conditions for row in rows],
        subtype=[row.wbc_type for row in rows],
        possible_subtypes=[row.possible_subtypes for row in rows],
        in_distribution=_or_nan(row.known for row in rows),
        is_known=np.logical_not(np.array(is_none, dtype=np.bool_)),
        reason=[row.reason for row in rows],
        flags=[row.flags for row in rows],
        **probabilities,
        **measured,
    )
    return in_micrometres(cells, info.data["scale"].pixel_size_um)


def _measures_of(rows: Sequence[CellRow]) -> dict[str, NDArray[Any]]:
    """Columns of the measures that a file has, in their order."""
    found = {}
    for column in measured_columns():
        if column.name == "form_factor":
            found[column.name] = _or_nan(row.circularity for row in rows)
        elif any(column.name in row.measures for row in rows):
            values = [row.measures.get(column.name) for row in rows]
            numbers = np.array(values, dtype=np.float64)
            is_whole = column.dtype == "int64" and not np.isnan(numbers).any()
            found[column.name] = numbers.astype(np.int64) if is_whole else numbers
    return found


def _or_nan(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def taxonomy_in(value: dict[str, Any] | None) -> Taxonomy:
    """Cell types of a report; None stands for the built-in ones."""
    return BUILT_IN if value is None else Taxonomy.from_dict(value)


class TypeSummary(Record):
    """All cells of one type."""

    count: Annotated[Count, Field(description="as the border rule counts")]
    touching_border: Count
    not_counted: Count
    uncertain: Count
    median_diameter_px: Annotated[
        Length | None,
        rounded(2),
        Field(description="equivalent diameter of the cells that the border does not cut off"),
    ]
    median_diameter_um: Annotated[Length | None, rounded(3)]


class Place(Record):
    """Where a field lies in the scan that it is of."""

    page: Annotated[int, Field(ge=1)] = 1
    level: Annotated[int, Field(ge=0, description="of the pyramid; 0 is the largest")] = 0
    downsample: Annotated[
        float, Field(gt=0, description="pixels of level 0 for each of the level")
    ] = 1.0
    x_px: Annotated[float, Field(description="of its corner on level 0")]
    y_px: Annotated[float, Field(description="of its corner on level 0")]
    own: Annotated[
        tuple[int, int, int, int],
        Field(description="x_min, y_min, x_max, y_max of the part whose cells are counted here"),
    ]
    zone: Text


class Image(Record):
    """Which image a report is of."""

    file_name: Text
    width_px: Annotated[int, Field(ge=1)]
    height_px: Annotated[int, Field(ge=1)]
    place: Annotated[Place | None, Field(description="null for a whole image")] = None


CONFIDENCE_THRESHOLD: Final = 0.3
"""Cells of a lower confidence are uncertain, 0 to 1: the default of --confidence-threshold."""

UNCERTAIN_MARGIN: Final = 0.1
"""So are cells whose two most likely conditions are less than this apart, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """What was asked for.

    Parameters
    ----------
    confidence_threshold : float
        A cell of a lower confidence is uncertain, 0 to 1.
    uncertain_margin : float
        So is one whose two most likely conditions are less than this apart, 0 to 1.
    cell_diameter_px, pixel_size_um : float or None
        As given; None where they were to be estimated.
    classifier_views : int or None
        Views of a cell that a classifier's answer is the mean of; None for 1 of a red cell and 4 of
        a white one.
    counts_unproven : bool
        Whether classes are counted that were not proven in laboratories never seen.

    Raises
    ------
    SettingsError
        Threshold or margin is not within 0..1.
    """

    confidence_threshold: float = ranged(at_least=0, at_most=1)
    uncertain_margin: float = ranged(at_least=0, at_most=1)
    border_rule: BorderRule
    cell_diameter_px: float | None = None
    pixel_size_um: float | None = None
    classifier_views: int | None = None
    counts_unproven: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)

    def is_uncertain(self, confidence: float, probabilities: Sequence[float]) -> bool:
        """Whether a person should review a cell.

        Parameters
        ----------
        confidence : float
            That there is such a cell, 0 to 1.
        probabilities : sequence of float
            Of its conditions; empty without a classifier.
        """
        likely = sorted(probabilities, reverse=True)
        if confidence < self.confidence_threshold or len(likely) < 2:
            return confidence < self.confidence_threshold
        is_weak = likely[0] < self.confidence_threshold
        return is_weak or likely[0] - likely[1] < self.uncertain_margin

    @property
    def uncertain_words(self) -> str:
        """Which cells are uncertain, in words."""
        below = f"{self.confidence_threshold:g}"
        return f"Cells of a confidence below {below}, or whose condition is open"


class Provenance(Record):
    """What a report was made with, and of which file."""

    software_version: str
    model: Annotated[Text, Field(description="name of its file")]
    model_sha256: Sha256
    runs_in: Annotated[
        Text | None,
        Field(
            description="runtime of the networks, its version, device and precision; null in "
            "reports of former versions and for a model in memory"
        ),
    ] = None
    seed: Annotated[int | None, Field(description="null where nothing is drawn")] = None
    rbc_classifier: Annotated[Text | None, Field(description="null without one")] = None
    rbc_classifier_sha256: Sha256 | None = None
    wbc_classifier: Annotated[Text | None, Field(description="null without one")] = None
    wbc_classifier_sha256: Sha256 | None = None
    other_classifiers: Annotated[
        dict[Text, Sha256],
        Field(
            default_factory=dict, description="of types of one's own: SHA-256 by name of the file"
        ),
    ]
    data_sha256: Annotated[Sha256 | None, Field(description="of the image's file")] = None
    pixels_sha256: Annotated[
        Sha256 | None, Field(description="of its pixels, as copies in other formats have them")
    ] = None
    field_hash: Annotated[
        str | None,
        Field(
            pattern="^[0-9a-f]{64}$",
            description="of what it shows: copies differ in a few bits; null without cells",
        ),
    ] = None

    @property
    def image_sha256(self) -> str | None:
        """Digest by which an image is known again; of its file in reports of former versions."""
        return self.pixels_sha256 or self.data_sha256

    @property
    def models(self) -> tuple[tuple[str, str], ...]:
        """Name and hash of each model."""
        rows = (
            (self.model, self.model_sha256),
            (self.rbc_classifier, self.rbc_classifier_sha256),
            (self.wbc_classifier, self.wbc_classifier_sha256),
            *self.other_classifiers.items(),
        )
        return tuple((name, digest) for name, digest in rows if name and digest)


class ReviewRecord(Record):
    """What people did to an image."""

    people: Annotated[tuple[Text, ...], Field(description="in the order of their first action")]
    last_on: Annotated[str, Field(description="time of the last action")]
    is_complete: Annotated[bool, Field(description="reviewed to its end: nothing is missing")]
    changed: Annotated[Count, Field(description="cells with another class or outline")]
    confirmed: Annotated[Count, Field(description="cells that are right as they were found")]
    added: Annotated[Count, Field(description="cells that people drew, split or merged")]
    removed: Annotated[Count, Field(description="cells that are gone")]

    @property
    def words(self) -> str:
        """All of it in a line."""
        done = "to its end" if self.is_complete else "in part"
        return (
            f"Reviewed {done} by {', '.join(map(shown_name, self.people))}, last on "
            f"{self.last_on[:10]}: {counted(self.changed, 'cell')} changed, {self.confirmed} "
            "confirmed, "
            f"{self.added} added, {self.removed} removed"
        )


def _rounded(record: Any, **digits: int) -> dict[str, Any]:
    value = asdict(record)
    return value | {
        name: None if value[name] is None else round(value[name], places)
        for name, places in digits.items()
    }


def _quality(quality: ImageQuality) -> dict[str, Any]:
    findings = [_rounded(finding, value=4) for finding in quality.findings]
    return _rounded(quality, judged_share=4) | {"findings": findings}


def _in_order(parts: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Bring parts into the order of the cell types: a file has them by the alphabet."""
    taxonomy = taxonomy_in(info.data.get("taxonomy"))
    return {name: parts[name] for name in sorted(map(taxonomy.checked, parts), key=taxonomy.index)}


class DiagnosticReport(Record):
    """What was found in one image. Research use only; not a medical device.

    Coordinates are pixels of the image, 0-based and half-open, x to the right and y down.
    """

    format_version: Literal[4] = FORMAT_VERSION
    disclaimer: str = DISCLAIMER
    taxonomy: Annotated[
        dict[str, Any] | None, Field(description="the user's own cell types; null: the built-in")
    ] = None
    image: Image
    analysed_on: Annotated[
        str | None,
        Field(
            pattern=r"^\d{4}-\d\d-\d\d$",
            description="day of the analysis in UTC; null in reports of version 3",
        ),
    ] = None
    settings: ReportSettings
    provenance: Provenance
    types: Annotated[
        dict[str, TypeSummary], AfterValidator(_in_order), Field(description="by cell type")
    ]
    rates: Annotated[tuple[Rate, ...], Field(description="findings that need no classifier")]
    findings: Annotated[
        dict[str, Findings],
        AfterValidator(_in_order),
        Field(description="of the classifiers, by cell type"),
    ]
    validation: Annotated[
        dict[str, Validation],
        Field(
            default_factory=dict,
            description="by condition or subtype: figures in laboratories never seen",
        ),
    ]
    scale: Annotated[
        ScaleEstimate,
        PlainSerializer(
            lambda scale: _rounded(scale, red_cell_diameter_px=2, magnification_applied=4)
        ),
    ]
    quality: Annotated[ImageQuality, PlainSerializer(_quality)]
    warnings: Annotated[
        tuple[Text, ...], Field(description="what to know before believing the counts")
    ]
    review: Annotated[ReviewRecord | None, Field(description="null: nobody has corrected it")] = (
        None
    )
    cells: Annotated[Cells, BeforeValidator(_cells_of_rows), PlainSerializer(rows_of)]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def status(self) -> Literal[Status.OK, Status.WARNED]:
        """``warned`` where there is a warning."""
        return Status.WARNED if self.warnings else Status.OK

    @computed_field  # type: ignore[prop-decorator]
    @property
    def counts(self) -> dict[str, Count]:
        """Cells by type, as the border rule counts."""
        return {name: summary.count for name, summary in self.types.items()}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def uncertain_cells(self) -> tuple[int, ...]:
        """``cell_id`` of the cells for a person to review, the least certain first."""
        rows = np.array(
            [row for row, flags in enumerate(self.cells["flags"]) if CellFlag.UNCERTAIN in flags],
            dtype=np.intp,
        )
        return tuple((rows[np.argsort(certainty(self.cells)[rows], kind="stable")] + 1).tolist())

    @property
    def text(self) -> str:
        """The report in some thirty lines of plain text."""
        from blood_cell_system.reports.text import report_text

        return report_text(self)

    def to_summary_text(self) -> str:
        """Give the report in some thirty lines of plain text."""
        return self.text

    def _repr_html_(self) -> str:
        """Show the report in a notebook."""
        from blood_cell_system.reports.page.render import render_report

        return render_report(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what :meth:`to_json` gave, of this version or a former one; cells have no pixels.

        Raises
        ------
        ValueError
            It is no report, or of a later version.
        """
        try:
            return cls.model_validate(upgraded(value))
        except ValueError:
            raise
        except Exception as error:  # Damaged values lead validators to errors of almost any kind.
            raise ValueError(f"damaged: {value_words(error)}") from error


def upgraded(value: Any) -> Any:
    """Give the JSON of a report of a former version as that of this version."""
    if not isinstance(value, dict):
        return value
    if value.get("format_version") == 2:
        renamed = {"picture": "image"}
        value = {renamed.get(key, key): part for key, part in value.items()}
        findings = {RBC: value.pop("rbc_findings", None), WBC: value.pop("wbc_findings", None)}
        value |= {"format_version": 3, "findings": findings}
    if value.get("format_version") == 3:
        value = _with_reasons(value) | {"format_version": FORMAT_VERSION}
    return value


def _with_reasons(value: dict[str, Any]) -> dict[str, Any]:
    """Say why cells were not assessed, as far as a report of version 3 tells."""
    findings = {name: dict(part) for name, part in value["findings"].items()}
    cells = [dict(cell) for cell in value["cells"]]
    for part in findings.values():
        part["not_assessed"] = {}
    for cell in cells:
        part = findings.get(cell["cell_type"], {})
        cell["reason"] = None
        if CellFlag.NONE_OF_THESE in cell["flags"]:
            cell["reason"] = Reason.NOT_IN_DISTRIBUTION
        elif not cell["probabilities"]:
            was_used = part.get("state") == "assessed"
            is_cut_off = cell["touching_border"]
            seen = Reason.CUT_OFF if is_cut_off else Reason.COVERED
            cell["reason"] = seen if was_used else Reason.NO_CLASSIFIER
        if cell["reason"] and part and CellFlag.NOT_COUNTED not in cell["flags"]:
            counts = part["not_assessed"]
            counts[cell["reason"]] = counts.get(cell["reason"], 0) + 1
    return value | {"findings": findings, "cells": cells}


def report_schema() -> dict[str, Any]:
    """Give the JSON schema of a report, as ``docs/report_schema.json`` holds it."""
    schema = DiagnosticReport.model_json_schema(mode="serialization")
    for part in schema["$defs"].values():
        # The summary alone: the fields have descriptions of their own.
        part["description"] = part.get("description", "").partition("\n\n")[0]
    dialect = "https://json-schema.org/draft/2020-12/schema"
    title = f"Report of one blood smear image, format version {FORMAT_VERSION}"
    return {"$schema": dialect, **schema, "title": title}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report_schema(), indent=1) + "\n")
