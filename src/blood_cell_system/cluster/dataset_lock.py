"""One run at a time writes a dataset.

A folder is locked by the operating system. A bucket has no locks: there a file says who writes, and
changes every few seconds. Whoever finds it waits for it to change, so that no two clocks need to
agree; one that stays the same was left by a run that was killed.
"""

import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from blood_cell_system.cluster.storage import Storage
from blood_cell_system.errors import BloodCellError, FolderInUseError, MissingDataError
from blood_cell_system.folder_lock import locked_folder

LOCK_FILE: Final = "_lock.json"
_BEAT_S: Final = 10.0
"""Between two changes of the file of a run that goes on."""
_BEATS: Final = 3
"""Without a change after which a run has ended."""


class DatasetLock:
    """Whether a run still has its dataset.

    Raises
    ------
    FolderInUseError
        Of ``check``: another run has taken it, as this one had stood still.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lost = threading.Event()

    def check(self) -> None:
        """Refuse to go on where another run has taken the dataset."""
        if self._lost.is_set():
            raise _in_use(self._storage, {})

    def lose(self) -> None:
        """Note that another run has it."""
        self._lost.set()


@contextmanager
def locked_dataset(storage: Storage, *, beat_s: float = _BEAT_S) -> Iterator[DatasetLock]:
    """Keep a dataset for this run while the block runs.

    Raises
    ------
    FolderInUseError
        Another run writes into it.
    OutputError
        It cannot be written to.
    """
    lock = DatasetLock(storage)
    if storage.folder is not None:
        with locked_folder(storage.folder, command="analyze --scheduler"):
            yield lock
        return
    holder: dict[str, Any] = {
        "run": secrets.token_hex(8),
        "process": os.getpid(),
        "computer": socket.gethostname(),
        "beat": 0,
    }
    ended = threading.Event()
    former = _held(storage)
    for _ in range(_BEATS if former is not None else 0):
        ended.wait(beat_s)
        if _held(storage) not in (former, None):
            raise _in_use(storage, former or {})
    _hold(storage, holder)
    # Of two that begin at once, the one that wrote first finds the other's file.
    ended.wait(beat_s / 10)
    found = _held(storage) or {}
    if found.get("run") != holder["run"]:
        raise _in_use(storage, found)

    def beat() -> None:
        while not ended.wait(beat_s):
            # A bucket that does not answer now may answer at the next beat.
            try:
                found = _held(storage)
                if found is not None and found.get("run") != holder["run"]:
                    lock.lose()
                    return
                _hold(storage, holder | {"beat": holder["beat"] + 1})
                holder["beat"] += 1
            except BloodCellError:
                continue

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        ended.set()
        thread.join()
        if (_held(storage) or {}).get("run") == holder["run"]:
            storage.remove(LOCK_FILE)


def _held(storage: Storage) -> dict[str, Any] | None:
    """Give what the file of the lock says; None where there is none."""
    try:
        value = json.loads(storage.read(LOCK_FILE))
    except MissingDataError:
        return None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _hold(storage: Storage, holder: dict[str, Any]) -> None:
    storage.write(LOCK_FILE, json.dumps(holder).encode())


def _in_use(storage: Storage, holder: dict[str, Any]) -> FolderInUseError:
    who = f" (process {holder['process']} on {holder['computer']})" if "process" in holder else ""
    return FolderInUseError(
        f"{storage.shown}: another run is writing into this dataset{who}. Wait until it has ended, "
        "or choose another --output-dir."
    )
