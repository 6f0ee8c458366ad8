"""White cells of an image without boxes, by their nuclei, which are unlike anything else.

1. Nuclei take up much more in green than in red and blue light: they are purple, whatever shade
   the stain gives to red cells. Otsu's threshold on that difference finds them.
2. Nuclei that touch are parted at their necks.
3. Around each, the outline of the cell is found as in ``masks/white_cells.py``, in a guessed box.

It needs no network, and is a second opinion on one: where cells are paler or bluer than those that
a network knows, the purple of a nucleus still is the evidence.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.cut_out import Piece, box_around
from blood_cell_system.cells.watershed import disc, separate_by_shape
from blood_cell_system.masks.red_cells import (
    RedCellAppearance,
    appearance_of_red_cells,
    red_share_of,
)
from blood_cell_system.masks.white_cells import outline_white_cell
from blood_cell_system.stain.optical_density import (
    BLUE,
    GREEN,
    RED,
    StainSettings,
    foreground_threshold,
    optical_density,
)

_WORKING_SIDE_PX: Final = 700
"""Longer side of the image that is searched; a cell needs some pixels for its outline."""
_MAX_ENLARGEMENT: Final = 3.0
"""Small images are enlarged by no more than this factor: it adds no detail."""
_LEAST_PURPLE: Final = 0.14
"""Optical density in green beyond the mean of red and blue, below which nothing is a nucleus,
whatever Otsu's threshold says of an image without white cells."""
_MIN_NECK: Final = 0.2
"""How much narrower than the smaller nucleus a neck is at least where two are cut apart."""
_MIN_AREA_SHARE: Final = 0.3
"""Of a typical nucleus's area: smaller ones are fragments."""
_MAX_AREA_SHARE: Final = 2.6
"""Of a typical nucleus's area: larger ones are clumps."""
_MIN_AREA_PX: Final = 60
"""Smaller purple spots, in pixels of the searched image, are specks of stain."""
_MIN_SOLIDITY: Final = 0.9
"""Area over that of the convex hull: a cell of less has bays, as clumps do."""
_MAX_ELONGATION: Final = 1.9
"""Length over width: what is longer is a smudge or two cells."""
_FRINGE_SHARE: Final = 0.11
"""Of a cell's extent: what is thinner belongs to a neighbour."""
_MIN_MARGIN: Final = 0.3
"""Least margin of the guessed box, in extents of the nucleus."""
_MAX_MARGIN: Final = 0.7
"""Largest such margin: small nuclei have more cytoplasm around them."""
_SECOND_MARGIN: Final = 0.14
"""Margin of the box around the first outline, in which the second is searched."""
_OWN_SHARE: Final = 0.6
"""Part of the nucleus that an outline must hold; with less it has gone to a neighbour."""


def find_nucleated_cells(image: NDArray[np.uint8]) -> tuple[list[Piece], NDArray[np.bool_]]:
    """Find the white cells of an image by their nuclei.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.

    Returns
    -------
    list of Piece
        Outlines from top to bottom, which may overlap; none where nothing is purple.
    ndarray of shape (n,), dtype bool
        Whether each has the size and shape of one cell; others are clumps, smudges and fragments.
    """
    height, width = image.shape[:2]
    zoom = float(np.clip(_WORKING_SIDE_PX / max(height, width), 0.5, _MAX_ENLARGEMENT))
    size = max(round(width * zoom), 1), max(round(height * zoom), 1)
    kind = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    density = optical_density(cv2.resize(image, size, interpolation=kind))
    labels = _nuclei(density)
    areas = np.bincount(labels.ravel())[1:]
    if not areas.any():
        return [], np.zeros(0, dtype=np.bool_)
    # Half of all that is purple lies in nuclei of this size or more: fragments are many but small.
    ordered = np.sort(areas)
    typical = float(ordered[np.searchsorted(np.cumsum(ordered), ordered.sum() / 2)])
    is_fragment = np.concatenate([[True], areas < _MIN_AREA_SHARE * typical])
    nearest = _nearest_label(np.where(is_fragment[labels], 0, labels))
    stained = _stained(density)
    red_cells = _red_cells(density, stained, labels)
    nearest[~stained] = 0
    found: list[Piece] = []
    singles = []
    for label, area in enumerate(areas.tolist(), start=1):
        own = nearest == label if not is_fragment[label] else labels == label
        cell = _outline(density, labels == label, own, red_cells)
        if cell is None:
            continue
        rows, columns, inside = cell
        is_single = (
            not is_fragment[label] and area <= _MAX_AREA_SHARE * typical and _is_compact(inside)
        )
        piece = _in_image(rows, columns, inside, zoom, (height, width))
        if piece[1].any():
            found.append(piece)
            singles.append(is_single)
    return found, np.array(singles, dtype=np.bool_)


def _nuclei(density: NDArray[np.float32]) -> NDArray[np.int32]:
    """Label the nuclei, those that touch apart."""
    return separate_by_shape(nuclear_pixels(density), min_neck=_MIN_NECK)


def nuclear_pixels(density: NDArray[np.float32]) -> NDArray[np.uint8]:
    """1 where an image is as purple as a nucleus, 0 elsewhere.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
    """
    purple = density[:, :, GREEN] - 0.5 * (density[:, :, RED] + density[:, :, BLUE])
    purple = cv2.GaussianBlur(purple, (0, 0), 1.5)
    stained = purple[density[:, :, GREEN] > StainSettings().min_threshold]
    if not len(stained):
        return np.zeros(purple.shape, dtype=np.uint8)
    scaled = np.clip(stained * 255, 0, 255).astype(np.uint8)
    otsu, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    is_nucleus = (purple > max(_LEAST_PURPLE, float(otsu) / 255 * 0.9)).astype(np.uint8)
    is_nucleus = cv2.morphologyEx(is_nucleus, cv2.MORPH_OPEN, disc(2))
    is_nucleus = cv2.morphologyEx(is_nucleus, cv2.MORPH_CLOSE, disc(3))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(is_nucleus, connectivity=4)
    is_nucleus[(stats[:, cv2.CC_STAT_AREA] < _MIN_AREA_PX)[parts]] = 0
    return np.asarray(is_nucleus)


def _stained(density: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where something is stained, without pinholes."""
    threshold = foreground_threshold(density, settings=StainSettings())
    stained = (density[:, :, GREEN] > threshold).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(stained, cv2.MORPH_CLOSE, disc(3)) > 0)


def _red_cells(
    density: NDArray[np.float32], stained: NDArray[np.bool_], labels: NDArray[np.int32]
) -> RedCellAppearance:
    """How red cells look outside of the surroundings of nuclei."""
    boxes = [
        box_around(labels == label, margin=_MAX_MARGIN) for label in range(1, int(labels.max()) + 1)
    ]
    return appearance_of_red_cells(density, stained, red_share_of(density), boxes)


def _nearest_label(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Label of the nearest nucleus at every pixel."""
    _, zones = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label_of_zone = np.zeros(int(zones.max()) + 1, dtype=np.int32)
    label_of_zone[zones[labels > 0]] = labels[labels > 0]
    return np.asarray(label_of_zone[zones])


def _outline(
    density: NDArray[np.float32],
    nucleus: NDArray[np.bool_],
    own: NDArray[np.bool_],
    red_cells: RedCellAppearance,
) -> tuple[slice, slice, NDArray[np.bool_]] | None:
    """Outline of the cell around a nucleus, within the pixels that are nearest to it."""
    _, _, width, height = cv2.boundingRect(nucleus.view(np.uint8))
    margin = float(np.clip(red_cells.diameter_px / max(width, height), _MIN_MARGIN, _MAX_MARGIN))
    first = outline_white_cell(density, box_around(nucleus, margin=margin), red_cells)
    if first is None:
        return None
    cell = nucleus.copy()
    cell[first[0], first[1]] |= first[2] & own[first[0], first[1]]
    found = outline_white_cell(density, box_around(cell, margin=_SECOND_MARGIN), red_cells)
    if found is None:
        return None
    rows, columns, inside = found
    nucleus = nucleus[rows, columns]
    inside = (inside & own[rows, columns]) | nucleus
    fringe = max(1, round(_FRINGE_SHARE * max(cv2.boundingRect(inside.view(np.uint8))[2:])))
    # The border of the window is no rim of the cell.
    padded = cv2.copyMakeBorder(
        inside.view(np.uint8), fringe, fringe, fringe, fringe, cv2.BORDER_REPLICATE
    )
    solid = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc(fringe))[fringe:-fringe, fringe:-fringe]
    contours, _ = cv2.findContours(
        np.ascontiguousarray(solid), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    if not contours:
        return None
    filled = np.zeros(inside.shape, dtype=np.uint8)
    cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    # An outline that has lost most of its nucleus has gone to a neighbour.
    if np.count_nonzero(filled & nucleus.view(np.uint8)) < _OWN_SHARE * np.count_nonzero(nucleus):
        return None
    return rows, columns, filled.astype(bool)


def _is_compact(inside: NDArray[np.bool_]) -> bool:
    """Whether an outline has no bays and is not long, as that of one cell."""
    contours, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    hull = float(cv2.contourArea(cv2.convexHull(contour)))
    sides = cv2.minAreaRect(contour)[1]
    is_solid = float(cv2.contourArea(contour)) >= _MIN_SOLIDITY * max(hull, 1.0)
    return bool(is_solid and max(sides) <= _MAX_ELONGATION * max(min(sides), 1.0))


def _in_image(
    rows: slice, columns: slice, inside: NDArray[np.bool_], zoom: float, shape: tuple[int, int]
) -> Piece:
    """Bring a window back to the image's own pixels."""
    left, top = int(columns.start / zoom), int(rows.start / zoom)
    right = min(int(np.ceil(columns.stop / zoom)) + 1, shape[1])
    bottom = min(int(np.ceil(rows.stop / zoom)) + 1, shape[0])
    # The middle of pixel i of the image lies at (i + 0.5) · zoom of the enlarged one.
    y = ((np.arange(top, bottom) + 0.5) * zoom).astype(np.intp) - rows.start
    x = ((np.arange(left, right) + 0.5) * zoom).astype(np.intp) - columns.start
    is_in_y, is_in_x = (y >= 0) & (y < inside.shape[0]), (x >= 0) & (x < inside.shape[1])
    outline = np.zeros((bottom - top, right - left), dtype=bool)
    outline[np.ix_(is_in_y, is_in_x)] = inside[np.ix_(y[is_in_y], x[is_in_x])]
    return (left, top), outline
