"""A file over HTTP: resumed where it was cut, checked, and in its place only when it is whole."""

import hashlib
import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from blood_cell_system.atomic_files import make_folder, write_json
from blood_cell_system.errors import DownloadError, OutputError, SettingsError

TIMEOUT_SECONDS: Final = 30.0
ATTEMPTS: Final = 5
"""Tries in a row without a single new byte before it is given up."""

_PIECE: Final = 1 << 16
# Of those in the 400s, the ones that pass.
_PASSING = (408, 425, 429)
_NOT_SATISFIABLE = 416
_PARTIAL = 206

Tell = Callable[[int, int | None], None]
"""Is told the bytes that are there, and of how many, where the server says so."""


def fetch_file(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    attempts: int = ATTEMPTS,
    tell: Tell | None = None,
) -> Path:
    """Download a file.

    What has arrived stays beside the target when the connection breaks, and is gone on with by the
    next try or the next call, if the server still has the same file.

    Parameters
    ----------
    address : str
        ``http`` or ``https``.
    target : Path
        A file that is there already is replaced, at the end.
    sha256 : str, optional
        What the file must have.
    timeout_seconds : float
        Longest silence of the server.
    attempts : int
        Tries in a row that bring nothing.
    tell : callable, optional

    Returns
    -------
    Path
        The target.

    Raises
    ------
    SettingsError
        The address is of another kind.
    DownloadError
        The server refuses, cannot be reached, falls silent, or sends another file than expected.
    OutputError
        The place cannot be written to.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        raise SettingsError(f"{address}: expected an address that begins with https:// or http://.")
    make_folder(target.parent)
    part = target.with_name(f".{target.name}.part")
    failures, reason = 0, ""
    while failures < attempts:
        before = _size(part)
        try:
            if _fetch_rest(address, part, timeout_seconds, tell):
                _check(part, sha256, address)
                _put_in_place(part, target)
                return target
            reason = "the connection was cut"
        except HTTPError as error:
            if error.code < 500 and error.code not in _PASSING:
                raise DownloadError(
                    f"{address}: the server answers {error.code} ({error.reason}). Check the "
                    "address, or look on the data set's page whether it has moved."
                ) from error
            reason = f"the server answers {error.code}"
        except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = _in_words(error, timeout_seconds)
        failures = 0 if _size(part) > before else failures + 1
    raise DownloadError(
        f"{address}: not downloaded after {attempts} tries, the last time because {reason}. Check "
        f"the network and run the same again: it goes on after {_size(part):,} bytes."
    )


def _fetch_rest(address: str, part: Path, timeout_seconds: float, tell: Tell | None) -> bool:
    """Fetch what is missing; False when the connection ended before the file did."""
    start = _size(part)
    mark = _read_mark(part)
    headers = {"User-Agent": "blood-cell-system", "Accept-Encoding": "identity"}
    if start and mark:
        headers |= {"Range": f"bytes={start}-", "If-Range": mark}
    # The scheme was checked: no file:// gets here.
    try:
        response = cast(
            HTTPResponse, urlopen(Request(address, headers=headers), timeout=timeout_seconds)
        )
    except HTTPError as error:
        if error.code != _NOT_SATISFIABLE:
            raise
        # What is there is not a part of what the server has now.
        _remove(part)
        return False
    with response:
        goes_on = response.status == _PARTIAL and _starts_at(response.headers, start)
        if response.status == _PARTIAL and not goes_on:
            raise HTTPException("the server sent another part than asked for")
        here = start if goes_on else 0
        length = response.headers.get("Content-Length")
        total = here + int(length) if length and length.isdigit() else None
        _write_mark(part, dict(response.headers.items()))
        with _opened(part, "ab" if goes_on else "wb") as file:
            while piece := response.read1(_PIECE):
                file.write(piece)
                here += len(piece)
                if tell:
                    tell(here, total)
    return total is None or here == total


def _opened(part: Path, mode: str) -> Any:
    try:
        return part.open(mode)
    except OSError as error:
        raise OutputError(
            f"{part}: cannot write this file ({error.strerror or error}). Choose an --output that "
            "you may write to."
        ) from error


def _starts_at(headers: Any, start: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _check(part: Path, sha256: str | None, address: str) -> None:
    if sha256 is None:
        return
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        _remove(part)
        raise DownloadError(
            f"{address}: the file has SHA-256 {found}, expected {sha256.lower()}: it is damaged, "
            "or another version. Nothing was kept. Try again, or look on the data set's page."
        )


def _put_in_place(part: Path, target: Path) -> None:
    try:
        part.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target}: cannot put the file there ({error.strerror or error}). Choose another "
            "--output."
        ) from error
    _mark_path(part).unlink(missing_ok=True)


def _mark_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _write_mark(part: Path, headers: Mapping[str, str]) -> None:
    """Keep what tells whether the server still has the same file; weak marks do not."""
    by_name = {name.lower(): value for name, value in headers.items()}
    tag = by_name.get("etag", "")
    mark = tag if tag and not tag.startswith("W/") else by_name.get("last-modified", "")
    write_json(_mark_path(part), {"mark": mark})


def _read_mark(part: Path) -> str:
    try:
        return str(json.loads(_mark_path(part).read_text(encoding="utf-8"))["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _remove(part: Path) -> None:
    for path in (part, _mark_path(part)):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _in_words(error: Exception, timeout_seconds: float) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"the server was silent for {timeout_seconds:.0f} seconds"
    if isinstance(cause, socket.gaierror):
        return "there is no such server, or this machine is offline"
    return str(cause) or type(cause).__name__
