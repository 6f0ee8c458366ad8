"""What a smear shows besides single cells: a classifier has to know what is none of its classes."""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.cell_picture import MIN_EXTENT_PX
from blood_cell_system.cells.watershed import separate_by_shape
from blood_cell_system.masks.stain import RED
from blood_cell_system.pipeline.cell_crops.plan import Extra
from blood_cell_system.pipeline.cell_crops.smear import Piece, Smear

_TRIES: Final = 40
_BORDER_PX: Final = 2
_MIN_NECK: Final = 0.15
# Of a typical cell's area.
_FRAGMENT_SHARE: Final = 0.2
_DEBRIS_SHARES: Final = (0.03, 0.35)
_CELL_SHARES: Final = (0.5, 1.6)
_CLUMP_SHARES: Final = (1.8, 9.0)
_MIN_SOLIDITY: Final = 0.9
_NUCLEUS_DENSITY: Final = 0.45
_CORNERS: Final = 9
_FREE_SHARE: Final = 0.995


def find_extras(
    smear: Smear,
    wanted: Mapping[Extra, int],
    generator: np.random.Generator,
    *,
    cell_area_px: float | None = None,
    white: NDArray[np.bool_] | None = None,
) -> list[tuple[str, Piece]]:
    """Find outliers in a smear, chosen at random.

    Parameters
    ----------
    smear : Smear
    wanted : mapping of Extra to int
        How many of each kind at most.
    generator : numpy.random.Generator
    cell_area_px : float, optional
        Area of a typical cell; estimated from the stain by default.
    white : ndarray of shape (height, width), dtype bool, optional
        Pixels of white cells that are known, which are no red cells.

    Returns
    -------
    list of (str, Piece)
        Kind with a number, and where it is.
    """
    if not any(wanted.values()):
        return []
    foreground = smear.foreground()
    parts = separate_by_shape(foreground, min_neck=_MIN_NECK)
    areas = np.bincount(parts.ravel())[1:]
    if not len(areas):
        return []
    # Half of all that is stained lies in pieces of this size or more: specks are many but small.
    ordered = np.sort(areas)
    median = float(ordered[np.searchsorted(np.cumsum(ordered), ordered.sum() / 2)])
    typical = cell_area_px or median
    pieces = _pieces(smear, foreground, parts, typical, white)
    if wanted.get(Extra.SLIDE):
        side = int(2 * np.sqrt(typical / np.pi))
        pieces[Extra.SLIDE] = _empty_places(smear, foreground, side, wanted[Extra.SLIDE], generator)
    found = []
    for kind, most in wanted.items():
        order = generator.permutation(len(pieces[kind])).tolist()
        chosen = [pieces[kind][index] for index in order][:most]
        found += [(f"{kind}{number}", piece) for number, piece in enumerate(chosen, start=1)]
    return found


def _pieces(
    smear: Smear,
    foreground: NDArray[np.uint8],
    parts: NDArray[np.int32],
    typical: float,
    white: NDArray[np.bool_] | None,
) -> dict[Extra, list[Piece]]:
    """Sort the connected pieces of stained matter that no border cuts."""
    pieces: dict[Extra, list[Piece]] = {kind: [] for kind in Extra}
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground)
    height, width = foreground.shape
    for label in range(1, count):
        x, y, columns, rows, area = (int(value) for value in stats[label])
        is_cut = min(x, y) < _BORDER_PX or x + columns > width - _BORDER_PX
        if is_cut or y + rows > height - _BORDER_PX or max(rows, columns) < MIN_EXTENT_PX:
            continue
        window = slice(y, y + rows), slice(x, x + columns)
        inside = labels[window] == label
        if not smear.field[window][inside].all():
            continue
        cells = np.bincount(parts[window][inside])[1:]
        several = bool(np.count_nonzero(cells > _FRAGMENT_SHARE * typical) > 1)
        kind = _kind(smear.density[window], inside, area / typical, several=several)
        is_white = white is not None and bool(white[window][inside].any())
        if kind is not None and not (kind is Extra.RED_CELL and is_white):
            pieces[kind].append(((x, y), inside))
    return pieces


def _kind(
    density: NDArray[np.float32], inside: NDArray[np.bool_], share: float, *, several: bool
) -> Extra | None:
    if _DEBRIS_SHARES[0] <= share <= _DEBRIS_SHARES[1]:
        return Extra.DEBRIS
    if several and _CLUMP_SHARES[0] <= share <= _CLUMP_SHARES[1]:
        return Extra.CLUMP
    is_one = not several and _CELL_SHARES[0] <= share <= _CELL_SHARES[1]
    if is_one and _solidity(inside) >= _MIN_SOLIDITY:
        has_nucleus = np.quantile(density[:, :, RED][inside], 0.9) > _NUCLEUS_DENSITY
        return None if has_nucleus else Extra.RED_CELL
    return None


def _solidity(inside: NDArray[np.bool_]) -> float:
    contours, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    hull = float(cv2.contourArea(cv2.convexHull(contour)))
    return float(cv2.contourArea(contour)) / max(hull, 1.0)


def _empty_places(
    smear: Smear,
    foreground: NDArray[np.uint8],
    side: int,
    wanted: int,
    generator: np.random.Generator,
) -> list[Piece]:
    """Outlines as of cells, where there is nothing."""
    height, width = foreground.shape
    side = max(side, MIN_EXTENT_PX + 2)
    if side + 2 * _BORDER_PX >= min(height, width):
        return []
    is_free = (foreground == 0) & smear.field
    found: list[Piece] = []
    for _ in range(_TRIES):
        top = int(generator.integers(_BORDER_PX, height - side - _BORDER_PX))
        left = int(generator.integers(_BORDER_PX, width - side - _BORDER_PX))
        outline = _random_outline(side, generator)
        if is_free[top : top + side, left : left + side][outline].mean() > _FREE_SHARE:
            found.append(((left, top), outline))
        if len(found) >= wanted:
            break
    return found


def _random_outline(side: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a roundish outline with bumps."""
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    radii = generator.uniform(0.7, 1.0, _CORNERS) * (side / 2 - 1)
    corners = side / 2 + radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    canvas = np.zeros((side, side), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    return canvas.astype(bool)
