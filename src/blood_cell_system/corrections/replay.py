"""The cells of an image after its corrections.

Events apply in their order. An event of a cell that is gone, as another person has deleted, split
or merged it or what made it was undone, changes nothing; one of a cell that never was is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.outline import PolygonOutline
from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import NONE_OF_THESE
from blood_cell_system.corrections.record import Action, CellId, Event, Value, in_force
from blood_cell_system.errors import CorrectionsError
from blood_cell_system.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedCell:
    """A cell after the corrections of its image.

    Parameters
    ----------
    id : int or str
        As events name it.
    row : int or None
        Of its cell in the table of the results; None for one that a person drew, split or merged.
    condition, subtype : str or None
        None where neither the program nor a person says one.
    is_stated : bool
        Whether a person has given or confirmed its class.
    is_redrawn : bool
        Whether its pixels are not those of the results.
    by, at : str or None
        Who acted on it last, and when; None for a cell that nobody acted on.
    """

    id: CellId
    row: int | None
    cell_type: str
    condition: str | None
    subtype: str | None
    is_stated: bool = False
    is_redrawn: bool = False
    by: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrectedField:
    """An image after its corrections.

    Parameters
    ----------
    cells : tuple of CorrectedCell
        Those of the results in their order, then those that people made.
    label_image : ndarray of shape (height, width), dtype int32
        ``i + 1`` in the cell at index ``i``; empty if the results were read without pixels.
    removed : tuple of int
        Rows of the results whose cells are gone: deleted, split or merged.
    is_reviewed : bool
        Whether a person has reviewed the field to its end.
    people : tuple of str
        Who acted on it, in the order of their first action.
    moot : tuple of Event
        That changed nothing, as their cells are gone or lie wholly within others.
    """

    cells: tuple[CorrectedCell, ...]
    label_image: NDArray[np.int32]
    removed: tuple[int, ...]
    is_reviewed: bool
    people: tuple[str, ...]
    moot: tuple[Event, ...]

    @property
    def touched(self) -> tuple[CorrectedCell, ...]:
        """Cells that a person acted on."""
        return tuple(cell for cell in self.cells if cell.by is not None)


def replay(events: Sequence[Event], cells: Cells) -> CorrectedField:
    """Apply the events of one image to its cells.

    Parameters
    ----------
    events : sequence of Event
        Of one image, in the order of their making.
    cells : Cells
        Of the results, with or without pixels.

    Raises
    ------
    CorrectionsError
        An event names a cell, a class or an event that never was.
    """
    check_events(events, cells)
    state = _State.of(cells)
    moot = [event for event in in_force(events) if not state.apply(event)]
    return state.field(events, moot)


def check_events(events: Sequence[Event], cells: Cells) -> None:
    """Check that the cells, classes and events that the events of one image name exist.

    Raises
    ------
    CorrectionsError
        They do not.
    """
    made: set[CellId] = set(cells.ids.tolist())
    seen: set[str] = set()
    for event in events:
        where = f"event {event.id} of {event.image!r}"
        if event.id in seen:
            raise CorrectionsError(f"{where}: is there twice; expected each event once.")
        for cell in event.cells:
            if cell not in made:
                raise CorrectionsError(
                    f"{where}: names cell {cell}, which there is not; expected 1 to {len(cells)}, "
                    "or one that an event before it made."
                )
        if event.value.event is not None and event.value.event not in seen:
            raise CorrectionsError(
                f"{where}: undoes event {event.value.event}, which there is not; expected one "
                "before it, of the same image."
            )
        _check_class(event.value, cells.taxonomy, where)
        made.update(event.made_cells)
        seen.add(event.id)


def _check_class(value: Value, taxonomy: Taxonomy, where: str) -> None:
    name = value.cell_type
    if name is None:
        if value.condition or value.subtype:
            raise CorrectionsError(f"{where}: has a condition without a cell_type; expected both.")
        return
    if name not in taxonomy:
        raise CorrectionsError(
            f"{where}: {name!r} is no cell type; expected one of {', '.join(taxonomy.names)}."
        )
    kind = taxonomy[name]
    for what, given, known in (
        ("condition", value.condition, [*(c.name for c in kind.conditions), NONE_OF_THESE]),
        ("subtype", value.subtype, [s.name for s in kind.subtypes]),
    ):
        if given is not None and given not in known:
            expected = f"expected one of {', '.join(known)}" if known else "it has none"
            raise CorrectionsError(f"{where}: {given!r} is no {what} of {name}; {expected}.")


_NO_PIXELS: Final = (0, 0)


@dataclass(slots=True, kw_only=True)
class _State:
    """Cells while events are applied; each has a value of its own in the label image."""

    cells: dict[CellId, CorrectedCell]
    values: dict[CellId, int]
    label_image: NDArray[np.int32]
    is_reviewed: bool = False
    removed: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, cells: Cells) -> "_State":
        found = _classes_of(cells)
        return cls(
            cells={cell.id: cell for cell in found},
            values={cell.id: row + 1 for row, cell in enumerate(found)},
            label_image=cells.label_image.copy(),
        )

    def apply(self, event: Event) -> bool:
        """Apply an event; gives whether it changed anything."""
        if event.action is Action.REVIEW_FIELD:
            self.is_reviewed = True
            return True
        if event.action is Action.DRAW:
            return self._draw(event)
        alive = [cell for cell in event.cells if cell in self.cells]
        if event.action is Action.MERGE and len(alive) < 2:
            return False
        for cell in alive:
            self._mark(cell, event)
        match event.action:
            case Action.SET_CLASS:
                for cell in alive:
                    self._set_class(cell, event.value)
            case Action.REVIEW_CELLS:
                for cell in alive:
                    self.cells[cell] = replace(self.cells[cell], is_stated=True)
            case Action.DELETE:
                for cell in alive:
                    self._remove(cell, by_value=0)
            case Action.SPLIT if alive:
                self._split(alive[0], event)
            case Action.MERGE:
                self._merge(alive, event)
            case Action.SET_OUTLINE if alive:
                return self._set_outline(alive[0], event)
        return bool(alive)

    def _mark(self, cell: CellId, event: Event) -> None:
        self.cells[cell] = replace(self.cells[cell], by=event.by, at=event.at)

    def _set_class(self, cell: CellId, value: Value) -> None:
        if value.cell_type is not None:
            self.cells[cell] = replace(
                self.cells[cell],
                cell_type=value.cell_type,
                condition=value.condition,
                subtype=value.subtype,
                is_stated=True,
            )

    def _add(self, cell: CorrectedCell) -> int:
        self.cells[cell.id] = cell
        # From the count of all that ever were: a value is never given twice.
        self.values[cell.id] = len(self.values) + 1
        return self.values[cell.id]

    def _remove(self, cell: CellId, *, by_value: int) -> None:
        self.label_image[self.label_image == self.values[cell]] = by_value
        row = self.cells.pop(cell).row
        if row is not None:
            self.removed.append(row)

    def _made(self, event: Event, cell: CellId, like: CorrectedCell) -> CorrectedCell:
        return replace(like, id=cell, row=None, is_redrawn=True, by=event.by, at=event.at)

    def _draw(self, event: Event) -> bool:
        drawn = CorrectedCell(
            id=event.id, row=None, cell_type="", condition=None, subtype=None, is_redrawn=True
        )
        value = self._add(replace(drawn, by=event.by, at=event.at))
        self._set_class(event.id, event.value)
        return self._paint(event, event.id, value)

    def _split(self, cell: CellId, event: Event) -> None:
        whole = self.cells[cell]
        rows, columns = np.nonzero(self.label_image == self.values[cell])
        points = np.array(event.value.points, dtype=np.float64)
        distances = (columns[:, None] + 0.5 - points[:, 0]) ** 2
        distances += (rows[:, None] + 0.5 - points[:, 1]) ** 2
        nearest = distances.argmin(axis=1)
        self._remove(cell, by_value=0)
        for number, part in enumerate(event.made_cells):
            value = self._add(self._made(event, part, whole))
            self.label_image[rows[nearest == number], columns[nearest == number]] = value

    def _merge(self, parts: Sequence[CellId], event: Event) -> None:
        value = self._add(self._made(event, event.id, self.cells[parts[0]]))
        self._set_class(event.id, event.value)
        for part in parts:
            self._remove(part, by_value=value)

    def _set_outline(self, cell: CellId, event: Event) -> bool:
        value = self.values[cell]
        self.label_image[self.label_image == value] = 0
        self.cells[cell] = replace(self.cells[cell], is_redrawn=True)
        return self._paint(event, cell, value)

    def _paint(self, event: Event, cell: CellId, value: int) -> bool:
        """Give a cell the background within its outline; without any it is gone."""
        if self.label_image.shape == _NO_PIXELS:
            return True
        outline = PolygonOutline.from_points(event.value.polygon or ())
        height, width = self.label_image.shape
        rows, columns, inside = outline.window((height, width))
        window = self.label_image[rows, columns]
        window[inside & (window == 0)] = value
        if (window == value).any():
            return True
        self._remove(cell, by_value=0)
        return False

    def field(self, events: Sequence[Event], moot: Sequence[Event]) -> CorrectedField:
        """Give what the events came to, numbered without gaps."""
        kept = list(self.cells.values())
        if self.label_image.shape != _NO_PIXELS:
            present = np.zeros(len(self.values) + 1, dtype=np.bool_)
            present[np.unique(self.label_image)] = True
            # A cell of the results may have no pixels of its own; a part of a split one must.
            kept = [c for c in kept if c.row is not None or present[self.values[c.id]]]
        table = np.zeros(len(self.values) + 1, dtype=np.int32)
        table[[self.values[cell.id] for cell in kept]] = np.arange(1, len(kept) + 1)
        return CorrectedField(
            cells=tuple(kept),
            label_image=table[self.label_image],
            removed=tuple(sorted(self.removed)),
            is_reviewed=self.is_reviewed,
            people=tuple(dict.fromkeys(event.by for event in events)),
            moot=tuple(moot),
        )


def _classes_of(cells: Cells) -> list[CorrectedCell]:
    """Give the cells of the results with the classes that the program names."""
    is_classified = "condition" in cells
    found = []
    for row, cell_type in enumerate(cells["cell_type"].tolist()):
        condition = cells["condition"][row] if is_classified else None
        if is_classified and not cells["is_known"][row]:
            condition = NONE_OF_THESE
        subtype = cells["subtype"][row] if is_classified else None
        found.append(
            CorrectedCell(
                id=row + 1, row=row, cell_type=cell_type, condition=condition, subtype=subtype
            )
        )
    return found
