"""Masks as run lengths, the way COCO and CVAT write them.

Counts take turns: so many pixels outside, so many inside, and so on; the first may be 0. COCO goes
down the columns of the whole image, CVAT along the rows of the cell's box. COCO's compressed text
has 5 bits of a count a letter, least first, as the difference from the count two before.

Source of COCO's form: https://github.com/cocodataset/cocoapi, ``common/maskApi.c``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import AnnotationError

_FIRST_LETTER = 48  # Code of the letter for 0, by COCO.
_MORE_FOLLOW = 0x20  # Bit of a letter that is not the last of its number.
_VALUE_BITS = 0x1F  # Bits of a letter that belong to the number.
_SIGN = 0x10  # Bit of the last letter of a negative number.
# 2^60 pixels are more than there can be, and fit a 64-bit integer.
_MOST_LETTERS = 12


def counts_of_mask(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths of a mask, along its rows.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
        The transposed mask gives runs down the columns.

    Returns
    -------
    list of int
        Outside first; they add up to the number of pixels.

    Examples
    --------
    >>> counts_of_mask(np.array([[False, True], [True, True]]))
    [1, 3]
    """
    flat = np.ravel(mask)
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    if flat.size == 0:
        return []
    return [int(count) for count in np.diff(np.r_[0, changes, flat.size])]


def mask_of_counts(
    counts: Sequence[int] | NDArray[np.int64], shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], int]:
    """Rows of a mask that hold something, from run lengths along its rows.

    Only these rows take memory, so that a thousand cells of a large image can be read.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` of the whole mask; swapped, runs go down the columns and the result is
        transposed.

    Returns
    -------
    mask : ndarray of bool, shape (rows, width)
        No rows where nothing is inside.

    Raises
    ------
    AnnotationError
        A count is negative or no whole number, or they do not add up to the number of pixels.

    Examples
    --------
    >>> mask, first_row = mask_of_counts([5, 2, 2], (3, 3))
    >>> mask.tolist(), first_row
    ([[False, False, True], [True, False, False]], 1)
    """
    height, width = shape
    runs = _checked(counts, height * width)
    edges = np.cumsum(runs)
    starts, ends = edges[0::2], edges[1::2]
    starts = starts[: len(ends)]
    is_run = ends > starts
    starts, ends = starts[is_run], ends[is_run]
    if not len(starts):
        return np.zeros((0, width), dtype=np.bool_), 0
    first, last = int(starts[0]) // width, (int(ends[-1]) - 1) // width
    steps = np.zeros((last - first + 1) * width + 1, dtype=np.int8)
    np.add.at(steps, starts - first * width, 1)
    np.add.at(steps, ends - first * width, -1)
    inside = np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_)
    return inside.reshape(last - first + 1, width), first


def compress_counts(counts: Sequence[int]) -> str:
    """Write run lengths as COCO's text.

    Examples
    --------
    >>> compress_counts([6, 1, 40, 4, 5])
    '61X13mN'
    """
    letters = bytearray()
    for position, count in enumerate(counts):
        value = count - counts[position - 2] if position > 2 else count
        more = True
        while more:
            bits = value & _VALUE_BITS
            value >>= 5
            more = value != (-1 if bits & _SIGN else 0)
            letters.append(bits + (_MORE_FOLLOW if more else 0) + _FIRST_LETTER)
    return letters.decode("ascii")


def decompress_counts(text: str) -> NDArray[np.int64]:
    """Read run lengths from COCO's text.

    Returns
    -------
    ndarray of shape (n,), dtype int64

    Raises
    ------
    AnnotationError
        It has letters that no such text has, or is cut off.

    Examples
    --------
    >>> decompress_counts("61X13mN").tolist()
    [6, 1, 40, 4, 5]
    """
    letters = np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.int64) - _FIRST_LETTER
    if not len(letters):
        return np.zeros(0, dtype=np.int64)
    if letters.min() < 0 or letters.max() > (_MORE_FOLLOW | _VALUE_BITS):
        raise AnnotationError(
            f"the compressed run lengths {text[:40]!r} have letters that COCO does not use; "
            "expected '0' to 'o'. Export the masks again."
        )
    is_last = (letters & _MORE_FOLLOW) == 0
    ends = np.flatnonzero(is_last)
    if not is_last[-1]:
        raise AnnotationError(
            f"the compressed run lengths {text[:40]!r} are cut off. Export the masks again."
        )
    starts = np.r_[0, ends[:-1] + 1]
    lengths = ends - starts + 1
    if lengths.max() > _MOST_LETTERS:
        raise AnnotationError(
            f"the compressed run lengths {text[:40]!r} hold a number larger than any image. "
            "Export the masks again."
        )
    place_in_number = np.arange(len(letters)) - np.repeat(starts, lengths)
    values = np.add.reduceat((letters & _VALUE_BITS) << (5 * place_in_number), starts)
    values -= np.where(letters[ends] & _SIGN, 1 << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _checked(counts: Sequence[int] | NDArray[np.int64], pixel_count: int) -> NDArray[np.int64]:
    try:
        runs = np.asarray(counts)
        whole = runs.astype(np.int64)
        is_whole = runs.ndim == 1 and bool((runs == whole).all())
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole or (whole < 0).any():
        raise AnnotationError(
            f"the run lengths {str(counts)[:40]} are not all whole numbers of 0 or more. "
            "Export the masks again."
        )
    if (len(whole) and whole.max() > pixel_count) or whole.sum() != pixel_count:
        raise AnnotationError(
            f"the run lengths add up to {whole.sum()} pixels; expected {pixel_count}, as many as "
            "the mask's size says. Was the image resized? Export the masks again."
        )
    return whole
