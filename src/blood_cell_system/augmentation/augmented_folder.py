"""A prepared folder with augmented copies of its training images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.annotation.sample import Annotation, Origin
from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import make_folder
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.geometric import sample_geometry, transform_cells, warp
from blood_cell_system.augmentation.photometric import augment_photometric
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.folder_build import finish_build, start_build
from blood_cell_system.datasets.prepared import PreparedDataset, PreparedImage
from blood_cell_system.errors import DatasetError, SettingsError
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.image_folders import refuse_output_within
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.parallel import map_with_progress
from blood_cell_system.seeding import generator_for
from blood_cell_system.wording import counted


def _write_copy(
    original: PreparedImage,
    stem: str,
    generator: np.random.Generator,
    *,
    output: Path,
    settings: AugmentationSettings,
) -> tuple[tuple[str, ...], tuple[Annotation, ...] | None]:
    """Write an augmented copy of an image; gives its files and, where they are known, its cells."""
    decoded = original.decoded()
    height, width = decoded.class_mask.shape
    geometry = sample_geometry(
        generator, settings, centre=(width / 2, height / 2), output_shape=(height, width)
    )
    image, class_mask, label_image = warp(
        decoded.pixels, decoded.class_mask, decoded.label_image, geometry, (height, width)
    )
    arrays: dict[str, NDArray[np.uint8] | NDArray[np.uint16]] = {
        "images": augment_photometric(image, generator, settings),
        "masks": encode_class_mask(class_mask),
    }
    cells: tuple[Annotation, ...] | None = None
    if original.cells is not None:
        moved = transform_cells(original.cells, geometry, (height, width))
        cells = tuple(cell for cell in moved if cell is not None)
        if label_image is not None:
            label_image = _renumbered(label_image, [cell is not None for cell in moved])
            cells = _exact_boxes(cells, label_image)
    if label_image is not None:
        arrays["instances"] = label_image
    for folder, pixels in arrays.items():
        write_image(output / folder / f"{stem}.png", pixels)
    return tuple(f"{folder}/{stem}.png" for folder in arrays), cells


def _renumbered(label_image: NDArray[np.uint16], is_kept: Sequence[bool]) -> NDArray[np.uint16]:
    """Give the pixels of the kept cells their new numbers, and those of the others none.

    Nothing is known then about the centre of a cell of which hardly any is left.
    """
    numbers = np.zeros(max(len(is_kept), int(label_image.max(initial=0))) + 1, dtype=np.uint16)
    kept = np.flatnonzero(is_kept)
    numbers[kept + 1] = np.arange(1, len(kept) + 1)
    return numbers[label_image]


def _exact_boxes(
    cells: Sequence[Annotation], label_image: NDArray[np.uint16]
) -> tuple[Annotation, ...]:
    """Boxes from their pixels, of cells whose boxes came from their pixels before.

    An annotator's boxes are wider than the stain, and the generator's go on behind other cells: a
    copy's are as wide as its original's.
    """
    places = ndimage.find_objects(label_image.astype(np.int32), max_label=len(cells))
    return tuple(
        cell
        if place is None or cell.origin != Origin.STAIN
        else replace(cell, box=Box.around(place))
        for cell, place in zip(cells, places, strict=True)
    )


COMMAND: Final = "prepare --mode augment"

FOLDER_AUGMENTATION: Final = AugmentationSettings(scale_range=(0.7, 1.6))
"""A copy has the size of its original: made much smaller, it would be mostly empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSummary:
    """What ``write_augmented_folder`` did.

    Parameters
    ----------
    original_counts : mapping of str to int
        Originals by split.
    left_out_count : int
        Copies of a former augmentation in the source, which were left out.
    were_splits_drawn : bool
        Whether some originals had no split and were given one.
    """

    output: Path
    copies_of_each: int
    original_counts: Mapping[str, int]
    copy_count: int
    left_out_count: int
    were_splits_drawn: bool

    def to_text(self) -> str:
        """Say it in a few lines."""
        originals = sum(self.original_counts.values())
        splits = ", ".join(f"{name} {count}" for name, count in self.original_counts.items())
        lines = [
            f"{self.output}: {counted(originals + self.copy_count, 'image')}",
            f"  {originals} originals ({splits})",
            f"  {self.copy_count} augmented copies, {self.copies_of_each} of every training "
            "image; validation and test images have none, so that they measure what they say",
        ]
        if self.were_splits_drawn:
            lines.append("  images without a split were given one; it is kept in manifest.json")
        if self.left_out_count:
            lines.append(
                f"  {self.left_out_count} copies of a former augmentation were left out: copies "
                "are made of originals"
            )
        return "\n".join(lines)


def write_augmented_folder(
    source: Path,
    output: Path,
    *,
    copies: int,
    seed: int = 0,
    jobs: int = 1,
    settings: AugmentationSettings = FOLDER_AUGMENTATION,
) -> AugmentSummary:
    """Copy a prepared folder and add augmented copies of its training images.

    Originals are copied byte for byte. The copies of ``a`` are named ``a_aug1``, ``a_aug2`` and so
    on; they have its size, its split and its source, and the manifest says that it is their
    original. Every copy depends on the seed, its original's name and its number alone.

    Parameters
    ----------
    copies : int
        Augmented copies of every training source, 1 or more.
    jobs : int
        Processes.

    Raises
    ------
    SettingsError
        ``copies`` is less than 1, or the output is the source or lies in it.
    MissingDataError, DatasetError
        The source is not a prepared folder, or an image has the name of a copy to be made.
    MaskFormatError, ImageReadError
        An image or mask of the source is damaged.
    OutputError
        The output holds something else, or cannot be written to.
    """
    source, output = Path(source), Path(output)
    if copies < 1:
        raise SettingsError(
            f"copies: received {copies}; expected 1 or more augmented versions of each image "
            "(--aug-factor)."
        )
    refuse_output_within(output, source)
    dataset = PreparedDataset.open(source)
    originals = [image for image in dataset.with_splits(seed).images if not image.is_augmented]
    # Every image to write: its original and the copy's number, 0 for the original itself.
    tasks = [
        (image, number)
        for image in originals
        for number in range(copies + 1 if image.split == Split.TRAIN else 1)
    ]
    _check_names(source, tasks)
    work = partial(_write_image, output=output, seed=seed, settings=settings)
    results = map_with_progress(work, tasks, jobs=jobs, description="augmenting")
    with locked_folder(output, command=COMMAND):
        start_build(output, command=COMMAND, stems=[_stem(*task) for task in tasks])
        for folder in ("images", "masks"):
            make_folder(output / folder)
        written = list(results)
        finish_build(
            output,
            command=COMMAND,
            taxonomy=dataset.taxonomy,
            files={file for _, files, _ in written for file in files},
            images=[row for row, _, _ in written],
            cells={row["stem"]: cells for row, _, cells in written if cells is not None},
            details={
                "settings": {"copies": copies, **asdict(settings)},
                "seed": seed,
                "source_hash": dataset.content_hash(),
                "source_details": dict(dataset.details),
            },
        )
    splits = [image.split for image in originals]
    return AugmentSummary(
        output=output,
        copies_of_each=copies,
        original_counts={split: splits.count(split) for split in Split if splits.count(split)},
        copy_count=len(tasks) - len(originals),
        left_out_count=len(dataset.images) - len(originals),
        were_splits_drawn=any(image.split is None for image in dataset.images),
    )


def _stem(image: PreparedImage, number: int) -> str:
    return f"{image.stem}_aug{number}" if number else image.stem


def _check_names(source: Path, tasks: Sequence[tuple[PreparedImage, int]]) -> None:
    taken = {image.stem for image, number in tasks if number == 0}
    twice = sorted(_stem(*task) for task in tasks if task[1] and _stem(*task) in taken)
    if twice:
        original = re.sub(r"_aug\d+$", "", twice[0])
        raise DatasetError(
            f"{source}: {counted(len(twice), 'image has', 'images have')} the name of a copy "
            "that is "
            f"to be made, for instance {twice[0]}, and no manifest says that it is a copy of "
            f"{original}; expected "
            "originals. Start from the folder of originals, or rename these images."
        )


def _write_image(
    task: tuple[PreparedImage, int], *, output: Path, seed: int, settings: AugmentationSettings
) -> tuple[dict[str, Any], tuple[str, ...], tuple[Annotation, ...] | None]:
    """Write an image; gives its row in the manifest, its files and its cells."""
    image, number = task
    stem = _stem(image, number)
    row = replace(image, stem=stem, original=image.stem).manifest_row()
    if number == 0:
        return row, image.copy_files(output, stem=stem), image.cells
    generator = generator_for(seed, "augment", image.stem, number)
    return row, *_write_copy(image, stem, generator, output=output, settings=settings)
