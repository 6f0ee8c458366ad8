"""Files of the user and of other programs, read without trust."""

import csv
import io
import json
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from blood_cell_system.errors import (
    BloodCellError,
    DatasetError,
    MissingDataError,
    is_memory_full,
    system_words,
)
from blood_cell_system.text_encoding import decoded

MAX_BYTES: Final = 2_000_000_000
"""Larger files are refused before they fill the memory."""

_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of_special(path: Path) -> str | None:
    """Say what stands at a path, or at the end of its links, if it is not a file.

    Reading a named pipe waits for ever, and some devices have no end.

    Returns
    -------
    str or None
        Such as ``a named pipe``; None for a file, and where there is nothing.

    Raises
    ------
    OSError
        The path is too long, or its folder may not be read.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return next((words for is_kind, words in _KINDS if is_kind(mode)), None)


def read_bytes(path: Path, *, error: type[BloodCellError] = DatasetError) -> bytes:
    """Read a file as it is.

    Parameters
    ----------
    error : type of BloodCellError
        What is raised when it cannot be read.

    Raises
    ------
    MissingDataError
        There is no such file.
    """
    try:
        if kind := kind_of_special(path):
            raise error(
                f"{path}: cannot be read: {kind}, not a file. Replace it by a file, or remove it."
            )
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise error(f"{path}: {size:,} bytes; at most {MAX_BYTES:,} are read. Part the file.")
        return path.read_bytes()
    except BloodCellError:
        raise
    except FileNotFoundError as missing:
        raise MissingDataError(f"{path}: there is no such file. Check the path.") from missing
    except OSError as refused:
        if is_memory_full(refused):
            raise MemoryError from refused
        raise error(f"{path}: cannot be read: {system_words(refused)}") from refused


def read_json(
    path: Path,
    *,
    error: type[BloodCellError] = DatasetError,
    remedy: str = "Copy it again from its source.",
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    """Read a JSON file of UTF-8.

    Parameters
    ----------
    error : type of BloodCellError
        What is raised when it cannot be read, or is not JSON.
    remedy : str
        What to do about a file that is not JSON.
    parse_constant : callable, optional
        Of ``json.loads``: what is done with NaN.

    Raises
    ------
    MissingDataError
        There is no such file.
    """
    data = read_bytes(path, error=error)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"{path}: not JSON in UTF-8 ({fault}). {remedy}") from fault
    return parsed_json(text, path, error=error, remedy=remedy, parse_constant=parse_constant)


def parsed_json(
    text: str,
    path: Path,
    *,
    error: type[BloodCellError] = DatasetError,
    remedy: str = "Copy it again from its source.",
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    """Read JSON; as :func:`read_json`, from the text of a file."""
    try:
        return json.loads(text, parse_constant=parse_constant)
    except RecursionError as fault:
        raise error(f"{path}: JSON nested too deep to be read. {remedy}") from fault
    except json.JSONDecodeError as fault:
        raise error(f"{path}: not JSON, or cut off ({fault}). {remedy}") from fault
    except ValueError as fault:
        # Of numbers that Python does not convert, for their time grows with the square.
        found = "a number of thousands of digits" if "digits" in str(fault) else str(fault)
        raise error(f"{path}: contains {found}. {remedy}") from fault


def read_table(
    path: Path,
    columns: Mapping[str, Sequence[str]],
    *,
    error: type[BloodCellError] = DatasetError,
    remedy: str,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of a table of text with the numbers of their lines.

    The header shows what separates the columns: spreadsheets of many countries write semicolons.
    Capitals of names and blanks do not count. Empty rows are passed over.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        Columns that must be there, each with the names that it may have.
    error : type of BloodCellError
        What is raised when it cannot be read, or is no such table.
    remedy : str
        What to do about a missing column.

    Yields
    ------
    line : int
    values : dict of str to str
        By column; what a row is too short for is missing.

    Raises
    ------
    MissingDataError
        There is no such file.
    """
    data = read_bytes(path, error=error)
    try:
        text = decoded(data, path)
    except ValueError as fault:
        raise error(f"{path}: {fault}. Save the table as CSV UTF-8.") from fault
    rows = _csv_rows(text)
    try:
        names = _named(next(rows, []), columns)
        if lacking := [name for name in columns if name not in names]:
            raise error(
                f"{path}: no column {', '.join(lacking)}; found {', '.join(names) or 'none'}. "
                f"{remedy}"
            )
        for row in rows:
            if any(field.strip() for field in row):
                yield rows.line_num, dict(zip(names, map(str.strip, row), strict=False))
    except csv.Error as fault:
        raise error(
            f"{path}: line {rows.line_num} is no row of a table ({fault}). Correct the line, or "
            "remove it."
        ) from fault


def has_columns(head: str, columns: Mapping[str, Sequence[str]]) -> bool:
    """Whether a text begins as a table with such columns, as :func:`read_table` needs them."""
    try:
        return columns.keys() <= set(_named(next(_csv_rows(head), []), columns))
    except csv.Error:
        return False


# What spreadsheets may put before the header.
_SEPARATOR_LINE: Final = re.compile(r"\A\"?sep=.\"?\s*?[\r\n]+", re.IGNORECASE)


def _csv_rows(text: str) -> Any:
    head = next(iter(_SEPARATOR_LINE.sub("", text, count=1).splitlines()), "")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    if _SEPARATOR_LINE.match(text):
        next(rows)
    return rows


def _named(header: Sequence[str], columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of a table's columns, the needed ones under the names that they are read by."""
    names = [name.strip().casefold() for name in header]
    for column, known in columns.items():
        if found := next((name for name in known if name in names), None):
            names[names.index(found)] = column
    return names
