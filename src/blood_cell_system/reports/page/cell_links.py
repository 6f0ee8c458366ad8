"""Links to cells on the pages to review, and a page of such links.

``review.html#suggested=KEY/3:1,2;5:7`` shows cells 1 and 2 of the page's fourth field and cell 7 of
its sixth; KEY is the beginning of the key of the results that the page is of.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from blood_cell_system.errors import BloodCellError
from blood_cell_system.input_files import read_bytes
from blood_cell_system.reports.page.render import asset, filled

ListName = Literal["suggested", "disagreed"]

_KEY_LETTERS: Final = 16
_DATA: Final = b'<script type="application/json" id="results">'


class CellLink(NamedTuple):
    """A page to review, with the part of its address that names cells, and how many it names."""

    page: Path
    fragment: str
    cells: int

    def address(self, folder: Path) -> str:
        """Address for a page in a folder."""
        return quote(Path(os.path.relpath(self.page, folder)).as_posix()) + self.fragment


def links_to_cells(
    results: Path, cells: Mapping[str, Sequence[int]], *, name: ListName
) -> list[CellLink]:
    """Give a link for each page to review that shows some of the cells.

    Parameters
    ----------
    results : Path
        Folder of results; without pages to review there are no links.
    cells : mapping of str to sequence of int
        Ids of cells by the name of their image.
    """
    links = []
    for page in sorted(results.glob("review*.html")):
        found = _key_and_fields(page)
        if found is None:
            continue
        key, fields = found
        parts = [(place, cells[field]) for place, field in enumerate(fields) if cells.get(field)]
        if parts:
            listed = ";".join(f"{place}:{','.join(map(str, ids))}" for place, ids in parts)
            fragment = f"#{name}={key[:_KEY_LETTERS]}/{listed}"
            links.append(CellLink(page, fragment, sum(len(ids) for _, ids in parts)))
    return links


def _key_and_fields(page: Path) -> tuple[str, list[str]] | None:
    """Key of the results of a page to review, and the names of its fields; None for another."""
    try:
        data = read_bytes(page, error=BloodCellError)
        start = data.index(_DATA) + len(_DATA)
        value = json.loads(data[start : data.index(b"</script>", start)])
        return value["key"], [field["name"] for field in value["fields"]]
    except (BloodCellError, ValueError, KeyError, TypeError):
        return None


def render_links(title: str, words: Iterable[str], links: Sequence[CellLink], folder: Path) -> str:
    """Lay out a page of links that goes to the first by itself.

    Parameters
    ----------
    folder : Path
        Where the page is going to lie.
    """
    return filled(
        "cell_links.html",
        style=asset("page.css"),
        title=title,
        words=list(words),
        links=[(link.page.name, link.cells, link.address(folder)) for link in links],
    )
