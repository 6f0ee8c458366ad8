"""The cell of an image that was taken of one cell: whatever its size, and with neighbours or none.

There are three kinds of such images:

1. with transparency: what is opaque is the cell; so are cell images of this package;
2. cut out on black, grey or white, as the NIH's malaria cells and C-NMC's leukaemia cells: what is
   not of that colour. Their surround is filled with the colour that their slide may have had;
3. cut from a smear with what lies right around, as PBC's and ALL-IDB2's: the cell in the middle. A
   red cell is the stained blob there, parted from those that touch it. A white cell is found by
   its nucleus, and its outline as in ``masks/white_cells.py``, in a box that is guessed and mended;
   so is a platelet, which is as dark.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.cells.cut_out import (
    MIN_EXTENT_PX,
    along_border,
    box_around,
    cell_image,
    is_black,
    is_cut_out_on_black,
)
from blood_cell_system.cells.nucleated_cells import nuclear_pixels
from blood_cell_system.cells.nucleus import LEAST_DENSITY, dark_nucleus
from blood_cell_system.cells.watershed import disc, fill_round_holes, separate_by_shape
from blood_cell_system.errors import CellImageError
from blood_cell_system.masks.red_cells import (
    RedCellAppearance,
    appearance_of_red_cells,
    red_share_of,
)
from blood_cell_system.masks.white_cells import outline_white_cell
from blood_cell_system.model_metadata import CELL_EXTENT_PX, CELL_SIDE_PX
from blood_cell_system.stain.optical_density import (
    GREEN,
    RED,
    StainSettings,
    foreground_threshold,
    optical_density,
)
from blood_cell_system.stain.slide_light import SlideLight, fit_slide_light
from blood_cell_system.taxonomy import RBC, WBC

_WORKING_SIDE_PX: Final = 256
"""Longer side of the image in which the outline is searched."""
_MIN_SIDE_PX: Final = 16
"""Images of a shorter side show nothing of a cell."""
_EVEN_BORDER_SHARE: Final = 0.9
"""The same of another grey, or white: a camera's slide is never so even."""
_EVEN: Final = 1
"""Distance from the surround's colour up to which a pixel belongs to it, of 255."""
_GREY: Final = 6
"""Largest difference between the channels of a grey."""
_RIM_SHARE: Final = 0.012
"""Width of what is cut off a cell that was cut out before, in its extents: there the surround
shines through."""
_DENSITY_OF_BRIGHTEST: Final = (0.02, 0.06, 0.03)
"""Optical density of the brightest fiftieth of a red cell: medians of the NIH's and BCCD's."""
_LEAST_OF_BRIGHTEST: Final = 0.55
"""A slide's darkest channel in parts of its brightest; the most tinted of the NIH's has 0.69."""
_LEAST_DENSITY: Final = (0.08, 0.19, 0.11)
"""Median optical density that a red cell has at least: of the same cells."""
_CENTRAL_SPREAD: Final = 0.17
"""Standard deviation of the weight of pixels around the centre, in sides of the image."""
_MIN_CELL_SHARE: Final = 0.015
"""Part of the image that a red or white cell covers at least; in a field each covers less."""
_MIN_NUCLEUS_SHARE: Final = 0.001
"""Part of the image that a nucleus covers at least; less is a speck."""
_MAX_CELL_SHARE: Final = 0.97
"""Part of the image that a cell covers at most: an outline around more has found the frame."""
_BODY_SHARE: Final = 0.1
"""Area of a body that is no speck, in areas of the central cell."""
_MOST_BODIES: Final = 9
"""Most such bodies in an image of one cell; fields of five laboratories have 12 to 80."""
_MOST_OFF_CENTRE: Final = 0.15
"""Distance of a white cell from the middle, in longer sides, of an image that was taken of it. Of
130 such images of five collections one has more, of 25 fields of BCCD 18."""
_NUCLEUS_SHARE: Final = 0.3
"""Area of another nucleus, in areas of the central one."""
_MOST_NUCLEI: Final = 3
"""Most such nuclei in an image of one white cell, whose lobes may look like some."""
_MIN_NECK: Final = 0.2
"""How much narrower than the smaller cell a neck is at least where red cells are cut apart."""
_MIN_WHITE_NECK: Final = 0.2
"""The same for white cells and what touches them."""
_NEIGHBOUR_SHARE: Final = 0.12
"""Of the outline's area: a part of more beside the nucleus's own is another cell."""
_BRIDGE_SHARE: Final = 0.03
"""Gap between lobes of one nucleus, in sides of the image."""
_MIN_FIRST_MARGIN: Final = 0.5
"""Least margin of the first guessed box, in extents of the nucleus."""
_MAX_FIRST_MARGIN: Final = 1.0
"""Largest such margin: small nuclei, as those of erythroblasts, have more cytoplasm around them."""
_BAY_SHARE: Final = 0.06
"""In extents of the cell: what is attached by less is cut off."""
_NEXT_MARGIN: Final = 0.14
"""Margin of the box around an outline, in which the next is searched."""
_ROUNDS: Final = 3
"""How often the outline is searched anew, each time in a box around the last one."""
_SHARES_OF_DARKEST: Final = (0.45, 0.6, 0.75)
"""Part of the darkest pixels' density from which a pixel may be of a nucleus; a higher one where a
lower one joins cells."""
_LEAST_OF_DARKEST: Final = 0.7
"""Part of the darkest pixels' density from which a pixel is of the nucleus of a known white cell,
however pale: where the cell fills the image its own stain is taken for light of the slide."""
_LEAST_NUCLEUS: Final = 0.2
"""But for this density in red: red cells have less."""
_MOST_AT_BORDER: Final = 0.12
"""Part of the image's border that lies in an outline from which on it is searched in a narrower
box: it has run out over the neighbours."""
_NARROW_MARGINS: Final = (0.25, 0.08)
"""Margins of the first and the next boxes then."""
_NARROW_ROUNDS: Final = 2
"""How often that outline is searched anew: each round may run out again."""
_LESS_AT_BORDER: Final = 0.5
"""Part of the border that the narrower outline covers, of the first one's, to be the better."""
_BAR_SHARE: Final = 0.95
"""Part of a row or a column along the border that is black where the image was filled up."""
_MAX_NUCLEUS_SIDE: Final = 0.7
"""In longer sides of the image: what reaches farther is a nucleus and red cells."""


def single_cell_image(pixels: NDArray[np.uint8], *, cell_type: str) -> NDArray[np.uint8]:
    """Make the cell image of the one cell that an image was taken of.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3 or 4), dtype uint8
        RGB, or RGBA.
    cell_type : str
        Type of that cell.

    Returns
    -------
    ndarray of shape (130, 130, 4), dtype uint8
        RGBA; see ``cell_image_format``.

    Raises
    ------
    CellImageError
        No cell of that type is found in the middle, the image is too small, or it shows a whole
        field of red cells.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _MIN_SIDE_PX:
        raise CellImageError(
            f"the image has {width}×{height} px; expected one cell on {_MIN_SIDE_PX}×"
            f"{_MIN_SIDE_PX} px or more. Cut it from the smear at its full size."
        )
    image = np.ascontiguousarray(pixels[:, :, :3])
    if pixels.shape[2] == 4 and pixels[:, :, 3].min() < 255:
        if is_cell_image(pixels):
            return pixels
        # A transparent background has a colour of its own, or none.
        return _filled(image, _largest_part(pixels[:, :, 3] > 127), cell_type)
    cut_out = _cut_out(image)
    if cut_out is not None:
        return _filled(image, cut_out, cell_type)
    return _image(image, central_outline(image, cell_type), fit_slide_light(image))


def is_cell_image(pixels: NDArray[np.uint8]) -> bool:
    """Whether an image is one of this package's cell images already.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, channels), dtype uint8
    """
    if pixels.shape != (CELL_SIDE_PX, CELL_SIDE_PX, 4):
        return False
    opaque = (pixels[:, :, 3] > 127).view(np.uint8)
    _, _, width, height = cv2.boundingRect(opaque)
    # The rim adds some pixels to the outline's extent.
    return bool(abs(max(width, height) - CELL_EXTENT_PX) <= 8)


def has_no_slide(pixels: NDArray[np.uint8]) -> bool:
    """Whether an image shows nothing of the slide: the cell was cut out before.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3 or 4), dtype uint8
    """
    if pixels.shape[2] == 4 and pixels[:, :, 3].min() < 255:
        return not is_cell_image(pixels)
    return _cut_out(np.ascontiguousarray(pixels[:, :, :3])) is not None


def _image(
    image: NDArray[np.uint8], outline: NDArray[np.bool_], light: SlideLight
) -> NDArray[np.uint8]:
    if np.count_nonzero(outline) < MIN_EXTENT_PX**2:
        raise CellImageError(
            "no cell is seen in the middle of the image; expected one cell, in focus, that is "
            "stained. Leave the image out, or cut the cell from its smear."
        )
    return cell_image(image, outline, light=light)


def _filled(
    image: NDArray[np.uint8], outline: NDArray[np.bool_], cell_type: str
) -> NDArray[np.uint8]:
    """Make the image of a cell that was cut out before, on the colour of a guessed slide."""
    extent = max(cv2.boundingRect(outline.view(np.uint8))[2:])
    rim = cv2.copyMakeBorder(outline.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    rim = cv2.erode(rim, disc(max(1, round(_RIM_SHARE * extent))))[1:-1, 1:-1]
    inside = _largest_part(rim > 0)
    light = _light_within(image[inside], cell_type)
    filled = np.where(inside[:, :, None], image, np.rint(light).astype(np.uint8))
    return _image(filled, inside, SlideLight.even(light, (1, 1)))


def _light_within(inside: NDArray[np.uint8], cell_type: str) -> tuple[float, float, float]:
    """Light of a slide that is not to be seen, by the pixels of a cell.

    A red cell is pale at its rim and in its middle, where the slide nearly shows. A white cell may
    be all nucleus, which leaves blue light nearly as it was: its light is taken for grey.
    """
    if not len(inside):
        return 255.0, 255.0, 255.0
    brightest = np.percentile(inside, 98, axis=0)
    if cell_type == RBC:
        brightest = np.maximum(
            brightest * np.exp(_DENSITY_OF_BRIGHTEST),
            np.median(inside, axis=0) * np.exp(_LEAST_DENSITY),
        )
        brightest = np.maximum(brightest, _LEAST_OF_BRIGHTEST * brightest.max())
    else:
        brightest[:] = brightest.max()
    red, green, blue = np.minimum(brightest, 255.0).tolist()
    return red, green, blue


def _cut_out(image: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Outline of a cell that was cut out on black, grey or white; None where it was not."""
    if is_cut_out_on_black(image):
        return _largest_part(~is_black(image))
    colour = np.median(along_border(image), axis=0)
    if np.ptp(colour) > _GREY:
        return None
    is_even = (np.abs(image - colour) <= _EVEN).all(axis=2)
    return _largest_part(~is_even) if along_border(is_even).mean() >= _EVEN_BORDER_SHARE else None


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Largest connected part, with its holes closed."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, dtype=np.uint8)
    if contours:
        largest = max(contours, key=cv2.contourArea)
        cv2.drawContours(filled, [largest], -1, 1, cv2.FILLED)
    return filled.astype(bool)


def central_outline(image: NDArray[np.uint8], cell_type: str) -> NDArray[np.bool_]:
    """Find the pixels of the cell in the middle of a piece of smear; none where there is none.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    cell_type : str
        Type of that cell.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
    """
    seen = _without_bars(image)
    if image[seen].size < image.size:
        # Black would be the darkest nucleus of all.
        whole = np.zeros(image.shape[:2], dtype=bool)
        whole[seen] = central_outline(np.ascontiguousarray(image[seen]), cell_type)
        return whole
    height, width = image.shape[:2]
    shrink = min(1.0, _WORKING_SIDE_PX / max(height, width))
    size = max(round(width * shrink), 1), max(round(height * shrink), 1)
    small = image if shrink == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    density = optical_density(small)
    if cell_type == RBC:
        found = _red_outline(density)
    else:
        nucleus = _central_nucleus(density)
        found = _whole_outline(density, nucleus)
        if cell_type == WBC and _is_of_a_field(density, nucleus, found):
            raise CellImageError(
                "not assessed: several cells, none of them in the middle; expected an image of one "
                "cell. Whole fields are for bloodcells analyze; bloodcells crops cuts cells out of "
                "them."
            )
    # A red or white cell that is small is one of many of a field; platelets are small.
    if cell_type in (RBC, WBC) and found.mean() < _MIN_CELL_SHARE:
        found[:] = False
    whole = cv2.resize(
        found.view(np.uint8) * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(whole > 127)


def _without_bars(image: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns within black bars, with which a cell at the border of a field is centred."""
    bars = [is_black(image).mean(axis=axis) >= _BAR_SHARE for axis in (1, 0)]
    if any(bar[len(bar) // 4 : -len(bar) // 4].any() for bar in bars):
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(~bar) for bar in bars)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _weights(shape: tuple[int, int]) -> NDArray[np.float32]:
    height, width = shape
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    spread = 2 * _CENTRAL_SPREAD**2
    weight: NDArray[np.float32] = np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / spread)
    return weight.astype(np.float32)


def _most_central(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels of the label that has most weight in the middle; none where there is no label."""
    weight = np.bincount(labels.ravel(), weights=_weights(labels.shape).ravel())
    weight[0] = 0
    best = int(weight.argmax())
    return np.asarray((labels == best) & (labels > 0))


def _red_outline(density: NDArray[np.float32]) -> NDArray[np.bool_]:
    threshold = foreground_threshold(density, settings=StainSettings())
    visible = (density[:, :, GREEN] > threshold).astype(np.uint8)
    opened = cv2.morphologyEx(visible, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    filled = fill_round_holes(opened, always_below_px=20)
    labels = separate_by_shape(filled, min_neck=_MIN_NECK)
    cell = _most_central(labels)
    if _is_one_of_many(labels, cell):
        raise CellImageError(
            "the cell in the middle is one of many of its size; expected an image of one cell. "
            "Whole fields are for bloodcells analyze; bloodcells crops cuts cells out of them."
        )
    return _largest_part(cell) if cell.mean() <= _MAX_CELL_SHARE else np.zeros_like(cell)


def _is_one_of_many(labels: NDArray[np.int32], cell: NDArray[np.bool_]) -> bool:
    """Whether an image is a whole field; what is taken for the cell may be a clump of some."""
    sizes = np.bincount(labels.ravel())[1:]
    bodies = np.count_nonzero(sizes >= _BODY_SHARE * np.count_nonzero(cell))
    return bool(cell.any() and bodies > _MOST_BODIES)


def _is_of_a_field(
    density: NDArray[np.float32], nucleus: NDArray[np.bool_], cell: NDArray[np.bool_]
) -> bool:
    """Whether a white cell is one that a field happens to show: far from its middle, or of many."""
    if not cell.any():
        return False
    height, width = cell.shape
    rows, columns = np.nonzero(cell)
    offset = np.hypot(rows.mean() - height / 2, columns.mean() - width / 2)
    if offset > _MOST_OFF_CENTRE * max(height, width):
        return True
    red = density[:, :, RED]
    dark = red > _SHARES_OF_DARKEST[0] * float(np.percentile(red, 99.5))
    dark = cv2.morphologyEx(
        (dark & nuclear_pixels(density)).astype(np.uint8), cv2.MORPH_OPEN, disc(1)
    )
    _, labels = cv2.connectedComponents(
        cv2.dilate(dark, disc(max(1, round(_BRIDGE_SHARE * max(red.shape)))))
    )
    sizes = np.bincount(labels[dark > 0], minlength=1)
    return bool(
        np.count_nonzero(sizes >= _NUCLEUS_SHARE * np.count_nonzero(nucleus)) > _MOST_NUCLEI
    )


def _central_nucleus(density: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels of the nucleus in the middle, with all its lobes; none where nothing is as dark."""
    red = density[:, :, RED]
    darkest = float(np.percentile(red, 99.5))
    least = float(np.clip(_LEAST_OF_DARKEST * darkest, _LEAST_NUCLEUS, LEAST_DENSITY))
    # Where a stain makes red cells as dark as nuclei, these are still more purple.
    purple = nuclear_pixels(density)
    nucleus = np.zeros(red.shape, dtype=bool)
    for share in _SHARES_OF_DARKEST:
        dark = dark_nucleus(red, darkest=darkest, share=share, least=least)
        if np.any(dark & purple):
            dark &= purple
        bridged = cv2.dilate(dark, disc(max(1, round(_BRIDGE_SHARE * max(red.shape)))))
        _, labels = cv2.connectedComponents(bridged)
        labels[dark == 0] = 0
        nucleus = _most_central(labels)
        if max(cv2.boundingRect(nucleus.view(np.uint8))[2:]) <= _MAX_NUCLEUS_SIDE * max(red.shape):
            break
    return nucleus


def _whole_outline(density: NDArray[np.float32], nucleus: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Outline of a white cell, in a narrower box where the first runs out over its neighbours."""
    first = _white_outline(density, nucleus)
    at_border = along_border(first).mean()
    if at_border <= _MOST_AT_BORDER:
        return first
    margin, next_margin = _NARROW_MARGINS
    second = _white_outline(
        density, nucleus, margin=margin, next_margin=next_margin, rounds=_NARROW_ROUNDS
    )
    is_better = second.any() and along_border(second).mean() < _LESS_AT_BORDER * at_border
    return second if is_better else first


def _white_outline(
    density: NDArray[np.float32],
    nucleus: NDArray[np.bool_],
    *,
    margin: float | None = None,
    next_margin: float = _NEXT_MARGIN,
    rounds: int = _ROUNDS,
) -> NDArray[np.bool_]:
    """Outline of a white cell; the margin of its first box depends on the red cells by default."""
    nothing = np.zeros(nucleus.shape, dtype=bool)
    if nucleus.mean() < _MIN_NUCLEUS_SHARE:
        return nothing
    red_cells = _red_cells_around(density, box_around(nucleus, margin=_MAX_FIRST_MARGIN))
    _, _, width, height = cv2.boundingRect(nucleus.view(np.uint8))
    if margin is None:
        relative = red_cells.diameter_px / max(width, height)
        margin = float(np.clip(relative, _MIN_FIRST_MARGIN, _MAX_FIRST_MARGIN))
    box = box_around(nucleus, margin=margin)
    for _ in range(rounds):
        found = outline_white_cell(density, box, red_cells)
        if found is None:
            return nothing
        rows, columns, inside = found
        cell = nothing.copy()
        cell[rows, columns] = inside
        cell = _without_neighbours(_without_appendages(cell), nucleus, density)
        box = box_around(cell, margin=next_margin)
    return cell if cell.mean() <= _MAX_CELL_SHARE else nothing


def _without_neighbours(
    cell: NDArray[np.bool_], nucleus: NDArray[np.bool_], density: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Leave out cells that touch it, where a smooth outline was drawn around all of them.

    What is stained within the outline is parted at its necks. An outline of which another part
    takes much was drawn around two cells; then the part with the nucleus is the cell.
    """
    threshold = foreground_threshold(density, settings=StainSettings())
    stained = (cell & (density[:, :, GREEN] > threshold)).astype(np.uint8)
    parts = separate_by_shape(
        fill_round_holes(stained, always_below_px=20), min_neck=_MIN_WHITE_NECK
    )
    own = _most_central(np.where(nucleus, parts, 0))
    if not own.any():
        return cell
    label = int(parts[own][0])
    sizes = np.bincount(parts.ravel())
    sizes[[0, label]] = 0
    if sizes.max() < _NEIGHBOUR_SHARE * np.count_nonzero(cell):
        return cell
    return _without_appendages(parts == label)


def _without_appendages(cell: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out what is attached by a thread: platelets and rims of neighbours."""
    _, _, width, height = cv2.boundingRect(cell.view(np.uint8))
    kernel = disc(round(_BAY_SHARE * max(width, height)))
    solid = cv2.morphologyEx(cell.view(np.uint8), cv2.MORPH_OPEN, kernel)
    return _largest_part(solid > 0)


def _red_cells_around(density: NDArray[np.float32], box: Annotation) -> RedCellAppearance:
    """How red cells look outside of a box."""
    threshold = foreground_threshold(density, settings=StainSettings())
    return appearance_of_red_cells(
        density, density[:, :, GREEN] > threshold, red_share_of(density), [box]
    )
