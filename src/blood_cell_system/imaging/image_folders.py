"""Which files of a folder are images that somebody took, and which folders are gone through."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from blood_cell_system.errors import SettingsError
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES

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


def walk_folders(
    root: Path, *, onerror: Callable[[OSError], None]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Go through a folder as ``os.walk`` does, also into folders that are symbolic links.

    Links to a folder that is gone through anyway, or around it, are not followed: every file comes
    once, and loops end. What systems leave behind is passed over.
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
        yield Path(folder), folders, [name for name in files if not is_left_behind(name)]


def refuse_output_within(output: Path, source: Path) -> None:
    """Refuse an output that lies in the folder that is read, or is it.

    Raises
    ------
    SettingsError
        The next run would take what was written for data.
    """
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise SettingsError(
            f"{output}: the output is the input folder or lies in it ({source}): the next run "
            "would take it for data; expected another place. Choose another --output."
        )
