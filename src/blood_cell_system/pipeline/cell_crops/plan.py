"""What is to be cut out of an image, and which class it gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from blood_cell_system.annotation.sample import DroppedCell, FailedImage
from blood_cell_system.datasets.cell_fields import CellField
from blood_cell_system.errors import OutOfRangeError


class CutMethod(StrEnum):
    """How the cells of an image are found."""

    BOXES = "boxes"
    """By the boxes that people have drawn; outlines from the stain."""
    SEGMENTER = "segmenter"
    """By the segmenter; outlines from the stain, in the boxes that it finds."""
    NUCLEI = "nuclei"
    """White cells by their nuclei."""
    LONE = "lone"
    """The image shows one cell."""
    POINTS = "points"
    """By the points that people have set; outlines by the segmenter, or from the stain where it
    has no cell around the point."""


class Extra(StrEnum):
    """What an image shows besides its cells, for a classifier to learn what is no cell."""

    SLIDE = "slide"
    """Empty slide."""
    DEBRIS = "debris"
    """Stained specks that are smaller than a cell, platelets among them."""
    CLUMP = "clump"
    """Several cells in one outline, and smudges."""
    RED_CELL = "red_cell"
    """Red cells of an image whose white cells were cut."""


class CropClass(NamedTuple):
    """Class of a cut cell, as ``cells.csv`` has it."""

    condition: str | None = None
    cell_type: str | None = None
    is_outlier: bool = False


OUTLIER = CropClass(is_outlier=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPlan:
    """What is cut out of the images of a data set.

    Parameters
    ----------
    cell_type : str
        What is cut where the method finds cells by itself.
    classes : mapping of str to CropClass
        Class by label: the annotation's where cells are annotated, else the image's. Labels that
        are not in it are left out.
    most_an_image : mapping of str to int
        At most so many cells of a label are taken from one image, at random; all by default.
    extras : mapping of Extra to int
        Outliers that are cut besides, and how many of each at most.
    window_px : int or None
        The segmenter runs on a square of this side, at random within the field of view; at all of
        the image where it is None. With boxes around only some of the cells, it finds the
        others in a square of this side around each.
    """

    method: CutMethod
    cell_type: str
    classes: Mapping[str, CropClass]
    most_an_image: Mapping[str, int] = field(default_factory=dict)
    extras: Mapping[Extra, int] = field(default_factory=dict)
    window_px: int | None = None

    def __post_init__(self) -> None:
        for name, most in (*self.most_an_image.items(), *self.extras.items()):
            if most < 0:
                raise OutOfRangeError(f"{name}: received {most} an image; expected 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutTask:
    """One image to be cut.

    Parameters
    ----------
    source : str
        Name of the data set.
    """

    field: CellField
    source: str
    plan: CutPlan
    seed: int

    @property
    def name(self) -> str:
        """Unlike those of all other tasks; safe as part of a file name."""
        method = f"_{self.plan.method}_{self.plan.cell_type}"
        return f"{self.source}_{self.field.name}{method}".replace("/", "_")


CropWork = tuple[list[CutTask], list[FailedImage], list[DroppedCell]]
"""What is to be cut, images that cannot be used, and annotations that are dropped."""
