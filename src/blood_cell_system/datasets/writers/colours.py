"""Colours of labels in tools: the same as in our own overlays."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from blood_cell_system.drawing.overlay import CELL_COLOURS, NOT_SCORED_COLOUR

_COLOURS: Final[Mapping[str, tuple[int, int, int]]] = MappingProxyType(
    {str(cell_type): colour for cell_type, colour in CELL_COLOURS.items()}
)


def label_colour(label: str) -> tuple[int, int, int]:
    """Red, green and blue of a label, 0 to 255; gray for regions that are not scored."""
    return _COLOURS.get(label, NOT_SCORED_COLOUR)
