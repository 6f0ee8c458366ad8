"""A smear with its classes drawn over it: thin outlines, a light fill, hatch where not scored."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.taxonomy import BUILT_IN, NOT_SCORED, Taxonomy

NOT_SCORED_COLOUR: Final = (110, 110, 110)
"""Grey, RGB."""

_FILL_SHARE: Final = 0.14
"""Opacity of an area's colour: light, so that the stain below stays visible."""

_NOT_SCORED_FILL_SHARE: Final = 0.30
"""Opacity of the grey where not scored."""

_HATCH_SHARE: Final = 0.65
"""Opacity of the hatch where not scored."""

_NOTHING: Final = 0
"""Row of the colour table for what has no colour. An image of row numbers is what is drawn."""

_UNSCORED: Final = 255
"""Row of what is not scored; those between are cell types, 1 for the first."""


def draw_overlay(
    image: NDArray[np.uint8],
    class_mask: NDArray[np.uint8],
    *,
    label_image: NDArray[np.integer] | None = None,
    cell_types: Sequence[str] | None = None,
    taxonomy: Taxonomy = BUILT_IN,
    is_filled: bool = True,
) -> NDArray[np.uint8]:
    """Draw classes, or single cells, over an image.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``, and 255 where not scored (hatched in grey).
    label_image : ndarray of int, shape (height, width), optional
        0 background, 1..n cells. With it every cell has its own outline, so that touching cells
        show apart; without it outlines run around the areas of a class.
    cell_types : sequence of str, optional
        Type of the cells 1..n of ``label_image``. Without it a cell takes the class of its pixels,
        and types without a channel, such as platelets, have no outline.
    taxonomy : Taxonomy
        Gives the colours.
    is_filled : bool
        Whether areas have a light colour within their outlines, which hides what is faint there.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        A new array; the input is left as it is.

    Raises
    ------
    ValueError
        Shapes do not agree, or there are labels without a type.
    """
    for name, array in (("class_mask", class_mask), ("label_image", label_image)):
        if array is not None and array.shape != image.shape[:2]:
            raise ValueError(
                f"{name}: expected the image's (height, width) {image.shape[:2]}. "
                f"Received: {array.shape}."
            )
    row_of_class = np.zeros(256, dtype=np.uint8)
    row_of_class[NOT_SCORED] = _UNSCORED
    for value, main in taxonomy.main_types.items():
        row_of_class[value] = taxonomy.index(main.name) + 1
    colours = np.zeros((1, 256, 3), dtype=np.uint8)
    colours[0, 1 : len(taxonomy) + 1] = [cell_type.colour for cell_type in taxonomy]
    colours[0, _UNSCORED] = NOT_SCORED_COLOUR
    areas = row_of_class[class_mask]
    outlined = areas
    objects: NDArray[np.integer] = areas
    if label_image is not None:
        objects = label_image
        if cell_types is not None:
            outlined = _rows_of_cells(label_image, cell_types, taxonomy)
            has_no_channel = np.array([False, *(not t.has_channel for t in taxonomy)])
            only_outlined = (areas == _NOTHING) & np.take(has_no_channel, outlined)
            areas = np.where(only_outlined, outlined, areas)
        else:
            outlined = np.where(label_image > 0, areas, np.uint8(_NOTHING))
    width = _line_width(image.shape)
    is_line = _inner_outline(objects, width) & (outlined != _NOTHING) & (outlined != _UNSCORED)

    if not is_filled:
        areas = np.where(areas == _UNSCORED, areas, np.uint8(_NOTHING))
    drawn = _fill(image, areas, colours, hatch_step=4 * width)
    lines = _coloured(outlined, colours)
    return np.asarray(cv2.copyTo(lines, is_line.view(np.uint8), drawn), dtype=np.uint8)


def draw_boxes(
    image: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    *,
    colour: tuple[int, int, int] = (255, 0, 170),
) -> NDArray[np.uint8]:
    """Draw boxes onto a copy of an image, to point at something.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
    boxes : ndarray of shape (n, 4)
        Columns x_min, y_min, x_max, y_max in pixels, half-open; may lie outside or inside out.
    colour : tuple of int
        RGB.
    """
    drawn = image.copy()
    height, width = image.shape[:2]
    thickness = _line_width(image.shape)
    finite = boxes[np.isfinite(boxes).all(axis=1)]
    for x_min, y_min, x_max, y_max in np.clip(finite, 0, [width, height, width, height]):
        corner, opposite = (round(x_min), round(y_min)), (round(x_max) - 1, round(y_max) - 1)
        cv2.rectangle(drawn, corner, opposite, colour, thickness)
    return drawn


def _line_width(shape: tuple[int, ...]) -> int:
    """Pixels that stay one thin line when the image is shown some 600 pixels wide."""
    return max(1, round(max(shape[:2]) / 400))


def _rows_of_cells(
    label_image: NDArray[np.integer], cell_types: Sequence[str], taxonomy: Taxonomy
) -> NDArray[np.uint8]:
    largest = int(label_image.max(initial=0))
    if largest > len(cell_types):
        raise ValueError(
            f"cell_types: expected one type for each of the cells 1..{largest}. "
            f"Received: {len(cell_types)}."
        )
    row_of = {name: row for row, name in enumerate(taxonomy.names, start=1)}
    rows = [_NOTHING, *(row_of[cell_type] for cell_type in cell_types)]
    row_of_label = np.array(rows, dtype=np.uint8)
    return np.take(row_of_label, label_image)


def _coloured(rows: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # A third of the time of indexing the table with NumPy.
    return np.asarray(cv2.LUT(cv2.merge([rows, rows, rows]), colours), dtype=np.uint8)


def _inner_outline(objects: NDArray[np.integer], width: int) -> NDArray[np.bool_]:
    """Pixels with another object within ``width`` pixels: a line on the inside of every object."""
    if objects.dtype != np.uint8:
        # OpenCV has no dilation of int32; float32 holds every label up to 2**24.
        is_short = objects.max(initial=0) <= np.iinfo(np.uint16).max
        objects = objects.astype(np.uint16 if is_short else np.float32)
    window = np.ones((2 * width + 1, 2 * width + 1), dtype=np.uint8)
    smallest = cv2.erode(objects, window)
    largest = cv2.dilate(objects, window)
    return np.asarray(smallest != largest, dtype=np.bool_)


def _fill(
    image: NDArray[np.uint8],
    areas: NDArray[np.uint8],
    colours: NDArray[np.uint8],
    hatch_step: int,
) -> NDArray[np.uint8]:
    coloured = _coloured(areas, colours)
    drawn: NDArray[np.uint8] = image.copy()
    tinted = cv2.addWeighted(image, 1 - _FILL_SHARE, coloured, _FILL_SHARE, 0)
    cv2.copyTo(tinted, (areas > _NOTHING).view(np.uint8), drawn)
    is_unscored = areas == _UNSCORED
    if is_unscored.any():
        share = _NOT_SCORED_FILL_SHARE
        greyed = cv2.addWeighted(image, 1 - share, coloured, share, 0)
        cv2.copyTo(greyed, is_unscored.view(np.uint8), drawn)
        hatched = cv2.addWeighted(image, 1 - _HATCH_SHARE, coloured, _HATCH_SHARE, 0)
        rows, columns = np.ogrid[: areas.shape[0], : areas.shape[1]]
        is_hatch = ((rows + columns) % (2 * hatch_step)) < max(1, hatch_step // 4)
        cv2.copyTo(hatched, (is_unscored & is_hatch).view(np.uint8), drawn)
    return drawn
