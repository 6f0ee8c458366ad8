"""Cells found in a resampled picture, in the pixels of the picture as it was."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.cells.separation import DetectedCell, SeparatedCells


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


def rescale_cells(separated: SeparatedCells, shape: tuple[int, int]) -> SeparatedCells:
    """Measure cells anew in the picture as it was before it was resampled.

    Parameters
    ----------
    separated : SeparatedCells
        Of the resampled picture.
    shape : tuple of int
        ``(height, width)`` of the picture as it was, in pixels.

    Returns
    -------
    SeparatedCells
        Cells of which no pixel is left are gone; the others are numbered without gaps.
    """
    if separated.label_image.shape == shape:
        return separated
    labels = np.asarray(resize_labels(separated.label_image, shape), dtype=np.int32)
    cells: list[DetectedCell] = []
    table = np.zeros(len(separated.cells) + 1, dtype=np.int32)
    found = ndimage.find_objects(labels, max_label=len(separated.cells))
    for cell, crop in zip(separated.cells, found, strict=True):
        if crop is None:
            continue
        table[cell.label] = len(cells) + 1
        cells.append(_measured(cell, labels, crop, label=len(cells) + 1))
    return SeparatedCells(label_image=table[labels], cells=tuple(cells))


def _measured(
    cell: DetectedCell, labels: NDArray[np.int32], crop: tuple[slice, slice], *, label: int
) -> DetectedCell:
    is_cell = (labels[crop] == cell.label).astype(np.uint8)
    rows, columns = crop
    moments = cv2.moments(is_cell, binaryImage=True)
    area = int(np.count_nonzero(is_cell))
    return replace(
        cell,
        label=label,
        box=LabelledBox(
            cell_type=cell.cell_type,
            x_min=float(columns.start),
            y_min=float(rows.start),
            x_max=float(columns.stop),
            y_max=float(rows.stop),
            origin=cell.box.origin,
        ),
        centroid=(
            columns.start + moments["m10"] / area + 0.5,
            rows.start + moments["m01"] / area + 0.5,
        ),
        area_px=area,
        equivalent_diameter_px=float(np.sqrt(4 * area / np.pi)),
    )
