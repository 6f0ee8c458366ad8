"""Cells found in a resampled image, in the pixels of the image as it was."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.measures import measure_cells
from blood_cell_system.cells.neighbours import crops_of
from blood_cell_system.cells.separation import hull, most_likely_class
from blood_cell_system.cells.table import Cells
from blood_cell_system.taxonomy import MaskClass

_STRIP_PX: Final = 500_000
"""Pixels that are enlarged at once: probabilities of a whole slide are never in memory, and those
of a strip find room in what the last one has left."""
_NO_CLASS: Final = 254
"""Stands for a type without a channel in the class mask; a value that no mask has."""


def resize_labels(labels: NDArray[np.generic], shape: tuple[int, int]) -> NDArray[np.generic]:
    """Resample labels or classes to another size; no value is mixed with another.

    Parameters
    ----------
    labels : ndarray of shape (height, width), dtype uint8 or int32
    shape : tuple of int
        New ``(height, width)`` in pixels.

    Returns
    -------
    ndarray of shape (new height, new width), dtype as given
    """
    if labels.shape == shape:
        return labels
    # The exact kind takes the pixel whose middle is nearest; the plain one is half a pixel off.
    kind = cv2.INTER_NEAREST_EXACT
    if labels.dtype == np.int32:
        # The exact kind has no int32; its bits survive as float32, as nothing is computed.
        resized = cv2.resize(labels.view(np.float32), shape[::-1], interpolation=kind)
        return np.asarray(resized).view(np.int32)
    return np.asarray(cv2.resize(labels, shape[::-1], interpolation=kind))


def enlarged_class_mask(
    class_probabilities: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Most likely class of every pixel of an image that a network saw made smaller.

    Probabilities are interpolated, and the class is taken after: a boundary between two pixels of
    the small image comes to lie where it was. Enlarged classes would be stairs, and of a cell of
    64 pixels in one of 100 a hundredth of its IoU would be lost.

    Parameters
    ----------
    class_probabilities : ndarray of shape (small height, small width, 3), dtype float32
    shape : tuple of int
        ``(height, width)`` of the class mask, in pixels.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``.
    """
    class_mask = np.empty(shape, dtype=np.uint8)
    step_y, step_x = (
        small / large for small, large in zip(class_probabilities.shape, shape, strict=False)
    )
    at_once = max(1, _STRIP_PX // shape[1])
    for top in range(0, shape[0], at_once):
        rows = min(at_once, shape[0] - top)
        backward = np.array(
            [[step_x, 0, 0.5 * step_x - 0.5], [0, step_y, (top + 0.5) * step_y - 0.5]]
        )
        strip = cv2.warpAffine(
            class_probabilities,
            backward,
            (shape[1], rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        class_mask[top : top + rows] = most_likely_class(np.asarray(strip))
    return class_mask


def rescale_cells(
    cells: Cells, shape: tuple[int, int], *, class_mask: NDArray[np.uint8] | None = None
) -> Cells:
    """Measure cells anew in the image as it was before it was resampled.

    Parameters
    ----------
    cells : Cells
        Of the resampled image.
    shape : tuple of int
        ``(height, width)`` of the image as it was, in pixels.
    class_mask : ndarray of that shape, dtype uint8, optional
        Where red and white cells end, more exactly than the resampled image can say.

    Returns
    -------
    Cells
        Those without a pixel left are gone; the others are numbered without gaps.
    """
    small = cells.label_image.shape
    if small == shape:
        return cells
    if class_mask is None:
        labels = np.asarray(resize_labels(cells.label_image, shape), dtype=np.int32)
    else:
        labels = _labels_within(cells, class_mask)
    is_left = np.array([rows.stop > 0 for rows, _ in crops_of(labels, len(cells))], dtype=np.bool_)
    is_whole = (cells["whole_box"] == cells["box"]).all(axis=1)
    step = (shape[1] / small[1], shape[0] / small[0]) * 2
    whole = np.where(is_whole[:, None], np.nan, cells["whole_box"] * step)
    large = replace(cells, label_image=labels).select(is_left)
    large = measure_cells(large, "box", "centroid", "area", "equivalent_diameter_area")
    return large.with_columns(whole_box=hull(large["box"], whole[is_left], shape))


def _labels_within(cells: Cells, class_mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Enlarge labels; at the rims of red and white cells the class mask decides."""
    labels = cells.label_image
    class_of_label = np.full(len(cells) + 1, _NO_CLASS, dtype=np.uint8)
    for cell_type, value in cells.taxonomy.mask_classes.items():
        if value != MaskClass.BACKGROUND:
            class_of_label[1:][cells.is_type(cell_type)] = value
    around = np.ones((3, 3), np.uint8)
    is_cell = (labels > 0).astype(np.uint8)
    # What lies inside is the cell's whatever its class: a filled pallor is background in the mask.
    is_sure = cv2.erode(is_cell, around)
    # The mask shows no cells without a channel, such as platelets.
    is_sure |= ((class_of_label[labels] == _NO_CLASS) & (is_cell > 0)).astype(np.uint8)
    grown = np.asarray(cv2.dilate(labels.astype(np.float32), around)).astype(np.int32)
    grown = np.where(labels > 0, labels, grown)
    shape = class_mask.shape
    large = np.asarray(resize_labels(grown, shape), dtype=np.int32)
    is_kept = np.asarray(resize_labels(is_sure, shape)) > 0
    is_kept |= class_of_label[large] == class_mask
    large[~is_kept] = 0
    return large
