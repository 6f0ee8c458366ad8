"""What another runtime or precision changes in what is found, image by image, and whether it may.

    python benchmarks/precision.py --images DIR --precision bf16
    python benchmarks/precision.py --images DIR --runtime openvino

Every image is analysed with ONNX Runtime in float32 and with the other. A cell of one and one of
the other are the same where their outlines share more than half of their union. The gate: no figure
may fall by more than the bound beside it, and the exit code is 1 where one does. Agreement with
float32 bounds the fall of a figure against the truth: what both call the same is right or wrong
in both.
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from blood_cell_system.analysis.execution import Execution
from blood_cell_system.imaging.image_file import IMAGE_SUFFIXES
from blood_cell_system.pipeline.image import ImageResult, InferencePipeline
from blood_cell_system.pipeline.system import BloodCellAnalysisSystem

MAX_FALL_OF_IOU = 0.005
MAX_FALL_OF_F1 = 0.005
MAX_CHANGE_OF_COUNTS = 0.005
MAX_CHANGED_ANSWERS = 0.003
"""Of conditions and subtypes: as large as an AUROC may fall by."""


def analysed(path: Path, pipeline: InferencePipeline) -> tuple[ImageResult, float]:
    """Analyse an image, and take the CPU seconds."""
    started = time.process_time()
    return pipeline.analyze(path), time.process_time() - started


def pairs_of(first: Any, second: Any) -> list[tuple[int, int]]:
    """Rows of cells that are the same in two label images."""
    labels = [one.label_image.ravel().tolist() for one in (first, second)]
    both = Counter(zip(*labels, strict=True))
    area = [np.bincount(one.label_image.ravel()) for one in (first, second)]
    return [
        (a - 1, b - 1)
        for (a, b), shared in both.items()
        if a and b and 2 * shared > area[0][a] + area[1][b] - shared
    ]


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60, help="images at most")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="f32")
    options = parser.parse_args()
    execution = Execution(runtime=options.runtime, precision=options.precision)
    plain, other = (
        InferencePipeline(BloodCellAnalysisSystem(execution=one)) for one in (None, execution)
    )
    paths = sorted(p for p in options.images.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    totals: Counter[str] = Counter()
    seconds: list[tuple[float, float]] = []
    for path in paths[: options.count]:
        (one, before), (two, after) = analysed(path, plain), analysed(path, other)
        seconds.append((before, after))
        cells = one.report.cells, two.report.cells
        for name in cells[0].taxonomy.names:
            counts = [int((one.is_type(name) & one["is_counted"]).sum()) for one in cells]
            totals["counts"] += max(counts)
            totals["counts changed"] += abs(counts[0] - counts[1])
        masks = one.analysis.class_mask, two.analysis.class_mask
        for value in (1, 2):
            totals[f"both {value}"] += int(((masks[0] == value) & (masks[1] == value)).sum())
            totals[f"either {value}"] += int(((masks[0] == value) | (masks[1] == value)).sum())
        pairs = pairs_of(one.analysis.cells, two.analysis.cells)
        same = [(a, b) for a, b in pairs if cells[0]["cell_type"][a] == cells[1]["cell_type"][b]]
        totals["cells"] += len(cells[0]) + len(cells[1])
        totals["same"] += 2 * len(same)
        for a, b in same:
            for name in ("condition", "subtype"):
                if cells[0][name][a] is not None or cells[1][name][b] is not None:
                    totals["answers"] += 1
                    totals["changed"] += cells[0][name][a] != cells[1][name][b]
    overlap = [totals[f"both {value}"] / max(totals[f"either {value}"], 1) for value in (1, 2)]
    rows = (
        ("IoU of class masks with f32, the worse class", 1 - min(overlap), MAX_FALL_OF_IOU),
        ("F1 of cells with those of f32", 1 - totals["same"] / totals["cells"], MAX_FALL_OF_F1),
        ("counts", totals["counts changed"] / totals["counts"], MAX_CHANGE_OF_COUNTS),
        ("answers of classifiers", totals["changed"] / totals["answers"], MAX_CHANGED_ANSWERS),
    )
    print(f"{len(seconds)} images, {totals['cells'] // 2} cells, {totals['answers']} answers")
    for name, change, bound in rows:
        print(f"{name:45s} changes by {change:.4f}, at most {bound}")
    ratio = float(np.median([after / before for before, after in seconds[1:]]))
    print(f"CPU time of an image, of that of f32 (median, in turn): {ratio:.2f}")
    passes = all(change <= bound for _, change, bound in rows)
    print("passes the gate" if passes else "fails the gate")
    return 0 if passes else 1


if __name__ == "__main__":
    raise SystemExit(main())
