"""How often good images are warned of, and how often spoilt copies of them are.

    python benchmarks/image_quality.py --data DIR [--images 20]

The images are of five collections in DIR (default: the folder that the environment variable
BLOOD_CELL_DATA names). Copies are blurred by a tenth of a cell's diameter, tinted as by a tungsten
lamp, shrunk to cells of 18 pixels, bleached, darkened, or without colour.
"""

import argparse
import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.quality import assess
from blood_cell_system.analysis.scale import estimate_diameter, estimate_scale
from blood_cell_system.analysis.survey import find_field, survey
from blood_cell_system.imaging.image_file import read_image

COLLECTIONS = {
    "BCCD": "BCCD_Dataset/BCCD/JPEGImages/*.jpg",
    "IML": "iml_malaria/images/*",
    "Chula": "chula_rbc12/*/*.jpg",
    "Uganda": "uganda_sickle/*/*.jpg",
    "PBC": "pbc_wbc_types/*/*.jpg",
}
EXPECTED = {
    "blurred": "focus",
    "tinted": "colour",
    "shrunk": "scale",
    "bleached": "exposure",
    "darkened": "exposure",
    "grey": "colour",
}


def spoilt(image: NDArray[np.uint8], diameter: float) -> dict[str, NDArray[np.uint8]]:
    """Spoil an image in every way."""
    values = image.astype(np.float32)
    share = 18 / diameter
    copies = {
        "tinted": values * (1.1, 0.95, 0.5),
        "bleached": values * 1.6,
        "darkened": values * 0.3,
        "grey": np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2),
    }
    done = {name: np.clip(copy, 0, 255).astype(np.uint8) for name, copy in copies.items()}
    done["blurred"] = np.asarray(cv2.GaussianBlur(image, (0, 0), diameter / 10))
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return done | {"shrunk": np.asarray(small)}


def warned(image: NDArray[np.uint8]) -> tuple[set[str], float | None]:
    """Names of the findings that are warnings, and the diameter of a red cell."""
    field = find_field(image)
    view = survey(image, field)
    vote = estimate_diameter(image, field, first=view)
    scale = estimate_scale(vote)
    found = assess(view, scale=scale, vote=vote, judged_share=float(field.mean()))
    return {finding.name for finding in found.warnings}, scale.red_cell_diameter_px


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--images", type=int, default=20, help="of each collection")
    options = parser.parse_args()
    for name, pattern in COLLECTIONS.items():
        paths = sorted(options.data.glob(pattern))
        np.random.default_rng(5).shuffle(paths)
        falsely: Counter[str] = Counter()
        rightly: Counter[str] = Counter()
        count = images = 0
        for path in paths[: options.images]:
            image = read_image(path)
            names, diameter = warned(image)
            images += 1
            falsely.update(names)
            falsely["any"] += bool(names)
            if diameter is None:
                continue
            count += 1
            for way, copy in spoilt(image, diameter).items():
                rightly[way] += EXPECTED[way] in warned(copy)[0]
        shares = ", ".join(f"{way} {rightly[way] / max(count, 1):.0%}" for way in EXPECTED)
        print(f"{name:8s}{images} images, falsely {dict(falsely)}; {count} spoilt: {shares}")


if __name__ == "__main__":
    main()
