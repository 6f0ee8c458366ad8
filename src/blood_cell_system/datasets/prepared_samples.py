"""Pictures of a prepared folder as samples, for writing them in other formats."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from blood_cell_system.boxes import Box, BoxOrigin, LabelledBox
from blood_cell_system.classes import NOT_SCORED
from blood_cell_system.datasets.outline import Outline, PixelOutline
from blood_cell_system.datasets.prepared import PreparedDataset, PreparedImage
from blood_cell_system.datasets.sample import LabelledCell, Sample
from blood_cell_system.errors import DatasetError
from blood_cell_system.image_io import read_image_shape, read_label_image


def prepared_samples(dataset: PreparedDataset, *, with_unscored: bool = False) -> Iterator[Sample]:
    """Give the pictures of a prepared folder one at a time.

    Parameters
    ----------
    dataset : PreparedDataset
    with_unscored : bool
        Whether regions that are not scored come along, each in one piece.

    Yields
    ------
    Sample
        A cell has its outline where the label picture shows it, else its box, and its centre alone
        where the size of its box is a guess.

    Raises
    ------
    ImageReadError, MaskFormatError
        A picture, its mask or its label picture cannot be read.
    DatasetError
        A label picture does not fit its picture or its boxes.
    """
    for image in dataset.images:
        shape = read_image_shape(image.image_path)
        yield Sample(
            stem=image.stem,
            image_path=image.image_path,
            shape=shape,
            cells=None if image.cells is None else tuple(_cells(image, image.cells, shape)),
            unscored=_unscored(image) if with_unscored else (),
            split=image.split,
        )


def _cells(
    image: PreparedImage, boxes: tuple[LabelledBox, ...], shape: tuple[int, int]
) -> Iterator[LabelledCell]:
    outlines = _outlines(image, len(boxes), shape)
    for number, box in enumerate(boxes, start=1):
        outline = outlines.get(number)
        if outline is None and box.origin is BoxOrigin.POINT:
            yield LabelledCell(cell_type=box.cell_type, point=box.centre, origin=box.origin)
            continue
        yield LabelledCell(
            cell_type=box.cell_type,
            box=Box(box.x_min, box.y_min, box.x_max, box.y_max),
            outline=outline,
            origin=box.origin,
        )


def _outlines(image: PreparedImage, count: int, shape: tuple[int, int]) -> dict[int, Outline]:
    """Read outlines by the value of their pixels."""
    if image.instance_path is None:
        return {}
    labels = read_label_image(image.instance_path)
    if labels.shape != shape or labels.max(initial=0) > count:
        raise DatasetError(
            f"{image.instance_path}: has (height, width) {labels.shape} and labels up to "
            f"{labels.max(initial=0)}; expected {shape}, and at most the {count} cells of "
            "annotations.json. Prepare the folder again."
        )
    return {
        number: PixelOutline.from_pixels(
            labels[place] == number, offset=(place[1].start, place[0].start)
        )
        for number, place in enumerate(ndimage.find_objects(labels), start=1)
        if place is not None
    }


def _unscored(image: PreparedImage) -> tuple[Outline, ...]:
    _, class_mask = image.read()
    labels, _ = ndimage.label(class_mask == NOT_SCORED, structure=np.ones((3, 3)))
    return tuple(
        PixelOutline.from_pixels(labels[place] == number, offset=(place[1].start, place[0].start))
        for number, place in enumerate(ndimage.find_objects(labels), start=1)
    )
