"""What every reader of a data set gives: the same samples, whatever the files look like.

::

    Reading
    ├── samples   Sample: an image, and what people say about it
    │             └── cells   LabelledCell: a type, and a box, an outline or a point
    ├── dropped   DroppedCell: marks that make no sense
    ├── failed    FailedImage: images that cannot be used
    └── notes     what a person should know before believing the rest

Coordinates are pixels, 0-based and half-open, x to the right and y down.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blood_cell_system.annotation.mask_files import MaskFiles
from blood_cell_system.annotation.outline import Outline
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box, BoxOrigin
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledCell:
    """One cell as a person, or a program, marked it: by an outline, a box or a point.

    Parameters
    ----------
    cell_type : str
    box : Box or None
        Around the cell; None where only the centre is known. With an outline, the box around it.
    outline : Outline or None
    point : tuple of float or None
        ``(x, y)`` of the centre, where nothing more is known.
    origin : BoxOrigin
    """

    cell_type: str
    box: Box | None = None
    outline: Outline | None = None
    point: tuple[float, float] | None = None
    origin: BoxOrigin = BoxOrigin.ANNOTATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image, and what is known about it.

    Parameters
    ----------
    stem : str
        Name of the image, unlike all others of the reading; also the name of its prepared files.
    image_path : Path
    shape : tuple of int
        ``(height, width)`` in pixels.
    cells : tuple of LabelledCell or None
        None where nobody has said where the cells are; empty where somebody said that there are
        none.
    unscored : tuple of Outline
        Regions about which the marks say nothing definite: crowds, cells "too difficult to say",
        labels that the label table leaves out.
    class_mask : MaskFiles or None
        Where the classes of all pixels are given.
    split : Split or None
    group : str or None
        Slide or patient, where the files tell: images of one group belong into one split.
    """

    stem: str
    image_path: Path
    shape: tuple[int, int]
    cells: tuple[LabelledCell, ...] | None = None
    unscored: tuple[Outline, ...] = ()
    class_mask: MaskFiles | None = None
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedCell:
    """A mark that was left out.

    Parameters
    ----------
    file : str
        Label file, relative to the data set's folder.
    object_index : int
        Position of the mark in that file (of its image's marks, where a file has many images);
        the first is 1.
    reason : str
    """

    file: str
    object_index: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedImage:
    """An image that cannot be used.

    Parameters
    ----------
    stem : str
    reason : str
        Where, what was found, what was expected, what to do.
    """

    stem: str
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
    dropped : tuple of DroppedCell
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
        return hash_of_files(self.root, self.files)


def hash_of_files(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 over names, relative to a folder, and bytes of files, in the given order."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode(errors="surrogateescape") + b"\0")
        # Of a file that cannot be read the name alone: its image is in ``failed``.
        with suppress(OSError):
            digest.update(path.read_bytes())
    return digest.hexdigest()
