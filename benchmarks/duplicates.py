"""How well images are found that show the same field: copies of every kind, planted among BCCD.

    python benchmarks/duplicates.py --data DIR

DIR (default: $BLOOD_CELL_DATA) holds ``BCCD_Dataset``. Of every fourth image a changed copy is
added to all 364. Recall is the share of copies that are paired with their original; a false pair is
any other pair, save those of originals that show one field, which are listed: look at them.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.datasets.duplicates.groups import FieldPrint, field_print, pairs_of_same
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.parallel import with_progress
from blood_cell_system.seeding import generator_for

Image = NDArray[np.uint8]
Change = Callable[[Image, np.random.Generator], Image]


def flipped(image: Image, generator: np.random.Generator) -> Image:
    """Mirror an image."""
    return np.ascontiguousarray(np.flip(image, axis=int(generator.integers(2))))


def turned(image: Image, generator: np.random.Generator) -> Image:
    """Turn an image by one to three quarters."""
    return np.ascontiguousarray(np.rot90(image, int(generator.integers(1, 4))))


def recoloured(image: Image, generator: np.random.Generator) -> Image:
    """Mix, strengthen and tint the stain."""
    mixing = np.eye(3) + generator.normal(0, 0.15, (3, 3))
    density = -np.log((image.astype(np.float64) + 1) / 256) @ mixing * generator.uniform(0.6, 1.5)
    light = generator.uniform(200, 255, 3)
    return np.clip(np.exp(-np.clip(density, 0, None)) * light, 0, 255).astype(np.uint8)


def other_hue(image: Image, generator: np.random.Generator) -> Image:
    """Turn all colours."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + int(generator.integers(20, 160))) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def jpeg_60(image: Image, generator: np.random.Generator) -> Image:
    """Compress an image strongly."""
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1)


def rescaled(image: Image, generator: np.random.Generator) -> Image:
    """Magnify by 0.5 to 1.5."""
    factor = generator.uniform(0.5, 1.5)
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def cropped(image: Image, generator: np.random.Generator) -> Image:
    """Cut off up to a tenth at each side."""
    height, width = image.shape[:2]
    top, bottom = (generator.uniform(0, 0.1, 2) * height).astype(int)
    left, right = (generator.uniform(0, 0.1, 2) * width).astype(int)
    return np.ascontiguousarray(image[top : height - bottom, left : width - right])


def all_at_once(image: Image, generator: np.random.Generator) -> Image:
    """Do all of it."""
    for change in (cropped, turned, flipped, recoloured, rescaled, jpeg_60):
        image = change(image, generator)
    return image


CHANGES: tuple[Change, ...] = (
    flipped,
    turned,
    recoloured,
    other_hue,
    jpeg_60,
    rescaled,
    cropped,
    all_at_once,
)


def main() -> None:
    """Plant copies, look for them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed where BLOOD_CELL_DATA is not set")
    paths = sorted((Path(options.data) / "BCCD_Dataset/BCCD/JPEGImages").glob("*.jpg"))
    images = [
        read_image(path) for path in with_progress(paths, total=len(paths), description="reading")
    ]
    prints = [field_print(image) for image in images]
    known = pairs_among(prints)
    print(f"{len(paths)} originals; the same field among them:")
    for first, second in sorted(known):
        print(f"  {paths[first].stem} {paths[second].stem}")
    print("\n| changed copy | copies | recall | false pairs |")
    print("|---|---|---|---|")
    sources = range(0, len(images), 4)
    for change in CHANGES:
        copies = [
            field_print(change(images[i], generator_for(0, change.__name__, i))) for i in sources
        ]
        pairs = pairs_among(prints + copies)
        planted = {(source, len(images) + n) for n, source in enumerate(sources)}
        # A copy of a field is also a copy of the other image of the same field.
        origin = [*range(len(images)), *sources]
        false = [
            pair
            for pair in pairs
            if len(fields := {origin[i] for i in pair}) > 1 and tuple(sorted(fields)) not in known
        ]
        recall = len(pairs & planted) / len(planted)
        name = change.__name__.replace("_", " ")
        print(f"| {name} | {len(planted)} | {recall:.3f} | {len(false)} |", flush=True)


def pairs_among(prints: list[FieldPrint]) -> set[tuple[int, int]]:
    """Pairs as verifying, combining and splitting folders find them."""
    return {(int(first), int(second)) for first, second in pairs_of_same(prints)[0]}


if __name__ == "__main__":
    main()
