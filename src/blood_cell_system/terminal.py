"""Standard output and standard error that no text and no full disk can break.

Names of files and labels come from outside: what a terminal would obey in them is escaped here,
for every command. Output that cannot be written does not end the work that it reports on.
"""

import errno
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

# Control characters except tab and line end, marks that reorder a line, and line separators.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


_NAMES: Final[dict[str, str]] = {}


def call_by(temporary: str, name: str) -> None:
    """Show a temporary path by the name that the user knows, here and as long as this runs."""
    _NAMES[temporary] = name


def visible(text: str) -> str:
    r"""Escape what a terminal obeys in place of showing it.

    Examples
    --------
    >>> print(visible("\x1b[2Jcells\n"), end="")
    \x1b[2Jcells
    """
    for temporary, name in _NAMES.items():
        text = text.replace(temporary, name)
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class SafeStream:
    """A text stream that escapes control characters and outlives errors of what is below it.

    After the first error, which ``failure`` keeps, what is written is dropped. Only a pipe whose
    reader has gone raises, where ``is_ending_with_reader``.

    Parameters
    ----------
    raw : file object or None
        None for a stream that is closed.
    """

    def __init__(self, raw: IO[str] | None, *, is_ending_with_reader: bool = False) -> None:
        self.raw = raw
        self.failure: OSError | None = None
        self._is_ending_with_reader = is_ending_with_reader
        if isinstance(raw, io.TextIOWrapper):
            # What the terminal cannot show, such as a file name, must not end the work.
            raw.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def write(self, text: str) -> int:
        """Write text, with control characters escaped."""
        return self.write_raw(visible(text))

    def write_raw(self, text: str) -> int:
        """Write text as it is: for colours and bars of progress."""
        if self.raw is None:
            self.failure = self.failure or OSError(errno.EBADF, "it is closed")
        elif self.failure is None:
            with self._failing():
                self.raw.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Send what is buffered."""
        if self.raw is not None and self.failure is None:
            with self._failing():
                self.raw.flush()

    def isatty(self) -> bool:
        """Whether this is a terminal."""
        return self.raw is not None and self.raw.isatty()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:
                # The interpreter would complain when it flushes what is left.
                os.dup2(nothing.fileno(), self.fileno())
            if self._is_ending_with_reader and isinstance(error, BrokenPipeError):
                raise


@contextmanager
def safe_streams() -> Iterator[None]:
    """Make standard output and standard error safe while the block lasts."""
    _open_closed_descriptors()
    former = sys.stdout, sys.stderr
    if not isinstance(sys.stdout, SafeStream):
        sys.stdout = SafeStream(sys.stdout, is_ending_with_reader=True)
    if not isinstance(sys.stderr, SafeStream):
        sys.stderr = SafeStream(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(BrokenPipeError):
                stream.flush()
        sys.stdout, sys.stderr = former


def _open_closed_descriptors() -> None:
    """Let nothing else get the numbers of closed streams: libraries would write into that file."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003


class _RawFile:
    """What a console writes colours and movements to; its texts are escaped before."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        stream = getattr(sys, self._name)
        return int(getattr(stream, "write_raw", stream.write)(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(sys, self._name), name)


def safe_console(*, is_error: bool = False, **options: Any) -> "Console":
    """Make a console of rich whose texts, but not its own colours, are escaped."""
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, *arguments: Any, **more: Any) -> Iterator[Segment]:
            for segment in super().render(*arguments, **more):
                is_text = segment.control is None
                yield segment._replace(text=visible(segment.text)) if is_text else segment

    file: Any = _RawFile("stderr" if is_error else "stdout")
    return SafeConsole(file=file, **options)
