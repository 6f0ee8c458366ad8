"""How many cells at random teach as much as those that ``bloodcells suggest`` chooses.

    python benchmarks/suggestions.py --cells DIR --kind wbc [--sources pbc,raabin,chula_wbc]
        [--shares blood] [--seeds 3] [--work WORK]

DIR is a folder of cells with their subtypes, as ``bloodcells crops`` writes it. Of each source,
whole blocks (slides, patients) are held out, another part with each seed. From the others cells are
chosen, at random or as suggested from what the bundled classifier says of them; a multinomial
logistic regression on the bundled classifier's features learns their subtypes, and its mean recall
over the subtypes is measured on the blocks that were held out. With ``--shares blood`` the cells to
choose from have the shares of normal blood, of which most are neutrophils, as those of a smear; as
collected all subtypes are about equally many, which no smear offers.

WORK keeps answers and features. It needs the packages for training (onnx).
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from scipy.optimize import minimize

from blood_cell_system.analysis.classification import (
    ClassificationSettings,
    classifier_columns,
    turned_views,
)
from blood_cell_system.analysis.trained_models import ClassifierOutputs, load_classifier
from blood_cell_system.cells.table import Cells
from blood_cell_system.corrections import next_cells
from blood_cell_system.corrections.next_cells import suggest_cells
from blood_cell_system.datasets.cell_folder import CellFolder, CellRecord
from blood_cell_system.imaging.image_file import read_rgba
from blood_cell_system.model_metadata import ClassifierKind, on_white
from blood_cell_system.pipeline.model_slots import bundled_classifier

CHOSEN = (25, 50, 100)
RANDOM = (25, 50, 75, 100, 150, 200, 250, 300, 400, 600)
DRAWS = 4  # Random choices with each seed: one alone varies by some hundredths.
HELD_OUT = 0.35
RIDGE = 10.0  # Of the regression; accuracies change little from 1 to 100.
BLOOD = {
    "neutrophil": 0.60,
    "lymphocyte": 0.28,
    "monocyte": 0.07,
    "eosinophil": 0.03,
    "basophil": 0.01,
    "erythroblast": 0.005,
    "immature_granulocyte": 0.005,
}
FEWEST = 3  # Cells of a rare subtype to choose from, however small its share.


def main() -> None:
    """Print a table for each source."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=Path, required=True)
    parser.add_argument("--kind", default="wbc")
    parser.add_argument("--sources", default="pbc,raabin,chula_wbc")
    parser.add_argument("--shares", choices=("collected", "blood"), default="collected")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--least-weight", type=float, default=next_cells.LEAST_WEIGHT)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    next_cells.LEAST_WEIGHT = options.least_weight
    work = options.work or Path(tempfile.mkdtemp(prefix="suggestions_"))
    folder = CellFolder.open(options.cells, kind=ClassifierKind(options.kind.upper()))
    print("| cells | pool | choice |", " | ".join(map(str, RANDOM)), "| worth at random |")
    print("|" + "---|" * (4 + len(RANDOM)))
    for source in options.sources.split(","):
        records = [r for r in folder.records if r.source == source and r.cell_type]
        features, cells = look_at(folder, records, work / f"{options.kind}_{source}.npz")
        report(source, records, features, cells, options.shares, options.seeds)


def look_at(
    folder: CellFolder, records: Sequence[CellRecord], kept: Path
) -> tuple[NDArray[np.float64], Cells]:
    """Give the features that the bundled classifier has of cells, and what it says of them."""
    path = bundled_classifier(folder.kind)
    assert path is not None
    classifier = load_classifier(path, folder.kind)
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        model = onnx.load(str(path))
        # What all heads read is the last that is rectified.
        features = [node.output[0] for node in model.graph.node if node.op_type == "Relu"][-1]
        model.graph.output.append(onnx.ValueInfoProto(name=features))
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        views = ClassificationSettings().views_for(classifier)
        found = defaultdict(list)
        for start in range(0, len(records), 64):
            part = records[start : start + 64]
            images = [on_white(read_rgba(folder.path_of(record))) for record in part]
            batch = np.stack(images).astype(np.float32)
            runs = [session.run(names, {"cells": view}) for view in turned_views(batch, views)]
            for place, name in enumerate(names):
                mean = np.mean([run[place] for run in runs], axis=0)
                found["features" if name == features else name].append(mean)
        np.savez(kept, **{name: np.concatenate(parts) for name, parts in found.items()})
    with np.load(kept) as arrays:
        outputs = ClassifierOutputs(
            condition=arrays["condition"],
            cell_type=arrays["type"] if "type" in arrays.files else None,
            known=arrays["known"].reshape(-1),
        )
        features = arrays["features"].astype(np.float64)
    no_pixels = Cells(label_image=np.zeros((0, 0), dtype=np.int32))
    return features, no_pixels.with_columns(
        image=[record.field for record in records],
        cell_type=[folder.kind.cell_type] * len(records),
        confidence=np.ones(len(records)),
        **classifier_columns(outputs, classifier.metadata),
    )


def report(
    source: str,
    records: Sequence[CellRecord],
    features: NDArray[np.float64],
    cells: Cells,
    shares: str,
    seeds: int,
) -> None:
    """Print the rows of a source."""
    names = sorted({str(record.cell_type) for record in records})
    classes = np.array([names.index(str(record.cell_type)) for record in records])
    blocks = np.array([record.block for record in records])
    recalls: dict[tuple[str, int], list[float]] = defaultdict(list)
    sizes = []
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        is_test = np.isin(blocks, held_out(blocks, draw))
        pool = np.flatnonzero(~is_test)
        if shares == "blood":
            pool = as_in_blood(pool, classes, names, draw)
        sizes.append(len(pool))
        scaled = (features - features[pool].mean(0)) / (features[pool].std(0) + 1e-6)

        learned = partial(mean_recall, scaled, classes, np.flatnonzero(is_test))
        for _ in range(DRAWS):
            order = draw.permutation(pool)
            for count in RANDOM:
                if count <= len(pool):
                    recalls["random", count].append(learned(order[:count]))
        part = cells.select(pool)
        none = np.zeros(len(pool), dtype=np.bool_)
        for count in CHOSEN:
            rows = pool[suggest_cells(part, count, is_reviewed=none, seed=seed)]
            recalls["suggested", count].append(learned(rows))
    means = {key: float(np.mean(values)) for key, values in recalls.items()}
    counts = [count for count in RANDOM if ("random", count) in means]
    # What more cells teach is never less, but for chance.
    curve = np.maximum.accumulate([means["random", count] for count in counts])
    worth = {}
    for count in CHOSEN:
        value = means["suggested", count]
        reached = np.interp(value, curve, counts)
        worth[count] = f"{'>' if value > curve[-1] else ''}{reached:.0f}"
    for choice in ("random", "suggested"):
        row = [f"{means[choice, n]:.3f}" if (choice, n) in means else "" for n in RANDOM]
        words = ", ".join(f"{n}: {worth[n]}" for n in CHOSEN) if choice == "suggested" else ""
        print(f"| {source} | {round(np.mean(sizes))} | {choice} |", " | ".join(row), f"| {words} |")


def held_out(blocks: NDArray[np.str_], draw: np.random.Generator) -> list[str]:
    """Draw blocks until they have their share of the cells."""
    names, counts = np.unique(blocks, return_counts=True)
    order = draw.permutation(len(names))
    before = np.cumsum(counts[order]) - counts[order]
    return names[order[before < HELD_OUT * len(blocks)]].tolist()


def as_in_blood(
    pool: NDArray[np.intp], classes: NDArray[np.intp], names: list[str], draw: np.random.Generator
) -> NDArray[np.intp]:
    """Leave cells out until subtypes have the shares of normal blood."""
    total = (classes[pool] == names.index("neutrophil")).sum() / BLOOD["neutrophil"]
    kept = []
    for number, name in enumerate(names):
        rows = pool[classes[pool] == number]
        wanted = max(FEWEST, round(total * BLOOD[name]))
        kept.append(draw.permutation(rows)[:wanted])
    return np.sort(np.concatenate(kept))


def mean_recall(
    all_points: NDArray[np.float64],
    all_classes: NDArray[np.intp],
    test: NDArray[np.intp],
    rows: NDArray[np.intp],
) -> float:
    """Fit a multinomial logistic regression to some cells, and give its mean recall on others."""
    points, classes, count = all_points[rows], all_classes[rows], int(all_classes.max()) + 1
    width = points.shape[1]
    wanted = np.eye(count)[classes]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(width + 1, count)
        logits = points @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(axis=1, keepdims=True)
        entropy = -np.log(shares[np.arange(len(classes)), classes] + 1e-12).sum()
        slope = np.vstack([points.T @ (shares - wanted), (shares - wanted).sum(axis=0)])
        slope[:-1] += RIDGE * weights[:-1]
        return entropy + RIDGE / 2 * (weights[:-1] ** 2).sum(), slope.ravel()

    fit = minimize(
        loss, np.zeros((width + 1) * count), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    )
    weights = fit.x.reshape(width + 1, count)
    answers = (all_points[test] @ weights[:-1] + weights[-1]).argmax(axis=1)
    truth = all_classes[test]
    return float(np.mean([(answers[truth == k] == k).mean() for k in np.unique(truth)]))


if __name__ == "__main__":
    main()
