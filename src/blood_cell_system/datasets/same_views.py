"""Pictures of a collection that show the same place of a slide.

Names alone do not tell: a field that was photographed twice may lie thirty names apart. Two
pictures of one place agree in their details once one is shifted onto the other; two places hardly
do. Blocks of names that share a place are joined, so that no cell is learned from and tested on.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.datasets.cell_fields import FieldReading
from blood_cell_system.image_io import read_image
from blood_cell_system.same_fields.groups import linked_groups

SAME_VIEW: Final = 0.4
"""Correlation from which on two pictures show the same place: others reach 0.35 where they have the
same dirt on the lens, repeated ones mostly 0.5 to 0.9."""

_SIDE_PX: Final = 96
_COARSE_PX: Final = 4.0
_DARK_SHARE: Final = 0.35
_RIM_PX: Final = 9
_MOST_SPREADS: Final = 3.0


def joined_by_view(reading: FieldReading) -> FieldReading:
    """Join the blocks of pictures that show the same place.

    Only pictures of one label are compared. Their time grows with the square of their number: 200
    take some 3 seconds, of which most is for reading them.

    Parameters
    ----------
    reading : FieldReading

    Returns
    -------
    FieldReading
        A joined block has the name of the first of its blocks.
    """
    fields = list(reading.fields)
    blocks = sorted({field.block for field in fields})
    number = {block: index for index, block in enumerate(blocks)}
    links = []
    for label in sorted({field.label for field in fields}):
        members = [field for field in fields if field.label == label]
        links += [
            (number[members[first].block], number[members[second].block])
            for first, second in same_views([read_image(field.image_path) for field in members])
        ]
    joined = _first_of_group(blocks, links)
    renamed = tuple(replace(field, block=joined[field.block]) for field in fields)
    return replace(reading, fields=renamed)


def same_views(
    images: Sequence[NDArray[np.uint8]], *, threshold: float = SAME_VIEW
) -> list[tuple[int, int]]:
    """Find pairs of pictures that show the same place, shifted against each other or not.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width, 3), dtype uint8
        RGB.
    threshold : float
        Smallest correlation of their details at the best shift.

    Returns
    -------
    list of (int, int)
        Positions, the smaller one first.
    """
    if not images:
        return []
    spectra = np.array([_spectrum(image) for image in images])
    pairs = []
    for first in range(len(images) - 1):
        products = spectra[first + 1 :] * np.conj(spectra[first])
        correlation = np.fft.irfft2(products).max(axis=(1, 2))
        pairs += [(first, first + 1 + int(i)) for i in np.flatnonzero(correlation > threshold)]
    return pairs


def _spectrum(image: NDArray[np.uint8]) -> NDArray[np.complex64]:
    """Spectrum of a picture's details: small, without light and surround, of length 1."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = _SIDE_PX / max(gray.shape)
    size = max(round(gray.shape[1] * scale), 1), max(round(gray.shape[0] * scale), 1)
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    details = small - cv2.GaussianBlur(small, (0, 0), _COARSE_PX)
    is_seen = (small > _DARK_SHARE * np.percentile(small, 95)).astype(np.uint8)
    details *= cv2.erode(is_seen, np.ones((_RIM_PX, _RIM_PX), np.uint8))
    limit = _MOST_SPREADS * float(details.std())
    details = np.clip(details, -limit, limit)
    details -= details.mean()
    # Twice as large, so that what leaves on one side does not come in on the other.
    canvas = np.zeros((2 * _SIDE_PX, 2 * _SIDE_PX), dtype=np.float32)
    canvas[: size[1], : size[0]] = details / max(float(np.linalg.norm(details)), 1e-6)
    return np.asarray(np.fft.rfft2(canvas), dtype=np.complex64)


def _first_of_group(blocks: Sequence[str], links: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Name of the first block of each group of linked blocks."""
    pairs = np.array(links, dtype=np.intp).reshape(-1, 2)
    groups = linked_groups(pairs, len(blocks)).tolist()
    first: dict[int, str] = {}
    for block, group in zip(blocks, groups, strict=True):
        first.setdefault(group, block)
    return {block: first[group] for block, group in zip(blocks, groups, strict=True)}
