"""Masks that are outside the mask format: what they are, and what they mean without guessing."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from blood_cell_system.errors import MaskFormatError
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.imaging.mask_encoding import decode_class_mask
from blood_cell_system.taxonomy import NOT_SCORED, NUM_CLASSES

LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})

# A channel counts as set, or as empty, within this distance of 255 and 0: JPEG's ringing at
# quality 75 stays below it.
_NEAR = 48
# Of the pixels that are not black, the share that has to be near a pure colour for the mask to be
# a damaged one of this format rather than an image or a mask in other colours.
_PURE_SHARE = 0.6
# A mixed pixel belongs to its strongest channel when that leads by this much, half-way included.
_CLEAR_LEAD = 96
# More pixels than this with several classes are a different format, not an overlap.
_MAX_OVERLAP_SHARE = 0.5


class MaskFault(StrEnum):
    """In which way a mask is outside the format."""

    ZERO_ONE = "zero-one-mask"
    INDEX = "index-mask"
    BLURRED = "blurred-mask"
    SEVERAL_CLASSES = "several-classes"
    TRANSPARENT = "transparent-mask"
    FOREIGN = "foreign-mask"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskDiagnosis:
    """What a mask is.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8, or None
        Class values, and 255 where not scored or in doubt; None where they would be guessed.
    fault : MaskFault or None
        None for a mask in the format.
    detail : str
        What was found, in words; empty without a fault.
    is_black_gray : bool
        One channel, all 0: a mask where nothing is scored, or, among index masks, background.
    """

    class_mask: NDArray[np.uint8] | None
    fault: MaskFault | None = None
    detail: str = ""
    is_black_gray: bool = False


def diagnose_mask(path: Path) -> MaskDiagnosis:
    """Read a mask and say what it is.

    Raises
    ------
    MissingDataError, ImageReadError
        The file cannot be read at all.
    """
    rgb = read_image(path)
    try:
        class_mask = decode_class_mask(rgb)
    except MaskFormatError:
        return _diagnose_fault(path, rgb)
    is_black_gray = not rgb.any() and _read_single_channel(path) is not None
    return MaskDiagnosis(class_mask=class_mask, is_black_gray=is_black_gray)


def fit_to_shape(class_mask: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Scale a class mask by an exact integer factor, or return None where there is none.

    Parameters
    ----------
    class_mask : ndarray of shape (height, width), dtype uint8
    shape : tuple of int
        ``(height, width)`` wanted.

    Examples
    --------
    >>> fit_to_shape(np.array([[1, 2]], dtype=np.uint8), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    >>> fit_to_shape(np.array([[1, 2]], dtype=np.uint8), (2, 3)) is None
    True
    """
    height, width = class_mask.shape
    wanted_height, wanted_width = shape
    if height * wanted_width != width * wanted_height:
        return None
    if wanted_height % height == 0:
        factor = wanted_height // height
        return class_mask.repeat(factor, axis=0).repeat(factor, axis=1)
    if height % wanted_height == 0:
        factor = height // wanted_height
        return class_mask[factor // 2 :: factor, factor // 2 :: factor]
    return None


def _diagnose_fault(path: Path, rgb: NDArray[np.uint8]) -> MaskDiagnosis:
    single = _read_single_channel(path)
    if single is None and (rgb == rgb[:, :, :1]).all():
        single = rgb[:, :, 0]
    if single is not None:
        gray = _diagnose_gray(single)
        if gray.class_mask is not None or (rgb == rgb[:, :, :1]).all():
            return gray
    opaque = _read_without_transparency(path)
    if opaque is None:
        return _diagnose_colour(rgb)
    try:
        class_mask = decode_class_mask(opaque)
    except MaskFormatError:
        return _diagnose_colour(opaque)
    return MaskDiagnosis(
        class_mask=class_mask,
        fault=MaskFault.TRANSPARENT,
        detail="has transparent pixels; without its transparency it is in the format",
    )


def _diagnose_gray(values: NDArray[np.integer]) -> MaskDiagnosis:
    found = [int(value) for value in np.unique(values)]
    if set(found) <= {*range(NUM_CLASSES), NOT_SCORED} and set(found) & {1, 2}:
        return MaskDiagnosis(
            class_mask=values.astype(np.uint8),
            fault=MaskFault.INDEX,
            detail=f"holds class numbers {found} in one channel; it looks all black",
        )
    kind = "says cell or no cell, not which" if len(found) == 2 else "is gray"
    return MaskDiagnosis(
        class_mask=None,
        fault=MaskFault.FOREIGN,
        detail=f"{kind} (values {found[:4]}{' and more' if len(found) > 4 else ''})",
    )


def _diagnose_colour(rgb: NDArray[np.uint8]) -> MaskDiagnosis:
    largest = int(rgb.max(initial=0))
    if largest <= 1:
        class_mask, overlap = _classes_without_overlap(rgb == 1)
        note = f", {overlap} pixels with several classes" if overlap else ""
        return MaskDiagnosis(
            class_mask=class_mask,
            fault=MaskFault.ZERO_ONE,
            detail=f"holds 0 and 1 in place of 0 and 255{note}; it looks all black",
        )
    is_set = rgb >= 255 - _NEAR
    is_empty = rgb <= _NEAR
    channels_set = is_set.sum(axis=2)
    if (is_empty | (rgb == 255)).all() and ((rgb == 0) | (rgb == 255)).all():
        class_mask, overlap = _classes_without_overlap(is_set)
        share = overlap / class_mask.size
        if share <= _MAX_OVERLAP_SHARE:
            return MaskDiagnosis(
                class_mask=class_mask,
                fault=MaskFault.SEVERAL_CLASSES,
                detail=f"has {overlap} pixels with several classes ({share:.1%})",
            )
        return _foreign(f"has several channels set on {share:.0%} of its pixels")
    is_black = is_empty.all(axis=2)
    is_pure = (is_set | is_empty).all(axis=2) & (channels_set == 1)
    coloured = int((~is_black).sum())
    pure_share = int(is_pure.sum()) / max(1, coloured)
    if pure_share < _PURE_SHARE:
        return _foreign(
            f"is in other colours: {1 - pure_share:.0%} of its coloured pixels are neither red, "
            "green nor blue"
        )
    class_mask, doubtful = _strongest_channel(rgb)
    mixed = int((~(is_pure | is_black)).sum())
    return MaskDiagnosis(
        class_mask=class_mask,
        fault=MaskFault.BLURRED,
        detail=f"holds values between 0 and 255 ({mixed} mixed pixels, {doubtful} in doubt), as "
        "smooth scaling or JPEG leave them",
    )


def _foreign(detail: str) -> MaskDiagnosis:
    return MaskDiagnosis(class_mask=None, fault=MaskFault.FOREIGN, detail=detail)


def _classes_without_overlap(is_set: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], int]:
    channels_set = is_set.sum(axis=2)
    class_mask = is_set.argmax(axis=2).astype(np.uint8)
    class_mask[channels_set != 1] = NOT_SCORED
    return class_mask, int((channels_set > 1).sum())


def _strongest_channel(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    ordered = np.sort(rgb.astype(np.int16), axis=2)
    strongest, second = ordered[:, :, 2], ordered[:, :, 1]
    is_clear = (strongest >= 128) & (strongest - second >= _CLEAR_LEAD)
    class_mask = rgb.argmax(axis=2).astype(np.uint8)
    class_mask[~is_clear] = NOT_SCORED
    return class_mask, int((~is_clear & (strongest > _NEAR)).sum())


def _read_single_channel(path: Path) -> NDArray[np.integer] | None:
    """Numbers of a gray or palette image as stored, None for one with colour channels."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "1":
            upright = upright.convert("L")
        if upright.mode not in {"L", "P", "I", "I;16", "I;16B", "I;16L"}:
            return None
        return np.asarray(upright)


def _read_without_transparency(path: Path) -> NDArray[np.uint8] | None:
    """Colours of an image with its transparency left out, None for one that has none."""
    with Image.open(path) as image:
        if image.mode not in {"RGBA", "LA", "PA"} and "transparency" not in image.info:
            return None
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))[:, :, :3]
