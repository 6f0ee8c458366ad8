"""Whether an image is fit for counting: focus, light, crowding, stain, scale, field.

The limits lie outside of what the smears of six laboratories show, phones on eyepieces among them,
so that an ordinary smear is not warned of. Beside each limit stands the range that was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.focus import edge_width
from blood_cell_system.analysis.scale import (
    RED_CELL_DIAMETER_UM,
    DiameterEstimate,
    ScaleEstimate,
    ScaleSource,
    is_contradicted,
)
from blood_cell_system.analysis.survey import Survey
from blood_cell_system.analysis.thin_smear import ALMOST_BLACK, BARE, CUT_OUT, reason_to_refuse
from blood_cell_system.imaging.pixel_size import PLAUSIBLE_UM, PixelSize
from blood_cell_system.stain.optical_density import BLUE, GREEN, median_density


class Severity(StrEnum):
    """What a finding means for the counts."""

    OK = "ok"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFinding:
    """One thing that was measured about an image.

    Parameters
    ----------
    name : str
        ``focus``, ``exposure``, ``crowding``, ``stain``, ``scale``, ``field`` or ``smear``; of a
        damaged file also ``file``.
    value : float or None
        What was measured, in the unit that the message names; None where it cannot be.
    message : str
        One sentence for a person; of a warning with what to do.
    """

    name: str
    severity: Severity
    value: float | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuality:
    """Everything that was measured about how fit an image is.

    Parameters
    ----------
    findings : tuple of QualityFinding
        Always the same names in the same order; that of a damaged file comes last.
    judged_share : float
        Part of the image that was analysed, 0 to 1: a round field of view has dark corners.
    is_smear : bool
        False where it is no thin stained blood smear; nothing is counted in it then.
    """

    findings: tuple[QualityFinding, ...]
    judged_share: float
    is_smear: bool

    @property
    def warnings(self) -> tuple[QualityFinding, ...]:
        """Only what a person should know before trusting the counts."""
        return tuple(item for item in self.findings if item.severity == Severity.WARNING)

    @property
    def is_grey(self) -> bool:
        """Whether the cells have no colour."""
        return any(item.message == _NO_COLOUR for item in self.findings)

    def with_findings_of(self, other: Self, *names: str) -> Self:
        """Give the same with some findings of another assessment."""
        pairs = zip(self.findings, other.findings, strict=True)
        return replace(self, findings=tuple(b if a.name in names else a for a, b in pairs))


_NO_COLOUR: Final = (
    "No colour: the image is grey. Counts may hold; no cell was classified, as classes rest on the "
    "stain's colours. Take the image in colour."
)


def finding(name: str, value: float | None, message: str) -> QualityFinding:
    """Give a finding that is no cause for concern."""
    return QualityFinding(name=name, severity=Severity.OK, value=value, message=message)


def warning(name: str, value: float | None, message: str) -> QualityFinding:
    """Give a finding that a person should know before trusting the counts."""
    return QualityFinding(name=name, severity=Severity.WARNING, value=value, message=message)


__all__ = ["ImageQuality", "QualityFinding", "Severity", "assess"]

MAX_EDGE_SHARE: Final = 0.155
"""Width of a cell's edge as part of its diameter. Of 100 images of five collections all have up to
0.153, and 0.168 or more when blurred by a tenth of the diameter. ``benchmarks/image_quality.py``
measures how often it warns."""

PIXEL_EDGE_PX: Final = 1.0
"""Width of a sharp edge in the survey, in its pixels: cells of 25 pixels would look blurred by it
where those of 100 do not."""

MIN_LIGHT: Final = 100.0
"""Brightness of the empty slide, of 255; 160 to 255 were measured."""

MAX_CLIPPED: Final = 0.25
"""Part of the field that is black, or of the cells that is brighter than the camera could see; 0.05
and 0.0 were measured."""

MIN_COLOUR: Final = 2.5
"""Median difference of the brightest and the darkest channel in cells, of 255; 6 to 60 were
measured, 0 in grey images."""

MAX_CAST: Final = 0.42
"""Largest logarithm of the slide's red light over its blue, of either sign; -0.32 to 0.24 were
measured, 0.6 to 0.9 more under a tungsten lamp."""

MAX_GREEN_CAST: Final = 0.25
"""The same of its green light over the mean of red and blue; -0.02 to 0.13 were measured."""

MAX_STAINED: Final = 0.88
"""Part of the field that is stained; 0.2 to 0.8 were measured."""

MIN_STAINED: Final = 0.01
"""Below it there is hardly a cell."""

MIN_DENSITY: Final = 0.065
"""Median density of the stain in green light; 0.07 to 1.6 were measured."""

MAX_DENSITY: Final = 1.9
"""Above it no light comes through: ink, or the dark."""

MIN_RATIO: Final = -0.3
"""Least density in red and in blue light as part of that in green; noise may make it negative."""
MAX_RED_RATIO: Final = 1.9
"""Largest density in red light as part of that in green, in which blood's stains are dense."""
MAX_BLUE_RATIO: Final = 1.4
"""Largest density in blue light as part of that in green."""

MAX_UNEVENNESS: Final = 0.07
"""Spread of the density between the cells; an empty slide has 0.01 to 0.055."""

MIN_DIAMETER_PX: Final = 24.0
"""Cells of fewer pixels have no details: counts hold, classes do not."""

ONE_CELL_PX: Final = 600
"""Longer side up to which an image that is refused may be one of a single cell."""

MIN_JUDGED: Final = 0.3
"""Part of the image within the field of view; a round one in a square image has 0.65."""


_UNLIKE_BLOOD: Final = "Unlike a blood stain"


def assess(
    view: Survey,
    *,
    scale: ScaleEstimate,
    vote: DiameterEstimate | None,
    judged_share: float,
    closer: Survey | None = None,
    pixel_size: PixelSize | None = None,
    is_vouched_for: bool = False,
    is_cut_out: bool = False,
) -> ImageQuality:
    """Assess how fit an image is, without regard to what the network found in it.

    Parameters
    ----------
    vote : DiameterEstimate or None
        Size by the outlines, also where the size was given.
    judged_share : float
        Part of the image within the field of view.
    closer : Survey, optional
        Of a part, for how wide edges are.
    pixel_size : PixelSize, optional
        As given or as the file states it, whether it was used or not.
    is_vouched_for : bool
        Whether a person who knows the image gave its cells' diameter: it is not refused then.
    is_cut_out : bool
        Whether its border is black. A small image is one cell then, and not judged as a smear.
    """
    is_stained = view.foreground > 0
    is_slide = ~is_stained & view.field
    stained_share = float(is_stained[view.field].mean())
    # Channel by channel, which is thrice as fast as along an axis.
    density = np.array(
        [median_density(view.density[:, :, channel][is_stained]) for channel in range(3)]
        if is_stained.any()
        else [0.0, 0.0, 0.0]
    )
    diameter = scale.red_cell_diameter_px or (vote.diameter_px if vote else None)
    edges = closer or view
    edge_share = edge_width(edges, diameter)
    # Shares of levels need no more than a sample; its channels are neighbours in memory.
    sample = (slice(None, None, 3),) * 2
    levels = np.ascontiguousarray(np.moveaxis(view.image[sample], -1, 0)).reshape(3, -1)
    slide, cells, seen = (
        levels.compress(where[sample].ravel(), axis=1)
        for where in (is_slide, is_stained, view.field)
    )
    findings = (
        _focus(edge_share, (diameter or 0) * edges.shrink),
        _exposure(slide, cells, seen if seen.size else levels),
        _crowding(stained_share),
        _stain(density, stained_share),
        _scale(scale, vote, pixel_size),
        _field(judged_share),
        _colour(slide, cells),
    )
    if is_cut_out and max(view.field.shape) <= ONE_CELL_PX * view.shrink and not is_vouched_for:
        return _of_one_cell([one.name for one in findings], judged_share)
    refusal = reason_to_refuse(view, vote, edge_share)
    if findings[3].message.startswith(_UNLIKE_BLOOD):
        refusal = "its colours are not those of a blood stain"
    # Nobody can vouch for what nobody can see.
    is_vouched_for &= refusal not in {ALMOST_BLACK, BARE}
    if is_vouched_for and refusal:
        smear = warning("smear", None, f"This may be no thin stained blood smear: {refusal}.")
    else:
        smear = _smear(view, is_slide, vote, refusal)
    return ImageQuality(
        findings=(*findings, smear),
        judged_share=judged_share,
        is_smear=is_vouched_for or not refusal,
    )


def _of_one_cell(names: Sequence[str], judged_share: float) -> ImageQuality:
    """Say that an image is one cell; what is asked of a smear would be nonsense."""
    smear = warning(
        "smear",
        None,
        f"This is no field of a smear: {CUT_OUT}. Nothing was counted. Give such images to "
        "bloodcells classify.",
    )
    others = (finding(name, None, "Not judged: the image shows one cell.") for name in names)
    return ImageQuality(findings=(*others, smear), judged_share=judged_share, is_smear=False)


def _focus(share: float | None, diameter_px: float) -> QualityFinding:
    """Judge the width of edges in diameters of a cell, which is so many pixels of the survey."""
    if share is None:
        return finding("focus", None, "The focus cannot be measured without cells.")
    share = max(share - PIXEL_EDGE_PX / diameter_px, 0.0)
    if share > MAX_EDGE_SHARE:
        return warning(
            "focus",
            share,
            f"Out of focus: a cell's edge is {share:.0%} of its diameter wide, more than "
            f"{MAX_EDGE_SHARE:.0%}. Focus, or leave the image out.",
        )
    return finding("focus", share, f"Sharp: a cell's edge is {share:.0%} of its diameter wide.")


def _exposure(
    slide: NDArray[np.uint8], cells: NDArray[np.uint8], seen: NDArray[np.uint8]
) -> QualityFinding:
    """Judge the light by the cells: an empty slide may be as white as it likes.

    Levels of pixels are of shape (3, pixels).
    """
    black = float((seen.max(axis=0) <= 8).mean())
    light = float(np.median(slide.max(axis=0))) if slide.size else 0.0
    if black > MAX_CLIPPED and light >= MIN_LIGHT:
        return warning(
            "exposure",
            black,
            f"{black:.0%} of the image are black, more than {MAX_CLIPPED:.0%}: no camera takes a "
            "smear so. Give the image as it came from the camera.",
        )
    if light < MIN_LIGHT:
        return warning(
            "exposure",
            light,
            f"Too dark: the empty slide has a brightness of {light:.0f} of 255, expected "
            f"{MIN_LIGHT:.0f} at least, and {black:.0%} are black. More light, or a longer "
            "exposure.",
        )
    # Blue is left out: under a bluish lamp it is clipped in nuclei, which lose nothing by it.
    clipped = float((cells[:BLUE].max(axis=0) >= 254).mean()) if cells.size else 0.0
    if clipped > MAX_CLIPPED:
        return warning(
            "exposure",
            clipped,
            f"Too bright: {clipped:.0%} of the cells' pixels are as bright as the camera can see, "
            f"more than {MAX_CLIPPED:.0%}; their details are lost. Less light, or a shorter "
            "exposure.",
        )
    return finding("exposure", light, f"The empty slide has a brightness of {light:.0f} of 255.")


def _colour(slide: NDArray[np.uint8], cells: NDArray[np.uint8]) -> QualityFinding:
    """Whether there are colours, and whether the light is about white."""
    if not slide.size or not cells.size:
        return finding("colour", None, "The colours cannot be judged without cells and slide.")
    spread = float(np.median(cells.max(axis=0) - cells.min(axis=0)))
    if spread < MIN_COLOUR:
        return warning(
            "colour",
            spread,
            _NO_COLOUR,
        )
    red, green, blue = np.log(np.median(slide, axis=1) + 1)
    cast, of_green = float(red - blue), float(green - (red + blue) / 2)
    if abs(cast) > MAX_CAST or abs(of_green) > MAX_GREEN_CAST:
        shade = (
            ("green" if of_green > 0 else "purple")
            if abs(of_green) > MAX_GREEN_CAST
            else ("yellow" if cast > 0 else "blue")
        )
        return warning(
            "colour",
            cast,
            f"Colour cast: the empty slide is {shade}, expected about white. Classes rest on "
            "colours. Set the camera's white balance on the empty slide.",
        )
    return finding("colour", cast, "The empty slide is about white.")


def _crowding(stained_share: float) -> QualityFinding:
    if stained_share > MAX_STAINED:
        return warning(
            "crowding",
            stained_share,
            f"Crowded: {stained_share:.0%} of the field is stained, more than "
            f"{MAX_STAINED:.0%}; cells lie on each other. Take a thinner part of the smear.",
        )
    if stained_share < MIN_STAINED:
        return warning(
            "crowding",
            stained_share,
            f"Hardly any cells: {stained_share:.1%} of the field is stained, less than "
            f"{MIN_STAINED:.0%}. Take another field.",
        )
    return finding("crowding", stained_share, f"{stained_share:.0%} of the field is stained.")


def _stain(density: NDArray[np.float64], stained_share: float) -> QualityFinding:
    red, green, blue = (float(value) for value in density)
    if stained_share < MIN_STAINED:
        return finding("stain", None, "The stain cannot be measured without cells.")
    if green < MIN_DENSITY:
        return warning(
            "stain",
            green,
            f"Pale: the stain's density in green light is {green:.2f}, less than "
            f"{MIN_DENSITY:.2f}; cells may be missed. Stain longer.",
        )
    is_like_blood = (
        green <= MAX_DENSITY
        and MIN_RATIO * green <= red <= MAX_RED_RATIO * green
        and MIN_RATIO * green <= blue <= MAX_BLUE_RATIO * green
    )
    if not is_like_blood:
        return warning(
            "stain",
            green,
            f"{_UNLIKE_BLOOD}: densities in red, green and blue light are {red:.2f}, "
            f"{green:.2f}, {blue:.2f}; Romanowsky stains are dense in green. Is the image in "
            "true colours, of transmitted light?",
        )
    return finding("stain", green, f"The stain's density in green light is {green:.2f}.")


def _scale(
    scale: ScaleEstimate, vote: DiameterEstimate | None, pixel_size: PixelSize | None
) -> QualityFinding:
    diameter = scale.red_cell_diameter_px
    if pixel_size is not None and (doubt := _doubt_of_pixel_size(pixel_size, scale, vote)):
        return warning("scale", diameter, doubt)
    if diameter is None:
        return warning(
            "scale",
            None,
            "The size of the cells could not be estimated: no round outlines of one size. The "
            "image was taken as it is. Give the diameter of a red cell with --cell-diameter.",
        )
    if diameter < MIN_DIAMETER_PX:
        return warning(
            "scale",
            diameter,
            f"Red cells have a diameter of {diameter:.0f} pixels only, expected "
            f"{MIN_DIAMETER_PX:.0f} at least. Take a higher magnification.",
        )
    if scale.source == ScaleSource.GIVEN:
        if vote and is_contradicted(diameter, vote):
            return warning(
                "scale",
                diameter,
                f"Red cells were said to have a diameter of {diameter:.0f} pixels, but look "
                f"like {vote.diameter_px:.0f}. Check --cell-diameter and --pixel-size-um.",
            )
        return finding(
            "scale", diameter, f"Red cells were said to have a diameter of {diameter:.0f} pixels."
        )
    return finding("scale", diameter, f"Red cells have a diameter of {diameter:.0f} pixels.")


def _doubt_of_pixel_size(
    size: PixelSize, scale: ScaleEstimate, vote: DiameterEstimate | None
) -> str:
    """Say what is odd about a pixel size; empty where nothing is."""
    words = f"a pixel of {size.um:.4g} µm ({size.origin})"
    diameter = RED_CELL_DIAMETER_UM / size.um
    use = "is used as given; check it" if size.is_given else "is not used; give --pixel-size-um"
    if not size.is_plausible:
        return (
            f"Odd size: {words} would make red cells {diameter:.3g} pixels wide; expected "
            f"{PLAUSIBLE_UM[0]:g} to {PLAUSIBLE_UM[1]:g} µm. It {use}."
        )
    if vote and is_contradicted(diameter, vote):
        return (
            f"Odd size: with {words} red cells would be {diameter:.0f} pixels wide, but they look "
            f"like {vote.diameter_px:.0f}. It {use}, and whether the image was made smaller since."
        )
    own = scale.red_cell_diameter_px
    if scale.source == ScaleSource.GIVEN and own and not 0.5 <= own / diameter <= 2:
        return (
            f"Odd size: with {words} a red cell of {own:.0f} pixels would be "
            f"{own * size.um:.1f} µm wide, expected about {RED_CELL_DIAMETER_UM:g}. Check "
            "--cell-diameter and --pixel-size-um."
        )
    return ""


def _field(judged_share: float) -> QualityFinding:
    if judged_share < MIN_JUDGED:
        return warning(
            "field",
            judged_share,
            f"Only {judged_share:.0%} of the image show the slide, less than {MIN_JUDGED:.0%}. "
            "Bring the camera closer to the eyepiece.",
        )
    return finding("field", judged_share, f"{judged_share:.0%} of the image was analysed.")


def _smear(
    view: Survey, is_slide: NDArray[np.bool_], vote: DiameterEstimate | None, refusal: str
) -> QualityFinding:
    """Stained round bodies of one size on an even bright slide."""
    agreement = vote.agreement if vote else 0.0
    if refusal:
        is_small = max(view.field.shape) <= ONE_CELL_PX * view.shrink
        return warning(
            "smear",
            agreement,
            f"This does not look like a thin stained blood smear: {refusal}. Nothing was counted. "
            "Take a field of a thin smear where red cells lie singly, or give --cell-diameter: "
            "then it is analysed all the same."
            + (" An image of one cell is for bloodcells classify." if is_small else ""),
        )
    unevenness = (
        float(view.density[:, :, GREEN][is_slide].std()) if is_slide.any() else float("inf")
    )
    if unevenness > MAX_UNEVENNESS:
        return warning(
            "smear",
            agreement,
            "This may be no thin stained blood smear: there is no even empty slide. Look at the "
            "outlines before you use the counts.",
        )
    return finding("smear", agreement, "It looks like a stained blood smear.")
