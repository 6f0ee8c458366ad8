"""What disease does to red cells: sickles, and malaria parasites inside."""

from typing import Final

import numpy as np

from blood_cell_system.classes import RBC_CONDITIONS
from blood_cell_system.datasets.synthetic.settings import Dye, SmearSettings
from blood_cell_system.datasets.synthetic.shapes import (
    ANGLES,
    FloatMap,
    Outline,
    Patch,
    ramp,
    smooth_noise,
    smooth_step,
)

HEALTHY, MALARIA, SICKLE = RBC_CONDITIONS

_POINTS: Final = 400
_RING_SHARE: Final = 0.6


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
    outer = _bent(angle, bend + half, bend)
    inner = _bent(angle[::-1], bend - half[::-1], bend)
    outline = np.concatenate([outer, inner]) * np.exp(1j * turn)
    return Outline(x=centre[0], y=centre[1], radii_px=_as_radii(outline))


def _bent(angle: np.ndarray, radius: np.ndarray, bend: float) -> np.ndarray:
    return np.asarray(radius * np.exp(1j * angle) - bend)


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
    generator : numpy.random.Generator
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
    size = np.float32(radius_px * (generator.uniform(0.2, 0.3) if is_ring else
                                   generator.uniform(0.34, 0.5)))  # fmt: skip
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
