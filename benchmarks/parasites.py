"""What becomes of malaria parasites from an image to its report, on IML's held-out fields.

    python benchmarks/parasites.py --data DIR [--split test] [--images 40] [--table FILE]

DIR (default: $BLOOD_CELL_DATA) holds ``iml_malaria``; the fields are those of
``docs/held_out_blocks.md``. An annotated cell is the found one that has most of its box's pixels. A
parasite is found where its cell is called infected; a healthy cell that is called infected is a
false alarm. Undecided cells are for a person to look at. Shares of parasites are of all annotated
ones, those of healthy cells of all assessed or undecided ones. ``--table`` writes a row for each
annotated cell.
"""

import argparse
import csv
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from blood_cell_system.cells.table import Cells
from blood_cell_system.cells.unassessed import Reason
from blood_cell_system.datasets.collections.marked_images import (
    DIFFICULT,
    HEALTHY,
    STAGES,
    read_iml_malaria,
)
from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.taxonomy import RBC, WBC

INFECTED = "malaria_RBC"
KEPT = ("cell_type", "condition", "reason", "subtype", "confidence", "is_known", "flags")
FATES = (
    "called infected",
    "undecided",
    "called healthy",
    "other",
    "not assessed",
    "white cell",
    "missed",
)


def main() -> None:
    """Analyse the fields; print what became of each stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed where BLOOD_CELL_DATA is not set")
    rows = list(cells_of(Path(options.data), options.split, options.images))
    if options.table:
        with options.table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
            writer.writeheader()
            writer.writerows(rows)
    show(rows)


def cells_of(data: Path, split: str, images: int) -> Any:
    """Give each annotated cell with the found one."""
    page = (Path(__file__).parent.parent / "docs" / "held_out_blocks.md").read_text("utf-8")
    section = page.split("## IML malaria")[1].split("\n## ")[0]
    names = set(re.findall(r"PA\d+", section.split(f"`{split}`")[1].split("\n`")[0]))
    pipeline = InferencePipeline(BloodCellAnalysisSystem())
    fields = [one for one in read_iml_malaria(data / "iml_malaria").fields if one.name in names]
    for field in fields[:images]:
        result = pipeline.analyze(field.image_path)
        cells = result.report.cells
        for mark in field.cells:
            row = {"image": field.name, "label": mark.cell_type}
            yield row | found_at(cells, result.analysis.cells.label_image, mark.box)


def found_at(cells: Cells, label_image: np.ndarray, box: Any) -> dict[str, Any]:
    """Columns of the cell that has most of a box's pixels; none where no cell has a tenth."""
    x, y, right, bottom = (round(side) for side in (box.x_min, box.y_min, box.x_max, box.y_max))
    labels = label_image[max(y, 0) : bottom, max(x, 0) : right]
    counts = np.bincount(labels[labels > 0], minlength=1)
    counts[0] = 0
    if not labels.size or counts.max() < 0.1 * labels.size:
        return {"found": 0}
    row = int(counts.argmax()) - 1
    kept = {name: cells[name][row] for name in cells if name in KEPT or name.endswith("_prob")}
    measures = {name: cells[name][row] for name in cells if cells[name].dtype == np.float64}
    return {"found": row + 1} | measures | kept


def fate(row: dict[str, Any]) -> str:
    """Say what became of an annotated cell."""
    if not row["found"]:
        return "missed"
    if row["cell_type"] == WBC:
        return "white cell"
    if row["cell_type"] != RBC:
        return "other"
    if row["reason"] == Reason.UNDECIDED:
        return "undecided"
    if row["reason"] is not None:
        return "not assessed"
    if row["condition"] == INFECTED:
        return "called infected"
    return "called healthy" if row["condition"] == "healthy_RBC" else "other"


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table of stages and fates, and the figures that matter."""
    print(f"{'':14s}{'cells':>7s}" + "".join(f"{one:>17s}" for one in FATES))
    found = {label: Counter[str]() for label in (HEALTHY, *STAGES, DIFFICULT)}
    for row in rows:
        found[row["label"]][fate(row)] += 1
    for label, counts in found.items():
        print(f"{label:14s}{counts.total():7d}" + "".join(f"{counts[one]:17d}" for one in FATES))
    parasites = sum((found[stage] for stage in STAGES), Counter[str]())
    healthy = found[HEALTHY]
    seen = healthy.total() - healthy["missed"] - healthy["not assessed"] - healthy["white cell"]
    print(
        f"parasites: {parasites['called infected'] / parasites.total():.1%} found, "
        f"{parasites['undecided'] / parasites.total():.1%} undecided, "
        f"{parasites['white cell'] / parasites.total():.1%} white cells, "
        f"{parasites['not assessed'] / parasites.total():.1%} not assessed; "
        f"healthy cells called infected: {healthy['called infected'] / seen:.2%} of {seen}, "
        f"undecided: {healthy['undecided'] / seen:.2%}"
    )


if __name__ == "__main__":
    main()
