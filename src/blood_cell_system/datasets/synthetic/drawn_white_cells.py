"""White cells: five kinds of normal blood, and three that come with disease.

Nuclei are discs that flow into each other. Each function of one draws it for a cell of radius 1
around the origin and returns the discs ``(x, y, radius)``.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from blood_cell_system.datasets.synthetic.shapes import (
    FloatMap,
    Outline,
    Patch,
    depth_in_discs,
    make_outline,
    ramp,
    smooth_noise,
    smooth_step,
)
from blood_cell_system.datasets.synthetic.smear_settings import Dye

Discs = list[tuple[float, float, float]]


def _neutrophil_nucleus(generator: np.random.Generator) -> Discs:
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
            side_x, side_y = sign * shift * np.cos(along), sign * shift * np.sin(along)
            discs.append((x[i] + side_x, y[i] + side_y, 0.85 * size))
        if i + 1 < count:
            bridge = 0.7 * lobe if is_band else generator.uniform(0.05, 0.12)
            for t in np.linspace(0.2, 0.8, 5):
                discs.append(((1 - t) * x[i] + t * x[i + 1], (1 - t) * y[i] + t * y[i + 1], bridge))
    return discs


def _eosinophil_nucleus(generator: np.random.Generator) -> Discs:
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
            side_x, side_y = sign * size * np.sin(angle), sign * size * np.cos(angle)
            discs.append((x - side_x, y + side_y, 0.9 * size))
    for t in np.linspace(angles[0], angles[-1], 12):
        discs.append((reach * 0.9 * np.cos(t), reach * 0.9 * np.sin(t), 0.07))
    return discs


def _lymphocyte_nucleus(generator: np.random.Generator) -> Discs:
    """One large round disc with a shallow dent."""
    size = generator.uniform(0.74, 0.9)
    angle = generator.uniform(0, 2 * np.pi)
    shift = 0.8 * (0.97 - size)
    x, y = shift * np.cos(angle), shift * np.sin(angle)
    dent = generator.uniform(0.06, 0.2)
    side = angle + np.pi / 2
    return [
        (x + dent * np.cos(side), y + dent * np.sin(side), size - dent),
        (x - dent * np.cos(side), y - dent * np.sin(side), size - dent),
        (x + dent * np.cos(angle), y + dent * np.sin(angle), size - 1.2 * dent),
    ]


def _monocyte_nucleus(generator: np.random.Generator) -> Discs:
    """One thick arc: a kidney or a horseshoe."""
    turn = generator.uniform(0, 2 * np.pi)
    sweep = generator.uniform(0.55, 1.25) * np.pi
    bend = generator.uniform(0.34, 0.44)
    angles = turn + np.linspace(-sweep / 2, sweep / 2, 9)
    thickness = generator.uniform(0.32, 0.4) * np.linspace(0.9, 1.1, 9)
    shift = 0.42 * bend
    x, y = (bend * f(angles) - shift * f(turn) for f in (np.cos, np.sin))
    return list(zip(x, y, thickness, strict=True))


def _oval_nucleus(generator: np.random.Generator) -> Discs:
    """One large oval off the middle, at times with a dent."""
    angle = generator.uniform(0, 2 * np.pi)
    size = generator.uniform(0.46, 0.56)
    stretch = generator.uniform(0.1, 0.2)
    shift = generator.uniform(0.12, 0.24)
    x, y = shift * np.cos(angle), shift * np.sin(angle)
    side = angle + np.pi / 2
    return [
        (x + sign * stretch * np.cos(side), y + sign * stretch * np.sin(side), size)
        for sign in (-1, 1)
    ]


def _erythroblast_nucleus(generator: np.random.Generator) -> Discs:
    """One small, perfectly round disc."""
    angle = generator.uniform(0, 2 * np.pi)
    shift = generator.uniform(0, 0.18)
    size = generator.uniform(0.42, 0.58)
    return [(shift * np.cos(angle), shift * np.sin(angle), size)]


class WhiteCellKind(StrEnum):
    """Kinds of white cells; normal blood has the first five."""

    NEUTROPHIL = "neutrophil"
    LYMPHOCYTE = "lymphocyte"
    MONOCYTE = "monocyte"
    EOSINOPHIL = "eosinophil"
    BASOPHIL = "basophil"
    IMMATURE_GRANULOCYTE = "immature_granulocyte"
    ERYTHROBLAST = "erythroblast"
    BLAST = "blast"


_KINDS: Final = tuple(WhiteCellKind)[:5]
# Rarer kinds are drawn more often than blood has them, so that a small data set shows them all.
_CHANCES: Final = (0.48, 0.24, 0.11, 0.12, 0.05)


def draw_white_cell(
    generator: np.random.Generator, *, red_radius_px: float, kinds: Sequence[str] = ()
) -> tuple[WhiteCellKind, float]:
    """Draw the kind of a white cell and its radius in pixels.

    Parameters
    ----------
    kinds : sequence of str
        Kinds that are as likely as each other; those of normal blood by default.
    """
    if kinds:
        kind = WhiteCellKind(kinds[int(generator.integers(len(kinds)))])
    else:
        kind = _KINDS[int(generator.choice(len(_KINDS), p=_CHANCES))]
    return kind, float(generator.uniform(*_LOOKS[kind].diameters)) * red_radius_px


def white_cell_outline(
    generator: np.random.Generator,
    *,
    kind: WhiteCellKind,
    centre: tuple[float, float],
    radius_px: float,
) -> Outline:
    """Make the outline of a white cell; monocytes are the least regular ones."""
    return make_outline(
        generator,
        centre=centre,
        radius_px=radius_px,
        elongation=1 + abs(generator.normal(0, 0.09)),
        direction=generator.uniform(0, 2 * np.pi),
        waviness=0.08 if kind is WhiteCellKind.MONOCYTE else 0.05,
    )


def white_cell_dyes(
    patch: Patch, generator: np.random.Generator, *, kind: WhiteCellKind, radius_px: float
) -> dict[Dye, FloatMap]:
    """Amounts of dye in a white cell.

    Parameters
    ----------
    radius_px : float
        Mean radius of the cell.

    Returns
    -------
    dict of Dye to ndarray of shape (height, width), dtype float32
    """
    discs = [
        (float(x * radius_px), float(y * radius_px), float(size * radius_px))
        for x, y, size in _LOOKS[kind].nucleus(generator)
    ]
    nucleus_depth = depth_in_discs(patch, discs, softness_px=0.022 * radius_px)
    shape = patch.x.shape
    nucleus_depth += np.float32(0.018 * radius_px) * smooth_noise(
        generator, shape, scale_px=0.22 * radius_px
    )
    # A nucleus never comes out of its cell; a lymphocyte's all but fills it.
    gap_px = np.float32(0.04 * radius_px)
    nucleus_depth = np.minimum(nucleus_depth, patch.depth_px - gap_px)
    nucleus = ramp(nucleus_depth, max(1.4, 0.03 * radius_px))
    # Cytoplasm is thin: it ends less sharply than a red cell.
    edge_px = (0.04 if kind is WhiteCellKind.LYMPHOCYTE else 0.1) * radius_px
    cytoplasm = ramp(patch.depth_px, max(1.4, edge_px)) * (1 - nucleus)
    dyes = _LOOKS[kind].cytoplasm(patch, generator, cytoplasm, radius_px)
    chromatin = nucleus * _chromatin(generator, nucleus_depth, kind, radius_px)
    if kind is WhiteCellKind.BASOPHIL:
        grain = smooth_noise(generator, shape, scale_px=0.085 * radius_px)
        chromatin = 0.62 * chromatin + patch.coverage * 0.8 * smooth_step(grain, 0.25, 0.8)
    dyes[Dye.CHROMATIN] = dyes.get(Dye.CHROMATIN, np.float32(0)) + chromatin
    return dyes


def _chromatin(
    generator: np.random.Generator, depth_px: FloatMap, kind: WhiteCellKind, radius_px: float
) -> FloatMap:
    """Texture of a nucleus: clumps, fine strands, a darker membrane."""
    is_open = kind in (WhiteCellKind.MONOCYTE, WhiteCellKind.BLAST)
    clumps = smooth_noise(
        generator, depth_px.shape, scale_px=(0.2 if is_open else 0.15) * radius_px
    )
    strands = smooth_noise(generator, depth_px.shape, scale_px=0.06 * radius_px)
    membrane = np.exp(-((depth_px / np.float32(0.05 * radius_px)) ** 2))
    strength = generator.uniform(0.85, 1.1) * (0.82 if is_open else 1.0)
    texture = 1 + 0.13 * np.clip(clumps, -1.8, 1.5) + 0.07 * strands + 0.1 * membrane
    if kind is WhiteCellKind.BLAST:
        # Nucleoli: round and pale, where ribosomes are made.
        spots = smooth_noise(generator, depth_px.shape, scale_px=0.3 * radius_px)
        texture -= np.float32(0.32) * smooth_step(spots, 0.9, 1.3)
    return np.asarray(strength * texture, dtype=np.float32)


def _pale_granules(
    patch: Patch, generator: np.random.Generator, cytoplasm: FloatMap, radius_px: float
) -> dict[Dye, FloatMap]:
    fine = smooth_noise(generator, patch.x.shape, scale_px=max(1.2, 0.035 * radius_px))
    broad = smooth_noise(generator, patch.x.shape, scale_px=0.3 * radius_px)
    strength = generator.uniform(0.45, 1.0)
    speckle = np.clip(1 + 0.2 * fine + 0.15 * broad, 0.15, 2)
    granules = smooth_step(fine, 1.1, 1.9) * np.float32(generator.uniform(0.0, 0.22))
    return {
        Dye.NEUTRAL: cytoplasm * np.float32(strength) * speckle,
        Dye.CHROMATIN: cytoplasm * granules,
    }


def _blue_rim(
    patch: Patch, generator: np.random.Generator, cytoplasm: FloatMap, radius_px: float
) -> dict[Dye, FloatMap]:
    broad = smooth_noise(generator, patch.x.shape, scale_px=0.18 * radius_px)
    edge = smooth_step(patch.relative_radius, 0.55, 1.0)
    strength = np.float32(generator.uniform(0.6, 1.25))
    return {Dye.RNA: cytoplasm * strength * (0.7 + 0.35 * edge + 0.14 * broad)}


def _purple_granules(
    patch: Patch, generator: np.random.Generator, cytoplasm: FloatMap, radius_px: float
) -> dict[Dye, FloatMap]:
    grain = smooth_noise(generator, patch.x.shape, scale_px=max(1.4, 0.05 * radius_px))
    strength = np.float32(generator.uniform(0.5, 0.9))
    granules = smooth_step(grain, 0.4, 1.3) * np.float32(generator.uniform(0.3, 0.5))
    return {
        Dye.NEUTRAL: cytoplasm * strength,
        Dye.RNA: cytoplasm * np.float32(0.35),
        Dye.CHROMATIN: cytoplasm * granules,
    }


def _blue_haemoglobin(
    patch: Patch, generator: np.random.Generator, cytoplasm: FloatMap, radius_px: float
) -> dict[Dye, FloatMap]:
    broad = smooth_noise(generator, patch.x.shape, scale_px=0.3 * radius_px)
    share = np.float32(generator.uniform(0.3, 0.8))
    even = np.clip(1 + 0.1 * broad, 0.5, 1.5)
    return {Dye.HAEMOGLOBIN: cytoplasm * even, Dye.RNA: cytoplasm * share * even}


def _deep_blue(
    patch: Patch, generator: np.random.Generator, cytoplasm: FloatMap, radius_px: float
) -> dict[Dye, FloatMap]:
    broad = smooth_noise(generator, patch.x.shape, scale_px=0.2 * radius_px)
    strength = np.float32(generator.uniform(1.1, 1.7))
    return {Dye.RNA: cytoplasm * strength * np.clip(1 + 0.12 * broad, 0.5, 1.5)}


def _grey_blue(
    patch: Patch, generator: np.random.Generator, cytoplasm: FloatMap, radius_px: float
) -> dict[Dye, FloatMap]:
    shape = patch.x.shape
    fine = smooth_noise(generator, shape, scale_px=max(1.2, 0.04 * radius_px))
    bubbles = smooth_noise(generator, shape, scale_px=0.11 * radius_px)
    vacuoles = 1 - 0.85 * smooth_step(bubbles, 1.5, 1.9)
    strength = np.float32(generator.uniform(0.55, 0.95))
    speckle = np.clip(1 + 0.16 * fine, 0.3, 1.8)
    return {
        Dye.RNA: cytoplasm * strength * speckle * vacuoles,
        Dye.NEUTRAL: cytoplasm * np.float32(0.45) * strength * vacuoles,
    }


def _orange_granules(
    patch: Patch, generator: np.random.Generator, cytoplasm: FloatMap, radius_px: float
) -> dict[Dye, FloatMap]:
    grain = smooth_noise(generator, patch.x.shape, scale_px=max(1.6, 0.06 * radius_px))
    granules = smooth_step(grain, -1.3, 1.3)
    strength = np.float32(generator.uniform(0.85, 1.15))
    return {
        Dye.EOSIN: cytoplasm * strength * (0.5 + 0.5 * granules),
        Dye.RNA: cytoplasm * np.float32(0.12),
    }


class _Look(NamedTuple):
    diameters: tuple[float, float]
    """Range, in diameters of a red cell."""
    nucleus: Callable[[np.random.Generator], Discs]
    cytoplasm: Callable[[Patch, np.random.Generator, FloatMap, float], dict[Dye, FloatMap]]


_LOOKS: Final = MappingProxyType(
    {
        WhiteCellKind.NEUTROPHIL: _Look((1.45, 1.95), _neutrophil_nucleus, _pale_granules),
        WhiteCellKind.LYMPHOCYTE: _Look((1.1, 1.6), _lymphocyte_nucleus, _blue_rim),
        WhiteCellKind.MONOCYTE: _Look((1.75, 2.35), _monocyte_nucleus, _grey_blue),
        WhiteCellKind.EOSINOPHIL: _Look((1.5, 1.9), _eosinophil_nucleus, _orange_granules),
        WhiteCellKind.BASOPHIL: _Look((1.3, 1.7), _eosinophil_nucleus, _pale_granules),
        WhiteCellKind.IMMATURE_GRANULOCYTE: _Look((1.7, 2.2), _oval_nucleus, _purple_granules),
        WhiteCellKind.ERYTHROBLAST: _Look((1.0, 1.4), _erythroblast_nucleus, _blue_haemoglobin),
        WhiteCellKind.BLAST: _Look((1.5, 2.2), _lymphocyte_nucleus, _deep_blue),
    }
)
