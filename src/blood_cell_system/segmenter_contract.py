"""What the segmenter's maker and its users agree on; needs no Keras."""

import re
from typing import Final

STRIDE: Final = 32
"""Heights and widths of the segmenter's input are multiples of it."""

HEAD_STRIDE: Final = 4
"""Pixels a side of one place of the instance head's maps: place (r, c) stands for the point
x = 4 (c + 0.5), y = 4 (r + 0.5)."""

SIZE_UNIT_PX: Final = 64.0
"""The instance head predicts ln(width / 64 px) and ln(height / 64 px)."""

TRAINING_DIAMETER_PX: Final = 100.0
"""Diameter of a red cell in the pictures that a network learned from, where nothing else is known:
the median of BCCD's."""

_NAME: Final = "blood_cell_segmenter"
_NAME_WITH_DIAMETER: Final = re.compile(rf"{_NAME}_([1-9]\d*)px")


def model_name(training_diameter_px: float | None) -> str:
    """Name of a Keras model, which tells how large red cells were in its training.

    A name goes with a model wherever it is saved, loaded or handed on.

    Parameters
    ----------
    training_diameter_px : float or None
        None where it is not known.

    Examples
    --------
    >>> model_name(63.8), model_name(None)
    ('blood_cell_segmenter_64px', 'blood_cell_segmenter')
    """
    if training_diameter_px is None:
        return _NAME
    return f"{_NAME}_{max(1, round(training_diameter_px))}px"


def diameter_in_name(name: str) -> float | None:
    """Diameter of a red cell in the pictures that a Keras model learned from, by its name.

    Returns
    -------
    float or None
        Pixels; None for a model whose name says nothing.

    Examples
    --------
    >>> diameter_in_name("blood_cell_segmenter_64px"), diameter_in_name("model_1")
    (64.0, None)
    """
    found = _NAME_WITH_DIAMETER.fullmatch(name)
    return float(found[1]) if found else None
