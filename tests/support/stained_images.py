"""Images of a stained smear whose every density is known."""

import numpy as np

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import BUILT_IN

RED_CELL = (0.06, 0.25, 0.20)
CYTOPLASM = (0.15, 0.20, 0.02)
NUCLEUS = (0.70, 0.90, 0.10)
PLATELET_DYE = (0.40, 0.35, 0.00)


def disc(shape, x, y, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= radius**2


def draw_field(shape, parts, *, light=230.0, noise=0.0, seed=0):
    """Beer–Lambert: the light, weakened by the densities of the parts; later parts lie on top."""
    density = np.zeros((*shape, 3))
    for where, colour in parts:
        density[where] = colour
    values = np.broadcast_to(light, (*shape, 3)) * np.exp(-density)
    values = values + np.random.default_rng(seed).normal(0, noise, values.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def box(cell_type, x, y, radius, air=0.0):
    reach = radius + air
    return Annotation(
        cell_type=BUILT_IN.checked(cell_type), box=Box(x - reach, y - reach, x + reach, y + reach)
    )


def iou(first, second):
    return (first & second).sum() / (first | second).sum()
