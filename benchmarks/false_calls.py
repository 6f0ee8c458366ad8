"""How many cells are called sick where none is, and how many sick ones are, by the threshold.

    python benchmarks/false_calls.py --data DIR [--images 24] [--table FILE]

DIR (default: $BLOOD_CELL_DATA) holds the collections, as ``CLEAN`` and ``SICK`` name them; images
are spread over each of them; of BCCD, PBC and Uganda those held out for testing are used. Shares of
clean collections are of all assessed cells; of ``nih_in_field``, whose images show one infected
cell in the middle each, of these; of Uganda's, of the boxes of sickle cells. Of white cells the
share is that of blasts: ``acrs_apml``'s and many of ``jhu_apl_aml``'s are. Parasites of IML have a
benchmark of their own (``parasites.py``). ``--table`` writes a row for each cell.
"""

import argparse
import csv
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.taxonomy import RBC, WBC

CLEAN = {
    "bccd": "BCCD_Dataset/BCCD/JPEGImages",
    "kaggle": "bcdd_kaggle/images",
    "raabin": "raabin_wbc",
    "sigtuple": "sigtuple_wbc/field",
    "chula fields": "chula_rbc12/field",
    "chula anaemias": "chula_rbc12/[HIMT]*",
    "chula_wbc": "chula_wbc",
    "pbc": "pbc_wbc_types",
    "jhu": "jhu_apl_aml",
    "acrs": "acrs_apml",
    "uganda negative": "uganda_sickle/negative",
    "nih healthy": "nih_in_field/healthy",
}
"""Folders without malaria and sickle cells."""
SICK = {
    "nih infected": ("nih_in_field/malaria", "malaria_RBC"),
    "uganda positive": ("uganda_sickle/positive", "sickle_RBC"),
}
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
CONDITIONS = {RBC: ("malaria_RBC", "sickle_RBC"), WBC: ("cancer_WBC",)}


def main() -> None:
    """Analyse the images; print a line for each collection and condition."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--images", type=int, default=24, help="of each collection")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed where BLOOD_CELL_DATA is not set")
    data = Path(options.data)
    pipeline = InferencePipeline(BloodCellAnalysisSystem())
    held_out = names_held_out(data)
    rows = []
    print(f"{'':34s}{'cells':>7s}" + "".join(f"{one:>8.2f}" for one in THRESHOLDS), flush=True)
    for name, folder in CLEAN.items():
        found = list(cells_of(pipeline, images_of(data, folder, held_out, options.images), name))
        rows += found
        for cell_type, conditions in CONDITIONS.items():
            of_type = [row for row in found if row["cell_type"] == cell_type]
            for condition in conditions:
                show(f"{name}: {condition}", condition, of_type)
    for name, (folder, condition) in SICK.items():
        found = []
        for path in images_of(data, folder, held_out, options.images):
            found += sick_cells_of(pipeline, path, name, data)
        rows += found
        show(f"{name}: {condition} found", condition, found)
    if options.table:
        with options.table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
            writer.writeheader()
            writer.writerows(rows)


def names_held_out(data: Path) -> set[str]:
    """Give the stems of images that are held out for testing."""
    page = (Path(__file__).parent.parent / "docs" / "held_out_blocks.md").read_text("utf-8")
    test = "".join(part.split("\n`val`")[0] for part in page.split("\n`test`")[1:])
    listed = (data / "BCCD_Dataset" / "BCCD" / "ImageSets" / "Main" / "test.txt").read_text("utf-8")
    return {*re.findall(r"[\w-]+", test), *listed.split()}


def images_of(data: Path, folder: str, held_out: set[str], count: int) -> list[Path]:
    """Choose images of a collection, evenly from the first to the last name."""
    paths = sorted(
        path
        for root in data.glob(folder)
        for path in root.rglob("*")
        if path.suffix in (".jpg", ".png") and path.parent.name != "platelet"
    )
    if folder.startswith(("BCCD", "pbc", "uganda")):
        paths = [path for path in paths if path.stem in held_out]
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[place] for place in places]


def cells_of(
    pipeline: InferencePipeline, paths: list[Path], collection: str
) -> Iterator[dict[str, Any]]:
    """Give the cells that have a condition."""
    for path in paths:
        cells = pipeline.analyze(path).report.cells
        for row in range(len(cells)):
            if cells["condition"][row] is not None and cells["is_known"][row]:
                yield {"collection": collection, "image": path.stem} | row_of(cells, row)


def sick_cells_of(
    pipeline: InferencePipeline, path: Path, collection: str, data: Path
) -> Iterator[dict[str, Any]]:
    """Give the cell that lies at each mark of a sick one; empty where none does."""
    result = pipeline.analyze(path)
    cells, labels = result.report.cells, result.analysis.cells.label_image
    if collection == "nih infected":
        boxes = [(0, 0, labels.shape[1], labels.shape[0])]
    else:
        marked = json.loads((data / "uganda_sickle" / "sickle_boxes.json").read_text("utf-8"))
        boxes = marked.get(path.name) or marked.get(path.stem) or []
    for x_min, y_min, x_max, y_max in boxes:
        label = labels[round((y_min + y_max) / 2), round((x_min + x_max) / 2)]
        found = row_of(cells, int(label) - 1) if label else {}
        yield {"collection": collection, "image": path.stem} | found


def row_of(cells: Any, row: int) -> dict[str, Any]:
    """Give what a report says of a cell."""
    kept = ("cell_type", "condition", "confidence", "reason", "area_in_red_cells", "solidity")
    return {"cell": row + 1} | {
        name: cells[name][row] for name in cells if name in kept or name.endswith("_prob")
    }


def show(name: str, condition: str, rows: list[dict[str, Any]]) -> None:
    """Print the share of cells whose likeliest condition is this, by its least probability."""
    column = f"{condition}_prob"
    likely = np.array(
        [
            row[column] if row.get("condition") is not None and is_likeliest(row, column) else -1.0
            for row in rows
        ]
    )
    shares = (np.mean(likely >= limit) if len(rows) else np.nan for limit in THRESHOLDS)
    print(f"{name:34s}{len(rows):7d}" + "".join(f"{share:8.2%}" for share in shares), flush=True)


def is_likeliest(row: dict[str, Any], column: str) -> bool:
    """Whether no condition of a cell is likelier."""
    conditions = [f"{one}_prob" for some in CONDITIONS.values() for one in some]
    others = [row.get(one) for one in (*conditions, "healthy_RBC_prob", "healthy_WBC_prob")]
    return bool(row[column] == np.nanmax([np.nan if one is None else one for one in others]))


if __name__ == "__main__":
    main()
