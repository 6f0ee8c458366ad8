"""Train and measure every row of the guide's tables: presets, ablations, numbers of images.

    python benchmarks/segmentation.py --data BCCD_Dataset --output runs [--only fast balanced ...]

Trained on the official train split, chosen on val, reported on test; stain masks are the truth in
every row, also for the network that learned from ellipses. A row that is done is not done again, so
the program can be stopped and started. Prints the tables in Markdown at the end.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from blood_cell_system.analysis.segmenter_evaluation import evaluate
from blood_cell_system.analysis.trained_models import load_runtime
from blood_cell_system.annotation.splits import Split
from blood_cell_system.atomic_files import write_json
from blood_cell_system.cli.training_progress import TrainingProgress
from blood_cell_system.datasets.prepared import PreparedDataset
from blood_cell_system.masks.prepare_folder import prepare_voc
from blood_cell_system.reports.segmenter_sheets import evaluation_to_json
from blood_cell_system.training.presets import PRESETS
from blood_cell_system.training.segmenter_training import train_segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One training: what differs from its preset, and what it learns from."""

    name: str
    preset: str = "fast"
    changes: Mapping[str, Any] = field(default_factory=dict)
    masks: str = "stain"
    images: int | None = None


ALL_IMAGES = 292

ROWS = (
    Row(name="fast"),
    Row(name="balanced", preset="balanced"),
    Row(name="accurate", preset="accurate"),
    Row(name="research", preset="research"),
    Row(name="ellipse masks", masks="ellipse"),
    Row(name="no Reynolds bottleneck", changes={"d_reduced": 0}),
    Row(name="no instance head", changes={"has_instance_head": False}),
    Row(name="25 images", images=25),
    Row(name="50 images", images=50),
    Row(name="100 images", images=100),
    Row(name="200 images", images=200),
    Row(name="292 images", images=ALL_IMAGES),
)


def main() -> None:
    """Do the rows that are not done, then print all that are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a clone of BCCD")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", metavar="ROW", help="names of rows")
    options = parser.parse_args()
    for row in ROWS:
        result_path = options.output / row.name.replace(" ", "-") / "result.json"
        if (not options.only or row.name in options.only) and not result_path.exists():
            print(f"== {row.name}", flush=True)
            write_json(result_path, run(row, options.data, options.output))
    print_table(options.output)


def run(row: Row, data: Path, output: Path) -> dict[str, Any]:
    """Train and measure one row."""
    truth = prepared(data, output, "stain")
    dataset = limited(prepared(data, output, row.masks), row.images)
    settings = replace(PRESETS[row.preset], **row.changes)
    folder = output / row.name.replace(" ", "-")
    with TrainingProgress(settings) as progress:
        result = train_segmenter(
            dataset,
            settings,
            checkpoint_dir=folder,
            log_dir=output / "logs",
            listener=progress,
        )
    started = time.monotonic()
    evaluation = evaluate(
        load_runtime(result.model_path),
        truth.of_split(Split.TEST),
        training_images=truth.of_split(Split.TRAIN),
    )
    return {
        "minutes": result.seconds / 60,
        "val_mean_iou": result.best_score,
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
        "peak_memory_gb": peak_memory_gb(),
        "evaluation_seconds": time.monotonic() - started,
        "test": evaluation_to_json(evaluation, subject={"row": row.name}),
    }


def peak_memory_gb() -> float:
    """Most memory that this process has had; not a number where the system does not say."""
    try:
        import resource
    except ImportError:
        return math.nan
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def prepared(data: Path, output: Path, mask_method: str) -> PreparedDataset:
    """Prepared folder of a mask method, made when it is not there."""
    root = output / f"data-{mask_method}"
    if not (root / "manifest.json").exists():
        prepare_voc(data, root, mask_method=mask_method, jobs=2)
    return PreparedDataset.open(root)


def limited(dataset: PreparedDataset, images: int | None) -> PreparedDataset:
    """Learn from fewer images, or from the validation split as well."""
    if images is None:
        return dataset
    if images < ALL_IMAGES:
        return dataset.limited(images, seed=0)
    # Nothing is left to choose by: validation figures of this row are of images it has learned.
    also_train = tuple(replace(i, split=Split.TRAIN) for i in dataset.of_split(Split.VAL))
    return replace(dataset, images=(*dataset.images, *also_train))


def print_table(output: Path) -> None:
    """Print what is done, in Markdown."""
    print("| row | minutes | epochs | test mean IoU | background | RBC | WBC | peak GB |")
    print("|---|---|---|---|---|---|---|---|")
    for row in ROWS:
        path = output / row.name.replace(" ", "-") / "result.json"
        if path.exists():
            result = json.loads(path.read_text("utf-8"))
            pixels = result["test"]["pixels"]
            print(
                f"| {row.name} | {result['minutes']:.1f} | {result['epochs']} "
                f"| {pixels['mean_iou']:.3f} | {pixels['iou']['background']:.3f} "
                f"| {pixels['iou']['rbc']:.3f} | {pixels['iou']['wbc']:.3f} "
                f"| {result['peak_memory_gb']:.1f} |"
            )


if __name__ == "__main__":
    main()
