"""How large red cells are in prepared pictures, by a sample of them."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from blood_cell_system.curation.cell_scale import MIN_RED_CELLS, red_cell_diameters
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.errors import BloodCellError
from blood_cell_system.image_io import read_label_image

_SAMPLE: Final = 20
"""So many pictures show some hundred cells, whose median is known to a hundredth."""


def typical_diameters(images: Iterable[PreparedImage]) -> dict[str, float]:
    """Median diameter of the red cells of every source.

    Parameters
    ----------
    images : iterable of PreparedImage

    Returns
    -------
    dict of str to float
        Pixels, by the name of the source; sources that show too few red cells are not in it.
    """
    by_source: dict[str, list[PreparedImage]] = {}
    for image in images:
        by_source.setdefault(image.source, []).append(image)
    measured = {source: typical_diameter(found) for source, found in by_source.items()}
    return {source: value for source, value in measured.items() if value is not None}


def typical_diameter(images: Sequence[PreparedImage]) -> float | None:
    """Median diameter of the red cells of some pictures.

    Augmented copies, which are scaled, do not count, nor do pictures that cannot be read: finding
    them is another's task.

    Parameters
    ----------
    images : sequence of PreparedImage

    Returns
    -------
    float or None
        Pixels; None where there are too few red cells.
    """
    originals = [image for image in images if not image.is_augmented]
    step = max(1, len(originals) // _SAMPLE)
    found: list[float] = []
    for image in originals[::step][:_SAMPLE]:
        try:
            _, class_mask = image.read()
            labels = None if image.instance_path is None else read_label_image(image.instance_path)
        except BloodCellError:
            continue
        if labels is not None and labels.shape != class_mask.shape:
            continue
        found += red_cell_diameters(image.cells, class_mask, labels).tolist()
    return float(np.median(found)) if len(found) >= MIN_RED_CELLS else None
