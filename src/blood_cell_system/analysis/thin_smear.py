"""Whether an image shows a thin stained smear at all, before any network sees it.

A network that has always seen cells finds some on tissue, thick films, text and photographs as
well. Twelve measures of a small copy of the image, among them how well outlines agree on circles of
one size, how even the slide between them is and how wide edges are, go into a logistic regression.
``benchmarks/no_smears.py`` fitted it, on smears of thirteen collections, as they are and blurred,
tinted, paled, shrunk and cut, against drawn and real images of other things.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.scale import DiameterEstimate
from blood_cell_system.analysis.survey import Survey
from blood_cell_system.stain.optical_density import BLUE, GREEN, RED, median_density

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "constant": 4.729,
        "log_agreement": 2.217,
        "completeness": 6.782,
        "along_axes": -7.127,
        "edge_width": -10.743,
        "stained_share": 0.680,
        "unevenness": -24.215,
        "hue_spread": -1.974,
        "texture": -3.315,
        "contrast": 3.347,
        "blue_ratio": -1.021,
        "log_density": -1.143,
        "hardness": -46.953,
    }
)
"""Logarithm of the odds of a smear for each unit of a measure; see ``smear_measures``."""

ALMOST_BLACK: Final = "it is almost black"
BARE: Final = "it is bare"
CUT_OUT: Final = "it is one cell, cut out on black"

REFUSED_BELOW: Final = -1.3
"""Score below which an image is refused."""

LEAST_WITH_NUCLEI: Final = -4.0
"""The same for an image with the nuclei of a thin smear: fields of blasts have few red cells."""

DARKEST: Final = 40.0
"""Brightness of the slide in its brightest channel, of 255, below which nothing is to be seen; the
darkest smears have 115."""

_BARE: Final = 0.002
"""Part of the field that is stained below which there is nothing to judge by."""
_LEAST_COMPLETENESS: Final = 0.1
"""Completeness of circles below which there are none; smears have 0.13 and more, tissue 0.08."""
_WIDEST_EDGE: Final = 0.33
"""Width of edges in diameters of a cell from which bodies have none; blurred smears have up to
0.29, the clouds of drawn thick films 0.35 and more."""
_MOST_ALONG: Final = 0.2
"""Part of the boundary along rows and columns from which it was drawn; smears have 0.06 to 0.12,
screens 0.2 to 0.5."""
_FAINT: Final = 0.15
"""Median density of the stain in green light up to which it must be of one hue."""
_MANY_HUES: Final = 0.49
"""Spread of the hue of what is as faint: gradients and noise, not stain."""
_NUCLEUS_DENSITY: Final = 0.4
"""Optical density in red from which a pixel may be a nucleus."""
_NUCLEUS_RED: Final = 0.58
"""Density of nuclei in red light as part of that in green, at most: in thin smears they are purple,
0.54 to 0.57 in fields of blasts; in thick films blue-black, 0.61 to 1.2."""
_NUCLEUS_BLUE: Final = 0.42
"""The same in blue light; nuclei in tissue have 0.3 to 1.4."""
_NUCLEI_SHARE: Final = 0.025
"""Least part of the field that is nuclei for them to speak for a smear."""
_DUST_PX: Final = 20.0
"""Diameter in pixels of the survey up to which a lone round body is dust."""


def smear_measures(
    view: Survey, vote: DiameterEstimate | None, edge_share: float | None
) -> dict[str, float]:
    """Measure what tells smears from other images.

    Parameters
    ----------
    edge_share : float or None
        Width of edges in diameters of a cell; None where there is none.
    """
    step = 2 if view.foreground.size > 100_000 else 1
    density, field = view.density[::step, ::step], view.field[::step, ::step]
    is_stained = (view.foreground[::step, ::step] > 0) & field
    is_slide = ~is_stained & field
    green = density[:, :, GREEN]
    share = float(is_stained[field].mean()) if field.any() else 0.0
    measures = {
        "log_agreement": float(np.log(max(vote.agreement if vote else 0.0, 0.02))),
        "completeness": vote.completeness if vote else 0.0,
        "along_axes": min(vote.along_axes if vote else 0.5, 0.5),
        "edge_width": min(0.4 if edge_share is None else edge_share, 0.4),
        "stained_share": share,
        "unevenness": min(float(green[is_slide].std()) if is_slide.any() else 1.0, 0.12),
    }
    if not (is_stained.any() and is_slide.any()):
        return measures | {
            "hue_spread": 0.5,
            "texture": 0.8,
            "contrast": 0.0,
            "blue_ratio": 0.0,
            "log_density": float(np.log(0.15)),
            "hardness": 0.0,
        }
    of_red, of_green, of_blue = (
        density[:, :, channel][is_stained] for channel in (RED, GREEN, BLUE)
    )
    green_density = max(median_density(of_green), 0.03)
    ratio = (of_red - of_green) / np.maximum(of_green, 0.03)
    off_hue = np.abs(np.subtract(ratio, median_density(ratio), dtype=np.float32))
    capped = np.clip(green[field], -0.1, 0.6)
    within = is_stained[field]
    apart = float(capped[within].mean() - capped[~within].mean())
    slope = _slope(view.density[:, :, GREEN])
    inner = cv2.erode(view.foreground, np.ones((3, 3), np.uint8))
    around = cv2.dilate(view.foreground, np.ones((7, 7), np.uint8))
    at_edges = slope[(view.foreground > 0) & (inner == 0)]
    far_off = slope[(around == 0) & view.field]
    edge_slope = median_density(at_edges) if len(at_edges) else 0.0
    texture = median_density(far_off) / max(edge_slope, 1e-6) if len(far_off) else 0.8
    return measures | {
        "hue_spread": min(median_density(off_hue), 0.5),
        "texture": min(texture, 0.8),
        "contrast": share * (1 - share) * apart**2 / max(float(capped.var()), 1e-9),
        "blue_ratio": float(np.clip(median_density(of_blue) / green_density, -0.5, 2.0)),
        "log_density": float(np.log(max(green_density, 0.15))),
        "hardness": max(edge_slope - 0.12, 0.0),
    }


def _slope(green: NDArray[np.float32]) -> NDArray[np.float32]:
    across, down = (cv2.Sobel(green, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(across, down))


def smear_score(measures: Mapping[str, float]) -> float:
    """Logarithm of the odds that an image of these measures shows a thin smear."""
    return WEIGHTS["constant"] + sum(WEIGHTS[name] * value for name, value in measures.items())


def reason_to_refuse(view: Survey, vote: DiameterEstimate | None, edge_share: float | None) -> str:
    """Say why an image is no thin smear; empty where it may be one.

    Parameters
    ----------
    edge_share : float or None
        Width of edges in diameters of a cell; None where there is none.
    """
    is_slide = (view.foreground == 0) & view.field
    brightest = cv2.max(cv2.max(view.image[:, :, 0], view.image[:, :, 1]), view.image[:, :, 2])
    slide = np.asarray(brightest)[is_slide if is_slide.any() else view.field]
    if not len(slide) or float(np.median(slide)) < DARKEST:
        return ALMOST_BLACK
    measures = smear_measures(view, vote, edge_share)
    if measures["stained_share"] < _BARE:
        return "" if vote is not None and vote.diameter_px * view.shrink > _DUST_PX else BARE
    has_circles = vote is None or vote.completeness >= _LEAST_COMPLETENESS
    if vote is not None:
        has_circles &= vote.along_axes < _MOST_ALONG
        has_circles &= edge_share is None or edge_share < _WIDEST_EDGE
    is_many_hued = measures["hue_spread"] >= _MANY_HUES
    if is_many_hued and measures["log_density"] <= np.log(_FAINT):
        has_circles = False
    score = smear_score(measures)
    has_nuclei = not is_many_hued and _has_nuclei(view)
    if has_circles and score >= (LEAST_WITH_NUCLEI if has_nuclei else REFUSED_BELOW):
        return ""
    return "there are no round cells of one size on an even bright slide"


def _has_nuclei(view: Survey) -> bool:
    """Whether a fair part of the field is nuclei of the purple that they have in thin smears."""
    red, green, blue = (view.density[:, :, channel] for channel in (RED, GREEN, BLUE))
    nuclei = ((red > _NUCLEUS_DENSITY) & view.field).astype(np.uint8)
    is_nucleus = cv2.morphologyEx(nuclei, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0
    if is_nucleus.sum() < _NUCLEI_SHARE * max(view.field.sum(), 1):
        return False
    of_red, of_green, of_blue = (
        median_density(channel[is_nucleus]) for channel in (red, green, blue)
    )
    return of_red <= _NUCLEUS_RED * of_green and of_blue <= _NUCLEUS_BLUE * of_green
