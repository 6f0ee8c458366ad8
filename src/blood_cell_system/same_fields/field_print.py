"""What is kept of a picture to know its field again: a few kilobytes, however large it is."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.same_fields.field_views import field_view
from blood_cell_system.same_fields.fingerprints import fingerprint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldPrint:
    """Three descriptions of a picture, each of which forgives more than the one before.

    Parameters
    ----------
    pixel_hash : str
        Equal for equal pixels.
    fingerprint : ndarray of shape (16, 16), dtype float32, or None
        As of ``fingerprints``; None where a picture shows nothing.
    view : ndarray of shape (64, 64), dtype int8, or None
        As of ``field_views``.
    """

    pixel_hash: str
    fingerprint: NDArray[np.float32] | None
    view: NDArray[np.int8] | None


def field_print(image: NDArray[np.uint8]) -> FieldPrint:
    """Describe a picture, so that others of the same field can be told.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    return FieldPrint(
        pixel_hash=hash_of_pixels(image), fingerprint=fingerprint(image), view=field_view(image)
    )


def hash_of_pixels(pixels: NDArray[np.uint8]) -> str:
    """Hash of an array's shape and values: equal for equal pictures, whatever their files are."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
