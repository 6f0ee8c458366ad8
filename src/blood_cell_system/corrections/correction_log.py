"""Files of corrections: the append-only log beside results, and ``corrections.json``.

An event is one line of the log, written by one call and on the disk when :meth:`append` returns. A
process that is killed in between leaves a last line without its end, which nobody was told was
saved; it is cut off when the log is opened again.
"""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from blood_cell_system.atomic_files import make_folder, write_bytes
from blood_cell_system.corrections.record import FORMAT, VERSION, Corrections, Event, Header
from blood_cell_system.errors import CorrectionsError, OutputError, system_words, value_words
from blood_cell_system.input_files import parsed_json, read_bytes

LOG_FOLDER: Final = "corrections"
"""Within the folder of results; who writes to the log locks it."""
LOG_NAME: Final = "corrections.jsonl"

_REMEDY: Final = "Take the file as it was saved."


def log_of(results: Path) -> Path:
    """Path of the log of a folder of results."""
    return results / LOG_FOLDER / LOG_NAME


def read_corrections(path: Path) -> Corrections:
    """Read a log, or a file of corrections.

    Raises
    ------
    MissingDataError
        There is no such file.
    CorrectionsError
        It is damaged, of another kind or of a later version.
    """
    data = read_bytes(path, error=CorrectionsError)
    first, is_line, rest = data.partition(b"\n")
    try:
        json.loads(first)
    except ValueError:
        is_line = b""
    if is_line and rest.strip():
        return _parsed_log(data, path)
    value = parsed_json(_text(data, path), path, error=CorrectionsError, remedy=_REMEDY)
    header, events = _parts(value, path)
    return Corrections(header=header, events=_events(events, path, "events."))


def write_corrections(path: Path, corrections: Corrections) -> None:
    """Write ``corrections.json``.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    write_bytes(path, json.dumps(corrections.to_json(), indent=1).encode("ascii") + b"\n")


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorrectionsError(f"{path}: not JSON in UTF-8 ({error}). {_REMEDY}") from error


def _parts(value: Any, path: Path) -> tuple[Header, Sequence[Any]]:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise CorrectionsError(
            f"{path}: no corrections; expected a JSON object whose format is {FORMAT!r}. Name the "
            "file that the page or bloodcells review has saved."
        )
    if value.get("version") != VERSION:
        raise CorrectionsError(
            f"{path}: corrections of version {value.get('version')!r}; expected {VERSION}. Read "
            "them with the version of this program that has saved them."
        )
    value = dict(value)
    events = value.pop("events", [])
    if not isinstance(events, list):
        raise CorrectionsError(f"{path}: events: expected a list. {_REMEDY}")
    try:
        header = Header.model_validate(value)
        header.cell_types  # noqa: B018 (reads the taxonomy)
    except ValueError as error:
        raise CorrectionsError(f"{path}: {value_words(error)}. {_REMEDY}") from error
    return header, events


def _events(values: Iterable[Any], path: Path, where: str) -> tuple[Event, ...]:
    events: dict[str, Event] = {}
    for number, value in enumerate(values):
        try:
            event = Event.model_validate(value)
        except (ValidationError, RecursionError) as error:
            raise CorrectionsError(
                f"{path}: {where}{number}: {value_words(error)}. {_REMEDY}"
            ) from error
        # A page that got no answer sends again: the same event twice is one.
        if events.setdefault(event.id, event) != event:
            raise CorrectionsError(
                f"{path}: {where}{number}: another event has its id {event.id}; expected one of "
                f"its own. {_REMEDY}"
            )
    return tuple(events.values())


def _parsed_log(data: bytes, path: Path) -> Corrections:
    """Read the lines of a log; a last one that is torn is left out."""
    lines = data.split(b"\n")
    torn = lines.pop()
    with suppress(ValueError):
        json.loads(torn)
        lines.append(torn)
    headers: list[Header] = []
    values: list[Any] = []
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        value = parsed_json(
            _text(line, path), Path(f"{path}: line {number + 1}"), error=CorrectionsError
        )
        if isinstance(value, dict) and "format" in value:
            headers.append(_parts(value, path)[0])
        else:
            values.append(value)
    if not headers:
        raise CorrectionsError(f"{path}: its first line is no header of corrections. {_REMEDY}")
    events = _events(values, path, "event ")
    images: dict[str, str] = {}
    for header in headers:
        images |= header.images
    last = headers[-1].model_copy(update={"images": images})
    return Corrections(header=last, events=events)


class CorrectionsLog:
    """The log of the corrections of some results, for one process at a time.

    Parameters
    ----------
    path : Path
        Made when it is not there.
    header : Header
        Of the results as they are.

    Raises
    ------
    CorrectionsError
        The log is damaged, or of other results.
    OutputError
        It cannot be written to.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        make_folder(path.parent)
        is_new = not path.exists() or path.stat().st_size == 0
        corrections = Corrections(header=header, events=())
        if not is_new:
            data = read_bytes(path, error=CorrectionsError)
            # A log that was killed while its header was written holds nothing.
            is_new = b"\n" not in data
            if not is_new:
                corrections = _parsed_log(data, path)
                corrections.header.check_is_of(header, corrections.images, where=str(path))
        self.events = list(corrections.events)
        self.header = header
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            self._end = 0 if is_new else self._cut_torn_line()
        except OSError as error:
            raise self._cannot_save(error) from error
        if is_new or corrections.header != header:
            self._write(header.model_dump())
            self._sync_folder()

    def append(self, events: Sequence[Event]) -> None:
        """Add events, all or none; when this returns they are on the disk.

        Raises
        ------
        OutputError
            The disk is full, or the file cannot be written to.
        """
        self._write(*(event.to_json() for event in events))
        self.events.extend(events)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    @property
    def corrections(self) -> Corrections:
        """All of it."""
        return Corrections(header=self.header, events=tuple(self.events))

    def _cut_torn_line(self) -> int:
        """Cut off a last line that has no end, or end it where it is whole; gives the size."""
        size = os.fstat(self._file).st_size
        data = self.path.read_bytes()
        torn = data[data.rfind(b"\n") + 1 :]
        try:
            json.loads(torn)
        except ValueError:
            os.ftruncate(self._file, size - len(torn))
            return size - len(torn)
        os.lseek(self._file, size, os.SEEK_SET)
        return size + os.write(self._file, b"\n")

    def _write(self, *values: Any) -> None:
        # ASCII: names that are not UTF-8 are escaped.
        data = "".join(f"{json.dumps(value)}\n" for value in values).encode("ascii")
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise self._cannot_save(error) from error
        self._end += len(data)

    def _sync_folder(self) -> None:
        """Have the name of a new file on the disk, where the system can do that."""
        with suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _cannot_save(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.path}: corrections cannot be saved: {system_words(error)} Or name another file "
            "with --corrections."
        )
