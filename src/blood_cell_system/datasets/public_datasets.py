"""A data set by its name, cloned or taken from Kaggle: the folder is whole, or not there."""

import hashlib
import importlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import cache
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import yaml
from pydantic.dataclasses import dataclass

from blood_cell_system.atomic_files import make_folder, write_json
from blood_cell_system.errors import DownloadError, OutputError, SettingsError, UnknownNameError


class Way(StrEnum):
    """How a data set is got."""

    GIT = "git"
    KAGGLE = "kaggle"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicDataSet:
    """A data set that others have published.

    Parameters
    ----------
    name : str
        For the command line.
    title : str
        What is in it, in a line.
    address : str
        Of the repository, the Kaggle handle, or the page where to ask.
    folder : str
        Name of the folder that it is put into.
    next_step : str
        The command to go on with.
    """

    name: str
    title: str
    way: Way
    address: str
    licence: str
    citation: str
    folder: str
    next_step: str


@cache
def data_sets() -> Mapping[str, PublicDataSet]:
    """Read ``public_datasets.yaml``: all data sets by name."""
    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {name: PublicDataSet(name=name, **row) for name, row in rows.items()}


def data_set_named(name: str) -> PublicDataSet:
    """Look a data set up.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    if name.lower() not in data_sets():
        remedy = "Or the address of a file that begins with https://."
        raise UnknownNameError.of("data set", name, data_sets(), remedy=remedy)
    return data_sets()[name.lower()]


TIMEOUT_SECONDS: Final = 30.0  # Without a byte from the server.
ATTEMPTS: Final = 5
"""Tries in a row without a single new byte before it is given up."""

_PIECE: Final = 1 << 16  # Bytes that are read at a time.
# Of those in the 400s, the ones that pass.
_PASSING = (408, 425, 429)
_NOT_SATISFIABLE = 416  # HTTP status: the range begins behind the end.
_PARTIAL = 206  # HTTP status: the answer is the range that was requested.

Report = Callable[[int, int | None], None]
"""Receives the bytes that are there, and of how many, where the server says so."""


def fetch_file(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    attempts: int = ATTEMPTS,
    report: Report | None = None,
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
    report : callable, optional

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
            if _fetch_rest(address, part, timeout_seconds, report):
                _check(part, sha256, address)
                with _refusal_of(target, "cannot put the file there"):
                    part.replace(target)
                _mark_path(part).unlink(missing_ok=True)
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


def _fetch_rest(address: str, part: Path, timeout_seconds: float, report: Report | None) -> bool:
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
        place = str(response.headers.get("Content-Range", ""))
        goes_on = response.status == _PARTIAL and place.startswith(f"bytes {start}-")
        if response.status == _PARTIAL and not goes_on:
            raise HTTPException("the server sent another part than requested")
        here = start if goes_on else 0
        length = response.headers.get("Content-Length")
        total = here + int(length) if length and length.isdigit() else None
        _write_mark(part, dict(response.headers.items()))
        with _refusal_of(part, "cannot write this file"):
            opened = part.open("ab" if goes_on else "wb")
        with opened as file:
            while piece := response.read1(_PIECE):
                file.write(piece)
                here += len(piece)
                if report:
                    report(here, total)
    return total is None or here == total


@contextmanager
def _refusal_of(path: Path, failure: str) -> Iterator[None]:
    """Say what the system refuses, and where."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: {failure} ({error.strerror or error}). Choose an --output that you may write "
            "to."
        ) from error


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


def _mark_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _write_mark(part: Path, headers: Mapping[str, str]) -> None:
    """Keep what shows whether the server still has the same file; weak tags do not."""
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


# git gives up by itself when this little arrives for this long.
_SLOW: Final = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60")


def download_data_set(data_set: PublicDataSet, target: Path) -> Path:
    """Download a data set.

    Parameters
    ----------
    target : Path
        Folder that it becomes; must not be there, or be empty.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    OutputError
        The target holds something already, or the place cannot be written to.
    DownloadError
        The data set must be asked for, a program or a token is missing, or the network fails.
    """
    if data_set.way is Way.ASK:
        raise DownloadError(
            f"{data_set.name}: its owners give it to whom they know. Ask for it at "
            f"{data_set.address}, unpack it as {data_set.folder}, then: "
            f"{data_set.next_step.format(folder=data_set.folder)}"
        )
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise OutputError(
            f"{target}: there is something of that name already; expected a free place. Go on with "
            f"it ({data_set.next_step.format(folder=target)}), move it away, or choose another "
            "--output."
        )
    get = clone if data_set.way is Way.GIT else _from_kaggle
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        folder = Path(temporary) / target.name
        get(data_set.address, folder)
        with _refusal_of(target, "cannot put the data set there"):
            folder.rename(target)
    return target


def clone(address: str, folder: Path) -> None:
    """Clone the newest state of a git repository.

    Raises
    ------
    DownloadError
        There is no git, no such repository, or no network.
    """
    program = shutil.which("git")
    if program is None:
        raise DownloadError(
            f"{address}: git is not installed. Install it, or download the repository as a zip "
            "file from its page: prepare reads that as well."
        )
    # Without a terminal to ask for passwords: a repository that wants one is not public.
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    words = [program, *_SLOW, "clone", "--quiet", "--depth", "1", "--", address, str(folder)]
    done = subprocess.run(
        words,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("fatal", "error"))]
        raise DownloadError(
            f"{address}: git could not clone it ({'; '.join(lines) or done.stderr.strip()}). Check "
            "the network and run the same again."
        )


def _from_kaggle(handle: str, folder: Path) -> None:
    try:
        kagglehub: Any = importlib.import_module("kagglehub")
    except ModuleNotFoundError as error:
        raise DownloadError(
            f"{handle}: downloading from Kaggle needs the package kagglehub. Add it with "
            "pip install 'blood-cell-system[download]'. Or download the zip file at "
            f"https://www.kaggle.com/datasets/{handle}: prepare reads it as it is."
        ) from error
    try:
        fetched = Path(kagglehub.dataset_download(handle))
    except Exception as error:
        # Of its own and of its network library's many kinds; what helps depends on the answer.
        raise DownloadError(f"{handle}: {_what_kaggle_says(error, handle)}") from error
    shutil.copytree(fetched, folder)


def _what_kaggle_says(error: Exception, handle: str) -> str:
    page = f"https://www.kaggle.com/datasets/{handle}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403) or "auth" in type(error).__name__.lower():
        return (
            "Kaggle asks who you are. Make a token on kaggle.com/settings (Create New Token), put "
            "kaggle.json into ~/.kaggle/, accept the data set's terms on its page if it has any "
            f"({page}), and run the same again."
        )
    if status == 404:
        return f"Kaggle has no such data set. Look at {page}."
    return (
        f"not downloaded ({type(error).__name__}: {error}). Check the network and run the same "
        f"again, or download the zip file at {page}: prepare reads it as it is."
    )
