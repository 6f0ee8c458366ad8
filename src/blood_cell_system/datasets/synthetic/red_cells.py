"""Red cells: normal, oval, without pallor, crenated, target, mouth-shaped and teardrop ones."""

from enum import StrEnum
from typing import Final

import numpy as np

from blood_cell_system.datasets.synthetic.shapes import (
    FloatMap,
    Outline,
    Patch,
    make_outline,
    smooth_noise,
    smooth_step,
)


class RedCellKind(StrEnum):
    """Shapes of red cells."""

    NORMAL = "normocyte"
    OVAL = "ovalocyte"
    SPHERE = "spherocyte"
    CRENATED = "echinocyte"
    TARGET = "target cell"
    MOUTH = "stomatocyte"
    TEARDROP = "dacrocyte"


_KINDS: Final = tuple(RedCellKind)
_COMMON: Final = np.array([0.66, 0.15, 0.11, 0.02, 0.02, 0.03, 0.01])


def draw_kind_shares(
    generator: np.random.Generator,
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Draw how common each kind is in a smear: blood differs from patient to patient."""
    return generator.dirichlet(_COMMON * 12 + 0.02)


def draw_kind(
    generator: np.random.Generator, shares: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> RedCellKind:
    """Draw the kind of one red cell."""
    return _KINDS[int(generator.choice(len(_KINDS), p=shares))]


def red_cell_outline(
    generator: np.random.Generator,
    *,
    kind: RedCellKind,
    centre: tuple[float, float],
    radius_px: float,
) -> Outline:
    """Make the outline of a red cell."""
    elongation = 1 + abs(generator.normal(0, 0.12))
    spikes, spike_height, tail = 0, 0.0, 0.0
    if kind is RedCellKind.OVAL:
        elongation = generator.uniform(1.2, 1.6)
    elif kind is RedCellKind.SPHERE:
        elongation, radius_px = 1 + 0.5 * (elongation - 1), 0.9 * radius_px
    elif kind is RedCellKind.CRENATED:
        spikes, spike_height = int(generator.integers(9, 16)), generator.uniform(0.04, 0.09)
    elif kind is RedCellKind.TEARDROP:
        tail, elongation = generator.uniform(0.35, 0.7), generator.uniform(1.05, 1.25)
    return make_outline(
        generator,
        centre=centre,
        radius_px=radius_px,
        elongation=elongation,
        direction=generator.uniform(0, 2 * np.pi),
        waviness=generator.uniform(0.01, 0.075),
        spikes=spikes,
        spike_height=spike_height,
        tail=tail,
    )


def haemoglobin(
    patch: Patch,
    generator: np.random.Generator,
    *,
    kind: RedCellKind,
    radius_px: float,
    pallor: float,
    rim: float,
) -> FloatMap:
    """Amount of haemoglobin that light meets in a red cell.

    A dried cell is a plate with a steep edge and a dip in the middle, the central pallor.

    Parameters
    ----------
    patch : Patch
    generator : numpy.random.Generator
    kind : RedCellKind
    radius_px : float
        Mean radius of the cell.
    pallor : float
        Depth of the dip in this smear, 0..1.
    rim : float
        How much darker the outermost ring is: refraction makes it so.

    Returns
    -------
    ndarray of shape (height, width), dtype float32
        About 1 between the rim and the pallor, 0 outside.
    """
    u = patch.relative_radius
    depth = np.clip(pallor + generator.normal(0, 0.2), 0, 0.9)
    inner = generator.uniform(0.0, 0.42)
    outer = inner + generator.uniform(0.22, 0.55)
    squeeze = 1.0
    if kind is RedCellKind.SPHERE:
        depth = 0.0
    elif kind is RedCellKind.MOUTH:
        squeeze, depth, inner, outer = generator.uniform(2.2, 3.5), 0.65, 0.1, 0.75
    elif kind is RedCellKind.TARGET:
        depth, inner, outer = max(depth, 0.5), 0.3, 0.8
    amount = patch.coverage * (
        1
        + rim * np.exp(-(((u - np.float32(0.93)) / np.float32(0.06)) ** 2))
        + np.float32(0.05) * smooth_noise(generator, u.shape, scale_px=0.5 * radius_px)
    )
    if depth > 0.03:
        angle = generator.uniform(0, 2 * np.pi)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        shift_x, shift_y = generator.normal(0, 0.09 * radius_px, 2).astype(np.float32)
        x, y = patch.x - shift_x, patch.y - shift_y
        dip = np.hypot(x * cos + y * sin, np.float32(squeeze) * (y * cos - x * sin))
        dip *= np.float32(1 / radius_px)
        dent = 1 - smooth_step(dip, inner, outer)
        if kind is RedCellKind.TARGET:
            dent -= np.float32(1.1) * np.exp(-((dip / np.float32(0.24)) ** 2))
        amount *= 1 - np.float32(depth) * dent
    thickness = np.clip(generator.normal(1, 0.1), 0.7, 1.35)
    return np.asarray(amount * thickness, dtype=np.float32)
