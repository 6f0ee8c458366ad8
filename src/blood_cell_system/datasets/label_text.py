"""Text of label files, in whatever encoding a program of Windows left it."""

import codecs
from pathlib import Path
from typing import Final

from blood_cell_system.errors import AnnotationError, MissingDataError

MAX_BYTES: Final = 2_000_000_000
"""Larger label files are refused before they fill the memory."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_label_bytes(path: Path) -> bytes:
    """Read a label file as it is.

    Raises
    ------
    MissingDataError
        There is no such file.
    AnnotationError
        It cannot be read, or is larger than ``MAX_BYTES``.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise AnnotationError(
                f"{path}: {size:,} bytes; at most {MAX_BYTES:,} are read. Part the file."
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: there is no such file. Check the path.") from error
    except OSError as error:
        raise AnnotationError(
            f"{path}: cannot be read ({error.strerror or error}). Check the file's permissions."
        ) from error


def read_label_text(path: Path) -> str:
    """Read a label file of UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises
    ------
    MissingDataError
        There is no such file.
    AnnotationError
        It cannot be read, or is of another encoding.
    """
    return decode_label_text(path, read_label_bytes(path))


def decode_label_text(path: Path, data: bytes) -> str:
    """Decode the bytes of a label file, as :func:`read_label_text` does.

    Parameters
    ----------
    path : Path
        Where it was read, for messages.
    data : bytes

    Raises
    ------
    AnnotationError
        The bytes are of another encoding.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:
        # JSON, XML and tables begin with a plain character: a zero beside it is half of UTF-16.
        first, second = data[:1] != b"\0", data[1:2] != b"\0"
        encoding = "utf-8" if first == second else "utf-16-le" if first else "utf-16-be"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{path}: not text in UTF-8 or UTF-16 ({error.reason} at byte {error.start}). "
            "Save the file as UTF-8."
        ) from error
