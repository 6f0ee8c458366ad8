"""Where to look on a slide: empty glass, feathered edge, monolayer, thick end.

At low magnification, where a red cell is a dozen pixels wide, each part of a slide is measured: how
much of it is stained, how much of the stain is cells that lie alone, how much is denser than one
layer of cells, and whether the cells that lie alone are paler in the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SURVEY_DIAMETER_PX: Final = 12.0
"""Diameter of a red cell where zones are measured: its pallor is three or four pixels wide."""

_GLASS_PERCENTILE: Final = 97
"""Of the brightness of a part: that of its glass, where it shows a little."""
_LEAST_LAYER: Final = 0.06
"""Optical density in green light by which stain must differ from glass to say anything."""
_DARKEST_GLASS: Final = 0.08
"""Mean density of the brighter half of a part, at most, for it to be glass."""
_USUAL_LAYER: Final = 0.3
"""Density of one layer of cells where no part shows it."""
_LONE: Final = (0.4, 1.7)
"""Area of a lone cell in areas of the disc of a red cell."""
_DENSE: Final = 1.6
"""Density, in layers of cells, from which more than one lies there."""
_NUCLEUS_RATIO: Final = 0.65
"""Density in red light as part of that in green from which stain is a nucleus."""
_CENTRE: Final = 0.75
"""Depth in a cell, as part of the largest, from which a pixel is its middle."""
_RING: Final = 0.5
"""The same up to which it is the ring around the pallor."""
_FEW: Final = 5
"""Fewer lone cells say nothing about pallor."""


class Zone(StrEnum):
    """A part of a smear."""

    GLASS = "glass"
    EDGE = "feathered edge"
    MONOLAYER = "monolayer"
    THICK = "thick end"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneMeasures:
    """What a part of a slide shows at low magnification.

    Parameters
    ----------
    coverage : float
        Share that is stained.
    apart : float
        Share of the stain that belongs to cells that lie alone.
    dense : float
        Share of the stain that is denser than one layer of cells, nuclei aside.
    pallor : float or None
        How much paler the middle of lone cells is than the ring around it, 0 to 1; None where
        there are too few.
    """

    coverage: float
    apart: float
    dense: float
    pallor: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneLimits:
    """Where one zone ends and the next begins, set on drawn slides and on fields of BCCD.

    Parameters
    ----------
    glass : float
        Coverage below which there is nothing.
    sparse : float
        Coverage below which cells are too few: the feathered edge.
    full : float
        Coverage from which on there is hardly a gap.
    dense : float
        Share denser than one layer from which cells lie on each other.
    apart, clumped : float
        Share of lone cells below which a part is a clump, and the coverage from which on.
    pallor : float
        Least pallor, as part of the median of all parts: cells of the edge are flat.
    """

    glass: float = 0.015
    sparse: float = 0.12
    full: float = 0.72
    dense: float = 0.25
    apart: float = 0.12
    clumped: float = 0.6
    pallor: float = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class StainOfSlide:
    """Light and stain of a slide, from samples of all of it.

    Parameters
    ----------
    glass : ndarray of shape (3,), dtype float32
        RGB of the empty glass.
    layer : float
        Optical density in green light of one layer of cells.
    """

    glass: NDArray[np.float32]
    layer: float


def stain_of_slide(parts: Sequence[NDArray[np.uint8]]) -> StainOfSlide:
    """Measure glass and stain of a slide.

    Parameters
    ----------
    parts : sequence of ndarray of shape (height, width, 3), dtype uint8
        RGB, from all over the slide, at low magnification.
    """
    bright = np.array([np.percentile(one, _GLASS_PERCENTILE, axis=(0, 1)) for one in parts])
    # The upper quarter: parts of the thick end show no glass at all.
    glass = np.maximum(np.percentile(bright, 75, axis=0), 1).astype(np.float32)
    layers = []
    for part in parts:
        green = _density(part, glass)[:, :, 1]
        scaled = np.clip(green * 200, 0, 255).astype(np.uint8)
        stained = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1] > 0
        if not stained.any() or stained.all():
            continue
        above, below = float(np.median(green[stained])), float(np.median(green[~stained]))
        if below < _DARKEST_GLASS and above - below > _LEAST_LAYER:
            layers.append(above)
    layer = float(np.percentile(layers, 40)) if layers else _USUAL_LAYER
    return StainOfSlide(glass=glass, layer=layer)


def measure_zone(part: NDArray[np.uint8], stain: StainOfSlide) -> ZoneMeasures:
    """Measure a part of a slide in which a red cell is ``SURVEY_DIAMETER_PX`` wide.

    Parameters
    ----------
    part : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    density = _density(part, stain.glass)
    green = density[:, :, 1]
    stained = (green > stain.layer / 2).astype(np.uint8)
    # The pallor of a cell belongs to it.
    stained = _filled(stained)
    area = int(stained.sum())
    if not area:
        return ZoneMeasures(coverage=0.0, apart=0.0, dense=0.0, pallor=None)
    disc = np.pi / 4 * SURVEY_DIAMETER_PX**2
    _, labels, stats, _ = cv2.connectedComponentsWithStats(stained, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    is_lone = (areas >= _LONE[0] * disc) & (areas <= _LONE[1] * disc)
    is_lone[0] = False
    is_nucleus = density[:, :, 0] > _NUCLEUS_RATIO * np.maximum(green, 0.1)
    is_dense = (green > _DENSE * stain.layer) & ~is_nucleus & (stained > 0)
    return ZoneMeasures(
        coverage=area / stained.size,
        apart=float(areas[is_lone].sum()) / area,
        dense=float(is_dense.sum()) / area,
        pallor=_pallor(green, stained, labels, is_lone),
    )


def _density(part: NDArray[np.uint8], glass: NDArray[np.float32]) -> NDArray[np.float32]:
    light = np.maximum(part.astype(np.float32), 1) / glass
    return np.asarray(-np.log(light), dtype=np.float32)


def _filled(stained: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill the holes that are smaller than a pallor."""
    _, holes, stats, _ = cv2.connectedComponentsWithStats(1 - stained, connectivity=4)
    is_small = stats[:, cv2.CC_STAT_AREA] < SURVEY_DIAMETER_PX**2 / 5
    is_small[0] = False
    return np.asarray(stained | is_small[holes], dtype=np.uint8)


def _pallor(
    green: NDArray[np.float32],
    stained: NDArray[np.uint8],
    labels: NDArray[np.int32],
    is_lone: NDArray[np.bool_],
) -> float | None:
    if np.count_nonzero(is_lone) < _FEW:
        return None
    depth = cv2.distanceTransform(stained, cv2.DIST_L2, 3)
    deepest = np.zeros(len(is_lone), dtype=np.float32)
    np.maximum.at(deepest, labels.ravel(), depth.ravel())
    share = depth / np.maximum(deepest[labels], 1)
    lone = is_lone[labels]
    centre, ring = green[lone & (share >= _CENTRE)], green[lone & (share <= _RING) & (depth > 1)]
    if not len(centre) or not len(ring):
        return None
    return float(np.clip(1 - centre.mean() / max(float(ring.mean()), 1e-3), 0, 1))


def zones_of(
    measures: Sequence[ZoneMeasures], limits: ZoneLimits | None = None
) -> tuple[Zone, ...]:
    """Say which zone each part of a slide belongs to.

    Cells of the feathered edge are flat, so that their pallor is compared with that of the other
    parts, where there is any.
    """
    limits = limits or ZoneLimits()
    first = [_by_coverage(one, limits) for one in measures]
    pallors = [
        one.pallor
        for one, zone in zip(measures, first, strict=True)
        if zone is Zone.MONOLAYER and one.pallor is not None
    ]
    usual = float(np.percentile(pallors, 75)) if pallors else 0.0
    return tuple(
        Zone.EDGE
        if zone is Zone.MONOLAYER and one.pallor is not None and one.pallor < limits.pallor * usual
        else zone
        for one, zone in zip(measures, first, strict=True)
    )


def _by_coverage(measures: ZoneMeasures, limits: ZoneLimits) -> Zone:
    if measures.coverage < limits.glass:
        return Zone.GLASS
    if measures.coverage < limits.sparse:
        return Zone.EDGE
    is_clumped = measures.apart < limits.apart and measures.coverage > limits.clumped
    is_thick = measures.coverage > limits.full or measures.dense > limits.dense or is_clumped
    return Zone.THICK if is_thick else Zone.MONOLAYER
