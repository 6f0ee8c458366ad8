"""Short lines of text in pictures, in any language that the machine has letters for."""

import unicodedata
from functools import lru_cache

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
    text : str
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
