"""What identifies a file, its bytes, and a folder of results, its summary."""

import hashlib
from pathlib import Path
from typing import Final

from blood_cell_system.errors import ImageReadError, MissingDataError

SUMMARY_NAME: Final = "batch_summary.json"
"""Lies in every folder of results."""


def sha256_of(path: Path) -> str:
    """Hash a file of any size.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    MissingDataError
        There is no such file.
    ImageReadError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: there is no such file. Check the path.") from error
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{path}: cannot be read ({error}). Check its permissions.") from error
