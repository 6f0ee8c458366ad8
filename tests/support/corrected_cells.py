"""Small results and events that correct them."""

import itertools
from uuid import UUID

import numpy as np

from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections.record import Action, CellId, Event, Header, Value

_numbers = itertools.count(1)


def an_event(
    action: Action, cells: list[CellId] | None = None, *, image: str = "a", by: str = "Ada", **value
) -> Event:
    """Make an event with an id of its own."""
    return Event(
        id=str(UUID(int=next(_numbers), version=4)),
        at="2026-05-01T12:30:00Z",
        by=by,
        image=image,
        action=action,
        cells=tuple(cells or ()),
        value=Value(**value),
    )


def two_cells() -> Cells:
    """Give a red and a white cell, each a rectangle, in a field of 20 x 40 pixels."""
    label_image = np.zeros((20, 40), dtype=np.int32)
    label_image[2:12, 1:11] = 1
    label_image[4:16, 20:36] = 2
    return Cells(label_image=label_image).with_columns(
        cell_type=["RBC", "WBC"],
        box=[(1, 2, 11, 12), (20, 4, 36, 16)],
        whole_box=[(1, 2, 11, 12), (20, 4, 36, 16)],
        area=[100, 192],
    )


def a_header(**tables: Cells) -> Header:
    """Give the header of corrections of tables; without any, of two cells in image a."""
    return Header.of(
        tables or {"a": two_cells()}, software_version="0.3.0", models=[("m.onnx", "0" * 64)]
    )
