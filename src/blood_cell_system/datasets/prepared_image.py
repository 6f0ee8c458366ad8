"""One picture of a prepared folder, and which part of the data set it belongs to."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.errors import MaskFormatError
from blood_cell_system.image_io import copy_file, read_image
from blood_cell_system.mask_encoding import decode_class_mask


class Split(StrEnum):
    """Part of a data set: learned from, chosen by, reported on."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """One picture of a prepared folder, with where its labels are.

    Parameters
    ----------
    stem : str
        File name without its suffix.
    image_path, mask_path : Path
    instance_path : Path or None
        Label picture, where the exact outlines of single cells are known.
    split : Split or None
    source : str
        Data set that the picture comes from.
    original : str
        Stem of the picture that this one is an augmented copy of; its own stem for an original.
    cells : tuple of LabelledBox or None
        Boxes in pixels; None where nobody has said where the cells are.
    unmarked_types : tuple of CellType
        Types that may be in the picture without a box: a data set that marks no platelets does not
        say that there are none.
    group : str or None
        Slide or patient, where that is known.
    """

    stem: str
    image_path: Path
    mask_path: Path
    instance_path: Path | None = None
    split: Split | None = None
    source: str = "unknown"
    original: str
    cells: tuple[LabelledBox, ...] | None = None
    unmarked_types: tuple[CellType, ...] = ()
    group: str | None = None

    @property
    def is_augmented(self) -> bool:
        """Whether this is an augmented copy."""
        return self.original != self.stem

    def manifest_row(self) -> dict[str, Any]:
        """Give what the manifest says of this picture."""
        row: dict[str, Any] = {
            "stem": self.stem,
            "split": self.split,
            "source": self.source,
            "original": self.original,
        }
        if self.unmarked_types:
            row["unmarked_types"] = list(self.unmarked_types)
        if self.group is not None:
            row["group"] = self.group
        return row

    def copy_files(self, folder: Path, *, stem: str) -> tuple[str, ...]:
        """Copy picture, mask and label picture into another prepared folder, byte for byte.

        Parameters
        ----------
        folder : Path
        stem : str
            Name of the copies.

        Returns
        -------
        tuple of str
            Names of the copies within the folder.

        Raises
        ------
        MissingDataError, ImageReadError
            A file has gone, or cannot be read.
        OutputError
            A copy cannot be written.
        """
        paths = {
            "images": self.image_path,
            "masks": self.mask_path,
            "instances": self.instance_path,
        }
        files = {
            f"{kind}/{stem}{path.suffix}": path for kind, path in paths.items() if path is not None
        }
        for name, path in files.items():
            copy_file(path, folder / name)
        return tuple(files)

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read the picture and its class mask.

        Returns
        -------
        image : ndarray of shape (height, width, 3), dtype uint8
        class_mask : ndarray of shape (height, width), dtype uint8

        Raises
        ------
        ImageReadError
            One of the two cannot be read.
        MaskFormatError
            The mask is outside the format, or of another size than the picture.
        """
        image = read_image(self.image_path)
        try:
            class_mask = decode_class_mask(read_image(self.mask_path))
        except MaskFormatError as error:
            raise MaskFormatError(f"{self.mask_path}: {error}") from error
        if class_mask.shape != image.shape[:2]:
            raise MaskFormatError(
                f"{self.mask_path}: the mask has (height, width) {class_mask.shape}, the picture "
                f"{image.shape[:2]}; expected the same size. Make the mask again, or leave out "
                "both."
            )
        return image, class_mask
