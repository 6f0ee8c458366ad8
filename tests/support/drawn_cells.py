"""Drawn cells, and what a perfect network would say of them."""

import numpy as np

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.boxes import Box
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC


def ellipse_box(cell_type, x, y, width, height=None):
    height = width if height is None else height
    return Annotation(
        cell_type=cell_type, box=Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    )


def is_in_ellipse(box, shape, scale=1.0):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    x, y = box.centre
    return ((columns + 0.5 - x) / (box.width / 2 * scale)) ** 2 + (
        (rows + 0.5 - y) / (box.height / 2 * scale)
    ) ** 2 <= 1


def perfect_outputs(boxes, shape, *, ring=0.0, with_heads_of=None):
    """Class probabilities, heat maps, log sizes and the true label image of drawn ellipses.

    Later cells lie on top; ``ring`` is the share of a red cell's radius that is a hole;
    ``with_heads_of`` names the boxes that the heat maps know of (all by default).
    """
    class_mask = np.zeros(shape, dtype=np.uint8)
    labels = np.zeros(shape, dtype=np.int32)
    for index, box in enumerate(boxes):
        inside = is_in_ellipse(box, shape)
        if box.cell_type == PLATELET:
            inside &= class_mask == 0
        labels[inside] = index + 1
        class_mask[inside] = BUILT_IN.mask_classes[box.cell_type]
        if ring and box.cell_type == RBC:
            class_mask[is_in_ellipse(box, shape, ring)] = 0
    probabilities = np.full((*shape, 3), 0.05, dtype=np.float32)
    np.put_along_axis(probabilities, class_mask[:, :, None].astype(np.intp), 0.9, axis=2)
    small = (-(-shape[0] // 4), -(-shape[1] // 4))
    heat = np.zeros((*small, 3), dtype=np.float32)
    log_size = np.zeros((*small, 2), dtype=np.float32)
    nearest = np.full(small, np.inf)
    rows, columns = np.ogrid[: small[0], : small[1]]
    for box in boxes if with_heads_of is None else with_heads_of:
        x, y = box.centre
        squared = (((columns + 0.5) * 4 - x) / box.width) ** 2 + (
            ((rows + 0.5) * 4 - y) / box.height
        ) ** 2
        channel = heat[:, :, BUILT_IN.names.index(box.cell_type)]
        np.maximum(channel, np.exp(-squared / (2 * 0.12**2)), out=channel)
        closer = squared < nearest
        nearest[closer] = squared[closer]
        log_size[closer] = np.log(np.array([box.width, box.height]) / 64)
    return probabilities, heat, log_size, labels


def touching_field(shape=(480, 640), *, seed=0, diameter=90):
    """Red cells on a jittered lattice that just touch or overlap, and a white cell."""
    rng = np.random.default_rng(seed)
    boxes = []
    for row in range(int(shape[0] / (0.87 * diameter)) + 1):
        for column in range(shape[1] // diameter + 1):
            size = diameter * rng.uniform(0.85, 1.05)
            x = (column + 0.5 + 0.5 * (row % 2)) * diameter + rng.uniform(-4, 4)
            y = (row + 0.45) * 0.87 * diameter + rng.uniform(-4, 4)
            is_inside = x < shape[1] - 10 and y < shape[0] - 10
            if is_inside and rng.random() < 0.6:
                boxes.append(ellipse_box(RBC, x, y, size, size * rng.uniform(0.85, 1.15)))
    white = ellipse_box(WBC, shape[1] * 0.4, shape[0] * 0.5, 170, 150)
    is_hidden = is_in_ellipse(white, shape)
    return [box for box in boxes if not is_hidden[int(box.centre[1]), int(box.centre[0])]] + [white]
