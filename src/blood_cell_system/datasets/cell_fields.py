"""Images whose single cells have labels in the words of their data set.

Readers of data sets with diagnoses give these: whereas a ``Sample`` says where red and white cells
are, a ``CellField`` says which of them hold a parasite, are sickled, or come from a leukaemia.

Blocks of names that show the same place of a slide are joined, so that no cell is learned from and
tested on. Names alone do not show it: a field that was photographed twice may lie thirty names
apart. Two images of one place agree in their details once one is shifted onto the other; two places
hardly do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.clean import TINY_SIDE_PX, clip_box
from blood_cell_system.annotation.sample import Annotation, DroppedCell, FailedImage
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.duplicates.groups import linked_groups
from blood_cell_system.datasets.prepared import files_by_stem
from blood_cell_system.errors import (
    AnnotationError,
    BloodCellError,
    DatasetError,
    MissingDataError,
    value_words,
)
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES, read_image, read_image_shape
from blood_cell_system.input_files import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class CellField:
    """One image, with what people say about it and its cells.

    Parameters
    ----------
    name : str
        Unlike all others of its data set.
    label : str
        Of the image as a whole, in the words of the data set; empty where there is none.
    cells : tuple of Annotation or None
        None where nobody has said where the cells are.
    block : str
        Slide, or what is taken for one.
    split : Split or None
        Where the data set has an official one.
    red_cell_diameter_px : float or None
        Where the data set's magnification is known.
    """

    name: str
    image_path: Path
    label: str = ""
    cells: tuple[Annotation, ...] | None = None
    block: str
    split: Split | None = None
    red_cell_diameter_px: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReading:
    """A data set of labelled cells, read.

    Parameters
    ----------
    source : str
        Name of the data set.
    fields : tuple of CellField
        Ordered by name.
    dropped : tuple of DroppedCell
        Annotations that make no sense.
    failed : tuple of FailedImage
        Images that are missing or damaged.
    """

    root: Path
    source: str
    licence: str
    fields: tuple[CellField, ...]
    dropped: tuple[DroppedCell, ...] = ()
    failed: tuple[FailedImage, ...] = ()


def read_json_file(path: Path, *, expected: type, what: str) -> Any:
    """Read a label file.

    Parameters
    ----------
    expected : type
        Of the outermost value: ``dict`` or ``list``.
    what : str
        What the file should hold, for messages.

    Raises
    ------
    MissingDataError
        There is no such file.
    AnnotationError
        It is damaged, or holds something else.
    """
    try:
        value = read_json(path, error=AnnotationError, remedy=f"Expected {what}; copy it again.")
    except MissingDataError as error:
        raise MissingDataError(
            f"{path}: there is no such file; expected {what}. Copy the data set again, whole."
        ) from error
    if not isinstance(value, expected):
        raise AnnotationError(
            f"{path}: holds a {type(value).__name__}; expected a {expected.__name__}: {what}."
        )
    return value


def images_in(folder: Path) -> dict[str, Path]:
    """Images of a folder by their name without ending, in order.

    Raises
    ------
    MissingDataError
        There is no such folder.
    DatasetError
        It holds no images, or two that differ in their ending only.
    """
    if not folder.is_dir():
        raise MissingDataError(
            f"{folder}: there is no such folder; expected images in it. Copy the data set again, "
            "whole, or name the folder above it."
        )
    found = files_by_stem(folder)
    if not found:
        raise DatasetError(
            f"{folder}: no images in it; expected {', '.join(sorted(IMAGE_SUFFIXES))} files."
        )
    return found


def readable(
    path: Path | None, *, name: str, failed: list[FailedImage], missing: str
) -> tuple[int, int] | None:
    """Size of an image; None, and a line in ``failed``, where it cannot be used.

    Parameters
    ----------
    path : Path or None
        None where there is no such file.
    failed : list of FailedImage
        Added to in place.
    missing : str
        Reason where there is no file.
    """
    if path is None:
        failed.append(FailedImage(name=name, reason=missing))
        return None
    try:
        return read_image_shape(path)
    except BloodCellError as error:
        failed.append(FailedImage(name=name, reason=str(error)))
        return None


def usable_cells(
    marks: Sequence[Any],
    read_mark: Callable[[Any], Annotation],
    *,
    shape: tuple[int, int],
    file: Path,
    image: str,
    dropped: list[DroppedCell],
) -> tuple[Annotation, ...]:
    """Read the annotations of one image, clip their boxes, and drop those that make no sense.

    Parameters
    ----------
    marks : sequence
        As they stand in the file.
    read_mark : callable
        Makes a cell of a mark; raises ``KeyError``, ``TypeError`` or ``ValueError`` for one of
        another form.
    shape : tuple of int
        ``(height, width)`` of the image in pixels.
    image : str
        Its name, for messages.
    dropped : list of DroppedCell
        Added to in place.

    Raises
    ------
    AnnotationError
        A mark cannot be understood.
    """
    cells = []
    for index, mark in enumerate(marks, start=1):
        try:
            cell = read_mark(mark)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise AnnotationError(
                f"{file}: object {index} of {image} is {str(mark)[:80]!r} "
                f"({value_words(error)}); expected a label and a box of numbers. "
                "Mend it or delete it."
            ) from error
        box = clip_box(cell.bounds, shape)
        if min(box.width, box.height) <= TINY_SIDE_PX:
            reason = f"no size, or outside of {image}: {tuple(cell.bounds)}"
            dropped.append(DroppedCell(file=file.name, object_index=index, reason=reason))
            continue
        cells.append(Annotation(cell_type=cell.cell_type, box=box))
    return tuple(cells)


SAME_VIEW: Final = 0.4
"""Correlation from which on two images show the same place: others reach 0.35 where they have the
same dirt on the lens, repeated ones mostly 0.5 to 0.9."""

_SIDE_PX: Final = 96  # Longer side of the small copies that are compared.
# Standard deviation of the blur that is taken away: light and surroundings.
_COARSE_PX: Final = 4.0
# Of an image's bright part: darker is the rim around a round field of view.
_DARK_SHARE: Final = 0.35
_RIM_PX: Final = 9  # How far the rim reaches into the field.
# Standard deviations at which details are cut off: one dark nucleus must not decide.
_MOST_SPREADS: Final = 3.0


def joined_by_view(reading: FieldReading) -> FieldReading:
    """Join the blocks of images that show the same place.

    Only images of one label are compared. Their time grows with the square of their number: 200
    take some 3 seconds, of which most is for reading them.

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
    pairs = np.array(links, dtype=np.intp).reshape(-1, 2)
    groups = linked_groups(pairs, len(blocks)).tolist()
    first: dict[int, str] = {}
    for block, group in zip(blocks, groups, strict=True):
        first.setdefault(group, block)
    renamed = (replace(field, block=first[groups[number[field.block]]]) for field in fields)
    return replace(reading, fields=tuple(renamed))


def same_views(images: Sequence[NDArray[np.uint8]]) -> list[tuple[int, int]]:
    """Find pairs of images that show the same place, shifted against each other or not.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width, 3), dtype uint8
        RGB.

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
        pairs += [(first, first + 1 + int(i)) for i in np.flatnonzero(correlation > SAME_VIEW)]
    return pairs


def _spectrum(image: NDArray[np.uint8]) -> NDArray[np.complex64]:
    """Spectrum of an image's details: small, without light and surround, of length 1."""
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
