"""Which files of a folder are images that somebody took, and which folders are gone through."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from blood_cell_system.errors import DatasetError, SettingsError
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES
from blood_cell_system.input_files import kind_of_special

_logger = logging.getLogger(__name__)

RESULT_ENDINGS: Final = ("annotated.png", "mask.png", "cells.csv", "summary.txt", "report.json")
"""Of the names of the files that an analysis writes of an image, besides its label image."""
SUMMARY_NAME: Final = "batch_summary.json"
"""Lies in every folder of results."""

LABEL_ENDINGS: Final = ("instances.png", "instances.tif")
"""Of the names of label images, of which an image has one."""
# Besides the summary itself.
_OF_RESULTS: Final = ("batch_summary.csv", "index.html", "review.html")

# What systems leave in folders and archives: previews, bins, copies.
_LEFT_BEHIND: Final = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "thumbs.db",
        "desktop.ini",
    }
)
_OWN_SHEET: Final = "_contact_sheet"  # Ends the name of the sheets that this package draws.


def is_left_behind(name: str) -> bool:
    """Whether a file or folder is hidden, or one that a system makes for itself.

    Examples
    --------
    >>> is_left_behind("@eaDir"), is_left_behind(".ipynb_checkpoints"), is_left_behind("slide 1")
    (True, True, False)
    """
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


def is_image_name(path: Path) -> bool:
    """Whether a file is an image by its name, and no contact sheet of this package."""
    return (
        path.suffix.lower() in IMAGE_SUFFIXES
        and not is_left_behind(path.name)
        and not path.stem.casefold().endswith(_OWN_SHEET)
    )


def own_results(names: Iterable[str]) -> frozenset[str]:
    """Find the files that an analysis has written, among the names of a folder's files.

    Examples
    --------
    >>> sorted(own_results(["a.png", "a_annotated.png", "a_report.json", "b_mask.png"]))
    ['a_annotated.png', 'a_report.json']
    """
    known = frozenset(names)
    endings = (*RESULT_ENDINGS, *LABEL_ENDINGS)
    found = set()
    if SUMMARY_NAME in known:
        ours = tuple(f"_{ending}" for ending in endings)
        found = {name for name in known if name.endswith(ours)} | {SUMMARY_NAME, *_OF_RESULTS}
    drawings = (name for name in known if name.endswith(f"_{RESULT_ENDINGS[0]}"))
    for stem in (name.removesuffix(RESULT_ENDINGS[0]) for name in drawings):
        of_image = {stem + ending for ending in endings} & known
        # A drawing alone may be anybody's; with a table or a report, or both masks, it is ours.
        is_table = any(not name.endswith((".png", ".tif")) for name in of_image)
        if is_table or len(of_image) > 2:
            found |= of_image
    return frozenset(found & known)


def images_directly_in(folder: Path) -> list[Path]:
    """List the images of a folder, not of those within it, by name.

    What systems leave behind, results of an analysis, and contact sheets are passed over; so are
    named pipes, sockets and devices, with a warning.
    """
    paths = [path for path in folder.iterdir() if not path.is_dir()]
    results = own_results(path.name for path in paths)
    return sorted(
        path
        for path in paths
        if is_image_name(path) and path.name not in results and not is_special(path)
    )


def holds_results(folder: Path) -> bool:
    """Whether a folder, or one within it, is what an analysis has written, without other images."""
    walk = list(walk_folders(folder, onerror=lambda error: None))
    names = [[path.name for path in place.iterdir()] for place, _, _ in walk]
    return any(map(own_results, names)) and not any(
        is_image_name(Path(name)) for _, _, files in walk for name in files
    )


def is_special(path: Path) -> bool:
    """Whether this is a named pipe, a socket or a device, which is reported and skipped."""
    try:
        kind = kind_of_special(path)
    except OSError:
        # The file is reported where it is read.
        return False
    if kind is not None:
        _logger.warning("%s: %s, not a file; skipped", path, kind)
    return kind is not None


def walk_folders(
    root: Path, *, onerror: Callable[[OSError], None]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Go through a folder as ``os.walk`` does, also into folders that are symbolic links.

    Links to a folder that is gone through anyway, or around it, are not followed: every file comes
    once, and loops end. What systems leave behind is passed over, and so are the files that an
    analysis has written, but for its summary.
    """
    real_root = Path(os.path.realpath(root))
    linked: list[Path] = []
    for folder, folders, files in os.walk(root, onerror=onerror, followlinks=True):
        kept = []
        for name in sorted(name for name in folders if not is_left_behind(name)):
            path = Path(folder, name)
            if path.is_symlink():
                target = Path(os.path.realpath(path))
                known = [real_root, *linked]
                if any(target.is_relative_to(o) or o.is_relative_to(target) for o in known):
                    continue
                linked.append(target)
            kept.append(name)
        folders[:] = kept
        results = own_results(files) - {SUMMARY_NAME}
        yield (
            Path(folder),
            folders,
            [name for name in files if not is_left_behind(name) and name not in results],
        )


def files_below(root: Path) -> Iterator[Path]:
    """List the files of a folder and of all within it, as :func:`walk_folders` goes.

    Named pipes, sockets and devices are passed over, with a warning.

    Raises
    ------
    DatasetError
        A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DatasetError(
            f"{error.filename}: cannot be listed ({error.strerror or error}). Check its "
            "permissions."
        ) from error

    for folder, _, names in walk_folders(root, onerror=refuse):
        yield from (path for name in names if not is_special(path := folder / name))


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; one that is too long to be anything is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def refuse_output_within(output: Path, *sources: Path, option: str = "--output") -> None:
    """Refuse an output that lies in a folder that is read, or is what is read.

    Parameters
    ----------
    option : str
        What named the output.

    Raises
    ------
    SettingsError
        The next run would take what was written for data, or this one would write over it.
    """
    place = Path(os.path.realpath(output))
    for source in sources:
        read = Path(os.path.realpath(source))
        if place == read or (place.is_relative_to(read) and os.path.isdir(read)):  # noqa: PTH112
            raise SettingsError(
                f"{output}: the output is the input, or lies in it ({source}): it would be taken "
                f"for data; expected another place. Choose another {option}."
            )


def refuse_output_around(output: Path, *sources: Path, option: str = "--output") -> None:
    """Refuse an output that lies in a folder that is read, or around one.

    Raises
    ------
    SettingsError
        As :func:`refuse_output_within`; or the output holds a folder that is read.
    """
    refuse_output_within(output, *sources, option=option)
    place = Path(os.path.realpath(output))
    for source in sources:
        if Path(os.path.realpath(source)).is_relative_to(place):
            raise SettingsError(
                f"{output}: the output holds the input folder {source}; expected another place. "
                f"Choose another {option}."
            )
