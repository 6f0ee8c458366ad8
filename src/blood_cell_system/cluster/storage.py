"""Files of a folder or of a bucket, by a path or an address such as ``s3://bucket/folder``.

Buckets of S3, Google and Azure go through pyarrow's own file systems, every other address through
fsspec. A file appears whole or not at all. Credentials are those of the environment; one that
stands in an address is never shown.
"""

import os
import re
import shutil
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from blood_cell_system.atomic_files import write_bytes
from blood_cell_system.errors import (
    BloodCellError,
    ImageReadError,
    MissingDataError,
    OutputError,
    SettingsError,
)
from blood_cell_system.folder_lock import remove_partial_files
from blood_cell_system.input_files import read_bytes

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_OF_ARROW: Final = ("s3", "gs", "gcs", "abfs", "abfss")
_PART_BYTES: Final = 1 << 22
_NOT_ALLOWED: Final = re.compile(
    r"access.?denied|forbidden|\b40[13]\b|credential|unauthori[sz]ed|permission|signature"
    r"|invalid.?access.?key|anonymous",
    re.IGNORECASE,
)
_REMEDY: Final = (
    "Set them as the service documents it, for instance AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, on this computer and on every worker."
)


def is_address(place: str) -> bool:
    """Whether a place is an address, not a path.

    Examples
    --------
    >>> is_address("s3://bucket/slides"), is_address("C:/slides"), is_address("slides")
    (True, False, False)
    """
    return _SCHEME.match(place) is not None


def shown_address(place: str) -> str:
    """Give a place without the secrets that an address may hold.

    Examples
    --------
    >>> shown_address("s3://KEY:SECRET@bucket/slides?endpoint_override=h")
    's3://bucket/slides'
    """
    if not is_address(place):
        return place
    return re.sub(r"://[^/@]*@", "://", place.partition("?")[0])


def reopened_address(shown: str, places: Iterable[str]) -> str:
    """Give an address back what :func:`shown_address` took, from a place of the same bucket.

    Examples
    --------
    >>> reopened_address("s3://bucket/a.png", ["slides", "s3://KEY:SECRET@bucket/slides?x=1"])
    's3://KEY:SECRET@bucket/a.png?x=1'
    """
    parts = shown.split("/", 3)
    for place in places:
        known = shown_address(place).split("/", 3)
        if is_address(place) and known[:3] == parts[:3]:
            whole = place.partition("?")[0].split("/", 3)
            return "/".join([*whole[:3], *parts[3:]]) + "".join(place.partition("?")[1:])
    return shown


class Storage:
    """A folder of this computer or of a bucket.

    Parameters
    ----------
    place : str
        A path, or an address.

    Raises
    ------
    SettingsError
        Nothing here can open such an address.
    """

    def __init__(self, place: str) -> None:
        is_local = not is_address(place)
        self._place = str(Path(place).absolute()) if is_local else place
        self._folder = Path(self._place) if is_local else None

    def __repr__(self) -> str:
        return f"Storage({self.shown!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"_place": self._place, "_folder": self._folder}

    @property
    def shown(self) -> str:
        """The place, without secrets."""
        return shown_address(self._place)

    @property
    def folder(self) -> Path | None:
        """The folder, where it is one of this computer."""
        return self._folder

    @cached_property
    def filesystem(self) -> Any:
        """File system of pyarrow."""
        return self._opened[0]

    @cached_property
    def root(self) -> str:
        """The place within the file system."""
        return str(self._opened[1]).rstrip("/")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from pyarrow import fs

        if self._folder is not None:
            return fs.LocalFileSystem(), self._folder.as_posix()
        scheme = self._place.partition("://")[0].lower()
        try:
            if scheme in _OF_ARROW:
                place = self._place
                if scheme == "s3":
                    # One request for a small file, where there would be three.
                    place += f"{'&' if '?' in place else '?'}allow_delayed_open=true"
                opened: tuple[Any, str] = fs.FileSystem.from_uri(place)
                return opened
            from fsspec.core import url_to_fs

            found, root = url_to_fs(self._place)
            return fs.PyFileSystem(fs.FSSpecHandler(found)), root
        except Exception as error:  # Every service has errors of its own.
            raise SettingsError(
                f"{self.shown}: nothing here opens such an address ({self._words(error)}). "
                "Expected a path, s3://, gs://, abfs://, or what fsspec has a package for."
            ) from error

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def remove_partial_files(self) -> None:
        """Remove what a killed run left half-written; a bucket shows nothing of it."""
        if self._folder is not None:
            remove_partial_files(Path(root) for root, _, _ in os.walk(self._folder))

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises
        ------
        MissingDataError
            There is none.
        ImageReadError
            It cannot be read.
        """
        if self._folder is not None:
            return read_bytes(self._folder / name, error=ImageReadError)
        try:
            with self.filesystem.open_input_stream(self._at(name)) as stream:
                data: bytes = stream.read()
                return data
        except Exception as error:  # Every service has errors of its own.
            raise self._error(name, error, ImageReadError, "cannot be read") from error

    def size_and_time(self, name: str) -> tuple[int | None, int | None]:
        """Give the bytes of a file and the nanosecond of its last change; None where not known.

        Raises
        ------
        MissingDataError
            There is none.
        ImageReadError
            The place does not answer.
        """
        from pyarrow import fs

        try:
            [found] = self.filesystem.get_file_info([self._at(name)])
            if found.type == fs.FileType.NotFound:
                raise FileNotFoundError(name)
        except Exception as error:  # Every service has errors of its own.
            raise self._error(name, error, ImageReadError, "cannot be read") from error
        return (found.size, found.mtime_ns) if found.is_file else (None, None)

    def copy_to(self, name: str, path: Path) -> None:
        """Copy a file to a path of this computer, a part at a time.

        Raises
        ------
        MissingDataError
            There is none.
        ImageReadError
            It cannot be read.
        """
        try:
            with self.filesystem.open_input_stream(self._at(name)) as stream, path.open("wb") as to:
                shutil.copyfileobj(stream, to, _PART_BYTES)
        except Exception as error:  # Every service has errors of its own.
            raise self._error(name, error, ImageReadError, "cannot be read") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all; one that is there is replaced.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        if self._folder is not None:
            write_bytes(self._folder / name, data)
            return
        try:
            place = self._at(name)
            is_bucket = self._place.partition("://")[0].lower() in _OF_ARROW
            # A bucket shows an object when it is complete; elsewhere a name is given at the end.
            target = place if is_bucket else str(PurePosixPath(place).with_name(f"_{os.getpid()}"))
            if not is_bucket:
                self.filesystem.create_dir(str(PurePosixPath(place).parent), recursive=True)
            with self.filesystem.open_output_stream(target) as stream:
                stream.write(data)
            if not is_bucket:
                self.filesystem.move(target, place)
        except Exception as error:  # Every service has errors of its own.
            raise self._error(name, error, OutputError, "cannot be written") from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises
        ------
        OutputError
            It cannot be removed.
        """
        try:
            self.filesystem.delete_file(self._at(name))
        except FileNotFoundError:
            return
        except Exception as error:  # Every service has errors of its own.
            raise self._error(name, error, OutputError, "cannot be removed") from error

    def place_of(self, name: str) -> str:
        """Path or address of a file."""
        folder, question, options = self._place.partition("?")
        return f"{folder.rstrip('/')}/{name}{question}{options}"

    @contextmanager
    def opened(self, name: str, *, is_random: bool = False) -> Iterator[Any]:
        """Open a file to read it in parts, from its beginning to its end or as its reader likes.

        Raises
        ------
        MissingDataError
            There is none, or it cannot be opened.
        """
        open_file = (
            self.filesystem.open_input_file if is_random else self.filesystem.open_input_stream
        )
        try:
            stream = open_file(self._at(name))
        except Exception as error:  # Every service has errors of its own.
            raise self._error(name, error, MissingDataError, "cannot be opened") from error
        with stream:
            yield stream

    def files(
        self,
        folder: str = "",
        *,
        is_deep: bool = True,
        without: str = "",
        like_files: Container[str] = (),
    ) -> Iterator[str]:
        """Name the files below a folder in the order of names, one folder at a time.

        Parameters
        ----------
        folder : str
            A folder within this one; one that is not there has no files.
        is_deep : bool
            Whether folders in it are searched.
        without : str
            A folder of the file system that is passed over.
        like_files : container of str
            Endings of folders that are named like files.

        Raises
        ------
        MissingDataError
            The place itself cannot be listed.
        """
        from pyarrow import fs

        try:
            selector = fs.FileSelector(self._at(folder), allow_not_found=bool(folder))
            found = self.filesystem.get_file_info(selector)
        except Exception as error:  # Every service has errors of its own.
            raise self._error(folder, error, MissingDataError, "cannot be listed") from error
        for entry in sorted(found, key=lambda entry: str(entry.base_name)):
            if entry.base_name.startswith("."):
                continue
            name = f"{folder}/{entry.base_name}" if folder else str(entry.base_name)
            is_folder = entry.type == fs.FileType.Directory
            if is_folder and PurePosixPath(name).suffix.lower() not in like_files:
                if is_deep and entry.path.rstrip("/") != without:
                    yield from self.files(name, without=without, like_files=like_files)
            elif entry.base_name:
                yield name

    def _words(self, error: Exception) -> str:
        """Give what a service said, in one line without secrets."""
        words = " ".join(str(error).split()) or type(error).__name__
        secrets = re.findall(r"://([^/@]*)@", self._place)
        secrets += self._place.partition("?")[2].replace("=", "&").split("&")
        for secret in (part for one in secrets for part in (one, *one.split(":"))):
            words = words.replace(secret, "…") if len(secret) > 3 else words
        return words.replace(self._place, self.shown)

    def _error(
        self, name: str, error: Exception, kind: type[BloodCellError], found: str
    ) -> BloodCellError:
        if isinstance(error, BloodCellError):
            return error
        place = f"{self.shown}/{name}" if name else self.shown
        words = self._words(error)
        if isinstance(error, FileNotFoundError):
            return MissingDataError(f"{place}: there is no such file. Check the address.")
        if isinstance(error, PermissionError) or _NOT_ALLOWED.search(words):
            return kind(f"{place}: {found}: no credentials, or none that may ({words}). {_REMEDY}")
        return kind(f"{place}: {found} ({words}). Check the address and the network.")
