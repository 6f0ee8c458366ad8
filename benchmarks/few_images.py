"""What fine-tuning on ten images of another laboratory brings there, and costs at home.

    python benchmarks/few_images.py --data DIR [--init-from bundled|FILE] [--work WORK]

DIR (default: $BLOOD_CELL_DATA) holds ``iml_malaria``, and ``BCCD_Dataset`` with
``bccd_trainval_extra``. Neighbouring names of ``iml_malaria`` are fields of one slide: the ten
images come from the first third of the names, those that are measured on from the last half.
Boxes are matched one to one at IoU 0.5. Cells cut off by the border are unlabelled there: for the
masks the stain shows them, and in the figures they count on neither side.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cells import LabelledImage, at_border, complete_bccd, malaria, row_of

from blood_cell_system.analysis.image_analysis import AnalysisSettings, analyze_image
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.cli.main import main as bloodcells
from blood_cell_system.datasets.prepared import (
    write_annotations,
    write_manifest,
)
from blood_cell_system.imaging.image_file import read_image, write_image
from blood_cell_system.imaging.mask_encoding import encode_class_mask
from blood_cell_system.masks.refine import stain_class_mask
from blood_cell_system.pipeline.model_slots import bundled_trainable
from blood_cell_system.taxonomy import BUILT_IN, PLATELET, RBC, WBC


def main() -> None:
    """Prepare, measure, fine-tune, measure again, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BLOOD_CELL_DATA"))
    parser.add_argument("--init-from", default="bundled")
    parser.add_argument("--work", type=Path)
    options, more = parser.parse_known_args()
    if options.data is None:
        parser.error("--data is needed where BLOOD_CELL_DATA is not set")
    work = options.work or Path(tempfile.mkdtemp(prefix="fine_tuning_"))
    images = list(malaria(Path(options.data), step=1))
    ten = images[: len(images) // 3]
    ten = [ten[int(i)] for i in np.linspace(0, len(ten) - 1, 10)]
    elsewhere = images[len(images) // 2 :][::4]
    at_home = list(complete_bccd(Path(options.data)))[::2]
    write_prepared(work / "data", ten)
    start = options.init_from
    before = bundled_trainable() if start == "bundled" else Path(start)
    begun = time.monotonic()
    folders = {"data-dir": "data", "checkpoint-dir": "checkpoints", "log-dir": "logs"}
    places = [
        word for name, folder in folders.items() for word in (f"--{name}", str(work / folder))
    ]
    code = bloodcells(["train", "--init-from", start, *places, *more])
    if code:
        raise SystemExit(code)
    print(f"\nfine-tuned in {time.monotonic() - begun:.0f} s\n")
    print("| images | cell | cells | F1@0.5 | precision | recall | count MAE | bias |")
    print("|---|---|---|---|---|---|---|---|")
    after = work / "checkpoints" / "segmentation_model_best.keras"
    for name, path in (("before", before), ("after", after)):
        measure(f"iml_malaria, other slides, {name}", path, elsewhere, (RBC,))
        measure(f"BCCD val, {name}", path, at_home, BUILT_IN.names)


def write_prepared(root: Path, images: Sequence[LabelledImage]) -> None:
    """Write a prepared folder, the last two images for validation."""
    rows, cells = [], {}
    for number, labelled in enumerate(images):
        stem = labelled.path.stem
        image = read_image(labelled.path)
        stain = stain_class_mask(image, labelled.cells)
        write_image(root / "images" / f"{stem}.png", image)
        write_image(root / "masks" / f"{stem}.png", encode_class_mask(stain.class_mask))
        write_image(root / "instances" / f"{stem}.png", stain.label_image.astype(np.uint16))
        cells[stem] = stain.cells
        rows.append(
            {
                "stem": stem,
                "split": "val" if number >= len(images) - 2 else "train",
                "source": "iml_malaria",
                "original": stem,
                "unmarked_types": [WBC, PLATELET],
            }
        )
    write_annotations(root, cells)
    write_manifest(root, rows, {"command": "benchmark"})


def measure(name: str, model: Path, images: Sequence[LabelledImage], types: Sequence[str]) -> None:
    """Print a line for each type of cell."""
    runtime = load_runtime(model)
    is_inner = name.startswith("iml")
    pairs = []
    for image in images:
        analysis = analyze_image(runtime, read_image(image.path), AnalysisSettings())
        shape = analysis.image.shape
        truth = [c for c in image.cells if not (is_inner and at_border(c, shape))]
        found = analysis.cells.select(~(is_inner & analysis.cells["touches_border"]))
        pairs.append((truth, found))
    for cell_type in types:
        print(row_of(name, len(pairs), cell_type, pairs), flush=True)


if __name__ == "__main__":
    main()
