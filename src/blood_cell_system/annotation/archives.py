"""A zip file in the place of a folder, opened without trust.

Zip files from the net can write outside of their folder (``../../x``, absolute paths, symbolic
links), and a few kilobytes can become petabytes. All of that is refused before a byte is written.
"""

import errno
import re
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from blood_cell_system.errors import BloodCellError, DatasetError, MissingDataError, OutputError
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES
from blood_cell_system.input_files import kind_of_special
from blood_cell_system.terminal import call_by
from blood_cell_system.text_encoding import decoded
from blood_cell_system.wording import counted

MAX_BYTES: Final = 100_000_000_000
"""Unpacked; a larger file is unpacked by hand."""

MAX_FILES: Final = 1_000_000  # Entries; more would fill a disk with names.

_SUSPICIOUS_BYTES: Final = 1_000_000_000  # Unpacked bytes from which the ratio is checked.
# Unpacked to packed bytes, above which an archive is taken for a bomb.
_SUSPICIOUS_RATIO: Final = 500
_DISK_SHARE: Final = 0.9  # Of the free space, the part that may be filled.
_PIECE: Final = 1 << 20  # Bytes that are unpacked at a time.
_LABEL_SUFFIXES: Final = frozenset(
    {".json", ".geojson", ".xml", ".csv", ".tsv", ".txt", ".yaml", ".yml"}
)
_OTHER_ARCHIVES: Final = frozenset({".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"})
# What macOS adds.
_LEFT_BEHIND: Final = "__MACOSX"
# Bits of an entry's flags, by the zip specification.
_ENCRYPTED: Final = 1
_IS_UTF_8: Final = 0x800
_NOT_ON_WINDOWS: Final = re.compile(r'[<>:"|?*\x00-\x1f]|[. ]+$')
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")


@contextmanager
def opened_folder(path: Path) -> Iterator[Path]:
    """Give the folder itself, or that which a zip file unpacks to as long as the block lasts.

    Parameters
    ----------
    path : Path
        A folder, or a zip file.

    Raises
    ------
    MissingDataError
        There is nothing of that name.
    DatasetError
        It is another kind of file, damaged, encrypted, too large, or would write where it must not.
    OutputError
        There is no room to unpack it.
    """
    path = Path(path)
    if path.is_dir():
        yield path
        return
    if kind := kind_of_special(path):
        raise DatasetError(f"{path}: {kind}; expected a folder or a zip file. Check the path.")
    if not path.exists():
        raise MissingDataError(f"{path}: there is no such folder or zip file. Check the path.")
    if not zipfile.is_zipfile(path):
        raise _no_folder(path)
    with tempfile.TemporaryDirectory(prefix="bloodcells_") as temporary:
        # The data set is called as the file is.
        folder = Path(temporary) / path.stem
        call_by(str(folder), str(path))
        try:
            unpack(path, folder)
            yield folder
        except BloodCellError as error:
            # The folder is gone when somebody reads this.
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def _no_folder(path: Path) -> DatasetError:
    """Say what to give in place of a file that is no folder and no zip file."""
    suffix = path.suffix.lower()
    if path.stat().st_size == 0:
        found = "the file is empty (0 bytes). Copy it again from its source."
    elif suffix in _LABEL_SUFFIXES:
        found = (
            f"a single label file; expected the folder that holds it and its images. Give "
            f"{path.parent}."
        )
    elif suffix in IMAGE_SUFFIXES:
        found = f"a single image; expected the folder of images and labels. Give {path.parent}."
    elif suffix == ".zip":
        found = "the zip file is cut off or damaged. Copy it again from its source."
    elif suffix in _OTHER_ARCHIVES:
        found = "an archive of another kind than zip. Unpack it, and give the folder."
    else:
        found = "neither a folder nor a zip file. Give the folder of images and labels."
    return DatasetError(f"{path}: {found}")


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip file into a new folder.

    Parameters
    ----------
    path : Path
        Zip file.
    folder : Path
        Must not be there.

    Raises
    ------
    DatasetError, OutputError
        As of :func:`opened_folder`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            folder.mkdir(parents=True)
            members = _checked(path, archive, room=shutil.disk_usage(folder).free)
            for member, inner in members.items():
                target = folder.joinpath(*inner.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(archive, member, target, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DatasetError(
            f"{path}: the zip file is damaged or of a kind that cannot be read ({error}). Copy it "
            "again from its source, or unpack it and give the folder."
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _refused(path, "holds names that are too long for this disk") from error
        raise OutputError(
            f"{path}: cannot be unpacked to {folder} ({error.strerror or error}). Make room on the "
            "disk, let TMPDIR name a folder with more, or unpack it and give the folder."
        ) from error


def _checked(
    path: Path, archive: zipfile.ZipFile, *, room: int
) -> dict[zipfile.ZipInfo, PurePosixPath]:
    """Files of an archive with their places below the folder, after every check."""
    members: dict[zipfile.ZipInfo, PurePosixPath] = {}
    taken: set[str] = set()
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise _refused(
            path, f"holds {counted(len(entries), 'file')}; at most {MAX_FILES:,} are unpacked"
        )
    for entry in entries:
        inner = _place(path, entry)
        if entry.is_dir() or _LEFT_BEHIND in inner.parts:
            continue
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _refused(path, f"{entry.filename!r} is a link or a device, not a file")
        if entry.flag_bits & _ENCRYPTED:
            raise _refused(path, f"{entry.filename!r} is encrypted")
        # Some file systems take A and a for one name.
        name = inner.as_posix().casefold()
        if name in taken:
            raise _refused(path, f"holds {entry.filename!r} twice")
        taken.add(name)
        members[entry] = inner
    total = sum(entry.file_size for entry in members)
    packed = max(1, path.stat().st_size)
    if total > MAX_BYTES or (total > _SUSPICIOUS_BYTES and total > _SUSPICIOUS_RATIO * packed):
        raise _refused(
            path, f"{packed:,} bytes would become {total:,}, as of files made to fill a disk"
        )
    if total > _DISK_SHARE * room:
        raise OutputError(
            f"{path}: needs {total:,} bytes unpacked, and {room:,} are free. Make room on the "
            "disk, let TMPDIR name a folder with more, or unpack it and give the folder."
        )
    return members


def _place(path: Path, entry: zipfile.ZipInfo) -> PurePosixPath:
    """Where a file goes below the folder; programs of Windows write backslashes."""
    name = _name_of(entry)
    inner = PurePosixPath(name.replace("\\", "/"))
    is_outside = inner.is_absolute() or ".." in inner.parts or _DRIVE.match(name)
    if is_outside or not inner.parts:
        raise _refused(path, f"{name!r} would be written outside of the folder")
    return PurePosixPath(*map(_for_windows, inner.parts)) if sys.platform == "win32" else inner


def _for_windows(part: str) -> str:
    """Give a name that Windows takes: it has no such signs, and names of devices, in any folder."""
    part = _NOT_ON_WINDOWS.sub("_", part)
    return f"_{part}" if _DEVICE.match(part) else part


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Name as its program meant it: many write their own encoding and do not say so."""
    if entry.flag_bits & _IS_UTF_8 or entry.filename.isascii():
        return entry.filename
    with suppress(ValueError):
        return decoded(entry.filename.encode("cp437"), Path(entry.filename))
    return entry.filename


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, path: Path) -> None:
    written = 0
    with archive.open(member) as source, target.open("xb") as sink:
        while piece := source.read(_PIECE):
            written += len(piece)
            # The directory of the archive may lie about sizes.
            if written > member.file_size:
                raise _refused(path, f"{member.filename!r} is larger than it says")
            sink.write(piece)
    # Whatever its mode was: nothing unpacked is ever run.
    target.chmod(0o600)


def _refused(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path}: {what}; expected a zip file of images and labels alone. If you trust it, "
        "unpack it yourself, and give the folder."
    )
