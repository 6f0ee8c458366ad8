"""How well the outline of the white cell in an image of one cell agrees with a drawn one.

    python benchmarks/single_cell_outlines.py --data DIR [--images 60]

SigTuple's images of single cells have drawn masks (blocky ones). From BCCD's training and
validation images, whose white cells are drawn in ``bccd_trainval_extra``, crops of 120 px are cut,
1.15 to 1.7 times as wide as the cell and not quite in its middle.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.cells.single_cell import central_outline
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.taxonomy import WBC

SIDE_PX = 120
MIN_AREA_PX = 2_000

Pair = tuple[str, NDArray[np.uint8], NDArray[np.bool_]]


def shuffled(paths: Iterator[Path], seed: int, count: int) -> list[Path]:
    """Choose some files."""
    found = sorted(paths)
    np.random.default_rng(seed).shuffle(found)
    return found[:count]


def of_sigtuple(data: Path, count: int) -> Iterator[Pair]:
    """Images of one cell with their masks."""
    for path in shuffled((data / "sigtuple_wbc/wbc").glob("*"), 0, count):
        image = read_image(path)
        mask = data / f"sigtuple_wbc/mask_wbc/{path.stem}-mask.jpg"
        drawn = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
        size = image.shape[1], image.shape[0]
        yield path.name, image, cv2.resize(drawn, size, interpolation=cv2.INTER_NEAREST) > 100


def of_bccd(data: Path, count: int) -> Iterator[Pair]:
    """Crops around drawn cells that lie within their image."""
    rng = np.random.default_rng(2)
    for path in shuffled((data / "bccd_trainval_extra/wbc_masks").glob("*.png"), 1, count):
        mask = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8)
        image = read_image(data / f"BCCD_Dataset/BCCD/JPEGImages/{path.stem}.jpg")
        number, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        for label in range(1, number):
            left, top, width, height, area = (int(value) for value in stats[label])
            side = int(max(width, height) * rng.uniform(1.15, 1.7))
            x, y = (
                int(corner + length / 2 + (rng.uniform(-0.08, 0.08) - 0.5) * side)
                for corner, length in ((left, width), (top, height))
            )
            if area < MIN_AREA_PX or min(x, y) < 0:
                continue
            crop = image[y : y + side, x : x + side]
            drawn = np.where(labels == label, 255, 0).astype(np.uint8)[y : y + side, x : x + side]
            if crop.shape[:2] == (side, side):
                size = (SIDE_PX, SIDE_PX)
                small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
                yield path.name, small, cv2.resize(drawn, size, interpolation=cv2.INTER_AREA) > 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--images", type=int, default=60, help="of each collection")
    options = parser.parse_args()
    for name, pairs in (("SigTuple", of_sigtuple), ("BCCD", of_bccd)):
        rows = []
        for file, image, drawn in pairs(options.data, options.images):
            found = central_outline(image, WBC)
            dice = 2 * (found & drawn).sum() / max(found.sum() + drawn.sum(), 1)
            rows.append((float(dice), file))
        values = np.array([dice for dice, _ in rows])
        print(
            f"{name:10s}{len(rows)} cells, Dice {values.mean():.3f}, median "
            f"{np.median(values):.3f}, below 0.5: {(values < 0.5).sum()}"
        )
        for dice, file in sorted(rows)[:5]:
            print(f"    {dice:.2f} {file}")


if __name__ == "__main__":
    main()
