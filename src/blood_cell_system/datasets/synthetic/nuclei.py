"""Nuclei of white cells, as discs that flow into each other.

Every function draws one nucleus for a cell of radius ``radius_px`` around the origin and returns
the discs ``(x, y, radius)`` in pixels.
"""

import numpy as np

Discs = list[tuple[float, float, float]]


def neutrophil_nucleus(generator: np.random.Generator, radius_px: float) -> Discs:
    """Three to five lobes along a bent line, joined by bridges; at times an unlobed band."""
    count = int(generator.integers(3, 6))
    is_band = generator.random() < 0.15
    turn = generator.uniform(0, 2 * np.pi)
    sweep = generator.uniform(0.9, 1.5) * np.pi
    lobe = generator.uniform(0.25, 0.3) * (3.6 / count) ** 0.4
    angles = turn + np.linspace(-sweep / 2, sweep / 2, count) + generator.normal(0, 0.1, count)
    reach = generator.uniform(0.4, 0.5) + generator.normal(0, 0.06, count)
    x, y = reach * np.cos(angles), reach * np.sin(angles)
    discs: Discs = []
    for i in range(count):
        size = lobe * generator.uniform(0.85, 1.1)
        # Two discs make an oblong lobe.
        along = angles[i] + np.pi / 2 + generator.normal(0, 0.5)
        shift = 0.45 * size
        for sign in (-1, 1):
            discs.append(
                (
                    x[i] + sign * shift * np.cos(along),
                    y[i] + sign * shift * np.sin(along),
                    0.85 * size,
                )
            )
        if i + 1 < count:
            bridge = 0.7 * lobe if is_band else generator.uniform(0.05, 0.12)
            for t in np.linspace(0.2, 0.8, 5):
                discs.append(((1 - t) * x[i] + t * x[i + 1], (1 - t) * y[i] + t * y[i + 1], bridge))
    return _scaled(discs, radius_px)


def eosinophil_nucleus(generator: np.random.Generator, radius_px: float) -> Discs:
    """Two lobes like a pair of spectacles, off the middle; at times three."""
    turn = generator.uniform(0, 2 * np.pi)
    count = 3 if generator.random() < 0.2 else 2
    spread = generator.uniform(0.42, 0.55) * np.pi if count == 2 else 0.7 * np.pi
    angles = turn + np.linspace(-spread, spread, count) * (0.8 if count == 2 else 1)
    reach = generator.uniform(0.46, 0.54)
    discs: Discs = []
    for angle in angles:
        size = generator.uniform(0.34, 0.41) * (1 if count == 2 else 0.82)
        x, y = reach * np.cos(angle), reach * np.sin(angle)
        for sign in (-0.28, 0.28):
            discs.append(
                (
                    x - sign * size * np.sin(angle),
                    y + sign * size * np.cos(angle),
                    0.9 * size,
                )
            )
    for t in np.linspace(angles[0], angles[-1], 12):
        discs.append((reach * 0.9 * np.cos(t), reach * 0.9 * np.sin(t), 0.07))
    return _scaled(discs, radius_px)


def lymphocyte_nucleus(generator: np.random.Generator, radius_px: float) -> Discs:
    """One large round disc with a shallow dent."""
    size = generator.uniform(0.74, 0.9)
    angle = generator.uniform(0, 2 * np.pi)
    shift = 0.8 * (0.97 - size)
    x, y = shift * np.cos(angle), shift * np.sin(angle)
    dent = generator.uniform(0.06, 0.2)
    side = angle + np.pi / 2
    return _scaled(
        [
            (x + dent * np.cos(side), y + dent * np.sin(side), size - dent),
            (x - dent * np.cos(side), y - dent * np.sin(side), size - dent),
            (x + dent * np.cos(angle), y + dent * np.sin(angle), size - 1.2 * dent),
        ],
        radius_px,
    )


def monocyte_nucleus(generator: np.random.Generator, radius_px: float) -> Discs:
    """One thick arc: a kidney or a horseshoe."""
    turn = generator.uniform(0, 2 * np.pi)
    sweep = generator.uniform(0.55, 1.25) * np.pi
    bend = generator.uniform(0.34, 0.44)
    angles = turn + np.linspace(-sweep / 2, sweep / 2, 9)
    thickness = generator.uniform(0.32, 0.4) * np.linspace(0.9, 1.1, 9)
    shift = 0.42 * bend
    return _scaled(
        [
            (
                bend * np.cos(a) - shift * np.cos(turn),
                bend * np.sin(a) - shift * np.sin(turn),
                t,
            )
            for a, t in zip(angles, thickness, strict=True)
        ],
        radius_px,
    )


def oval_nucleus(generator: np.random.Generator, radius_px: float) -> Discs:
    """One large oval off the middle, at times with a dent."""
    angle = generator.uniform(0, 2 * np.pi)
    size = generator.uniform(0.46, 0.56)
    stretch = generator.uniform(0.1, 0.2)
    shift = generator.uniform(0.12, 0.24)
    x, y = shift * np.cos(angle), shift * np.sin(angle)
    side = angle + np.pi / 2
    return _scaled(
        [
            (x + sign * stretch * np.cos(side), y + sign * stretch * np.sin(side), size)
            for sign in (-1, 1)
        ],
        radius_px,
    )


def erythroblast_nucleus(generator: np.random.Generator, radius_px: float) -> Discs:
    """One small, perfectly round disc."""
    angle = generator.uniform(0, 2 * np.pi)
    shift = generator.uniform(0, 0.18)
    size = generator.uniform(0.42, 0.58)
    return _scaled([(shift * np.cos(angle), shift * np.sin(angle), size)], radius_px)


def _scaled(discs: Discs, radius_px: float) -> Discs:
    return [(float(x * radius_px), float(y * radius_px), float(r * radius_px)) for x, y, r in discs]
