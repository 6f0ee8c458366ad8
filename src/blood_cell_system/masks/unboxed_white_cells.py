"""White cells that nobody has boxed: what may belong to one is not scored.

A nucleus gives them away. How far the cytoplasm reaches is found as in boxed white cells, with a
box guessed around the nucleus; the smear of a burst cell is followed as far as it is purple.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.masks.red_cells import RedCellLook
from blood_cell_system.masks.stain import GREEN, RED
from blood_cell_system.masks.white_cells import outline_white_cell

# Of a typical red cell's area.
_MIN_NUCLEUS_SHARE: Final = 0.15
# Green density of a nucleus in stains that leave it magenta, as Giemsa does: that of the darkest
# red cells times this, and at least so much.
_MAGENTA_LEAD: Final = 3.0
_LEAST_MAGENTA_DENSITY: Final = 1.2
# Of a typical red cell's diameter: what surrounds a nucleus in any case, the air of the guessed
# box, and the doubt about the outline found in it.
_CYTOPLASM_SHARE: Final = 0.35
_AIR_SHARE: Final = 0.35
_DOUBT_SHARE: Final = 0.06
# Red share above the red cells' from which on stain near a nucleus is purple.
_PURPLE_LEAD: Final = 0.07


def around_unboxed_nuclei(
    density: NDArray[np.float32],
    red_share: NDArray[np.float32],
    look: RedCellLook,
    *,
    foreground: NDArray[np.bool_],
    in_red_box: NDArray[np.bool_],
    is_white: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Where a white cell seems to lie that has no box, or a wrong one.

    Parameters
    ----------
    density : ndarray of shape (height, width, 3), dtype float32
        Optical density of the picture.
    red_share : ndarray of shape (height, width), dtype float32
        As of ``red_share_of``.
    look : RedCellLook
        How red cells look in this picture.
    foreground : ndarray of shape (height, width), dtype bool
        Pixels of any cell.
    in_red_box : ndarray of shape (height, width), dtype bool
        Where a person has seen a red cell: a smear may lie on it, but ends there.
    is_white : ndarray of shape (height, width), dtype bool
        Pixels of the white cells that have a box.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        Nucleus, cytoplasm and purple smear; pale cytoplasm also where it is no foreground.
    """
    nuclei = _nuclei(density, look, in_red_box=in_red_box, is_white=is_white)
    if not nuclei.any():
        return nuclei
    distance = cv2.distanceTransform((~nuclei).view(np.uint8), cv2.DIST_L2, 3)
    unscored = foreground & (distance < _CYTOPLASM_SHARE * look.diameter_px)
    cytoplasm = np.zeros(nuclei.shape, dtype=np.uint8)
    for box in _guessed_boxes(nuclei, look):
        outline = outline_white_cell(density, box, look)
        if outline is not None:
            rows, columns, inside = outline
            cytoplasm[rows, columns] |= inside
    doubt = 2 * round(_DOUBT_SHARE * look.diameter_px) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (doubt, doubt))
    unscored |= cytoplasm.astype(bool) | (foreground & (cv2.dilate(cytoplasm, kernel) > 0))
    unscored |= _purple_smear(red_share, look, foreground=foreground & ~in_red_box, seeds=nuclei)
    return np.asarray(unscored & ~is_white)


def _nuclei(
    density: NDArray[np.float32],
    look: RedCellLook,
    *,
    in_red_box: NDArray[np.bool_],
    is_white: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    dark = density[:, :, RED] > look.nucleus_density
    if len(look.samples):
        darkest = float(np.quantile(look.samples[:, GREEN], 0.9))
        magenta = density[:, :, GREEN] > max(_LEAST_MAGENTA_DENSITY, _MAGENTA_LEAD * darkest)
        # A parasite makes a red cell as dark.
        dark |= magenta & ~in_red_box
    dark &= ~is_white
    # A white cell's own outline may leave a fringe of its nucleus.
    opened = cv2.morphologyEx(dark.view(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    is_nucleus = stats[:, cv2.CC_STAT_AREA] >= _MIN_NUCLEUS_SHARE * look.area_px
    is_nucleus[0] = False
    return np.asarray(is_nucleus[labels])


def _guessed_boxes(nuclei: NDArray[np.bool_], look: RedCellLook) -> list[LabelledBox]:
    """Put a box around every nucleus, or lobe of one, with air for the cytoplasm."""
    air = _AIR_SHARE * look.diameter_px
    height, width = nuclei.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(nuclei.view(np.uint8), connectivity=8)
    return [
        LabelledBox(
            cell_type=CellType.WBC,
            x_min=max(0.0, x - air),
            y_min=max(0.0, y - air),
            x_max=min(float(width), x + columns + air),
            y_max=min(float(height), y + rows + air),
        )
        for x, y, columns, rows, _ in stats[1:].tolist()
    ]


def _purple_smear(
    red_share: NDArray[np.float32],
    look: RedCellLook,
    *,
    foreground: NDArray[np.bool_],
    seeds: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Foreground that hangs together with a nucleus and is purple all the way."""
    purple = foreground & (red_share > look.red_share + _PURPLE_LEAD)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    # The rims of red cells are purple too, but thin.
    solid = cv2.morphologyEx((purple | seeds).view(np.uint8), cv2.MORPH_OPEN, kernel)
    joined = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, kernel)
    _, labels = cv2.connectedComponents(joined)
    is_smear = np.zeros(int(labels.max()) + 1, dtype=bool)
    is_smear[labels[seeds]] = True
    is_smear[0] = False
    return np.asarray(is_smear[labels])
