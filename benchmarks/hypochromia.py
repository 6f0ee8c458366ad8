"""How well the central pallor tells hypochromic red cells from others: Chula RBC-12.

    python benchmarks/hypochromia.py --data DIR [--fields 22]

DIR (default: $BLOOD_CELL_DATA) holds ``chula_rbc12``, whose ``cells.csv`` has the centre and the
shape of cells. Two thirds of the fields have hypochromic cells, one third has none.
"""

import argparse
import csv
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from blood_cell_system.pipeline.image import InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem
from blood_cell_system.reports.lab_figures import PALLOR
from blood_cell_system.taxonomy import RBC

HYPOCHROMIC = "hypochromia"
LIMITS = (0.25, 0.3, 0.32, 0.34, 0.35, 0.36, 0.38, 0.4)


def main() -> None:
    """Print, for each limit, the share of each shape that is called hypochromic."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--fields", type=int, default=22)
    arguments = parser.parse_args()
    root = Path(arguments.data) / "chula_rbc12"
    marked = defaultdict(list)
    with (root / "cells.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            marked[row["file"]].append((int(row["x"]), int(row["y"]), row["class"]))
    pale = sorted(f for f, cells in marked.items() if any(c[2] == HYPOCHROMIC for c in cells))
    others = sorted(set(marked).difference(pale))
    first = pale[: arguments.fields * 2 // 3]
    found = defaultdict(list)
    pipeline = InferencePipeline(BloodCellAnalysisSystem(), is_classifying=False)
    for name in [*first, *others[: arguments.fields - len(first)]]:
        result = pipeline.analyze(root / name)
        cells, labels = result.report.cells, result.analysis.cells.label_image
        is_whole = cells.is_type(RBC) & ~cells["touches_border"]
        for x, y, shape in marked[name]:
            label = labels[min(y, labels.shape[0] - 1), min(x, labels.shape[1] - 1)]
            if label and is_whole[label - 1]:
                found[shape].append(cells[PALLOR][label - 1])
    print(f"{'limit':>14}", *(f"{limit:6}" for limit in LIMITS))
    for shape, values in sorted(found.items()):
        shares = (np.nanmean(np.array(values) > limit) for limit in LIMITS)
        print(f"{shape[:9]:>9} {len(values):4}", *(f"{share:6.1%}" for share in shares))


if __name__ == "__main__":
    main()
