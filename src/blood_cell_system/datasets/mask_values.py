"""What the values of a mask mean, as a person tells it on the command line."""

import re
from typing import Final

from blood_cell_system.classes import MASK_CLASS, NOT_SCORED, CellClass
from blood_cell_system.datasets.label_table import COMMON_LABELS, plain_name
from blood_cell_system.datasets.mask_files import Value
from blood_cell_system.errors import SettingsError

_COLOUR: Final = re.compile(r"#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)
_UNSCORED: Final = frozenset({"unscored", "not scored", "ignore", "unknown", "void"})


def read_mask_values(text: str) -> dict[Value, int]:
    """Read a table such as ``0=background,1=RBC,#0000ff=WBC``.

    Parameters
    ----------
    text : str
        Numbers or colours; background, RBC, WBC, Platelet (which is background) or unscored.

    Returns
    -------
    dict of int or tuple of int to int
        Values of ``CellClass``, or 255 for not scored.

    Raises
    ------
    SettingsError
        A part is no pair, or one of its sides is not known.

    Examples
    --------
    >>> read_mask_values("0=background, 2=WBC, #00ff00=RBC, 255=unscored")
    {0: 0, 2: 2, (0, 255, 0): 1, 255: 255}
    """
    table: dict[Value, int] = {}
    for part in text.split(","):
        value, separator, name = part.partition("=")
        if not separator:
            raise SettingsError(
                f"--mask-values: {part.strip()!r} is no pair; expected for instance "
                "0=background,1=RBC,2=WBC or '#00ff00=RBC'."
            )
        table[_value(value.strip())] = _class_value(name)
    return table


def _value(text: str) -> Value:
    if text.isdecimal():
        return int(text)
    found = _COLOUR.fullmatch(text)
    if not found:
        raise SettingsError(
            f"--mask-values: {text!r} is neither a number nor a colour; expected for instance 1 or "
            "#00ff00."
        )
    red, green, blue = (int(channel, 16) for channel in found.groups())
    return red, green, blue


def _class_value(name: str) -> int:
    plain = plain_name(name)
    if plain == "background":
        return int(CellClass.BACKGROUND)
    if plain in _UNSCORED:
        return NOT_SCORED
    cell_type = COMMON_LABELS.get(plain)
    if cell_type is None:
        raise SettingsError(
            f"--mask-values: {name.strip()!r} is no class; expected background, RBC, WBC, Platelet "
            "or unscored."
        )
    return int(MASK_CLASS[cell_type])
