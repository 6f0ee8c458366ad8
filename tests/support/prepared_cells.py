"""A prepared folder of drawn cells in plain colours, and a runtime that knows these colours."""

from dataclasses import replace

import numpy as np
from support.colours import COLOURS, colour_image
from support.drawn_cells import ellipse_box, perfect_outputs

from blood_cell_system.analysis.trained_models import NetworkOutputs
from blood_cell_system.annotation.sample import Origin
from blood_cell_system.datasets.prepared import (
    write_annotations,
    write_manifest,
)
from blood_cell_system.imaging.image_file import write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.taxonomy import RBC, WBC

SHAPE = (96, 192)


class ColourRuntime:
    """Tells classes by colour, without Keras."""

    input_shape = None

    def predict(self, batch):
        distance = np.square(batch[..., None, :] - COLOURS.astype(np.float32)).sum(axis=-1)
        nearest = distance.argmin(axis=-1)
        return NetworkOutputs(class_probabilities=np.eye(3, dtype=np.float32)[nearest])


def write_cells_folder(root, *, splits, with_outlines=True, with_manifest=True):
    """Write one image for each of ``splits``; image ``n`` has ``n + 1`` red cells."""
    cells_by_stem, rows = {}, []
    for number, split in enumerate(splits):
        stem = f"img_{number}"
        cells = [ellipse_box(RBC, 24 + 42 * column, 24, 38) for column in range(min(number + 1, 4))]
        cells.append(ellipse_box(WBC, 60, 70, 44))
        probabilities, _, _, labels = perfect_outputs(cells, SHAPE)
        class_mask = probabilities.argmax(axis=2).astype(np.uint8)
        write_image(root / "images" / f"{stem}.png", colour_image(class_mask))
        write_image(root / "masks" / f"{stem}.png", encode_class_mask(class_mask))
        origin = Origin.ANNOTATED
        if with_outlines:
            write_image(root / "instances" / f"{stem}.png", labels.astype(np.uint16))
            origin = Origin.DRAWN
        cells_by_stem[stem] = [replace(cell, origin=origin) for cell in cells]
        rows.append({"stem": stem, "split": split, "source": "drawn", "original": stem})
    write_annotations(root, cells_by_stem)
    if with_manifest:
        write_manifest(root, rows, {"command": "test"})
    return root
