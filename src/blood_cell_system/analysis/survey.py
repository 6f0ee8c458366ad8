"""What a small copy of an image shows without a network: field of view, stain, where cells are.

All of it happens at a few hundred thousand pixels, so that it costs a few hundredths of a second
whatever the image's size.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.stain.optical_density import (
    GREEN,
    StainSettings,
    foreground_threshold,
    optical_density,
)

_FEW_PX: Final = 100_000
"""Images of fewer pixels are enlarged to twice their side."""
_FIELD_SIDE_PX: Final = 256
"""Longer side of the image in which the field of view is searched."""
_DARK_SHARE: Final = 0.45
"""Brightness of the surround, at most, as part of the slide's."""
_STRAY_SHARE: Final = 0.53
"""The same where all four corners are as dark: stray light falls on the surround. Of 405 images of
all collections one other field is found by it, of Uganda's."""
_MIN_DARK_AREA: Final = 0.02
"""Part of the image that is dark where the field is round; less is a shadow in a corner."""
_ENDS: Final = (slice(None, 8), slice(-8, None))
"""Pixels of a corner in the image in which the field is searched."""
_RIM_SHARE: Final = 0.02
"""Width of the field's rim that is left out, in shorter sides: it is out of focus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """An image made small, and what its stain shows.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB; outside the field of view as bright as the empty slide.
    shrink : float
        Its pixels for each pixel of the image as it was given, at most 1.
    field : ndarray of shape (height, width), dtype bool
        False where nothing can be seen.
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density; see ``masks.stain``.
    threshold : float
        Green density from which on a pixel belongs to a cell.
    foreground : ndarray of shape (height, width), dtype uint8
        1 in cells, 0 elsewhere.
    """

    image: NDArray[np.uint8]
    shrink: float
    field: NDArray[np.bool_]
    density: NDArray[np.float32]
    threshold: float
    foreground: NDArray[np.uint8]


_LEAST_CELL_PX: Final = 24.0
"""Diameter of a red cell in a survey from which on it shows how wide an edge is."""
_WINDOW_PX: Final = 632
"""Side of a window that is looked at closer, in pixels, at least."""
_WINDOW_CELLS: Final = 12
"""The same in diameters of a red cell."""


def closer(
    image: NDArray[np.uint8],
    field: NDArray[np.bool_],
    whole: "Survey",
    diameter_px: float | None,
) -> "Survey":
    """Survey the part of a large image that has most cells, where the whole shows them too small.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    field : ndarray of shape (height, width), dtype bool
        As of ``find_field``.
    whole : Survey
        Of the whole image.
    diameter_px : float or None
        Of a red cell in the image.

    Returns
    -------
    Survey
        Of a window, or the given one.
    """
    if diameter_px is None or diameter_px * whole.shrink >= _LEAST_CELL_PX:
        return whole
    side = max(_WINDOW_PX, round(_WINDOW_CELLS * diameter_px))
    small = max(round(side * whole.shrink), 1)
    stained = cv2.boxFilter(
        whole.foreground, cv2.CV_32F, (small, small), borderType=cv2.BORDER_CONSTANT
    )
    row, column = np.unravel_index(int(stained.argmax()), stained.shape)
    window = tuple(
        slice(max(round(at / whole.shrink - side / 2), 0), round(at / whole.shrink + side / 2))
        for at in (int(row), int(column))
    )
    return survey(np.ascontiguousarray(image[window]), np.ascontiguousarray(field[window]))


def survey(
    image: NDArray[np.uint8], field: NDArray[np.bool_] | None = None, *, max_px: int = 400_000
) -> Survey:
    """Measure a small copy of an image.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    field : ndarray of shape (height, width), dtype bool, optional
        As of ``find_field``, found by default.
    max_px : int
        Pixels of the copy, at most.
    """
    if field is None:
        field = find_field(image)
    # An image of few pixels has small cells, whose outlines would be all corners.
    shrink = float(np.clip(np.sqrt(max_px / field.size), None, 1.0))
    if field.size < _FEW_PX:
        shrink = 2.0
    height, width = (max(round(side * shrink), 1) for side in field.shape)
    if shrink != 1:
        kind = cv2.INTER_AREA if shrink < 1 else cv2.INTER_CUBIC
        small = cv2.resize(image, (width, height), interpolation=kind)
        small_field = (
            cv2.resize(field.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        )
    else:
        small, small_field = image, field
    if not small_field.all() and small_field.any():
        small = small.copy()
        # Brightness of the slide: a black surround would bend the fitted light at the rim.
        small[~small_field] = np.percentile(small[small_field], 80, axis=0).astype(np.uint8)
    settings = StainSettings()
    density = optical_density(small, settings=settings)
    threshold = foreground_threshold(density, settings=settings, left_out=~small_field)
    foreground = ((density[:, :, GREEN] > threshold) & small_field).astype(np.uint8)
    foreground = cv2.morphologyEx(foreground, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return Survey(
        image=small,
        shrink=shrink,
        field=small_field,
        density=density,
        threshold=threshold,
        foreground=np.asarray(foreground),
    )


def find_field(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the part of an image that shows the slide.

    A camera on an eyepiece sees a bright disc in the dark. Dark is what has less than 45 % of the
    slide's brightness in its *brightest* channel: nuclei and clumps, however dark, keep some blue
    or red. Only darkness that reaches a corner of the image is surround, and the field is convex.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        All True where there is no surround.
    """
    height, width = image.shape[:2]
    shrink = min(1.0, _FIELD_SIDE_PX / max(height, width))
    small = cv2.resize(
        image,
        (max(round(width * shrink), 1), max(round(height * shrink), 1)),
        interpolation=cv2.INTER_AREA,
    )
    brightness = small.max(axis=2)
    usual = np.percentile(brightness, 95)
    in_corners = [np.median(brightness[y, x]) for y in _ENDS for x in _ENDS]
    share = _STRAY_SHARE if max(in_corners) < _STRAY_SHARE * usual else _DARK_SHARE
    is_dark = (brightness < share * usual).astype(np.uint8)
    is_dark = cv2.morphologyEx(is_dark, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, parts = cv2.connectedComponents(is_dark)
    corners = {int(parts[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    is_surround = np.isin(parts, sorted(corners))
    whole = np.ones((height, width), dtype=bool)
    if not _MIN_DARK_AREA <= is_surround.mean() < 1:
        return whole
    _, parts, stats, _ = cv2.connectedComponentsWithStats((~is_surround).astype(np.uint8))
    largest = (parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    outlines, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    field = cv2.fillConvexPoly(np.zeros_like(largest), cv2.convexHull(np.vstack(outlines)), 1)
    # The rim is out of focus and half in the dark. The image's own border is no rim.
    reach = max(1, round(_RIM_SHARE * max(small.shape[:2])))
    field = cv2.erode(
        cv2.copyMakeBorder(field, reach, reach, reach, reach, cv2.BORDER_REPLICATE),
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)),
    )[reach:-reach, reach:-reach]
    if not field.any():
        return whole
    large = cv2.resize(field * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large > 127)
