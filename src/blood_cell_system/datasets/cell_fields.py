"""Pictures whose single cells have labels in the words of their data set.

Readers of data sets with diagnoses give these: whereas a ``Sample`` says where red and white cells
are, a ``CellField`` says which of them hold a parasite, are sickled, or come from a leukaemia.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.datasets.sample import DroppedCell, FailedPicture
from blood_cell_system.errors import AnnotationError, BloodCellError, DatasetError, MissingDataError
from blood_cell_system.image_io import IMAGE_SUFFIXES, read_image_shape

TINY_SIDE_PX = 3
"""Boxes with a side of this or less are slips of the mouse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedCell:
    """One cell that a person has marked.

    Parameters
    ----------
    label : str
        In the words of the data set.
    box : Box
    """

    label: str
    box: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class CellField:
    """One picture, with what people say about it and its cells.

    Parameters
    ----------
    name : str
        Unlike all others of its data set.
    image_path : Path
    label : str
        Of the picture as a whole, in the words of the data set; empty where there is none.
    cells : tuple of MarkedCell or None
        None where nobody has said where the cells are.
    block : str
        Slide, or what is taken for one.
    split : Split or None
        Where the data set has an official one.
    """

    name: str
    image_path: Path
    label: str = ""
    cells: tuple[MarkedCell, ...] | None = None
    block: str
    split: Split | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReading:
    """A data set of labelled cells, read.

    Parameters
    ----------
    root : Path
    source : str
        Name of the data set.
    licence : str
    fields : tuple of CellField
        Ordered by name.
    dropped : tuple of DroppedCell
        Marks that make no sense.
    failed : tuple of FailedPicture
        Pictures that are missing or damaged.
    """

    root: Path
    source: str
    licence: str
    fields: tuple[CellField, ...]
    dropped: tuple[DroppedCell, ...] = ()
    failed: tuple[FailedPicture, ...] = ()


def read_json_file(path: Path, *, expected: type, what: str) -> Any:
    """Read a label file.

    Parameters
    ----------
    path : Path
    expected : type
        Of the outermost value: ``dict`` or ``list``.
    what : str
        What the file should hold, for messages.

    Raises
    ------
    MissingDataError
        There is no such file.
    AnnotationError
        It is damaged, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingDataError(
            f"{path}: there is no such file; expected {what}. Copy the data set again, whole."
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise AnnotationError(
            f"{path}: no JSON, or cut off ({error}); expected {what}. Copy it again."
        ) from error
    if not isinstance(value, expected):
        raise AnnotationError(
            f"{path}: holds a {type(value).__name__}; expected a {expected.__name__}: {what}."
        )
    return value


def pictures_in(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by their name without ending, in order.

    Raises
    ------
    MissingDataError
        There is no such folder.
    DatasetError
        It holds no pictures, or two that differ in their ending only.
    """
    if not folder.is_dir():
        raise MissingDataError(
            f"{folder}: there is no such folder; expected pictures in it. Copy the data set again, "
            "whole, or name the folder above it."
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DatasetError(
                f"{path}: has the same name as {found[path.stem].name}; expected different ones. "
                "Rename one of them."
            )
        found[path.stem] = path
    if not found:
        raise DatasetError(
            f"{folder}: no pictures in it; expected {', '.join(sorted(IMAGE_SUFFIXES))} files."
        )
    return found


def readable(
    path: Path | None, *, name: str, failed: list[FailedPicture], missing: str
) -> tuple[int, int] | None:
    """Size of a picture; None, and a line in ``failed``, where it cannot be used.

    Parameters
    ----------
    path : Path or None
        None where there is no such file.
    name : str
    failed : list of FailedPicture
        Added to in place.
    missing : str
        Reason where there is no file.
    """
    if path is None:
        failed.append(FailedPicture(stem=name, reason=missing))
        return None
    try:
        return read_image_shape(path)
    except BloodCellError as error:
        failed.append(FailedPicture(stem=name, reason=str(error)))
        return None


def sound_cells(
    marks: Sequence[Any],
    read_mark: Callable[[Any], MarkedCell],
    *,
    shape: tuple[int, int],
    file: Path,
    picture: str,
    dropped: list[DroppedCell],
) -> tuple[MarkedCell, ...]:
    """Read the marks of one picture, clip their boxes, and drop those that make no sense.

    Parameters
    ----------
    marks : sequence
        As they stand in the file.
    read_mark : callable
        Makes a cell of a mark; raises ``KeyError``, ``TypeError`` or ``ValueError`` for one of
        another form.
    shape : tuple of int
        ``(height, width)`` of the picture in pixels.
    file : Path
    picture : str
        Its name, for messages.
    dropped : list of DroppedCell
        Added to in place.

    Raises
    ------
    AnnotationError
        A mark cannot be understood.
    """
    height, width = shape
    cells = []
    for index, mark in enumerate(marks, start=1):
        try:
            cell = read_mark(mark)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise AnnotationError(
                f"{file}: object {index} of {picture} is {str(mark)[:80]!r} "
                f"({type(error).__name__}: {error}); expected a label and a box of numbers. "
                "Mend it or delete it."
            ) from error
        box = Box(
            max(cell.box.x_min, 0.0),
            max(cell.box.y_min, 0.0),
            min(cell.box.x_max, float(width)),
            min(cell.box.y_max, float(height)),
        )
        if min(box.x_max - box.x_min, box.y_max - box.y_min) <= TINY_SIDE_PX:
            reason = f"no size, or outside of {picture}: {tuple(cell.box)}"
            dropped.append(DroppedCell(file=file.name, object_index=index, reason=reason))
            continue
        cells.append(MarkedCell(label=cell.label, box=box))
    return tuple(cells)
