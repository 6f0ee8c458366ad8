"""How many late malaria parasites are counted as white cells, and how many white cells as red.

    python benchmarks/late_parasites.py --data DIR [--model FILE] [--split val] [--white 40]

DIR (default: $BLOOD_CELL_DATA) holds ``iml_malaria``, and any of ``chula_wbc``, ``raabin_wbc`` and
``pbc_wbc_types``. Late stages of the split (``docs/held_out_blocks.md``)
are cut out with some cells around; a parasite is what most of its box's pixels are. White cells are
single ones, drawn at random; one is lost where an image has fewer with the second look at nuclei
than without it (``cells/nucleus_evidence.py``).
"""

import argparse
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.segmentation import segment_image
from blood_cell_system.analysis.trained_models import Runtime, load_runtime, training_diameter_of
from blood_cell_system.cells.separation import separate_cells
from blood_cell_system.cells.table import Cells
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.pipeline.model_slots import bundled_segmenter
from blood_cell_system.taxonomy import WBC

STAGES = ("trophozoite", "schizont", "gametocyte")
DIAMETERS = {"chula_wbc": 74, "raabin_wbc": 122, "pbc_wbc_types": 75}
"""Width of a red cell in pixels, by folder."""
REACH = 2.6
"""Half of a window's side, in diameters of a red cell."""


def main() -> None:
    """Look at every parasite and white cell with and without the second look; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--white", type=int, default=40, help="white cells of a folder")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed where BLOOD_CELL_DATA is not set")
    runtime = load_runtime(options.model or bundled_segmenter())
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for window, box in parasites(Path(options.data), options.split, training_diameter_of(runtime)):
        first, second = both(runtime, window)
        before[type_within(first, box)] += 1
        after[type_within(second, box)] += 1
    print(
        f"{before.total()} late parasites of IML {options.split}: as white cells {before[WBC]}, ",
        end="",
    )
    print(f"with the second look {after[WBC]}", flush=True)
    for folder, diameter in DIAMETERS.items():
        paths = sorted((Path(options.data) / folder).rglob("*.[jp][pn]g"))
        paths = [path for path in paths if path.parent.name != "platelet"]
        chosen = np.random.default_rng(0).permutation(len(paths))[: options.white]
        counts = np.zeros(2, dtype=int)
        for index in chosen:
            scale = (training_diameter_of(runtime) or 61) / diameter
            found = both(runtime, resized(read_image(paths[index]), scale))
            counts += [int(cells.is_type(WBC).sum()) for cells in found]
        print(f"{folder}: {counts[0]} white cells, with the second look {counts[1]}", flush=True)


def both(runtime: Runtime, image: NDArray[np.uint8]) -> tuple[Cells, Cells]:
    """Cells without and with the second look."""
    found = segment_image(runtime, image)
    outputs = found.class_probabilities, found.centres, found.log_size
    return separate_cells(*outputs), separate_cells(*outputs, image=image)


def parasites(
    data: Path, split: str, diameter: float | None
) -> Iterator[tuple[NDArray[np.uint8], tuple[int, int, int, int]]]:
    """Windows around late parasites, and the parasite's box x, y, width, height in each."""
    page = (Path(__file__).parent.parent / "docs" / "held_out_blocks.md").read_text("utf-8")
    section = page.split("## IML malaria")[1].split("\n## ")[0]
    names = set(re.findall(r"PA\d+", section.split(f"`{split}`")[1].split("\n`")[0]))
    for entry in json.loads((data / "iml_malaria" / "annotations.json").read_text("utf-8")):
        if Path(entry["image_name"]).stem not in names:
            continue
        boxes = [[float(item["bbox"][key]) for key in "xywh"] for item in entry["objects"]]
        types = [item["type"] for item in entry["objects"]]
        late = [box for box, name in zip(boxes, types, strict=True) if name in STAGES]
        red = [np.sqrt(b[2] * b[3]) for b, t in zip(boxes, types, strict=True) if t not in STAGES]
        if not late or not red:
            continue
        image = read_image(data / "iml_malaria" / "images" / entry["image_name"])
        width = float(np.median(red))
        scale, side = (diameter or 61) / width, int(REACH * width)
        for x, y, across, down in late:
            left = int(np.clip(x + across / 2 - side, 0, image.shape[1] - 2 * side))
            top = int(np.clip(y + down / 2 - side, 0, image.shape[0] - 2 * side))
            window = image[top : top + 2 * side, left : left + 2 * side]
            place = np.array([max(x - left, 0), max(y - top, 0), across, down]) * scale
            yield resized(window, scale), tuple(place.astype(int).tolist())


def resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resample an image for the network."""
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=kind), np.uint8)


def type_within(cells: Cells, box: tuple[int, int, int, int]) -> str:
    """Type of the cell that has most of a box's pixels; empty where there is none."""
    x, y, width, height = box
    labels = cells.label_image[y : y + height, x : x + width]
    counts = np.bincount(labels[labels > 0], minlength=1)
    return str(cells["cell_type"][counts.argmax() - 1]) if counts.any() else ""


if __name__ == "__main__":
    main()
