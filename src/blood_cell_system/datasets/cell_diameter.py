"""How large red cells are in prepared images, by a sample of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.errors import BloodCellError
from blood_cell_system.taxonomy import RBC, MaskClass

MIN_RED_CELLS: Final = 5
"""Fewer say nothing about a source: one may be a clump, or cut off."""

OTHER_MAGNIFICATION: Final = 1.5
"""Factor between an image's median diameter and that of all images from which its magnification
must be another: within one magnification, image medians of a smear differ by a fifth at most."""
_FEWEST_OF_AN_IMAGE: Final = 3
"""Red cells of an image from which its median is compared."""
_FEWEST_SHARE: Final = 0.05
"""Share of the images that must differ: single ones may show unusual cells."""

_GIVEN = (Origin.ANNOTATED, Origin.DRAWN)
_FOUND = (Origin.STAIN, Origin.PREDICTED)

# A border cell is cut off, and so is its box.
_BORDER_PX = 2.0
# Area of a component as a share of its convex hull: clumps have bays.
_MIN_SOLIDITY = 0.93
# Two cells that touch are longer than that.
_MAX_ELONGATION = 1.5
_MIN_COMPONENT_AREA_PX = 60  # Smaller spots of a mask are no red cells: 9 px across.


def red_cell_diameters(
    cells: tuple[Annotation, ...] | None,
    class_mask: NDArray[np.uint8],
    label_image: NDArray[np.uint16] | None = None,
) -> NDArray[np.float32]:
    """Diameters of the whole red cells of one image.

    Every person leaves another margin around a cell: of three laboratories' boxes, one is 4 % wider
    than the cells' masks, one 8 %, one 1 % narrower. Masks are therefore preferred. Cells
    that a person marked go before cells that a program found, and where no cell is marked, the
    class mask's components do that are as convex as a single cell.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
    label_image : ndarray of shape (height, width), dtype uint16, optional
        The pixels of cell *i* have the value *i* + 1.

    Returns
    -------
    ndarray of shape (n,), dtype float32
        Pixels: the geometric mean of a box's sides, or the diameter of the disc with a component's
        area.
    """
    cells = cells or ()
    boxes = list(cells) if label_image is None else _boxes_of_masks(cells, label_image)
    red = [box for box in boxes if box.cell_type == RBC and is_whole(box, class_mask.shape)]
    for origins in (_GIVEN, _FOUND):
        areas = [box.width * box.height for box in red if box.origin in origins]
        if areas:
            return np.sqrt(np.array(areas, dtype=np.float32))
    return _component_diameters(class_mask)


def _boxes_of_masks(
    cells: tuple[Annotation, ...], label_image: NDArray[np.uint16]
) -> list[Annotation]:
    if not cells:
        # Of labels up to 0, SciPy gives all.
        return []
    places = ndimage.find_objects(label_image, max_label=len(cells))
    return [
        replace(cell, box=Box.around(place))
        for cell, place in zip(cells, places, strict=True)
        if place is not None
    ]


def is_whole(cell: Annotation, shape: tuple[int, ...]) -> bool:
    """Whether a box has an area and keeps away from the image's border."""
    height, width = shape
    return (
        min(cell.x_min, cell.y_min) > _BORDER_PX
        and cell.x_max < width - _BORDER_PX
        and cell.y_max < height - _BORDER_PX
        and min(cell.width, cell.height) > 0
    )


def _component_diameters(class_mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    is_red = (class_mask == MaskClass.RBC).astype(np.uint8)
    outlines, _ = cv2.findContours(is_red, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    height, width = class_mask.shape
    diameters = []
    for outline in outlines:
        x, y, across, down = cv2.boundingRect(outline)
        touches = min(x, y) <= _BORDER_PX or x + across >= width - 2 or y + down >= height - 2
        area = cv2.contourArea(outline)
        if touches or area < _MIN_COMPONENT_AREA_PX:
            continue
        narrow, wide = sorted(cv2.minAreaRect(outline)[1])
        is_convex = area >= _MIN_SOLIDITY * cv2.contourArea(cv2.convexHull(outline))
        if is_convex and wide <= _MAX_ELONGATION * narrow:
            # The outline runs through the middles of the border pixels.
            diameters.append(np.sqrt(4 * area / np.pi) + 1)
    return np.array(diameters, dtype=np.float32)


_SAMPLE: Final = 20
"""So many images show some hundred cells, whose median is known to a hundredth."""


def typical_diameters(images: Iterable[PreparedImage]) -> dict[str, float]:
    """Median diameter of the red cells of every source.

    Returns
    -------
    dict of str to float
        Pixels, by the name of the source; sources that show too few red cells are not in it.
    """
    measured = {source: typical_diameter(found) for source, found in _by_source(images).items()}
    return {source: value for source, value in measured.items() if value is not None}


def _by_source(images: Iterable[PreparedImage]) -> dict[str, list[PreparedImage]]:
    by_source: dict[str, list[PreparedImage]] = {}
    for image in images:
        by_source.setdefault(image.source, []).append(image)
    return by_source


def typical_diameter(images: Sequence[PreparedImage]) -> float | None:
    """Median diameter of the red cells of some images.

    Augmented copies, which are scaled, do not count, nor do images that cannot be read: finding
    them is another's task.

    Returns
    -------
    float or None
        Pixels; None where there are too few red cells.
    """
    found = [diameter for of_image in _measured(images).values() for diameter in of_image]
    return float(np.median(found)) if len(found) >= MIN_RED_CELLS else None


def _measured(images: Sequence[PreparedImage]) -> dict[str, list[float]]:
    """Diameters of the red cells of a sample of the originals, by their stems."""
    originals = [image for image in images if not image.is_augmented]
    step = max(1, len(originals) // _SAMPLE)
    found: dict[str, list[float]] = {}
    for image in originals[::step][:_SAMPLE]:
        try:
            decoded = image.decoded()
        except BloodCellError:
            continue
        found[image.stem] = red_cell_diameters(
            decoded.cells, decoded.class_mask, decoded.label_image
        ).tolist()
    return found


def mixed_magnifications(diameters: Mapping[str, Sequence[float]]) -> str:
    """Say that images have several magnifications, in a sentence; nothing where they have one.

    A network learns the size of cells. Images of another magnification have to be resampled.

    Parameters
    ----------
    diameters : mapping of str to sequence of float
        Pixels, of the red cells of each image.

    Examples
    --------
    >>> mixed_magnifications({"a": [30] * 9, "b": [31] * 9, "c": [75] * 9, "d": [76] * 9})
    'red cells are about 30 px wide in some images (such as a) and 76 px in others (such as d)'
    >>> mixed_magnifications({"a": [30] * 9, "b": [34] * 9})
    ''
    """
    medians = {
        name: float(np.median(values))
        for name, values in diameters.items()
        if len(values) >= _FEWEST_OF_AN_IMAGE
    }
    if len(medians) < 2:
        return ""
    typical = float(np.median([value for values in diameters.values() for value in values]))
    factors = [max(value / typical, typical / value) for value in medians.values()]
    others = sum(factor >= OTHER_MAGNIFICATION for factor in factors)
    small, large = (choose(medians, key=medians.__getitem__) for choose in (min, max))
    if others < max(1, _FEWEST_SHARE * len(medians)):
        return ""
    return (
        f"red cells are about {medians[small]:.0f} px wide in some images (such as {small}) and "
        f"{medians[large]:.0f} px in others (such as {large})"
    )


def magnifications_of_images(images: Sequence[PreparedImage], *, is_by_source: bool) -> str:
    """Say, as :func:`mixed_magnifications`, what a sample of each source shows.

    Parameters
    ----------
    is_by_source : bool
        Whether sources are scaled to one size, so that only images of one source are compared.
    """
    measured = [_measured(group) for group in _by_source(images).values()]
    if not is_by_source:
        measured = [{stem: found for group in measured for stem, found in group.items()}]
    return next(filter(None, map(mixed_magnifications, measured)), "")
