"""Everything that this package raises on purpose.

::

    BloodCellError
    ├── ImageReadError       (OSError)            an image that cannot be read
    ├── AnnotationError      (ValueError)         a label file that cannot be understood
    ├── DatasetError         (ValueError)         a data folder that is not what it should be
    ├── MissingDataError     (FileNotFoundError)  a file or folder that is not there
    ├── MaskFormatError      (ValueError)         a mask outside the mask format
    ├── CorrectionsError     (ValueError)         corrections that do not fit to the results
    ├── CellImageError     (ValueError)         an image that does not show one cell
    ├── DownloadError        (ConnectionError)    a data set that cannot be downloaded
    ├── OutputError          (OSError)            a place that cannot be written to
    ├── FolderInUseError     (BlockingIOError)    a folder that another run writes into
    ├── SettingsError        (ValueError)         an option that makes no sense
    │   ├── UnknownNameError                      a name that is none of those to choose from
    │   └── OutOfRangeError                       a number outside its range
    ├── CheckpointError      (ValueError)         a model file of another kind, or damaged
    ├── ResumeError          (ValueError)         a training that cannot be continued as asked
    ├── TrainingMemoryError  (MemoryError)        a batch that does not fit into memory
    ├── DivergedError        (ArithmeticError)    a training whose loss is no number any more
    └── WorkerError          (RuntimeError)       a helper process that ended too early

A message says where, what was found, what was expected and what to do. The command line prints it
alone, without a traceback, and exits with 1; with 2 for an ``UnknownNameError`` and an
``OutOfRangeError``, as for every option that is not understood.
"""

import errno
import re
from collections import abc
from difflib import get_close_matches
from typing import Final, Self


class BloodCellError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageReadError(BloodCellError, OSError):
    """An image cannot be read."""


class AnnotationError(BloodCellError, ValueError):
    """A label file cannot be understood."""


class DatasetError(BloodCellError, ValueError):
    """A data folder is not what it should be."""


class MissingDataError(BloodCellError, FileNotFoundError):
    """A file or folder is not there."""


class MaskFormatError(BloodCellError, ValueError):
    """A mask is outside the mask format."""


class CorrectionsError(BloodCellError, ValueError):
    """Corrections are damaged, or do not fit to the results."""


class CellImageError(BloodCellError, ValueError):
    """An image does not show one cell."""


class DownloadError(BloodCellError, ConnectionError):
    """A data set cannot be downloaded."""


class OutputError(BloodCellError, OSError):
    """A place cannot be written to."""


class FolderInUseError(BloodCellError, BlockingIOError):
    """Another run writes into a folder."""


class SettingsError(BloodCellError, ValueError):
    """An option makes no sense."""


class UnknownNameError(SettingsError, ValueError):
    """A name is none of those to choose from."""

    @classmethod
    def of(cls, what: str, name: str, known: abc.Iterable[str], *, remedy: str = "") -> Self:
        """Say what was named, what could have been named, and which name may have been meant.

        Examples
        --------
        >>> print(UnknownNameError.of("preset", "fats", ["fast", "slow"]))
        preset 'fats': there is none of that name; expected one of fast, slow. Did you mean 'fast'?
        """
        by_lower = {choice.lower(): choice for choice in known}
        close = get_close_matches(name.lower(), by_lower, n=1)
        choices = ", ".join(by_lower.values())
        expected = f"expected one of {choices}." if choices else "there is none at all."
        words = f"{what} {name!r}: there is none of that name; {expected}"
        meant = f"Did you mean {by_lower[close[0]]!r}?" if close else ""
        return cls(" ".join(filter(None, (words, meant, remedy))))


class OutOfRangeError(SettingsError, ValueError):
    """A number is outside its range."""


class CheckpointError(BloodCellError, ValueError):
    """A model file is of another kind, or damaged."""


class ResumeError(BloodCellError, ValueError):
    """A training cannot be continued as asked."""


class TrainingMemoryError(BloodCellError, MemoryError):
    """A batch does not fit into memory."""


class DivergedError(BloodCellError, ArithmeticError):
    """The loss of a training is no number any more."""


class WorkerError(BloodCellError, RuntimeError):
    """A helper process ended too early."""


_REMEDIES: Final = {
    errno.EACCES: "Check its permissions.",
    errno.EPERM: "Check its permissions.",
    errno.ENOSPC: "Make room on the disk.",
    errno.EDQUOT: "Make room on the disk, or ask for a larger share of it.",
    errno.ENAMETOOLONG: "Shorten the names of the file and of its folders.",
    errno.ELOOP: "It is a link to itself; replace it by the file.",
    errno.EIO: "The disk or the network failed; copy the file to another place.",
}
"""What to do about an error of the operating system."""


def system_words(error: OSError, *, remedy: str = "Check the path and its permissions.") -> str:
    """Say what the operating system found, and what to do.

    Examples
    --------
    >>> system_words(PermissionError(errno.EACCES, "Permission denied"))
    'Permission denied. Check its permissions.'
    """
    return f"{error.strerror or error}. {_REMEDIES.get(error.errno or 0, remedy)}"


_NO_NUMBER: Final = re.compile(r"(?:could not convert|invalid literal).*?: (.*)")
_SHOWN_LETTERS: Final = 60  # Of a value that is no number.


def value_words(error: Exception) -> str:
    """Say for people what Python found wrong with a value in a file.

    Examples
    --------
    >>> value_words(KeyError("bbox"))
    "'bbox' is missing"
    >>> value_words(ValueError("could not convert string to float: 'x'"))
    "'x' is no number"
    """
    if isinstance(error, BloodCellError):
        return str(error)
    if findings := getattr(error, "errors", None):  # Of pydantic, which takes long to import.
        first = findings()[0]
        words = first["msg"].removeprefix("Value error, ")
        return ": ".join(filter(None, (".".join(map(str, first["loc"])), words)))
    text = " ".join(str(error).split())
    match error:
        case KeyError():
            return f"{error.args[0]!r} is missing" if error.args else "a value is missing"
        case IndexError():
            return "a value is missing"
        case OverflowError():
            return "a number is too large"
        case ValueError() if found := _NO_NUMBER.fullmatch(text):
            return f"{found[1][:_SHOWN_LETTERS]} is no number"
        case ValueError() if "unpack" in text or "zip()" in text:
            return "there are more or fewer values than there should be"
        case ValueError() if "NaN" in text and "integer" in text:
            return "a number is NaN"
        case ValueError() if "integer string conversion" in text:
            return "there is a number of thousands of digits"
        case ValueError():
            return text
    return "a value is of another kind than it should be"


_NO_MEMORY: Final = re.compile(
    r"bad.?alloc|insufficient memory|out ?of ?memory|can.?t start new thread|resource exhausted"
    r"|(failed|unable|cannot|can.t|could not) (to )?allocate|failed to map segment",
    re.IGNORECASE,
)


def is_memory_full(error: BaseException) -> bool:
    """Whether an error means that memory is full: every library says it in its own way.

    Examples
    --------
    >>> is_memory_full(RuntimeError("std::bad_alloc")), is_memory_full(ValueError("of a box"))
    (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, BloodCellError):
        return error.__cause__ is not None and is_memory_full(error.__cause__)
    return getattr(error, "errno", None) == errno.ENOMEM or bool(_NO_MEMORY.search(str(error)))
