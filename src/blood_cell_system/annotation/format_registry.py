"""All formats of annotations: which a folder is, and who reads and writes each.

A format is one file in ``formats/``. Its reader is registered by :func:`reads`, its writer, if it
has one, by :func:`writes`; names for the command line, messages and documents come from here.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from blood_cell_system.errors import DatasetError, UnknownNameError
from blood_cell_system.wording import counted

if TYPE_CHECKING:
    from blood_cell_system.annotation.folder_listing import FolderListing
    from blood_cell_system.annotation.reader import Reader, ReadOptions
    from blood_cell_system.annotation.sample import Reading
    from blood_cell_system.annotation.writer import LabelWriter

    ReaderClass = TypeVar("ReaderClass", bound=type[Reader])
    WriterClass = TypeVar("WriterClass", bound=type[LabelWriter])


_readers: dict[str, "Reader"] = {}
_writers: dict[str, "type[LabelWriter]"] = {}


def reads(name: str, *, title: str, order: int) -> "Callable[[ReaderClass], ReaderClass]":
    """Register the reader of a format.

    Parameters
    ----------
    name : str
        As for ``--format``.
    title : str
        Name for people.
    order : int
        The first format that recognises a folder reads it: the more particular have smaller
        numbers.
    """

    def register(reader: "ReaderClass") -> "ReaderClass":
        reader.name, reader.title, reader.order = name, title, order
        _readers[name] = reader()
        return reader

    return register


def writes(name: str, *, next_step: str) -> "Callable[[WriterClass], WriterClass]":
    """Register the writer of a format that is read as well.

    Parameters
    ----------
    name : str
        As for ``--to``.
    next_step : str
        What a person does with the files; ``{output}`` stands for the folder.
    """

    def register(writer: "WriterClass") -> "WriterClass":
        writer.next_step = next_step
        _writers[name] = writer
        return writer

    return register


@cache
def _load_formats() -> None:
    """Import every module of ``formats/``, which registers it."""
    package = importlib.import_module("blood_cell_system.annotation.formats")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


_NAMED: Final = re.compile(r'^@reads\(\s*"(\w+)".*?order=(\d+)', re.MULTILINE | re.DOTALL)
_WRITTEN: Final = re.compile(r'^@writes\(\s*"(\w+)"', re.MULTILINE)


@cache
def format_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the formats that are read, and that are written, without importing them.

    The help of a command shows them and must not wait for OpenCV; a test compares them with the
    registered ones.
    """
    folder = Path(__file__).parent / "formats"
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("*.py"))]
    orders = {name: int(order) for text in texts for name, order in _NAMED.findall(text)}
    written = {name for text in texts for name in _WRITTEN.findall(text)}
    names = tuple(sorted(orders, key=orders.__getitem__))
    return names, tuple(name for name in names if name in written)


def readable_formats() -> tuple[str, ...]:
    """Names of all formats that are read, the more particular first."""
    _load_formats()
    return tuple(sorted(_readers, key=lambda name: _readers[name].order))


def writable_formats() -> "dict[str, type[LabelWriter]]":
    """Writers of all formats that are written, by name."""
    _load_formats()
    return {name: _writers[name] for name in readable_formats() if name in _writers}


def reader_named(name: str) -> "Reader":
    """Reader of a format.

    Raises
    ------
    SettingsError
        There is no such format.
    """
    if name not in readable_formats():
        raise UnknownNameError.of("format", name, ("auto", *readable_formats()))
    return _readers[name]


def writer_named(name: str) -> "type[LabelWriter]":
    """Writer of a format.

    Raises
    ------
    SettingsError
        There is no such format, or it is only read.
    """
    known = writable_formats()
    if name not in known:
        raise UnknownNameError.of("format", name, known)
    return known[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatMatch:
    """A format that was recognised in a folder.

    Parameters
    ----------
    seen : str
        In words, why.
    """

    reader: "Reader"
    seen: str


def recognise(root: Path) -> tuple[FormatMatch, ...]:
    """All formats that a folder may be, the most particular first.

    Raises
    ------
    MissingDataError
        There is no such folder.
    """
    listing = _listing(root)
    readers = [reader_named(name) for name in readable_formats()]
    seen = [(reader, reader.recognise(listing)) for reader in readers]
    return tuple(FormatMatch(reader=reader, seen=why) for reader, why in seen if why is not None)


def matches_for(root: Path, name: str) -> tuple[FormatMatch, ...]:
    """Find what a folder is to be read as, and then what else it may be.

    Parameters
    ----------
    name : str
        A format that a person chose, or ``auto``.

    Returns
    -------
    tuple of FormatMatch
        One at least.

    Raises
    ------
    SettingsError
        There is no such format.
    MissingDataError, DatasetError
        There is no such folder, or ``auto`` recognises nothing.
    """
    if name == "auto":
        if not (matches := recognise(root)):
            raise _unknown_format(root)
        # Masks are in many data sets beside the labels.
        return matches[0], *(other for other in matches[1:] if other.reader.name != "masks")
    reader = reader_named(name)
    seen = reader.recognise(_listing(root))
    # Copies of that set go around in the formats of other tools.
    if seen is None and name == "kaggle" and (elsewhere := recognise(root)):
        return elsewhere
    return (FormatMatch(reader=reader, seen=seen or "as was said, though it does not look so"),)


def read_folder(
    root: Path, *, format_name: str = "auto", options: "ReadOptions | None" = None
) -> "Reading":
    """Read a folder of any known format.

    Parameters
    ----------
    format_name : str
        One of :func:`readable_formats`, or ``auto``.

    Raises
    ------
    SettingsError
        There is no such format.
    MissingDataError, DatasetError, AnnotationError
        As the readers say.
    """
    from blood_cell_system.annotation.reader import ReadOptions

    is_auto = format_name == "auto"
    reader = matches_for(root, "auto")[0].reader if is_auto else reader_named(format_name)
    return reader.read(Path(root), options or ReadOptions())


def _unknown_format(root: Path) -> DatasetError:
    """Say what is in a folder that no format recognises."""
    listing, known = _listing(root), ", ".join(readable_formats())
    for path in listing.with_suffix(".json", ".ndjson", ".jsonl", ".csv"):
        head = listing.head(path)
        for tool, sign in _FOREIGN:
            if sign.search(head):
                return DatasetError(
                    f"{path}: labels of {tool}, which are not read; expected one of {known}. "
                    "Export them from there as COCO JSON, Pascal VOC or YOLO."
                )
    suffixes = sorted({path.suffix.lower() or path.name for path in listing.files})
    return DatasetError(
        f"{root}: {counted(len(listing.images()), 'image')} and files "
        f"{', '.join(suffixes[:8]) or '(none)'}, "
        f"but no labels in a known format; expected one of {known}. Name the format with --format, "
        "or see docs/bring_your_own_images.md for what each looks like."
    )


# Files of other tools, by what they alone have.
_FOREIGN: Final = (
    ("VIA 3", re.compile(r'"(?:pid|vid_list|file_loc_prefix|loc_prefix)"\s*:')),
    ("Supervisely", re.compile(r'"(?:classTitle|classId)"\s*:')),
    ("Labelbox", re.compile(r'"(?:data_row|schemaId|featureId|Labeled Data)"\s*:')),
    ("VoTT", re.compile(r'"(?:visitedAssetIds|securityToken)"\s*:|"asset"\s*:\s*\{')),
    ("Create ML", re.compile(r'"coordinates"\s*:\s*\{\s*"(?:x|y|width|height)"\s*:')),
    ("SuperAnnotate", re.compile(r'"className"\s*:')),
    ("Amazon SageMaker", re.compile(r'"source-ref"\s*:')),
    ("Makesense", re.compile(r"^(?:label_name,bbox_x|[^,\n]+(?:,\d+){4},[^,\n]+,\d+,\d+\s*$)")),
)


def _listing(root: Path) -> "FolderListing":
    from blood_cell_system.annotation.folder_listing import FolderListing

    return FolderListing.of(root)
