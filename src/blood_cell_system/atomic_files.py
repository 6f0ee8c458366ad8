"""Files that appear whole or not at all: written beside their place, then renamed into it."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from blood_cell_system.errors import OutputError


def make_folder(path: Path) -> Path:
    """Make a folder with its parents, or say in words why that cannot be.

    Raises
    ------
    OutputError
        The path is a file, or the place cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot make this folder ({error.strerror or error}). "
            "Choose an output folder that does not exist yet and that you may write to."
        ) from error
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, which takes its place when the block ends well.

    Raises
    ------
    OutputError
        The disk is full or the place cannot be written to. What stood at ``path`` is untouched.
    """
    make_folder(path.parent)
    try:
        # The suffix stays last: image writers choose the format by it.
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=f".partial{path.suffix}", dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot write this file ({error.strerror or error}). "
        "Make room on the disk, or choose a folder that you may write to, and run again."
    )


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of bytes, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file with sorted keys, whole or not at all: equal values, equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
