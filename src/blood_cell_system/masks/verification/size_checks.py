"""Step 3c: cells whose size is far from that of their kind."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from blood_cell_system.boxes import LabelledBox
from blood_cell_system.classes import CellType
from blood_cell_system.masks.verification.box_checks import (
    TINY_SIDE_PX,
    is_outside,
    is_whole,
    region_of,
)
from blood_cell_system.masks.verification.findings import Finding, Severity
from blood_cell_system.masks.verification.picture_facts import PictureFacts

SIZE_FACTOR = 2.2
"""A cell is an outlier when it is this many times wider or narrower than the median."""

# Kinds of fewer cells have no sure median.
_FEWEST_CELLS = 20
# Where sizes vary by nature, an outlier must also lie this many robust deviations off.
_DEVIATIONS = 4.0
# A cell this near to the edge is cut off, and rightly small.
_EDGE_PX = 3.0


def check_sizes(pictures: Sequence[PictureFacts]) -> list[Finding]:
    """Find boxes far larger or smaller than the median of their type in their data set.

    Only originals are looked at, as copies may be scaled, and only cells away from the edge.
    """
    kinds: defaultdict[tuple[str, CellType], list[tuple[PictureFacts, LabelledBox]]]
    kinds = defaultdict(list)
    for picture in pictures:
        if picture.is_augmented:
            continue
        for box in whole_cells(picture):
            kinds[picture.source, box.cell_type].append((picture, box))
    outliers: defaultdict[str, list[tuple[LabelledBox, float]]] = defaultdict(list)
    for cells in kinds.values():
        if len(cells) < _FEWEST_CELLS:
            continue
        sizes = np.log([side_of(box) for _, box in cells])
        median = float(np.median(sizes))
        deviation = 1.4826 * float(np.median(np.abs(sizes - median)))
        limit = max(np.log(SIZE_FACTOR), _DEVIATIONS * deviation)
        for index in np.flatnonzero(np.abs(sizes - median) > limit):
            picture, box = cells[index]
            outliers[picture.stem].append((box, float(np.exp(sizes[index] - median))))
    return [_finding(stem, found) for stem, found in sorted(outliers.items())]


def whole_cells(picture: PictureFacts) -> list[LabelledBox]:
    """Sound boxes that the edge of the picture does not cut."""
    if picture.cells is None or picture.image_shape is None:
        return []
    height, width = picture.image_shape
    return [
        box
        for box in picture.cells
        if is_whole(box)
        and not is_outside(box, picture.image_shape)
        and min(box.width, box.height) > TINY_SIDE_PX
        and min(box.x_min, box.y_min, width - box.x_max, height - box.y_max) > _EDGE_PX
    ]


def side_of(box: LabelledBox) -> float:
    """Side of the square with the box's area, in pixels."""
    return float(np.sqrt(box.width * box.height))


def _finding(stem: str, found: Sequence[tuple[LabelledBox, float]]) -> Finding:
    box, factor = max(found, key=lambda item: abs(np.log(item[1])))
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return Finding(
        severity=Severity.WARNING,
        check="size-outlier",
        message=f"{stem} has a {box.cell_type} of {box.width:.0f}×{box.height:.0f} px, "
        f"{factor:.1f} times the median of its kind{others}",
        remedy="Look at the overlay: several cells in one box, a fragment, or the wrong type.",
        stems=(stem,),
        regions=tuple(region_of(box) for box, _ in found),
    )
