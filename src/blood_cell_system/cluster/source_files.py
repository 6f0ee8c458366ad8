"""The file that an image is read from, on a disk or in a bucket, and whether it is still the same.

The hash of its content decides. It is not asked for where place, size and time of the last change
are those that the content was read with.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from blood_cell_system.cluster.storage import Storage, is_address, shown_address
from blood_cell_system.errors import BloodCellError, ImageReadError
from blood_cell_system.imaging.scan import ZARR_SUFFIXES, digest_of_file

_ATTEMPTS: Final = 3
"""Readings of a file of a bucket before its image has failed."""
_PAUSE_S: Final = 0.5
"""Before the second reading; twice as long before the third."""
_FRESH_S: Final = 3.0
"""After a change another one may have the same time: on FAT for 2 s, in buckets for 1 s."""
_OF_SEVERAL_FILES: Final = ZARR_SUFFIXES | {".mrxs", ".vms", ".vmu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """What a file was when it was read.

    Parameters
    ----------
    sha256 : str
        Of its content.
    size : int or None
        Bytes.
    mtime_ns : int or None
        Time of its last change, in nanoseconds since 1970; None where another change may have the
        same time, or there is none.
    """

    sha256: str
    size: int | None
    mtime_ns: int | None

    def is_of(self, place: str) -> bool:
        """Whether a file is still the same; one that has gone, or cannot be read now, is."""
        try:
            found = size_and_time(place)
            if self.mtime_ns is not None and found == (self.size, self.mtime_ns):
                return True
            with on_disk(place) as path:
                return digest_of_file(path) == self.sha256
        except (BloodCellError, OSError):
            return True


def size_and_time(place: str) -> tuple[int | None, int | None]:
    """Give size and time of a file for its :class:`FileState`.

    Raises
    ------
    MissingDataError
        There is none.
    ImageReadError
        It cannot be looked at.
    """
    storage, name = _found(place)
    size, mtime_ns = storage.size_and_time(name)
    is_fresh = mtime_ns is not None and time.time_ns() - mtime_ns < _FRESH_S * 1e9
    return size, None if is_fresh else mtime_ns


@contextmanager
def on_disk(place: str) -> Iterator[Path]:
    """Give a path of a file: its own, or that of a copy of one in a bucket, for as long as needed.

    A bucket that fails is asked again.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It cannot be read, or is of several files.
    """
    if not is_address(place):
        yield Path(place)
        return
    storage, name = _found(place)
    if Path(name).suffix.lower() in _OF_SEVERAL_FILES:
        raise ImageReadError(
            f"{shown_address(place)}: a scan of several files; expected one file in a bucket. Copy "
            "it to a disk that all workers see, and name it there."
        )
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                storage.copy_to(name, path)
                break
            except ImageReadError:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE_S * attempt)
        yield path


def _found(place: str) -> tuple[Storage, str]:
    """Give the folder that a file is in, and its name there."""
    if not is_address(place):
        path = Path(place)
        return _storage(str(path.parent)), path.name
    address, question, options = place.partition("?")
    folder, _, name = address.rpartition("/")
    return _storage(f"{folder}{question}{options}"), name


@lru_cache(maxsize=16)
def _storage(folder: str) -> Storage:
    """Open a folder once: a client of a bucket takes longer than a small file."""
    return Storage(folder)
