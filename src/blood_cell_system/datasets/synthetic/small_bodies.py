"""Platelets, and the dirt that smears have."""

import numpy as np

from blood_cell_system.datasets.synthetic.settings import Dye
from blood_cell_system.datasets.synthetic.shapes import (
    FloatMap,
    Outline,
    Patch,
    make_outline,
    make_patch,
    ramp,
    smooth_noise,
    smooth_step,
)


def platelet_outline(
    generator: np.random.Generator, *, centre: tuple[float, float], radius_px: float
) -> Outline:
    """Make the outline of a platelet: roundish, with a few blunt corners."""
    return make_outline(
        generator,
        centre=centre,
        radius_px=radius_px,
        elongation=generator.uniform(1.0, 1.45),
        direction=generator.uniform(0, 2 * np.pi),
        waviness=0.09,
    )


def platelet_dyes(
    patch: Patch, generator: np.random.Generator, *, radius_px: float
) -> dict[Dye, FloatMap]:
    """Amounts of dye in a platelet: purple granules in the middle, a pale blue-grey rim."""
    u = patch.relative_radius
    grain = smooth_noise(generator, u.shape, scale_px=max(1.5, 0.28 * radius_px))
    middle = 1 - smooth_step(u, generator.uniform(0.2, 0.5), 1.0)
    body = patch.coverage
    strength = generator.uniform(0.6, 1.2)
    granules = body * middle * smooth_step(grain, -1.2, 1.2)
    return {
        Dye.CHROMATIN: np.float32(0.62 * strength) * granules
        + np.float32(0.1 * strength) * body * middle,
        Dye.NEUTRAL: np.float32(0.55 * strength) * body,
        Dye.RNA: np.float32(0.35 * strength) * body,
    }


def add_dirt(
    density: FloatMap, generator: np.random.Generator, *, count: int, radius_px: float
) -> None:
    """Add specks of precipitated stain and of dust, in place.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density.
    generator : numpy.random.Generator
    count : int
    radius_px : float
        Mean radius of a red cell; specks stay far smaller, so that none passes for a platelet.
    """
    height, width = density.shape[:2]
    for _ in range(count):
        centre = (generator.uniform(0, width), generator.uniform(0, height))
        size = max(1.2, radius_px * generator.uniform(0.035, 0.09))
        outline = make_outline(generator, centre=centre, radius_px=size, waviness=0.15)
        patch = make_patch(outline, (height, width))
        if patch is None:
            continue
        if generator.random() < 0.5:
            shade = ramp(patch.depth_px, 0.8 * size)
            colour = generator.uniform((0.3, 0.35, 0.1), (0.8, 0.9, 0.5))
        else:
            # Dust out of focus: a bright spot with a dark ring.
            u = patch.relative_radius
            shade = np.exp(-(((u - 1) / np.float32(0.35)) ** 2)) - np.float32(0.7) * (u < 0.6)
            colour = np.full(3, generator.uniform(0.08, 0.25))
        density[patch.window] += shade[:, :, None] * colour.astype(np.float32)
