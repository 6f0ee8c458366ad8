"""Red cells, and what disease does to them: sickles, and malaria parasites inside."""

from enum import StrEnum
from typing import Final

import numpy as np

from blood_cell_system.datasets.synthetic.shapes import (
    ANGLES,
    FloatMap,
    Outline,
    Patch,
    make_outline,
    ramp,
    smooth_noise,
    smooth_step,
)
from blood_cell_system.datasets.synthetic.smear_settings import Dye, SmearSettings
from blood_cell_system.taxonomy import BUILT_IN, RBC


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


HEALTHY, MALARIA, SICKLE = (condition.name for condition in BUILT_IN[RBC].conditions)

_POINTS: Final = 400  # Corners of a drawn outline.
_RING_SHARE: Final = 0.6  # Of the drawn parasites, those that are rings.


def draw_condition(settings: SmearSettings, generator: np.random.Generator) -> str:
    """Draw what a red cell has.

    Where all are healthy nothing is drawn from the generator: such smears stay as they were.
    """
    if not settings.malaria_share and not settings.sickle_share:
        return HEALTHY
    chance = generator.random()
    if chance < settings.malaria_share:
        return MALARIA
    return SICKLE if chance < settings.malaria_share + settings.sickle_share else HEALTHY


def sickle_outline(
    generator: np.random.Generator, *, centre: tuple[float, float], radius_px: float
) -> Outline:
    """Make the outline of a sickle cell: long, bent, with two pointed ends.

    Its area is somewhat less than that of a disc of the radius.
    """
    sweep = generator.uniform(0.25, 0.75) * np.pi
    length = generator.uniform(2.3, 3.0) * radius_px
    width = generator.uniform(0.36, 0.52) * radius_px
    bend = length / sweep
    turn = generator.uniform(0, 2 * np.pi)
    along = np.linspace(-1, 1, _POINTS)
    half = width * (1 - np.abs(along) ** generator.uniform(1.6, 2.4))
    angle = 0.5 * sweep * along
    # Around the middle of the arc, from which all of so mild an arc can be seen.
    outer = (bend + half) * np.exp(1j * angle)
    inner = (bend - half[::-1]) * np.exp(1j * angle[::-1])
    outline = (np.concatenate([outer, inner]) - bend) * np.exp(1j * turn)
    return Outline(x=centre[0], y=centre[1], radii_px=_as_radii(outline))


def _as_radii(outline: np.ndarray) -> FloatMap:
    """Distance of a closed line from the origin by direction, the farthest where there are two."""
    closed = np.append(outline, outline[0])
    steps = np.linspace(0, 1, 8, endpoint=False)[:, None]
    dense = (closed[:-1] * (1 - steps) + closed[1:] * steps).ravel()
    place = np.round(np.angle(dense) * ANGLES / (2 * np.pi)).astype(int) % ANGLES
    radii = np.zeros(ANGLES)
    np.maximum.at(radii, place, np.abs(dense))
    known = np.flatnonzero(radii)
    filled = np.interp(np.arange(ANGLES), known, radii[known], period=ANGLES)
    return filled.astype(np.float32)


def parasite_dyes(
    patch: Patch, generator: np.random.Generator, *, radius_px: float
) -> dict[Dye, FloatMap]:
    """Amounts of dye in a malaria parasite inside of a red cell.

    A ring with a dot of chromatin, or an older, larger one with pigment.

    Parameters
    ----------
    patch : Patch
        Of the red cell.
    radius_px : float
        Mean radius of the red cell.

    Returns
    -------
    dict of Dye to ndarray of shape (height, width), dtype float32
    """
    is_ring = generator.random() < _RING_SHARE
    away = generator.uniform(0.0, 0.45) * radius_px
    angle = generator.uniform(0, 2 * np.pi)
    x = patch.x - np.float32(away * np.cos(angle))
    y = patch.y - np.float32(away * np.sin(angle))
    size = np.float32(radius_px * generator.uniform(*((0.2, 0.3) if is_ring else (0.34, 0.5))))
    distance = np.hypot(x, y * np.float32(generator.uniform(0.85, 1.2)))
    soft = max(1.4, 0.05 * radius_px)
    inside = ramp(patch.depth_px - np.float32(0.06 * radius_px))
    dot_angle = generator.uniform(0, 2 * np.pi)
    reach = size * np.float32(1.0 if is_ring else 0.45)
    dot = np.hypot(
        x - reach * np.float32(np.cos(dot_angle)), y - reach * np.float32(np.sin(dot_angle))
    )
    chromatin = ramp(np.float32((0.1 if is_ring else 0.15) * radius_px) - dot, soft)
    if is_ring:
        line = np.abs(distance - size)
        body = ramp(np.float32(0.07 * radius_px) - line, soft)
        return {
            Dye.RNA: np.float32(generator.uniform(0.9, 1.3)) * body * inside,
            Dye.CHROMATIN: np.float32(generator.uniform(0.75, 1.0)) * chromatin * inside,
        }
    grain = smooth_noise(generator, patch.x.shape, scale_px=max(1.5, 0.09 * radius_px))
    body = ramp(size - distance + np.float32(0.05 * radius_px) * grain, soft)
    pigment = body * smooth_step(grain, 0.9, 1.6) * np.float32(0.5)
    return {
        Dye.RNA: np.float32(generator.uniform(0.9, 1.4)) * body * inside,
        Dye.CHROMATIN: (np.float32(0.8) * chromatin + pigment) * inside,
    }
