"""What the segmenter's maker and its users agree on; needs no Keras."""

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
