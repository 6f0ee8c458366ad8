"""How much the count of red cells depends on how an image lies, and on its last pixels.

    python benchmarks/invariance.py --data DIR [--model FILE] [--images 60] [--seed 0]

DIR (default: $BLOOD_CELL_DATA) holds ``BCCD_Dataset``; images are drawn at random from it. Every
image is analysed as it is and changed: turned by quarters, mirrored, without its first or last
row and column, saved as JPEG of quality 75. The table gives the difference in red cells in per
cent of the unchanged image's: mean, largest, and how many images differ by more than 10 %; then
the difference in the estimated diameter of a red cell, mean and largest.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.image_analysis import AnalysisSettings, analyze_image
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.pipeline.model_slots import bundled_segmenter
from blood_cell_system.taxonomy import RBC

Image = NDArray[np.uint8]


def as_jpeg(image: Image) -> Image:
    """Save with quality 75 and open again."""
    _, code = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[:, :, ::-1], np.uint8)


CHANGES: dict[str, tuple[Callable[[Image], Image], ...]] = {
    "quarter turn": tuple(
        lambda image, turns=turns: np.rot90(image, turns)  # type: ignore[misc]
        for turns in (1, 2, 3)
    ),
    "mirror": (lambda image: image[:, ::-1], lambda image: image[::-1]),
    "crop of one pixel": (lambda image: image[1:, 1:], lambda image: image[:-1, :-1]),
    "JPEG quality 75": (as_jpeg,),
}


def main() -> None:
    """Analyse every image in every way and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed where BLOOD_CELL_DATA is not set")
    runtime = load_runtime(options.model or bundled_segmenter())
    paths = sorted((Path(options.data) / "BCCD_Dataset/BCCD/JPEGImages").glob("*.jpg"))
    chosen = np.random.default_rng(options.seed).choice(len(paths), options.images, replace=False)
    differences: dict[str, list[float]] = {name: [] for name in CHANGES}
    diameters: dict[str, list[float]] = {name: [] for name in CHANGES}
    seconds = 0.0
    for index in sorted(chosen):
        image = read_image(paths[index])
        started = time.perf_counter()
        count, diameter = red_cells(runtime, image)
        seconds += time.perf_counter() - started
        for name, changes in CHANGES.items():
            for change in changes:
                changed, width = red_cells(runtime, np.ascontiguousarray(change(image)))
                differences[name].append(100 * abs(changed - count) / max(count, 1))
                diameters[name].append(100 * abs(width / diameter - 1))
    print(f"{options.images} images, {1000 * seconds / options.images:.0f} ms each")
    print("| change | mean, % | largest, % | above 10 % | diameter, % | largest, % |")
    print("|---|---|---|---|---|---|")
    for name, values in differences.items():
        above = sum(value > 10 for value in values)
        widths = diameters[name]
        print(
            f"| {name} | {np.mean(values):.2f} | {max(values):.1f} | {above} of {len(values)} | "
            f"{np.nanmean(widths):.2f} | {np.nanmax(widths):.1f} |"
        )


def red_cells(runtime: object, image: Image) -> tuple[int, float]:
    """Count the red cells of an image; and give their diameter as it was estimated, or NaN."""
    found = analyze_image(runtime, image, AnalysisSettings())  # type: ignore[arg-type]
    cells, diameter = found.cells, found.scale.red_cell_diameter_px
    count = int(np.count_nonzero(cells["is_counted"] & cells.is_type(RBC)))
    return count, float("nan") if diameter is None else diameter


if __name__ == "__main__":
    main()
