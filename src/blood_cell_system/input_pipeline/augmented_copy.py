"""One augmented copy of a prepared picture."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from blood_cell_system.boxes import BoxOrigin, LabelledBox
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.errors import MaskFormatError
from blood_cell_system.image_io import read_label_image, write_image
from blood_cell_system.input_pipeline.augmentation import AugmentationSettings
from blood_cell_system.input_pipeline.geometric import sample_geometry, transform_cells, warp
from blood_cell_system.input_pipeline.photometric import augment_photometric
from blood_cell_system.mask_encoding import encode_class_mask


def write_copy(
    original: PreparedImage,
    stem: str,
    generator: np.random.Generator,
    *,
    output: Path,
    settings: AugmentationSettings,
) -> tuple[tuple[str, ...], tuple[LabelledBox, ...] | None]:
    """Write an augmented copy of a picture, with its mask and, where they are known, its cells.

    Parameters
    ----------
    original : PreparedImage
    stem : str
        Name of the copy.
    generator : numpy.random.Generator
    output : Path
        The prepared folder.
    settings : AugmentationSettings

    Returns
    -------
    files : tuple of str
        What was written, relative to the output.
    cells : tuple of LabelledBox or None
        None where nobody has said where the original's cells are.

    Raises
    ------
    ImageReadError, MaskFormatError
        The picture, its mask or its label picture is damaged, or they differ in size.
    OutputError
        The output cannot be written to.
    """
    image, class_mask = original.read()
    label_image = _read_labels(original, class_mask.shape)
    height, width = class_mask.shape
    geometry = sample_geometry(
        generator, settings, centre=(width / 2, height / 2), output_shape=(height, width)
    )
    image, class_mask, label_image = warp(image, class_mask, label_image, geometry, (height, width))
    arrays: dict[str, NDArray[np.uint8] | NDArray[np.uint16]] = {
        "images": augment_photometric(image, generator, settings),
        "masks": encode_class_mask(class_mask),
    }
    cells: tuple[LabelledBox, ...] | None = None
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


def _read_labels(original: PreparedImage, shape: tuple[int, ...]) -> NDArray[np.uint16] | None:
    if original.instance_path is None:
        return None
    labels = read_label_image(original.instance_path)
    if labels.shape != shape:
        raise MaskFormatError(
            f"{original.instance_path}: has (height, width) {labels.shape}, the picture {shape}; "
            "expected the same size. Make the folder again, or remove instances/."
        )
    return labels


def _renumbered(label_image: NDArray[np.uint16], is_kept: Sequence[bool]) -> NDArray[np.uint16]:
    """Give the pixels of the kept cells their new numbers, and those of the others none.

    Nothing is known then about the centre of a cell of which hardly any is left.
    """
    numbers = np.zeros(max(len(is_kept), int(label_image.max(initial=0))) + 1, dtype=np.uint16)
    kept = np.flatnonzero(is_kept)
    numbers[kept + 1] = np.arange(1, len(kept) + 1)
    return numbers[label_image]


def _exact_boxes(
    cells: Sequence[LabelledBox], label_image: NDArray[np.uint16]
) -> tuple[LabelledBox, ...]:
    """Boxes from their pixels, of cells whose boxes came from their pixels before.

    An annotator's boxes are wider than the stain, and the generator's go on behind other cells: a
    copy's are as wide as its original's.
    """
    places = ndimage.find_objects(label_image.astype(np.int32), max_label=len(cells))
    return tuple(
        cell
        if place is None or cell.origin != BoxOrigin.STAIN
        else replace(
            cell,
            x_min=float(place[1].start),
            y_min=float(place[0].start),
            x_max=float(place[1].stop),
            y_max=float(place[0].stop),
        )
        for cell, place in zip(cells, places, strict=True)
    )
