"""All formats that data sets come in, and which of them a folder is.

A new reader is a row of ``_READERS``.
"""

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, cast

from blood_cell_system.annotation.folder_listing import FolderListing
from blood_cell_system.annotation.reader import Reader, ReadOptions
from blood_cell_system.annotation.sample import Reading
from blood_cell_system.errors import DatasetError, SettingsError

# Name of the format, its module in this folder, the class there. The first that recognises a
# folder reads it, so that the more particular come first.
_READERS: Final[tuple[tuple[str, str, str], ...]] = (
    ("coco", "coco", "CocoReader"),
    ("labelme", "labelme", "LabelMeReader"),
    ("geojson", "geojson", "GeoJsonReader"),
    ("cvat", "cvat", "CvatReader"),
    ("voc", "voc", "VocReader"),
    ("yolo", "yolo", "YoloReader"),
    ("kaggle", "kaggle", "KaggleReader"),
    ("lisc", "lisc", "LiscReader"),
    ("allidb", "allidb", "AllIdbReader"),
    ("masks", "mask_folder", "MaskFolderReader"),
)

FORMAT_NAMES: Final = tuple(name for name, _, _ in _READERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatMatch:
    """What was recognised in a folder.

    Parameters
    ----------
    reader : Reader
    seen : str
        In words, why.
    """

    reader: Reader
    seen: str


@cache
def reader_named(name: str) -> Reader:
    """Reader of a format.

    Raises
    ------
    SettingsError
        There is no such format.
    """
    for known, module_name, class_name in _READERS:
        if known == name:
            module = importlib.import_module(f"blood_cell_system.annotation.{module_name}")
            return cast(Reader, getattr(module, class_name)())
    raise SettingsError(
        f"format: received {name!r}; expected auto or one of {', '.join(FORMAT_NAMES)}."
    )


def recognise(root: Path) -> tuple[FormatMatch, ...]:
    """All formats that a folder may be, the most particular first.

    Raises
    ------
    MissingDataError
        There is no such folder.
    """
    listing = FolderListing.of(root)
    matches = []
    for name in FORMAT_NAMES:
        reader = reader_named(name)
        seen = reader.recognise(listing)
        if seen is not None:
            matches.append(FormatMatch(reader=reader, seen=seen))
    return tuple(matches)


def matches_for(root: Path, name: str) -> tuple[FormatMatch, ...]:
    """Tell what a folder is to be read as, and then what else it may be.

    Parameters
    ----------
    root : Path
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
        first = recognised(root)
        others = recognise(root)[1:]
        # Masks are in many data sets beside the labels.
        return first, *(other for other in others if other.reader.name != "masks")
    reader = reader_named(name)
    seen = reader.recognise(FolderListing.of(root))
    if seen is None and name == "kaggle":
        # Copies of that set go around in the formats of other tools.
        return matches_for(root, "auto")
    return (FormatMatch(reader=reader, seen=seen or "as was said, though it does not look so"),)


def recognised(root: Path) -> FormatMatch:
    """Tell the format that a folder is.

    Raises
    ------
    MissingDataError
        There is no such folder.
    DatasetError
        No format is recognised.
    """
    matches = recognise(root)
    if not matches:
        listing = FolderListing.of(root)
        raise DatasetError(
            f"{root}: {_in_words(listing)}, but no labels in a known format; expected one of "
            f"{', '.join(FORMAT_NAMES)}. Name the format with --format, or see "
            "docs/bring_your_own_images.md for what each looks like."
        )
    return matches[0]


def read_folder(
    root: Path, *, format_name: str = "auto", options: ReadOptions | None = None
) -> Reading:
    """Read a folder of any known format.

    Parameters
    ----------
    root : Path
    format_name : str
        One of ``FORMAT_NAMES``, or ``auto``.
    options : ReadOptions, optional

    Raises
    ------
    SettingsError
        There is no such format.
    MissingDataError, DatasetError, AnnotationError
        As the readers say.
    """
    reader = recognised(root).reader if format_name == "auto" else reader_named(format_name)
    return reader.read(Path(root), options or ReadOptions())


def _in_words(listing: FolderListing) -> str:
    others = sorted({path.suffix.lower() or path.name for path in listing.files})
    return f"{len(listing.images())} images and files {', '.join(others[:8]) or '(none)'}"
