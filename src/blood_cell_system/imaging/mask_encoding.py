"""The mask format of the guide: an RGB image with one channel a class.

Red is background, green RBC, blue WBC; the channel of a pixel's class is 255 and the others are 0.
A pixel with no channel set is not scored.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import MaskFormatError
from blood_cell_system.taxonomy import NOT_SCORED, NUM_CLASSES

# Index: the class's value; 255 stays (0, 0, 0).
_COLOURS = np.zeros((256, 3), dtype=np.uint8)
_COLOURS[:NUM_CLASSES] = np.eye(NUM_CLASSES, dtype=np.uint8) * 255

# Code of a pixel: bit c says that channel c is set, so that only 0, 1, 2 and 4 are in the format.
_CODE_OF_CHANNELS = 2.0 ** np.arange(NUM_CLASSES)[None, :] / 255
_CLASS_OF_CODE = np.full(256, NOT_SCORED, dtype=np.uint8)
_CLASS_OF_CODE[2 ** np.arange(NUM_CLASSES)] = np.arange(NUM_CLASSES)
_COLOURS_OF_CODE = _COLOURS[_CLASS_OF_CODE][None]


def encode_class_mask(class_mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn class values into the guide's RGB mask.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``, and 255 where not scored.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8

    Raises
    ------
    MaskFormatError
        A value is no class, or the array is of another kind.

    Examples
    --------
    >>> encode_class_mask(np.array([[0, 1, 2, 255]], dtype=np.uint8)).tolist()
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]]]
    """
    if class_mask.ndim != 2 or class_mask.dtype != np.uint8:
        raise MaskFormatError(
            "Class mask: expected an array of shape (height, width) and dtype uint8. "
            f"Received: shape {class_mask.shape}, dtype {class_mask.dtype}."
        )
    unknown = (class_mask >= NUM_CLASSES) & (class_mask != NOT_SCORED)
    if unknown.any():
        found = sorted(int(value) for value in np.unique(class_mask[unknown]))
        raise MaskFormatError(
            f"Class mask: the values {found} are no classes; "
            f"expected 0 (background), 1 (RBC), 2 (WBC) or {NOT_SCORED} (not scored)."
        )
    return np.take(_COLOURS, class_mask, axis=0)


def decode_class_mask(rgb_mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn the guide's RGB mask into class values.

    Parameters
    ----------
    rgb_mask : ndarray of shape (height, width, 3), dtype uint8
        At most one channel of a pixel is 255, all others are 0.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        Values of ``MaskClass``, and 255 where no channel is set.

    Raises
    ------
    MaskFormatError
        A value is neither 0 nor 255, or a pixel has several classes. ``verify --fix`` repairs
        such masks where that can be done without guessing.

    Examples
    --------
    >>> decode_class_mask(np.array([[[255, 0, 0], [0, 0, 0]]], dtype=np.uint8)).tolist()
    [[0, 255]]
    """
    if rgb_mask.ndim != 3 or rgb_mask.shape[2] != 3 or rgb_mask.dtype != np.uint8:
        raise MaskFormatError(
            "Mask: expected an array of shape (height, width, 3) and dtype uint8. "
            f"Received: shape {rgb_mask.shape}, dtype {rgb_mask.dtype}."
        )
    if rgb_mask.size == 0:
        return np.empty(rgb_mask.shape[:2], dtype=np.uint8)
    rgb_mask = np.ascontiguousarray(rgb_mask)
    # What was decoded is right when encoding it gives the mask back; OpenCV does both in a fifth
    # of the time of looking at every channel with NumPy.
    codes = cv2.transform(rgb_mask, _CODE_OF_CHANNELS)
    encoded = cv2.LUT(cv2.merge([codes, codes, codes]), _COLOURS_OF_CODE)
    if cv2.norm(encoded, rgb_mask, cv2.NORM_INF) > 0:
        raise _format_error(rgb_mask)
    return np.asarray(cv2.LUT(codes, _CLASS_OF_CODE), dtype=np.uint8)


def _format_error(rgb_mask: NDArray[np.uint8]) -> MaskFormatError:
    """Say why a mask is outside the format."""
    is_set = rgb_mask == 255
    if not (is_set | (rgb_mask == 0)).all():
        values = np.unique(rgb_mask)
        found = sorted(int(v) for v in values if v not in (0, 255))
        return MaskFormatError(
            f"Mask: {len(found)} values besides 0 and 255 (for instance {found[:5]}); expected "
            "0 and 255 only. Repair with bloodcells verify --fix."
        )
    count = int((is_set.sum(axis=2) > 1).sum())
    return MaskFormatError(
        f"Mask: {count} pixels have several channels set; expected one class a pixel. "
        "Repair with bloodcells verify --fix."
    )
