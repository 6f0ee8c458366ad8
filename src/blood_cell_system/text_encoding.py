"""Text of other programs, whatever encoding they write."""

import codecs
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_logger = logging.getLogger(__name__)

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED: Final = re.compile(
    rb"""^\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([\w.:-]{1,40})["']"""
)
_HIGH: Final = re.compile(rb"[\x80-\xff]+")
# Pairs of GB 2312: the characters that Chinese text of GBK consists of.
_CHINESE: Final = re.compile(rb"(?:[\xa1-\xa9\xb0-\xf7][\xa1-\xfe])+")
# Signs beside the letters that Western text has.
_WESTERN_SIGNS: Final = frozenset("°±²·×–—‘’‚“”„…«»§©®€")
_LONGEST_WESTERN: Final = 2  # Such letters in a row, as in Größe.
_CHINESE_CODEC: Final = "gb18030"  # Holds GB 2312 and GBK.
_CHINESE_NAMES: Final = frozenset({"gb2312", "gb_2312-80", "gbk", "cp936"})

_told: Final[set[str]] = set()  # Encodings that were logged.


def decoded(data: bytes, path: Path) -> str:
    """Decode a text file.

    A byte order mark decides, then what XML declares, then whether it is UTF-16 or UTF-8 without a
    mark. Of older encodings GBK (Chinese) and Windows-1252 (Western Europe, with Latin-1) are told
    apart by their bytes; that this was done is logged once for each encoding.

    Parameters
    ----------
    path : Path
        Where it was read, for the message.

    Raises
    ------
    ValueError
        It is of another encoding; says in words what was found.

    Examples
    --------
    >>> decoded("Größe".encode("utf-16"), Path("a.txt"))
    'Größe'
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:
        # JSON, XML and tables begin with a plain character: a zero beside it is half of UTF-16.
        first, second = data[:1] != b"\0", data[1:2] != b"\0"
        encoding = "utf-8" if first == second else "utf-16-le" if first else "utf-16-be"
    if data.isascii() and encoding == "utf-8":
        return data.decode("ascii")
    declared = _DECLARED.match(data)
    if declared and encoding == "utf-8":
        name = declared[1].decode("ascii").casefold()
        # Windows programs declare UTF-16 and save as UTF-8.
        if not name.startswith(("utf-16", "utf-32", "ucs")):
            encoding = _CHINESE_CODEC if name in _CHINESE_NAMES else name
    try:
        return data.decode(encoding)
    except (LookupError, ValueError) as error:
        legacy = None if encoding.startswith("utf-16") else _legacy_encoding(data)
        if legacy is None:
            place = (
                f"{error.reason} at byte {error.start}"
                if isinstance(error, UnicodeDecodeError)
                else str(error)
            )
            raise ValueError(f"not text in UTF-8, UTF-16, GBK or Windows-1252 ({place})") from error
    _log_legacy(legacy, path)
    return data.decode(legacy)


def _legacy_encoding(data: bytes) -> str | None:
    """Tell the encoding of a time before UTF-8 by its bytes; None where nothing tells it."""
    runs = list(_HIGH.finditer(data))
    # Two letters such as "öß" are a Chinese character as well, but letters stand around them.
    is_chinese = all(_CHINESE.fullmatch(run[0]) for run in runs) and not any(
        data[run.start() - 1 : run.start()].isalpha() and data[run.end() : run.end() + 1].isalpha()
        for run in runs
        if len(run[0]) <= _LONGEST_WESTERN
    )
    if is_chinese:
        return _CHINESE_CODEC
    return "cp1252" if _is_western(run[0] for run in runs) else None


def _is_western(runs: Iterable[bytes]) -> bool:
    """Whether bytes beyond ASCII are single letters of Western Europe, or signs."""
    try:
        words = [run.decode("cp1252") for run in runs]
    except UnicodeDecodeError:
        return False
    return all(
        len(word) <= _LONGEST_WESTERN
        and all(letter.isalpha() or letter in _WESTERN_SIGNS for letter in word)
        for word in words
    )


def _log_legacy(encoding: str, path: Path) -> None:
    if encoding not in _told:
        _told.add(encoding)
        _logger.warning(
            "%s: not UTF-8; it is read as %s, and so are others like it. If names look wrong, save "
            "the files as UTF-8.",
            path,
            "GBK" if encoding == _CHINESE_CODEC else "Windows-1252 (Latin-1)",
        )
