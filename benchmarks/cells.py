"""How well single cells are found: BCCD with every cell boxed, and two other laboratories.

    python benchmarks/cells.py --data DIR [--model FILE]

DIR (default: $BLOOD_CELL_DATA) holds any of ``bccd_trainval_extra`` with ``BCCD_Dataset``,
``bcdd_kaggle`` and ``iml_malaria``; those that are not there are passed over. Boxes are matched one
to one at IoU 0.5, and nothing that was found is excused. Cells that the border cuts off are
unlabelled in ``iml_malaria`` and left out there on both sides.
"""

import argparse
import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blood_cell_system.analysis.image_analysis import AnalysisSettings, analyze_image
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.annotation.sample import Annotation, corners_of
from blood_cell_system.boxes import Box
from blood_cell_system.cells.table import Cells
from blood_cell_system.imaging.image_file import read_image
from blood_cell_system.metrics.matching import MatchCounts, Overlaps, count_error, match
from blood_cell_system.pipeline.model_slots import bundled_segmenter
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC

TYPES = {
    "RBC": RBC,
    "rbc": RBC,
    "WBC": WBC,
    "wbc": WBC,
    "Platelets": PLATELET,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """An image with the boxes of all cells of some types."""

    path: Path
    cells: tuple[Annotation, ...]


def main() -> None:
    """Measure what is there and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed where BLOOD_CELL_DATA is not set")
    runtime = load_runtime(options.model or bundled_segmenter())
    print("| images | cell | cells | F1@0.5 | precision | recall | count MAE | bias |")
    print("|---|---|---|---|---|---|---|---|")
    for name, images, types in (
        ("BCCD val, complete boxes", complete_bccd(Path(options.data)), BUILT_IN.names),
        ("bcdd_kaggle", kaggle(Path(options.data)), (RBC, WBC)),
        ("iml_malaria, every fifth", malaria(Path(options.data)), (RBC,)),
    ):
        found = [
            (image, analyze_image(runtime, read_image(image.path), AnalysisSettings()))
            for image in images
        ]
        is_inner = name.startswith("iml")
        pairs = [
            (
                [c for c in image.cells if not (is_inner and at_border(c, analysis.image.shape))],
                analysis.cells.select(~(is_inner & analysis.cells["touches_border"])),
            )
            for image, analysis in found
        ]
        for cell_type in types if pairs else ():
            print(row_of(name, len(pairs), cell_type, pairs), flush=True)


def row_of(
    name: str,
    count: int,
    cell_type: str,
    pairs: list[tuple[list[Annotation], Cells]],
) -> str:
    """One line of the table."""
    total = MatchCounts()
    true_counts, found_counts = [], []
    for truth, found in pairs:
        true_boxes = [cell for cell in truth if cell.cell_type == cell_type]
        boxes = found["whole_box"][found.is_type(cell_type)]
        total += match(Overlaps.of_boxes(corners_of(true_boxes), boxes), 0.5)
        true_counts.append(len(true_boxes))
        found_counts.append(len(boxes))
    error = count_error(true_counts, found_counts)
    return (
        f"| {name} ({count}) | {cell_type} | {sum(true_counts)} | {total.f1:.3f} "
        f"| {total.precision:.3f} | {total.recall:.3f} "
        f"| {error.mean_absolute_error:.2f} | {error.bias:+.2f} |"
    )


def at_border(cell: Annotation, shape: tuple[int, ...]) -> bool:
    """Whether a box ends within two pixels of the border."""
    height, width = shape[:2]
    return min(cell.x_min, cell.y_min) <= 2 or cell.x_max >= width - 2 or cell.y_max >= height - 2


def complete_bccd(data: Path) -> Iterator[LabelledImage]:
    """Validation images of which every cell is boxed."""
    path = data / "bccd_trainval_extra" / "complete_boxes.json"
    if not path.exists():
        return
    root = data / "BCCD_Dataset" / "BCCD"
    validation = set((root / "ImageSets" / "Main" / "val.txt").read_text("utf-8").split())
    for stem, rows in sorted(json.loads(path.read_text("utf-8")).items()):
        if stem in validation:
            cells = tuple(box(TYPES[row["class"]], row["bbox"]) for row in rows)
            yield LabelledImage(path=root / "JPEGImages" / f"{stem}.jpg", cells=cells)


def kaggle(data: Path) -> Iterator[LabelledImage]:
    """Images of 256 pixels a side with corners as fractions of it."""
    folder = data / "bcdd_kaggle"
    if not folder.exists():
        return
    cells: dict[str, list[Annotation]] = {}
    with (folder / "annotations.csv").open() as file:
        for row in csv.DictReader(file):
            corners = [256 * float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
            cells.setdefault(row["image"], []).append(box(TYPES[row["label"]], corners))
    for name in sorted(cells):
        yield LabelledImage(path=folder / "images" / name, cells=tuple(cells[name]))


def malaria(data: Path, *, step: int = 5) -> Iterator[LabelledImage]:
    """Every fifth image, or others, by name; all stages of malaria are red cells here."""
    folder = data / "iml_malaria"
    if not folder.exists():
        return
    entries = json.loads((folder / "annotations.json").read_text("utf-8"))
    for entry in sorted(entries, key=lambda entry: entry["image_name"])[::step]:
        corners = np.array(
            [[float(item["bbox"][side]) for side in "xywh"] for item in entry["objects"]]
        ).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        cells = tuple(box(RBC, row) for row in corners.tolist())
        yield LabelledImage(path=folder / "images" / entry["image_name"], cells=cells)


def box(cell_type: str, corners: list[float]) -> Annotation:
    """Box of corners x_min, y_min, x_max, y_max."""
    x_min, y_min, x_max, y_max = corners
    return Annotation(cell_type=cell_type, box=Box(x_min, y_min, x_max, y_max))


if __name__ == "__main__":
    main()
