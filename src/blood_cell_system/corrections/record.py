"""Corrections as files have them: a header, and events in the order of their making.

A file of corrections (``corrections.json``) is a header with a list of ``events``. The log beside
results (``corrections.jsonl``) has the header and then each event in a line of its own. The header
names the results that the events are of: each image by a hash of its cells, so that corrections of
other results, or of results that were made anew, are refused. ``docs/review.md`` describes both.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import NONE_OF_THESE
from blood_cell_system.errors import CorrectionsError
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy
from blood_cell_system.wording import counted

FORMAT: Final = "blood-cell-corrections"
VERSION: Final = 1

MAX_POINTS: Final = 2000
"""Corners of an outline; one of a large cell has some 100."""
MAX_CELLS: Final = 100_000
"""Cells of one event."""


class Action(StrEnum):
    """What a person did."""

    SET_CLASS = "set_class"
    DELETE = "delete"
    DRAW = "draw"
    SPLIT = "split"
    MERGE = "merge"
    SET_OUTLINE = "set_outline"
    REVIEW_CELLS = "review_cells"
    REVIEW_FIELD = "review_field"
    UNDO = "undo"


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


ImageName = Annotated[str, PlainValidator(_name), WithJsonSchema({"type": "string"})]
"""Name of an image in the results: also one that is not UTF-8, which pydantic refuses."""

_MadeId = Annotated[str, Field(pattern=r"^[0-9a-f-]{36}(/[1-9][0-9]?)?$")]
CellId = Annotated[int, Field(ge=1, strict=True)] | _MadeId
"""``cell_id`` of the results, or, of a cell that a person made, the id of the event that made it.

The parts of a split cell have the id of the event with ``/1``, ``/2`` and so on, in the order of
its points.
"""

_Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Point = tuple[_Coordinate, _Coordinate]
"""x and y in pixels of the image; the middle of its first pixel is (0.5, 0.5)."""


def _uuid(value: str) -> str:
    if str(UUID(value)) != value:
        raise ValueError("expected a UUID in lower case with hyphens")
    return value


EventId = Annotated[str, AfterValidator(_uuid)]


def _moment(value: str) -> str:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError("expected a time with its zone, such as 2026-05-01T12:30:00Z")
    return value


class Value(_Shape):
    """What an event sets; only the fields that its action takes."""

    cell_type: str | None = None
    condition: Annotated[
        str | None, Field(description=f"or {NONE_OF_THESE!r}; null: the person does not say")
    ] = None
    subtype: Annotated[str | None, Field(description="null: none, or not said")] = None
    polygon: Annotated[tuple[Point, ...] | None, Field(min_length=3, max_length=MAX_POINTS)] = None
    points: Annotated[
        tuple[Point, ...] | None,
        Field(
            min_length=2,
            max_length=99,
            description="one in each part of a split cell; a pixel goes to the nearest",
        ),
    ] = None
    event: Annotated[EventId | None, Field(description="that is undone")] = None
    note: Annotated[str | None, Field(max_length=2000)] = None


class _Takes(BaseModel):
    """What an action takes: how many cells, and which fields of the value."""

    model_config = ConfigDict(frozen=True)
    cells: tuple[int, int] = (0, 0)
    needs: tuple[str, ...] = ()
    may_have: tuple[str, ...] = ()


_CLASS: Final = ("cell_type", "condition", "subtype")
_TAKES: Final[Mapping[Action, _Takes]] = {
    Action.SET_CLASS: _Takes(cells=(1, MAX_CELLS), needs=("cell_type",), may_have=_CLASS),
    Action.DELETE: _Takes(cells=(1, MAX_CELLS)),
    Action.DRAW: _Takes(needs=("cell_type", "polygon"), may_have=_CLASS),
    Action.SPLIT: _Takes(cells=(1, 1), needs=("points",)),
    Action.MERGE: _Takes(cells=(2, MAX_CELLS), may_have=_CLASS),
    Action.SET_OUTLINE: _Takes(cells=(1, 1), needs=("polygon",)),
    Action.REVIEW_CELLS: _Takes(cells=(1, MAX_CELLS)),
    Action.REVIEW_FIELD: _Takes(),
    Action.UNDO: _Takes(needs=("event",)),
}


class Event(_Shape):
    """One thing that a person did, to one image."""

    id: EventId
    at: Annotated[str, AfterValidator(_moment), Field(description="ISO 8601, with its zone")]
    by: Annotated[str, Field(min_length=1, max_length=200, description="who")]
    image: Annotated[ImageName, Field(description="name in the results")]
    action: Action
    cells: Annotated[tuple[CellId, ...], Field(max_length=MAX_CELLS)] = ()
    value: Value = Value()

    @model_validator(mode="after")
    def _check_what_it_takes(self) -> Self:
        takes = _TAKES[self.action]
        least, most = takes.cells
        if not least <= len(self.cells) <= most:
            expected = f"{least}" if least == most else f"{least} or more"
            raise ValueError(
                f"{self.action} with {counted(len(self.cells), 'cell')}; expected {expected}"
            )
        if len(set(self.cells)) != len(self.cells):
            raise ValueError(f"{self.action} names a cell twice; expected each once")
        given = {name for name, value in self.value if value is not None} - {"note"}
        if missing := set(takes.needs) - given:
            raise ValueError(f"{self.action} without {', '.join(sorted(missing))}")
        if more := given - {*takes.needs, *takes.may_have}:
            raise ValueError(
                f"{self.action} with {', '.join(sorted(more))}, which it does not take"
            )
        return self

    @property
    def made_cells(self) -> tuple[str, ...]:
        """Ids of the cells that it makes."""
        match self.action:
            case Action.DRAW | Action.MERGE:
                return (self.id,)
            case Action.SPLIT:
                return tuple(f"{self.id}/{i + 1}" for i in range(len(self.value.points or ())))
        return ()

    def to_json(self) -> dict[str, Any]:
        """Give the event as files have it: without what it does not set."""
        return self.model_dump(mode="python", exclude_defaults=True) | {"action": str(self.action)}


class Header(_Shape):
    """Which results corrections are of."""

    format: Literal["blood-cell-corrections"] = FORMAT
    version: Literal[1] = VERSION
    software_version: str
    images: Annotated[
        dict[ImageName, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]],
        Field(description="hash of the cells of each image, by its name in the results"),
    ]
    models: Annotated[dict[ImageName, str], Field(description="SHA-256 by name of the file")]
    taxonomy: Annotated[
        dict[str, Any] | None, Field(description="own cell types; null: the built-in ones")
    ] = None

    @classmethod
    def of(
        cls,
        tables: Mapping[str, Cells],
        *,
        software_version: str,
        models: Iterable[tuple[str, str]],
        taxonomy: Taxonomy = BUILT_IN,
    ) -> Self:
        """Give the header of corrections of some results.

        Parameters
        ----------
        tables : mapping of str to Cells
            Of each image that was analysed, by its name in the results.
        models : iterable of (str, str)
            Name and hash of each model.
        """
        return cls(
            software_version=software_version,
            images={name: cells_digest(cells) for name, cells in tables.items()},
            models=dict(models),
            taxonomy=None if taxonomy == BUILT_IN else taxonomy.to_dict(),
        )

    @property
    def cell_types(self) -> Taxonomy:
        """Cell types of the results."""
        return BUILT_IN if self.taxonomy is None else Taxonomy.from_dict(self.taxonomy)

    def check_is_of(self, results: Self, images: Iterable[str], *, where: str) -> None:
        """Check that corrections with this header fit to results with another one.

        Parameters
        ----------
        images : iterable of str
            That there are events for; others may differ.
        where : str
            File of the corrections, for messages.

        Raises
        ------
        CorrectionsError
            They are of other results, or of other cell types.
        """
        if self.cell_types != results.cell_types:
            raise CorrectionsError(
                f"{where}: made with other cell types ({', '.join(self.cell_types.names)}); the "
                f"results have {', '.join(results.cell_types.names)}. Name the results that were "
                "corrected."
            )
        for name in dict.fromkeys(images):
            if name not in results.images:
                raise CorrectionsError(
                    f"{where}: has corrections of {name!r}, of which there are no results. Name "
                    "the results that were corrected."
                )
            if self.images.get(name) != results.images[name]:
                raise CorrectionsError(
                    f"{where}: the cells of {name!r} are not those that were corrected; expected "
                    "the same results. Name the results that were corrected, or correct these anew."
                )


class Corrections(_Shape):
    """A header and its events."""

    header: Header
    events: tuple[Event, ...]

    def to_json(self) -> dict[str, Any]:
        """Give what ``corrections.json`` holds."""
        return self.header.model_dump() | {"events": [event.to_json() for event in self.events]}

    @property
    def images(self) -> tuple[str, ...]:
        """Images that there are events for."""
        return tuple(dict.fromkeys(event.image for event in self.events))

    def of_image(self, name: str) -> tuple[Event, ...]:
        """Events of an image."""
        return tuple(event for event in self.events if event.image == name)


def cells_digest(cells: Cells) -> str:
    """Hash what the ids of cells refer to: type, box and area of each, in their order."""
    boxes = np.rint(cells["whole_box"]).astype(np.int64).tolist()
    return digest_of_rows(
        zip(cells["cell_type"].tolist(), boxes, cells["area"].tolist(), strict=True)
    )


def digest_of_rows(rows: Iterable[tuple[str, Sequence[int], int]]) -> str:
    """Hash type, box and area of cells; see :func:`cells_digest`."""
    lines = (f"{cell_type} {' '.join(map(str, box))} {area}\n" for cell_type, box, area in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def in_force(events: Sequence[Event]) -> tuple[Event, ...]:
    """Give the events that are not undone, in their order and without those that undo.

    Undoing an ``undo`` makes what it undid hold again.
    """
    undone: set[str] = set()
    for event in reversed(events):
        if event.action is Action.UNDO and event.id not in undone and event.value.event:
            # What is undone twice stays undone.
            undone.add(event.value.event)
    return tuple(e for e in events if e.id not in undone and e.action is not Action.UNDO)
