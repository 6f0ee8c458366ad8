"""Names of YOLO's classes, from whichever file holds them.

``data.yaml`` of Ultralytics and Roboflow is read as far as it needs to be: the key ``names`` with a
list or a table, and no more of YAML than that.
"""

import re
from pathlib import Path
from typing import Final

from blood_cell_system.datasets.folder_listing import FolderListing
from blood_cell_system.datasets.label_text import read_label_text
from blood_cell_system.errors import AnnotationError

_NAME_LISTS: Final = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt")
_KEY: Final = re.compile(r"^names\s*:(.*)$", re.MULTILINE)
_TABLE_ROW: Final = re.compile(r"""^['"]?(\d+)['"]?\s*:\s*(.*)$""")
# A comma between quotes belongs to a name.
_COMMA: Final = re.compile(r""",(?=(?:[^'"]*(?:"[^"]*"|'[^']*'))*[^'"]*$)""")


def find_names_file(listing: FolderListing) -> Path | None:
    """File that names the classes: a data.yaml before a plain list."""
    for path in listing.with_suffix(".yaml", ".yml"):
        if _KEY.search(listing.head(path)):
            return path
    return next((path for path in listing.files if path.name.casefold() in _NAME_LISTS), None)


def read_names(path: Path) -> dict[int, str]:
    """Read the names of classes by their numbers.

    Raises
    ------
    AnnotationError
        The file has no names, or puts them in a way that is not understood.
    """
    text = read_label_text(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        lines = [line.strip() for line in text.splitlines()]
        return dict(enumerate(line for line in lines if line))
    key = _KEY.search(text)
    names = _yaml_names(key[1], text[key.end() :]) if key else {}
    if not names:
        raise AnnotationError(
            f"{path}: the names of the classes cannot be read; expected 'names: [RBC, WBC]', or a "
            "line '0: RBC' for each below 'names:'. Put the names into a file classes.txt, a line "
            "each, and remove this one."
        )
    return names


def _yaml_names(same_line: str, below: str) -> dict[int, str]:
    inline = _without_comment(same_line)
    if inline.startswith(("[", "{")):
        # The list may go on over several lines.
        closing = "]" if inline.startswith("[") else "}"
        body, found, _ = (inline[1:] + _lines_without_comments(below)).partition(closing)
        if not found:
            return {}
        items = [item.strip() for item in _COMMA.split(body)]
        return _numbered([item for item in items if item])
    items = []
    for line in below.splitlines():
        row = _without_comment(line)
        if not row:
            continue
        if not row.startswith("-") and not line[:1].isspace():
            break
        items.append(row.removeprefix("-").strip())
    return _numbered(items)


def _numbered(items: list[str]) -> dict[int, str]:
    rows = [_TABLE_ROW.match(item) for item in items]
    if all(rows):
        return {int(row[1]): _unquoted(row[2]) for row in rows if row}
    return {number: _unquoted(item) for number, item in enumerate(items)}


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*", "", line).strip()


def _lines_without_comments(text: str) -> str:
    return " ".join(_without_comment(line) for line in text.splitlines())


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text
