"""Files that appear whole or not at all: written beside their place, then renamed into it."""

import csv
import io
import json
import math
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from blood_cell_system.errors import BloodCellError, OutputError


def make_folder(path: Path) -> Path:
    """Make a folder with its parents, or say in words why that cannot be.

    Raises
    ------
    OutputError
        The path is a file, or the place cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot make this folder ({error.strerror or error}). "
            + (
                long_path_words(path)
                or "Choose a folder that you may write to, and that is not the name of a file."
            )
        ) from error
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, which takes its place when the block ends well.

    A link stays: what it points to is replaced. The new file has the permissions of any new file.

    Raises
    ------
    OutputError
        The disk is full, the place cannot be written to, or is a folder or a device. What stood at
        ``path`` is untouched.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OutputError(
            f"{path}: a folder or a device, which no file can take the place of. "
            "Choose another file name."
        )
    make_folder(target.parent)
    # The suffix stays last: image writers choose the format by it. Long names leave no room.
    name = f".{target.stem[:40]}.{secrets.token_hex(8)}.partial{target.suffix}"
    temporary = target.with_name(name)
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        _take_place(temporary, target)
    except BloodCellError:
        # Of the block itself, and not about this file.
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _take_place(temporary: Path, target: Path) -> None:
    """Rename a file over another; on Windows once more where somebody reads that one meanwhile."""
    for seconds in _WAITS if sys.platform == "win32" else ():
        try:
            temporary.replace(target)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    temporary.replace(target)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` for a folder that takes its place when the block ends well.

    Raises
    ------
    OutputError
        The disk is full, or the place cannot be written to. What stood at ``path`` is untouched.
    """
    token = secrets.token_hex(8)
    temporary, former = (path.with_name(f".{path.name[:40]}.{token}{end}") for end in _ENDINGS)
    try:
        make_folder(path.parent)
        yield temporary
        if path.exists():
            path.rename(former)
        temporary.rename(path)
    except BloodCellError:
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


_ENDINGS: Final = (".partial", ".former")


def _cannot_write(path: Path, error: OSError) -> OutputError:
    remedy = "Make room on the disk, or choose a folder that you may write to, and run again."
    if sys.platform == "win32" and isinstance(error, PermissionError):
        remedy = "Close the program that has it open, such as a spreadsheet, and run again."
    return OutputError(
        f"{path}: cannot write this file ({error.strerror or error}). "
        f"{long_path_words(path) or remedy}"
    )


def long_path_words(path: Path) -> str:
    """Say what to do about a path that Windows may find too long; nothing where it is not.

    It then answers that there is no such file or folder.
    """
    length = len(os.path.abspath(path))  # noqa: PTH100 (resolve would ask the system)
    if sys.platform != "win32" or length < _LONGEST_ON_WINDOWS:
        return ""
    return (
        f"The path has {length} letters, and Windows takes {_LONGEST_ON_WINDOWS} unless long paths "
        "are switched on (LongPathsEnabled in the registry). Switch them on, or choose a folder "
        "with a shorter path."
    )


_LONGEST_ON_WINDOWS: Final = 247
"""Letters of a folder that a file of a short name still fits into: 260 with the end, less 8.3."""
_WAITS: Final = (0.05, 0.1, 0.2, 0.4)
"""Seconds: as long as a virus scanner or a file indexer looks into a new file."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of bytes, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file with sorted keys, whole or not at all: equal values, equal bytes.

    Numbers that are not finite become null, as JSON has none. Names of files that are not UTF-8
    are escaped, and come back as they were.
    """
    text = _laid_out(value, "\n") + "\n"
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def defused(value: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would run as a formula.

    Examples
    --------
    >>> defused("=2+5.png"), defused("a.png"), defused(-1.5)
    ("'=2+5.png", 'a.png', -1.5)
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def with_formulas(value: str) -> str:
    """Take the apostrophe of :func:`defused` away again."""
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value


_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Lay rows out as comma-separated values that spreadsheets and other programs read safely."""
    lines = []
    for row in rows:
        line = io.StringIO(newline="")
        # By this end a carriage return within a value is quoted as well.
        csv.writer(line, lineterminator="\r\n").writerow([defused(value) for value in row])
        lines.append(line.getvalue().removesuffix("\r\n"))
    return "\n".join([*lines, ""])


def _laid_out(value: Any, line_end: str) -> str:
    """Lay a value out as ``json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)`` does.

    With an indent that works in Python generators, which took a sixth of the analysis of an image.

    Parameters
    ----------
    value : object
    line_end : str
        A line end, and the blanks that the next line begins with.
    """
    if isinstance(value, str):
        return json.encoder.encode_basestring(value)
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else "null"
    if not isinstance(value, (list, tuple, dict)):
        # Numbers, truth and None; what JSON has no form for is refused here.
        return json.dumps(value)
    if not value:
        return "{}" if isinstance(value, dict) else "[]"
    inner = line_end + " "
    if _SCALARS.issuperset(map(type, value.values() if isinstance(value, dict) else value)):
        with suppress(ValueError):  # Of numbers that are not finite.
            line = _encoder(f",{inner}").encode(value)
            return f"{line[0]}{inner}{line[1:-1]}{line_end}{line[-1]}"
    if isinstance(value, dict):
        items = [f"{_key(key)}: {_laid_out(value[key], inner)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(items)}{line_end}}}"
    items = [_laid_out(item, inner) for item in value]
    return f"[{inner}{f',{inner}'.join(items)}{line_end}]"


_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
"""Types of which a list or a table is laid out in one go, in C."""


@cache
def _encoder(separator: str) -> json.JSONEncoder:
    return json.JSONEncoder(
        separators=(separator, ": "), sort_keys=True, ensure_ascii=False, allow_nan=False
    )


def _key(key: Any) -> str:
    text = key if isinstance(key, str) else json.dumps(key)
    return json.encoder.encode_basestring(text)
