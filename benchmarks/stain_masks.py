"""How good the masks from stain and boxes are, on the BCCD images of train and val.

Run as ``python benchmarks/stain_masks.py --data DIR``, where DIR holds ``BCCD_Dataset/`` and
``bccd_trainval_extra/`` (default: the folder that the environment variable BLOOD_CELL_DATA names).
The boxes are read as ``prepare`` reads them, and one thread does the work.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.annotation.formats.voc import read_voc_folder
from blood_cell_system.annotation.sample import Annotation, corners_of
from blood_cell_system.annotation.splits import Split
from blood_cell_system.boxes import Box, pairwise_box_iou
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.masks.ellipses import (
    clip_to_pixels,
    ellipse_distance,
    rasterize_ellipses,
    whole_cell_box,
)
from blood_cell_system.masks.refine import StainMask, stain_class_mask
from blood_cell_system.stain.optical_density import GREEN, optical_density
from blood_cell_system.taxonomy import NOT_SCORED, RBC, WBC, MaskClass

_RING = np.ones((9, 9), np.uint8)
_CORE = 0.8


@dataclass(slots=True)
class Figures:
    """Measures, one entry an image or a cell."""

    ellipse_iou: list[float] = field(default_factory=list)
    stain_iou: list[float] = field(default_factory=list)
    intersection: int = 0
    union: int = 0
    not_scored: list[float] = field(default_factory=list)
    tightness: list[float] = field(default_factory=list)
    fill_ratio: list[float] = field(default_factory=list)
    ring_contrast: list[float] = field(default_factory=list)
    covered: list[float] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    data = parser.parse_args(arguments).data
    if data is None:
        parser.error("give --data, or set BLOOD_CELL_DATA")
    cv2.setNumThreads(1)
    figures = measure(Path(data))
    print(_report(figures))
    return 0


def measure(data: Path) -> Figures:
    """Measure all images of train and val."""
    extra = data / "bccd_trainval_extra"
    complete = json.loads((extra / "complete_boxes.json").read_text(encoding="utf-8"))
    figures = Figures()
    for sample in read_voc_folder(data / "BCCD_Dataset").samples:
        outline_path = extra / "wbc_masks" / f"{sample.stem}.png"
        if sample.split is Split.TEST or not outline_path.is_file():
            continue
        image = read_image(sample.image_path)
        start = time.process_time()
        mask = stain_class_mask(image, sample.cells or ())
        figures.seconds.append(time.process_time() - start)
        drawn = read_image(outline_path)[:, :, 0] > 0
        _compare_white_cells(figures, mask, sample.cells or (), drawn)
        _measure_red_cells(figures, image, mask)
        if sample.stem in complete:
            _compare_complete_boxes(figures, mask.class_mask, complete[sample.stem])
    return figures


def _compare_white_cells(
    figures: Figures, mask: StainMask, cells: Sequence[Annotation], drawn: NDArray[np.bool_]
) -> None:
    # The rim is not scored in the class mask; the label image has the whole cells.
    is_white_cell = np.array([False] + [cell.cell_type == WBC for cell in mask.cells])
    found = is_white_cell[mask.label_image]
    ellipses = rasterize_ellipses(cells, drawn.shape) == MaskClass.WBC
    figures.stain_iou.append(_iou(found, drawn))
    figures.ellipse_iou.append(_iou(ellipses, drawn))
    figures.intersection += int(np.count_nonzero(found & drawn))
    figures.union += int(np.count_nonzero(found | drawn))


def _iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0


def _measure_red_cells(figures: Figures, image: NDArray[np.uint8], mask: StainMask) -> None:
    class_mask = mask.class_mask
    figures.not_scored.append(float(np.mean(class_mask == NOT_SCORED)))
    height, width = class_mask.shape
    corners = corners_of(mask.cells)
    overlaps = pairwise_box_iou(corners, corners) > 0
    for index, cell in enumerate(mask.cells):
        is_inner = min(cell.x_min, cell.y_min) > 3 and (
            cell.x_max < width - 3 and cell.y_max < height - 3
        )
        if cell.cell_type != RBC or not is_inner or overlaps[index].sum() > 1:
            continue
        y, x = np.nonzero(mask.label_image == index + 1)
        if not len(x):
            figures.tightness.append(0.0)
            continue
        tight = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], dtype=np.float64)
        figures.tightness.append(float(pairwise_box_iou(tight, corners[index : index + 1])[0, 0]))
        figures.fill_ratio.append(len(x) / float(np.prod(tight[0, 2:] - tight[0, :2])))
    density = optical_density(image)[:, :, GREEN]
    is_red = class_mask == MaskClass.RBC
    is_empty = class_mask == MaskClass.BACKGROUND
    inside = is_red & (cv2.dilate(is_empty.view(np.uint8), _RING) > 0)
    outside = is_empty & (cv2.dilate(is_red.view(np.uint8), _RING) > 0)
    if inside.any() and outside.any():
        figures.ring_contrast.append(float(density[inside].mean() - density[outside].mean()))


def _compare_complete_boxes(
    figures: Figures, class_mask: NDArray[np.uint8], rows: Sequence[dict[str, object]]
) -> None:
    in_a_box = np.zeros(class_mask.shape, dtype=bool)
    is_red = class_mask == MaskClass.RBC
    for row in rows:
        x_min, y_min, x_max, y_max = row["bbox"]
        box = Annotation(cell_type=RBC, box=Box(x_min, y_min, x_max, y_max))
        in_a_box[clip_to_pixels(box, class_mask.shape, margin=3)] = True
        if row["class"] != "RBC":
            continue
        window = clip_to_pixels(box, class_mask.shape)
        core = ellipse_distance(whole_cell_box(box, class_mask.shape), *window) < _CORE**2
        scored = core & (class_mask[window] != NOT_SCORED)
        if scored.any():
            figures.covered.append(float(is_red[window][scored].mean()))
    if is_red.any():
        figures.beyond.append(float(np.mean(~in_a_box[is_red])))


def _report(figures: Figures) -> str:
    stain, ellipse = np.array(figures.stain_iou), np.array(figures.ellipse_iou)
    worst = ", ".join(f"{value:.2f}" for value in np.sort(stain)[:6])
    pooled = figures.intersection / figures.union
    low, quarter = np.percentile(stain, [5, 25])
    return "\n".join(
        [
            f"images                                    {len(stain)}",
            f"WBC IoU with the drawn outlines, stain      mean {stain.mean():.3f}, "
            f"median {np.median(stain):.3f}, 5 % {low:.3f}, 25 % {quarter:.3f}, worst {worst}",
            f"  over all pixels at once                   {pooled:.3f}",
            f"WBC IoU with the drawn outlines, ellipse    mean {ellipse.mean():.3f}, "
            f"median {np.median(ellipse):.3f}, worst {ellipse.min():.3f}",
            f"RBC alone in its box: box IoU               {np.mean(figures.tightness):.3f}",
            f"RBC alone in its box: fill (π/4 = 0.785)    {np.median(figures.fill_ratio):.3f}",
            f"ring contrast, optical density              {np.mean(figures.ring_contrast):.3f}",
            f"complete boxes: scored core that is RBC     {np.mean(figures.covered):.3f}",
            f"complete boxes: RBC mask in none            {np.mean(figures.beyond):.3f}",
            f"not scored: mean, largest                   {np.mean(figures.not_scored):.3f}, "
            f"{np.max(figures.not_scored):.3f}",
            f"CPU seconds an image: mean, largest        {np.mean(figures.seconds):.3f}, "
            f"{np.max(figures.seconds):.3f}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
