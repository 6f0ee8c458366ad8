"""A folder of images and labels, in the format of somebody's tool."""

import json
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from blood_cell_system.annotation.format_registry import reader_named, writer_named
from blood_cell_system.annotation.outline import (
    Outline,
    PixelOutline,
    PolygonOutline,
    Ring,
    nesting_depths,
    pixels_of,
    simplified_ring,
    traced_rings,
)
from blood_cell_system.annotation.sample import Annotation, Sample
from blood_cell_system.atomic_files import write_text
from blood_cell_system.boxes import Box
from blood_cell_system.errors import BloodCellError, DatasetError, OutOfRangeError, OutputError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.image_file import copy_file, is_turned, read_image, write_image
from blood_cell_system.imaging.overlay import NOT_SCORED_COLOUR
from blood_cell_system.taxonomy import BUILT_IN, Taxonomy
from blood_cell_system.wording import counted

NOT_SCORED_LABEL: Final = "ignore"
"""Label of regions that are not scored; every reader knows it."""

_DECIMALS: Final = 3  # Thousandths of a pixel are written.


class OutlineForm(StrEnum):
    """How outlines are written."""

    POLYGONS = "polygons"
    """With few corners and exactly the same pixels; as a mask where there is a hole."""

    MASKS = "masks"
    """Pixel by pixel, in formats that have that."""

    BOXES = "boxes"
    """Left out: the boxes around cells alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStyle:
    """How labels are to be written.

    Parameters
    ----------
    tolerance_px : float
        How far polygons may be from the border of the pixels, so that they have fewer corners; 0
        for exactly the same pixels.
    taxonomy : Taxonomy
        Of the cells' types.

    Raises
    ------
    SettingsError
        The tolerance is negative or no number.
    """

    outlines: OutlineForm = OutlineForm.POLYGONS
    tolerance_px: float = 0.0
    taxonomy: Taxonomy = BUILT_IN

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of all types, then that of regions that are not scored."""
        return (*self.taxonomy.names, NOT_SCORED_LABEL)

    def colour(self, label: str) -> tuple[int, int, int]:
        """RGB of a label; gray for regions that are not scored."""
        known = label in self.taxonomy
        return self.taxonomy[label].colour if known else NOT_SCORED_COLOUR

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance_px < float("inf"):
            raise OutOfRangeError(
                f"tolerance_px: received {self.tolerance_px}; expected a number of 0 or more."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """An image that has its place among the written files, and what is known about it.

    Parameters
    ----------
    path : Path
        Of the copy.
    """

    sample: Sample
    path: Path
    annotations: tuple[Annotation, ...]


class LabelWriter(ABC):
    """A writer of one format; ``writes`` of the format registry registers it.

    Parameters
    ----------
    root : Path
        Folder to write.
    """

    images: ClassVar[str] = "images"
    """Folder of all images; empty where each split has its own."""

    next_step: ClassVar[str]

    has_points: ClassVar[bool] = True
    """Whether a cell of which only the centre is known can be written."""

    def __init__(self, root: Path, style: WriteStyle) -> None:
        self._root = root
        self._style = style

    def image_folder(self, sample: Sample) -> Path:
        """Folder that an image's copy goes to: by default one for all, or one a split."""
        return self._root / (self.images or str(sample.split or ""))

    @abstractmethod
    def add(self, image: LabelledImage) -> None:
        """Write an image's labels, or remember them."""

    def finish(self) -> None:  # noqa: B027
        """Write what belongs to all images."""


def _annotations(sample: Sample, style: WriteStyle) -> tuple[Annotation, ...]:
    """Cells and regions of a sample, in the form that the style wants."""
    annotations = []
    for cell in sample.cells or ():
        has_outline = cell.outline is not None and style.outlines is not OutlineForm.BOXES
        annotations.append(
            Annotation(
                cell_type=str(cell.cell_type),
                box=cell.box,
                outline=cell.outline if has_outline else None,
                point=None if cell.box is not None else cell.point,
                origin=cell.origin,
                facts=cell.facts,
            )
        )
    annotations += [
        Annotation(cell_type=NOT_SCORED_LABEL, outline=region, is_definite=False)
        for region in sample.unscored
    ]
    return tuple(annotations)


def rings_to_write(outline: Outline, shape: tuple[int, int], style: WriteStyle) -> tuple[Ring, ...]:
    """Polygons of an outline within the image, with as many corners as the style wants."""
    if isinstance(outline, PolygonOutline) and _is_within(outline.box, shape):
        return tuple(
            simplified_ring(ring, tolerance_px=style.tolerance_px) for ring in outline.rings
        )
    pixels = pixels_to_write(outline, shape)
    return traced_rings(
        pixels.pixels, offset=pixels.offset, shape=shape, tolerance_px=style.tolerance_px
    )


def _is_within(box: Box, shape: tuple[int, int]) -> bool:
    return box.x_min >= 0 and box.y_min >= 0 and box.x_max <= shape[1] and box.y_max <= shape[0]


def has_holes(rings: Sequence[Ring]) -> bool:
    """Whether one of several polygons lies within another."""
    return len(rings) > 1 and any(nesting_depths(rings))


def pixels_to_write(outline: Outline, shape: tuple[int, int]) -> PixelOutline:
    """Pixels of an outline that lie in the image."""
    pixels = pixels_of(outline, shape)
    if _is_within(pixels.box, shape):
        return pixels
    rows, columns, inside = pixels.window(shape)
    return PixelOutline.from_pixels(inside, offset=(columns.start, rows.start))


def short(number: float) -> float | int:
    """Round to thousandths of a pixel, whole numbers without a point.

    Examples
    --------
    >>> short(12.0), short(0.12345)
    (12, 0.123)
    """
    rounded = round(float(number), _DECIMALS)
    return int(rounded) if rounded.is_integer() else rounded


def short_corners(corners: Iterable[Sequence[float]]) -> list[list[float | int]]:
    """Round all numbers of a polygon."""
    return [[short(x), short(y)] for x, y in corners]


def box_corners(box: Box) -> Ring:
    """Four corners of a box, clockwise on the screen."""
    x_min, y_min, x_max, y_max = box
    return np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)])


def write_compact_json(path: Path, value: object) -> None:
    """Write a JSON file without blanks, whole or not at all: outlines are long lists of numbers."""
    write_text(path, json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSummary:
    """What was written.

    Parameters
    ----------
    format_name : str
        One of :func:`writable_formats`.
    label_counts : mapping of str to int
        Annotations by label.
    not_held : int
        Annotations that the format cannot hold.
    unknown : tuple of str
        Images left out because nobody has said where their cells are.
    """

    output: Path
    format_name: str
    label_counts: Mapping[str, int]
    image_count: int
    not_held: int
    unknown: tuple[str, ...]

    def to_text(self) -> str:
        """Say it in a few lines."""
        counts = ", ".join(f"{label} {count}" for label, count in sorted(self.label_counts.items()))
        lines = [
            f"{self.output}: {counted(self.image_count, 'image')} as "
            f"{reader_named(self.format_name).title} "
            f"({counts or 'no cells'})"
        ]
        if self.not_held:
            lines.append(
                f"Left out: {counted(self.not_held, 'cell')} of which only the centre is known, "
                "as the format has no points."
            )
        if self.unknown:
            count = len(self.unknown)
            lines.append(
                f"{counted(count, 'image')} {'was' if count == 1 else 'were'} left out, of which "
                "nobody has said where the cells are, or which the analysis did not take for a "
                f"smear, for instance {self.unknown[0]}."
            )
        return "\n".join(lines)


def write_labels(
    samples: Iterable[Sample], output: Path, *, format_name: str, style: WriteStyle | None = None
) -> WriteSummary:
    """Write images with their labels as a new folder, whole or not at all.

    The images are copied byte for byte; those that EXIF data turn are written upright, as PNG,
    because tools differ in whether they turn them.

    Parameters
    ----------
    samples : iterable of Sample
        Taken one at a time.
    output : Path
        A new or empty folder: what people have corrected is never written over.
    format_name : str
        One of :func:`writable_formats`.

    Raises
    ------
    SettingsError
        There is no such format.
    OutputError
        The output is not empty, or cannot be written to.
    DatasetError
        There is no image with known cells.
    MissingDataError, ImageReadError
        An image cannot be read.
    """
    style = style or WriteStyle()
    make_writer = writer_named(format_name)
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise OutputError(
            f"{output}: is there already; expected a new or empty folder, so that nobody's "
            "corrections are written over. Choose another --output."
        )
    _remove_left_over(output)
    building = output.with_name(f".{output.name}.{secrets.token_hex(8)}.partial")
    try:
        building.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"{output}: cannot make this folder ({error.strerror or error}). Choose a folder that "
            "you may write to."
        ) from error
    try:
        with locked_folder(building, command="convert"):
            writer = make_writer(building, style)
            counts: Counter[str] = Counter()
            images = not_held = 0
            unknown: list[str] = []
            for sample in samples:
                if sample.cells is None:
                    unknown.append(sample.stem)
                    continue
                annotations = _annotations(sample, style)
                held = tuple(
                    one for one in annotations if writer.has_points or one.box or one.outline
                )
                not_held += len(annotations) - len(held)
                path = _place_image(sample, writer.image_folder(sample))
                writer.add(LabelledImage(sample=sample, path=path, annotations=held))
                counts.update(annotation.cell_type for annotation in annotations)
                images += 1
            if not images:
                raise DatasetError(
                    f"{output}: nothing to write: of none of {counted(len(unknown), 'image')} "
                    "anybody has said where the cells are, or an analysis took it for a smear. "
                    "Analyse them, and convert the results."
                )
            writer.finish()
        _move(building, output)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return WriteSummary(
        output=output,
        format_name=format_name,
        label_counts=counts,
        image_count=images,
        not_held=not_held,
        unknown=tuple(unknown),
    )


def _remove_left_over(output: Path) -> None:
    """Remove what killed runs left of the same output; what another run is writing is locked."""
    pattern = re.compile(rf"\.{re.escape(output.name)}\.[0-9a-f]{{16}}\.partial")
    folder = output.parent
    names = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    for path in names:
        if pattern.fullmatch(path.name):
            with suppress(BloodCellError), locked_folder(path, command="convert"):
                shutil.rmtree(path, ignore_errors=True)


def _place_image(sample: Sample, folder: Path) -> Path:
    """Copy an image under the name of its sample."""
    if is_turned(sample.image_path):
        path = folder / f"{sample.stem}.png"
        write_image(path, read_image(sample.image_path))
    else:
        path = folder / f"{sample.stem}{sample.image_path.suffix.lower()}"
        copy_file(sample.image_path, path)
    return path


def _move(building: Path, output: Path) -> None:
    try:
        if output.is_dir():
            output.rmdir()
        building.rename(output)
    except OSError as error:
        raise OutputError(
            f"{output}: cannot take its place ({error.strerror or error}). Choose a folder that "
            "you may write to."
        ) from error
