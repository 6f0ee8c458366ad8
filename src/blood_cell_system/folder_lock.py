"""One run at a time in a folder of results; what a killed run left half-written is removed.

The lock is the operating system's, on a hidden file: it ends with its process, however that ends.
The file says who holds it.
"""

import errno
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from blood_cell_system.atomic_files import make_folder
from blood_cell_system.errors import FolderInUseError, OutputError

LOCK_NAME: Final = ".bloodcells.lock"
"""Name of the file that a run holds while it writes into a folder."""

_PARTIAL: Final = re.compile(r"\..*\.[0-9a-f]{16}\.partial(\.[^.]*)?")
"""Temporary names of ``atomic_files.replacing``."""

_UNSUPPORTED: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""Errors of file systems that have no locks; a run there goes on without one."""

_held: Final = threading.local()
"""Folders that this thread has locked: what it calls may lock them again."""


@contextmanager
def locked_folder(folder: Path, *, command: str) -> Iterator[None]:
    """Keep a folder for this run while the block runs, and remove partial files in it.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    command : str
        What the second run is told about this one.

    Raises
    ------
    FolderInUseError
        Another run writes into the folder.
    OutputError
        The folder cannot be written to.
    """
    make_folder(folder)
    place = os.path.realpath(folder)
    mine: set[str] = _held.__dict__.setdefault("folders", set())
    if place in mine:
        yield
        return
    path = Path(place) / LOCK_NAME
    lock = _acquire(path, folder)
    mine.add(place)
    try:
        _write_holder(lock, command)
        remove_partial_files([folder])
        yield
    finally:
        mine.discard(place)
        _release(lock, path)


def remove_partial_files(folders: Iterable[Path]) -> None:
    """Remove the temporary files that a killed run left in folders, not in those within them."""
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if _PARTIAL.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(OSError):
                        Path(entry.path).unlink()


def _acquire(path: Path, folder: Path) -> int:
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot write to this folder ({error.strerror or error}). "
                "Choose a folder that you may write to."
            ) from error
        try:
            _lock(lock)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return lock
            os.close(lock)
            raise FolderInUseError(
                f"{folder}: another run is writing into this folder{_holder(path)}. "
                "Wait until it has ended, or choose another folder."
            ) from error
        with suppress(OSError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        # Its holder has removed the file between opening and locking: the name is free again.
        os.close(lock)


def _release(lock: int, path: Path) -> None:
    # Removed while it is held, so that nobody waits for a file without a name.
    with suppress(OSError):
        path.unlink()
    os.close(lock)
    if sys.platform == "win32":
        with suppress(OSError):
            path.unlink()


def _write_holder(lock: int, command: str) -> None:
    holder = {
        "command": command,
        "process": os.getpid(),
        "computer": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }
    # A full disk must not end the run here: the lock holds without it.
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.write(lock, json.dumps(holder).encode())


def _holder(path: Path) -> str:
    """Say who holds a lock; nothing where its file does not say."""
    try:
        holder = json.loads(path.read_bytes())
        process, computer = int(holder["process"]), str(holder["computer"])
        words = f"{holder['command']}, process {process} on {computer}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" ({words})"


if sys.platform == "win32":
    import msvcrt

    _FAR: Final = 1 << 30
    """Place of the locked byte, behind what the file holds: that can then be read."""

    def _lock(lock: int) -> None:
        os.lseek(lock, _FAR, os.SEEK_SET)
        msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        os.lseek(lock, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
