"""What every reader of a data set gives: the same samples, whatever the files look like.

::

    Reading
    ├── samples   Sample: an image, and its annotations
    │             └── cells   Annotation: a type, and a box, an outline or a point
    ├── dropped   DroppedCell: annotations that make no sense
    ├── failed    FailedImage: images that cannot be used
    └── notes     what a person should know before believing the rest

Coordinates are pixels, 0-based and half-open, x to the right and y down.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.mask_files import MaskFiles
from blood_cell_system.annotation.outline import Outline
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box
from blood_cell_system.errors import AnnotationError
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy

CONDITION: Final = "condition"
SUBTYPE: Final = "subtype"
CONFIDENCE: Final = "confidence"

_DECIMALS: Final = 4  # Of confidence and measures.


class Origin(StrEnum):
    """Who says that there is a cell."""

    ANNOTATED = "annotated"
    STAIN = "stain"
    """Only the stain shows it."""

    DRAWN = "drawn"
    """The generator of synthetic smears drew it."""

    PREDICTED = "predicted"
    POINT = "point"
    """A person marked the centre alone; the size of the box is a guess, and nothing is measured
    by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFacts:
    """Classes, confidence and measures of a cell.

    Parameters
    ----------
    condition, subtype : str or None
        As in the report; None where nobody says.
    confidence : float or None
        0 to 1: that there is such a cell.
    measures : mapping of str to float
        By the names of the table of cells.
    """

    condition: str | None = None
    subtype: str | None = None
    confidence: float | None = None
    measures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def to_attributes(self) -> dict[str, str | float]:
        """Give everything that is known under its name, numbers rounded.

        Examples
        --------
        >>> CellFacts(condition="malaria_RBC", measures={"area": 812.0}).to_attributes()
        {'condition': 'malaria_RBC', 'area': 812.0}
        """
        named = {CONDITION: self.condition, SUBTYPE: self.subtype}
        numbers = {CONFIDENCE: self.confidence, **self.measures}
        return {name: value for name, value in named.items() if value is not None} | {
            name: round(float(value), _DECIMALS)
            for name, value in numbers.items()
            if value is not None
        }

    @classmethod
    def from_attributes(cls, attributes: Any) -> Self | None:
        """Read what :meth:`to_attributes` gave; None where there is nothing of it.

        Attributes of somebody's own that are no numbers are passed over.
        """
        if not isinstance(attributes, Mapping):
            return None
        numbers = {
            str(name): number
            for name, value in attributes.items()
            if (number := _number(value)) is not None and name not in (CONDITION, SUBTYPE)
        }
        confidence = numbers.pop(CONFIDENCE, None)
        facts = cls(
            condition=_text(attributes.get(CONDITION)),
            subtype=_text(attributes.get(SUBTYPE)),
            confidence=confidence if confidence is None or 0 <= confidence <= 1 else None,
            measures=numbers,
        )
        return facts if facts.to_attributes() else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One cell, or region, as a person or a program marked it: by an outline, a box or a point.

    Parameters
    ----------
    cell_type : str
        A type of the taxonomy; as a reader finds it, before
        :func:`~blood_cell_system.annotation.clean.clean_annotations`, the label in the file.
    box : Box or None
        Around the cell; None where only the centre is known. With an outline, the box around it.
    outline : Outline or None
        Polygons or pixels.
    point : tuple of float or None
        ``(x, y)`` of the centre, where nothing more is known.
    is_definite : bool
        False for what the annotator did not decide: a crowd, or a cell too difficult to name. Its
        pixels are not scored.
    written : tuple of float or None
        Corners of the box as they stand in the file, for messages.
    facts : CellFacts or None
        Classes, confidence and measures, where they are known.
    part_of : int or None
        Number of the cell that an outline is a part of, as something lies across it; outlines of
        one label and number become one cell.
    """

    cell_type: str
    box: Box | None = None
    outline: Outline | None = None
    point: tuple[float, float] | None = None
    origin: Origin = Origin.ANNOTATED
    is_definite: bool = True
    written: tuple[float, float, float, float] | None = None
    facts: CellFacts | None = None
    part_of: int | None = None

    @property
    def bounds(self) -> Box:
        """The box around the cell.

        Raises
        ------
        AnnotationError
            Only the centre is known.
        """
        if self.box is not None:
            return self.box
        if self.outline is not None:
            return self.outline.box
        raise AnnotationError(
            f"{self.cell_type} at {self.point}: has no box; expected a box or an outline. Mark the "
            "cell by one of them."
        )

    @property
    def x_min(self) -> float:
        """Left edge in pixels."""
        return self.bounds.x_min

    @property
    def y_min(self) -> float:
        """Upper edge in pixels."""
        return self.bounds.y_min

    @property
    def x_max(self) -> float:
        """Right edge in pixels, exclusive."""
        return self.bounds.x_max

    @property
    def y_max(self) -> float:
        """Lower edge in pixels, exclusive."""
        return self.bounds.y_max

    @property
    def width(self) -> float:
        """Width of the box in pixels; negative when it is inside out."""
        return self.bounds.width

    @property
    def height(self) -> float:
        """Height of the box in pixels; negative when it is inside out."""
        return self.bounds.height

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box as ``(x, y)``."""
        return self.bounds.centre


def corners_of(annotations: Sequence[Annotation]) -> NDArray[np.float64]:
    """Boxes as an array of shape (n, 4): columns x_min, y_min, x_max, y_max."""
    return np.array([annotation.bounds for annotation in annotations], np.float64).reshape(-1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image, and what is known about it.

    Parameters
    ----------
    stem : str
        Name of the image, unlike all others of the reading; also the name of its prepared files.
    shape : tuple of int
        ``(height, width)`` in pixels.
    cells : tuple of Annotation or None
        None where nobody has said where the cells are; empty where somebody said that there are
        none.
    unscored : tuple of Outline
        Regions that are not definite: crowds, cells "too difficult to say",
        labels that the label table leaves out.
    class_mask : MaskFiles or None
        Where the classes of all pixels are given.
    """

    stem: str
    image_path: Path
    shape: tuple[int, int]
    cells: tuple[Annotation, ...] | None = None
    unscored: tuple[Outline, ...] = ()
    class_mask: MaskFiles | None = None
    split: Split | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedCell:
    """An annotation that was left out.

    Parameters
    ----------
    file : str
        Label file, relative to the data set's folder.
    object_index : int
        Position in that file (among those of its image, where a file has many images);
        the first is 1.
    """

    file: str
    object_index: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedImage:
    """An image that cannot be used.

    Parameters
    ----------
    name : str
        What the user knows it by: stem, file in its folder, or path.
    reason : str
        Where, what was found, what was expected, what to do.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A data set, read.

    Parameters
    ----------
    root : Path
        Folder that was read.
    format_name : str
        Name of the format, as for ``--format``.
    source : str
        Name of the data set, for instance ``bccd``: images keep it when sets are combined.
    samples : tuple of Sample
        Ordered by stem.
    failed : tuple of FailedImage
        Images left out because they, or their labels, are missing or damaged.
    notes : tuple of str
        What a person should know, a sentence each.
    files : tuple of Path
        All files that were read: label files and images, in a fixed order.
    licence : str or None
        Under which the data may be used, where that is known.
    taxonomy : Taxonomy
        Of the cells' types.
    """

    root: Path
    format_name: str
    source: str
    samples: tuple[Sample, ...]
    dropped: tuple[DroppedCell, ...] = ()
    failed: tuple[FailedImage, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    licence: str | None = None
    taxonomy: Taxonomy = BUILT_IN

    def source_hash(self) -> str:
        """SHA-256 over the names and bytes of all files that were read."""
        digest = hashlib.sha256()
        for path in self.files:
            name = path.relative_to(self.root).as_posix()
            digest.update(name.encode(errors="surrogateescape") + b"\0")
            # Of a file that cannot be read the name alone: its image is in ``failed``.
            with suppress(OSError):
                digest.update(path.read_bytes())
        return digest.hexdigest()
