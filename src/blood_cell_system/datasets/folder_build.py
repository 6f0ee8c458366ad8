"""Writing a prepared folder: whole or marked as unfinished, and never a mixture of two runs.

1. ``start_build`` marks the folder as unfinished and takes the manifest away. It refuses a folder
   that holds anything of which the manifest does not say that the same command wrote it.
2. The command writes images and masks in any order, in any number of processes.
3. ``finish_build`` removes what a former run wrote and this one did not, writes annotations and
   manifest, and takes the mark away.

A command that is killed in between leaves the mark; running it again completes the folder. All of
it happens within ``folder_lock.locked_folder``: a second run in the folder is refused.
"""

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy
import PIL
import scipy

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.atomic_files import make_folder, write_json
from blood_cell_system.datasets.prepared import (
    FORMAT_VERSION,
    UNFINISHED_NAME,
    read_versioned_json,
    write_annotations,
    write_manifest,
)
from blood_cell_system.errors import OutputError
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy
from blood_cell_system.wording import counted

IMAGE_FOLDERS = ("images", "masks", "instances")
_MANIFEST_NAME = "manifest.json"
_ANNOTATIONS_NAME = "annotations.json"


def start_build(root: Path, *, command: str, stems: Iterable[str]) -> None:
    """Mark a folder as unfinished, ready to be written.

    Parameters
    ----------
    root : Path
        Made when it is not there.
    command : str
        Name of what writes the folder; only the same command may write it again.
    stems : iterable of str
        All images that may be written.

    Raises
    ------
    OutputError
        The folder holds files that the command has not written, or cannot be written to.
    DatasetError
        The folder's manifest is damaged.
    """
    owned = _owned_stems(root, command)
    foreign = [path for path in _images(root) if path.stem not in owned]
    if foreign:
        raise OutputError(
            f"{root}: holds {counted(len(foreign), 'image')} that this command has not written, "
            "for "
            f"instance {foreign[0].relative_to(root)}; expected an empty or new folder, or one of "
            "a former run. Choose another --output, or move them away."
        )
    make_folder(root)
    mark = {
        "format_version": FORMAT_VERSION,
        "command": command,
        "images": [{"stem": stem} for stem in sorted(owned | set(stems))],
    }
    write_json(root / UNFINISHED_NAME, mark)
    _remove(root / _MANIFEST_NAME)
    for folder in IMAGE_FOLDERS:
        for path in (root / folder).glob(".*.partial.*"):
            _remove(path)


def finish_build(
    root: Path,
    *,
    command: str,
    files: Collection[str],
    images: Sequence[Mapping[str, Any]],
    cells: Mapping[str, Iterable[Annotation]],
    details: Mapping[str, Any],
    taxonomy: Taxonomy = BUILT_IN,
) -> None:
    """Remove what is left of a former run, write annotations and manifest, and take off the mark.

    Parameters
    ----------
    command : str
        As given to ``start_build``.
    files : collection of str
        What was written, relative to the folder: ``images/a.png`` and so on.
    images : sequence of mapping
        Rows of the manifest: ``stem``, ``split``, ``source`` and ``original`` of every image.
    cells : mapping of str
        Boxes by stem; images about whose cells nothing is known are left out.
    details : mapping
        Further entries of the manifest.
    taxonomy : Taxonomy
        The manifest has it where it is not the built-in one.

    Raises
    ------
    OutputError
        The folder cannot be written to, or a file that was written is no longer there.
    """
    if missing := sorted(name for name in files if not (root / name).is_file()):
        raise OutputError(
            f"{root}: {len(missing)} of {counted(len(files), 'file')} were removed while the "
            "folder was being "
            f"written, for instance {missing[0]}. Run the same command again."
        )
    for path in _images(root):
        if path.relative_to(root).as_posix() not in files:
            _remove(path)
    if cells:
        write_annotations(root, cells)
    else:
        _remove(root / _ANNOTATIONS_NAME)
    types = {} if taxonomy == BUILT_IN else {"taxonomy": taxonomy.to_dict()}
    write_manifest(root, images, {"command": command, "versions": _versions(), **types, **details})
    _remove(root / UNFINISHED_NAME)


def _owned_stems(root: Path, command: str) -> set[str]:
    records = [read_versioned_json(root / name) for name in (UNFINISHED_NAME, _MANIFEST_NAME)]
    for record in filter(None, records):
        if record.get("command") != command:
            raise OutputError(
                f"{root}: was written by {record.get('command', 'another program')!r}; expected "
                f"an empty or new folder, or one that {command!r} wrote. Choose another --output."
            )
    return {row["stem"] for record in records for row in record.get("images", [])}


def _images(root: Path) -> list[Path]:
    return [
        path
        for folder in IMAGE_FOLDERS
        for path in sorted((root / folder).glob("*"))
        if not path.name.startswith(".")
    ]


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot remove this file of a former run ({error.strerror or error}). "
            "Choose a folder that you may write to."
        ) from error


def _versions() -> dict[str, str]:
    packages = {"numpy": numpy, "opencv": cv2, "pillow": PIL, "scipy": scipy}
    versions = {name: str(module.__version__) for name, module in packages.items()}
    return {"python": platform.python_version()} | versions
