"""What the images of a second laboratory bring there, and cost at home.

    python benchmarks/combined.py --data DIR --work WORK [--source-evenness 0.5]

DIR holds ``BCCD_Dataset`` and ``bcdd_kaggle``. Every other image of the second is learned from,
the rest is held back. The preset ``fast`` learns from BCCD's train split alone, and from both sets
combined; both models are chosen on BCCD's validation images, and measured on BCCD's test split
and on the images of the second that were held back. Fields that BCCD shows in two splits are put
in one for both. With an evenness crops show the smaller set more often. What is done is not done
again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from blood_cell_system.cli.main import main as bloodcells
from blood_cell_system.datasets.prepared import (
    read_versioned_json,
    write_manifest,
)

TRAININGS = {"BCCD alone": "bccd", "BCCD and bcdd_kaggle": "both"}
MEASURED_ON = {"bcdd_kaggle, held back": "kaggle", "BCCD test": "bccd"}


def main() -> None:
    """Prepare, combine, train twice, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--source-evenness", type=float, default=0.0)
    options = parser.parse_args()
    data, work = options.data, options.work
    folders = {name: work / name for name in ("bccd-prepared", "bccd", "kaggle", "both")}
    for mode, source, name in (
        ("bccd", "BCCD_Dataset", "bccd-prepared"),
        ("kaggle", "bcdd_kaggle", "kaggle"),
    ):
        run("prepare", "--mode", mode, "--input", data / source, "--output", folders[name])
    hold_back_every_other(folders["kaggle"])
    for name, parts in (("bccd", ["bccd-prepared"]), ("both", ["bccd-prepared", "kaggle"])):
        places = [folders[part] for part in parts]
        run("prepare", "--mode", "combine", "--input", *places, "--output", folders[name])
    print(
        "| learned from | measured on | mean IoU | RBC F1@0.5 | WBC F1@0.5 |\n|---|---|---|---|---|"
    )
    for title, name in TRAININGS.items():
        runs = work / f"runs-{name}"
        if not (runs / "done.json").exists():
            places = ("--checkpoint-dir", runs, "--log-dir", runs / "logs")
            evenness = ("--source-evenness", options.source_evenness)
            run("train", "--preset", "fast", "--data-dir", folders[name], *places, *evenness)
            (runs / "done.json").write_text("{}", "utf-8")
        model = runs / "segmentation_model_best.keras"
        for images, folder in MEASURED_ON.items():
            result = evaluated(model, folders[folder], runs / f"on-{folder}.json")
            types = result["cells"][0]["types"]
            f1 = [f"{types[kind]['matching']['0.50']['f1']:.3f}" for kind in ("RBC", "WBC")]
            iou = result["pixels"]["mean_iou"]
            print(f"| {title} | {images} | {iou:.3f} | {' | '.join(f1)} |", flush=True)


def run(*words: object) -> None:
    """Run a command of the program; end where it fails."""
    code = bloodcells([str(word) for word in words])
    if code:
        raise SystemExit(code)


def hold_back_every_other(root: Path) -> None:
    """Make every other image of a prepared folder a test image, the others training ones."""
    manifest = read_versioned_json(root / "manifest.json")
    rows = [
        {**row, "split": "test" if number % 2 else "train"}
        for number, row in enumerate(sorted(manifest["images"], key=lambda row: row["stem"]))
    ]
    details = {
        name: manifest[name] for name in manifest if name not in ("images", "format_version")
    }
    write_manifest(root, rows, details)


def evaluated(model: Path, folder: Path, output: Path) -> dict[str, Any]:
    """Measure a model on the test split of a folder."""
    run("evaluate", "--model", model, "--data-dir", folder, "--split", "test", "--json", output)
    result: dict[str, Any] = json.loads(output.read_text("utf-8"))
    return result


if __name__ == "__main__":
    main()
