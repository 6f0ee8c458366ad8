"""How far two people agree, or a person and the program: the record, and its page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field

from blood_cell_system.metrics.intervals import Figure
from blood_cell_system.reports.findings import Count, Record
from blood_cell_system.reports.page.render import asset, filled
from blood_cell_system.reports.report import Text


class AgreementFigure(Record):
    """A figure with its 95 % interval, of fields drawn with replacement."""

    value: Annotated[float | None, Field(description="null where there is nothing to measure")]
    low: Annotated[float | None, Field(description="null for a single field")]
    high: float | None

    @classmethod
    def of(cls, figure: Figure) -> Self:
        """Take a figure over, to four decimals."""
        low, high = figure.interval or (None, None)
        return cls(value=_rounded(figure.value), low=_rounded(low), high=_rounded(high))

    def __str__(self) -> str:
        if self.value is None:
            return "not defined"
        words = f"{self.value:.2f}"
        return words if self.low is None else f"{words} ({self.low:.2f} to {self.high:.2f})"


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


class Question(Record):
    """How far two agree on one question."""

    name: str
    total: Annotated[Count, Field(description="cells that both have answered it for")]
    observed: Annotated[AgreementFigure, Field(description="share that both call the same")]
    kappa: Annotated[AgreementFigure, Field(description="Cohen's")]
    classes: tuple[str, ...]
    counts: Annotated[
        tuple[tuple[Count, ...], ...], Field(description="rows the first, columns the second")
    ]
    by_class: Annotated[
        tuple[AgreementFigure, ...],
        Field(description="share of one's calls of the class that the other repeats"),
    ]


class DisagreedCell(Record):
    """A cell that two call differently."""

    image: Text
    cell_id: Annotated[int | str, Field(description="in the results, or of who made it")]
    first: str
    second: str


class AgreementFile(Record):
    """What ``agreement.json`` holds."""

    format_version: Literal[1] = 1
    software_version: str
    first: Text
    second: Text
    fields: Annotated[Count, Field(description="with cells that both have judged")]
    questions: tuple[Question, ...]
    disagreements: tuple[DisagreedCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A cell that two call differently, as the page shows it.

    Parameters
    ----------
    jpeg : bytes
        Empty where the image is not at hand.
    """

    image: str
    cell_id: str
    first: str
    second: str
    jpeg: bytes


def render_agreement(
    agreement: AgreementFile, shown: Sequence[Disagreement], links: Sequence[tuple[int, str]]
) -> str:
    """Lay an agreement out as a page.

    Parameters
    ----------
    shown : sequence of Disagreement
        The first of its disagreements.
    links : sequence of tuple
        How many of the cells a page to review shows, and its address.
    """
    return filled(
        "agreement.html",
        style=asset("page.css"),
        images="data:",
        agreement=agreement,
        shown=shown,
        links=links,
    )
