"""Many images on one sheet, each with a line of text."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# Pillow's own font has the same letters everywhere but knows ASCII only; these, where a machine
# has them, are for names with other letters.
_WIDER_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")
_SPELT_OUT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "×": "x"}
    | {"–": "-", "—": "-", "µ": "u", "≥": ">=", "≤": "<="}
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def text_strip(
    text: str,
    width: int,
    *,
    font_size: int = 13,
    colour: tuple[int, int, int] = (30, 30, 30),
    background: tuple[int, int, int] = (255, 255, 255),
) -> NDArray[np.uint8]:
    """Write one line; what does not fit is cut, with dots for it.

    Letters that no font at hand has are spelt out (``ä`` as ``ae``) or become ``?``.

    Parameters
    ----------
    width : int
        Pixels of the strip.
    font_size : int
        Pixels.
    colour, background : tuple of int
        RGB.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        ``height`` follows from the font's size alone, so that strips line up.
    """
    font, writable = _font_for(text, font_size)
    margin = max(2, font_size // 4)
    strip = Image.new("RGB", (width, font_size + 2 * margin), background)
    fitting = _cut_to_width(writable, font, width - 2 * margin)
    ImageDraw.Draw(strip).text((margin, margin - 1), fitting, fill=colour, font=font)
    return np.asarray(strip, dtype=np.uint8)


def _font_for(text: str, size: int) -> tuple[Font, str]:
    if text.isascii():
        return _plain_font(size), text
    wider = _wider_font(size)
    if wider is not None:
        return wider, text
    return _plain_font(size), to_ascii(text)


def to_ascii(text: str) -> str:
    """Spell a text with ASCII letters.

    Examples
    --------
    >>> to_ascii("Größe é 血")
    'Groesse e ?'
    """
    spelt = unicodedata.normalize("NFC", text).translate(_SPELT_OUT)
    letters = [c for c in unicodedata.normalize("NFKD", spelt) if not unicodedata.combining(c)]
    return "".join(letters).encode("ascii", errors="replace").decode("ascii")


@lru_cache(maxsize=8)
def _plain_font(size: int) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=8)
def _wider_font(size: int) -> Font | None:
    for name in _WIDER_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


def _cut_to_width(text: str, font: Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if font.getlength(text[:middle] + "...") <= width:
            fits = middle
        else:
            too_long = middle
    return text[:fits] + "..."


_GAP_PX: Final = 8
"""Between tiles, in pixels of the sheet."""

_PAPER: Final = (245, 245, 245)
"""Background, RGB."""

_BAD: Final = (176, 0, 32)
"""Frame of a bad tile: a dark red, RGB."""

_MAX_HEIGHT_SHARE: Final = 1.25
"""Height of a tile, at most, in its widths: a tall image must not leave its row empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """An image of a contact sheet.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB, of any size.
    caption : str
        Lines below the image, one text line each; a line that is too long is cut.
    is_bad : bool
        Whether the tile gets a red frame, for what deserves a look.
    """

    image: NDArray[np.uint8]
    caption: str
    is_bad: bool = False


def contact_sheet(
    tiles: Sequence[Tile], *, columns: int = 4, tile_width: int = 320, title: str = ""
) -> NDArray[np.uint8]:
    """Lay images out in rows, in the order given.

    Parameters
    ----------
    tiles : sequence of Tile
        The caller puts the worst first.
    columns : int
        Tiles a row, 1 or more.
    tile_width : int
        Pixels; images are scaled to it, tall ones to 1.25 of it in height.
    title : str
        A line above the tiles.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB. Without tiles, a sheet that says so.

    Raises
    ------
    ValueError
        ``columns`` or ``tile_width`` is below 1.

    Examples
    --------
    >>> smear = np.zeros((48, 64, 3), dtype=np.uint8)
    >>> contact_sheet([Tile(image=smear, caption="a")] * 3, columns=2, tile_width=64).shape[1]
    152
    """
    if columns < 1 or tile_width < 1:
        raise ValueError(
            f"Contact sheet: expected columns and tile_width of 1 or more. "
            f"Received: {columns}, {tile_width}."
        )
    columns = min(columns, max(1, len(tiles)))
    sheet_width = columns * (tile_width + _GAP_PX) + _GAP_PX
    parts: list[NDArray[np.uint8]] = []
    heading = title if tiles else (title + " (no images)").strip()
    if heading:
        parts.append(text_strip(heading, sheet_width, font_size=17, background=_PAPER))
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        parts.append(_row([_framed(tile, tile_width) for tile in row], tile_width, sheet_width))
    parts.append(_paper(_GAP_PX, sheet_width))
    return np.concatenate(parts, axis=0)


def _paper(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), _PAPER, dtype=np.uint8)


def _framed(tile: Tile, tile_width: int) -> NDArray[np.uint8]:
    height, width = tile.image.shape[:2]
    scale = min(tile_width / width, _MAX_HEIGHT_SHARE * tile_width / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Area averaging keeps thin outlines visible; small images stay as sharp as they are.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    scaled = cv2.resize(tile.image, size, interpolation=method)
    if tile.is_bad:
        cv2.rectangle(scaled, (0, 0), (size[0] - 1, size[1] - 1), _BAD, 3)
    framed = _paper(size[1], tile_width)
    left = (tile_width - size[0]) // 2
    framed[:, left : left + size[0]] = scaled
    colour = _BAD if tile.is_bad else (30, 30, 30)
    lines = [
        text_strip(line, tile_width, colour=colour, background=_PAPER)
        for line in tile.caption.splitlines()
    ]
    return np.concatenate([framed, *lines], axis=0)


def _row(
    framed: Sequence[NDArray[np.uint8]], tile_width: int, sheet_width: int
) -> NDArray[np.uint8]:
    row = _paper(max(tile.shape[0] for tile in framed) + _GAP_PX, sheet_width)
    for position, tile in enumerate(framed):
        left = _GAP_PX + position * (tile_width + _GAP_PX)
        row[_GAP_PX : _GAP_PX + tile.shape[0], left : left + tile_width] = tile
    return row
