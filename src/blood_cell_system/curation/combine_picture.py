"""Writing one picture of a combined folder, resampled with its labels or byte for byte."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.curation.resampling import Resampler
from blood_cell_system.curation.sources import SourcePicture
from blood_cell_system.datasets.prepared import Split
from blood_cell_system.image_io import read_label_image, write_image
from blood_cell_system.mask_encoding import encode_class_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureTask:
    """A picture to write, under its new name, in its final split.

    Parameters
    ----------
    picture : SourcePicture
    split : Split or None
    original : str
        New name of its original.
    magnification : float
        1 copies it byte for byte.
    unmarked_types : tuple of CellType
    """

    picture: SourcePicture
    split: Split | None
    original: str
    magnification: float
    unmarked_types: tuple[CellType, ...]


def manifest_row(task: PictureTask) -> dict[str, Any]:
    """Give what the combined manifest says of a picture."""
    return replace(
        task.picture.image,
        stem=task.picture.new_stem,
        original=task.original,
        split=task.split,
        unmarked_types=task.unmarked_types,
    ).manifest_row()


def write_picture(
    task: PictureTask, *, output: Path
) -> tuple[tuple[str, ...], tuple[LabelledBox, ...] | None]:
    """Write a picture and its labels; give the files' names and the cells' boxes."""
    image, stem = task.picture.image, task.picture.new_stem
    if task.magnification == 1:
        return image.copy_files(output, stem=stem), image.cells
    pixels, class_mask = image.read()
    resampler = Resampler.by(task.magnification, pixels.shape[:2])
    new_mask = resampler.class_mask(class_mask)
    files = [f"images/{stem}.png", f"masks/{stem}.png"]
    write_image(output / files[0], resampler.image(pixels))
    write_image(output / files[1], encode_class_mask(new_mask))
    if image.instance_path is not None:
        labels = read_label_image(image.instance_path)
        files.append(f"instances/{stem}.png")
        write_image(output / files[2], resampler.label_image(labels, class_mask, new_mask))
    cells = None if image.cells is None else tuple(map(resampler.box, image.cells))
    return tuple(files), cells
