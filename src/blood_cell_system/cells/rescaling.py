"""Cells found in a resampled image, in the pixels of the image as it was."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.cells.separation import (
    DetectedCell,
    SeparatedCells,
    hull,
    most_likely_class,
)
from blood_cell_system.taxonomy import MASK_CLASS, MaskClass

_STRIP_ROWS: Final = 1024
_NO_CLASS: Final = 254


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
    # Strip by strip: of a whole slide the probabilities alone would be gigabytes.
    for top in range(0, shape[0], _STRIP_ROWS):
        rows = min(_STRIP_ROWS, shape[0] - top)
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
    separated: SeparatedCells,
    shape: tuple[int, int],
    *,
    class_mask: NDArray[np.uint8] | None = None,
) -> SeparatedCells:
    """Measure cells anew in the image as it was before it was resampled.

    Parameters
    ----------
    separated : SeparatedCells
        Of the resampled image.
    shape : tuple of int
        ``(height, width)`` of the image as it was, in pixels.
    class_mask : ndarray of that shape, dtype uint8, optional
        Where red and white cells end, more exactly than the resampled image can say.

    Returns
    -------
    SeparatedCells
        Cells of which no pixel is left are gone; the others are numbered without gaps.
    """
    if separated.label_image.shape == shape:
        return separated
    if class_mask is None:
        labels = np.asarray(resize_labels(separated.label_image, shape), dtype=np.int32)
    else:
        labels = _labels_within(separated, class_mask)
    small = separated.label_image.shape
    step = (shape[0] / small[0], shape[1] / small[1])
    cells: list[DetectedCell] = []
    table = np.zeros(len(separated.cells) + 1, dtype=np.int32)
    found = ndimage.find_objects(labels, max_label=len(separated.cells))
    for cell, crop in zip(separated.cells, found, strict=True):
        if crop is None:
            continue
        table[cell.label] = len(cells) + 1
        cells.append(_measured(cell, labels, crop, label=len(cells) + 1, step=step))
    return SeparatedCells(label_image=table[labels], cells=tuple(cells))


def _labels_within(separated: SeparatedCells, class_mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Enlarge labels; at the rims of red and white cells the class mask decides."""
    labels = separated.label_image
    class_of_label = np.full(len(separated.cells) + 1, _NO_CLASS, dtype=np.uint8)
    for cell in separated.cells:
        if MASK_CLASS[cell.cell_type] != MaskClass.BACKGROUND:
            class_of_label[cell.label] = MASK_CLASS[cell.cell_type]
    around = np.ones((3, 3), np.uint8)
    is_cell = (labels > 0).astype(np.uint8)
    # What lies inside is the cell's whatever its class: a filled pallor is background in the mask.
    is_sure = cv2.erode(is_cell, around)
    # The mask knows nothing of platelets.
    is_sure |= ((class_of_label[labels] == _NO_CLASS) & (is_cell > 0)).astype(np.uint8)
    grown = np.asarray(cv2.dilate(labels.astype(np.float32), around)).astype(np.int32)
    grown = np.where(labels > 0, labels, grown)
    shape = class_mask.shape
    large = np.asarray(resize_labels(grown, shape), dtype=np.int32)
    is_kept = np.asarray(resize_labels(is_sure, shape)) > 0
    is_kept |= class_of_label[large] == class_mask
    return np.where(is_kept, large, 0).astype(np.int32)


def _whole_box(
    cell: DetectedCell, box: Annotation, step: tuple[float, float], shape: tuple[int, ...]
) -> Annotation:
    if cell.whole_box == cell.box:
        return box
    whole = cell.whole_box
    step_y, step_x = step
    enlarged = (
        whole.x_min * step_x,
        whole.y_min * step_y,
        whole.x_max * step_x,
        whole.y_max * step_y,
    )
    return hull(box, enlarged, shape)


def _measured(
    cell: DetectedCell,
    labels: NDArray[np.int32],
    crop: tuple[slice, slice],
    *,
    label: int,
    step: tuple[float, float],
) -> DetectedCell:
    is_cell = (labels[crop] == cell.label).astype(np.uint8)
    rows, columns = crop
    moments = cv2.moments(is_cell, binaryImage=True)
    area = int(np.count_nonzero(is_cell))
    box = Annotation(
        cell_type=cell.cell_type,
        box=Box(float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)),
        origin=cell.box.origin,
    )
    return replace(
        cell,
        label=label,
        box=box,
        whole_box=_whole_box(cell, box, step, labels.shape),
        centroid=(
            columns.start + moments["m10"] / area + 0.5,
            rows.start + moments["m01"] / area + 0.5,
        ),
        area_px=area,
        equivalent_diameter_px=float(np.sqrt(4 * area / np.pi)),
    )
