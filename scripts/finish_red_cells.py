"""Finish the built-in classifier of red cells: no subtypes, and malaria as rare as in smears.

    python scripts/finish_red_cells.py models/rbc_classifier.keras cells_rbc OUTPUT_DIR

Two steps, on a classifier that ``bloodcells train-classifier rbc`` wrote:

1. Its answers about shapes are left out. They come from one laboratory, and elsewhere they are
   wrong too often to be shown (docs/classifier_training.md).
2. The log odds of malaria are lowered. Training shows as many infected cells as healthy ones; in a
   smear one in a hundred is infected. The thresholds of the conformal sets are chosen anew, on the
   validation cells.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from blood_cell_system.analysis.opened_networks import read_metadata
from blood_cell_system.annotation.splits import Split
from blood_cell_system.augmentation.cell_batches import plain_batches
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.metrics.calibration import class_thresholds
from blood_cell_system.networks.architectures import classifier_named
from blood_cell_system.networks.cell_classifier import CONDITION_LOGITS
from blood_cell_system.networks.onnx_export import export_onnx, save_classifier
from blood_cell_system.training.classifier_data import CellClasses, read_cells

LOG_ODDS = {"malaria_RBC": -1.0}
"""Added to the logits. On validation cells 0 calls 2.8 % of IML's healthy cells malaria and finds
98 % of the infected ones; -1 calls 1.1 % and finds 95 %; -3 calls 0.5 % and finds 89 %."""


def finish(path: Path, cells: Path, folder: Path) -> Path:
    """Write the finished classifier as .keras, .onnx and .json."""
    metadata, trained = read_metadata(path), keras.saving.load_model(path, compile=False)
    if metadata is None or metadata.architecture is None:
        raise SystemExit(f"{path}: expected a classifier that this package trained.")
    registered = classifier_named(metadata.architecture.name)
    config = registered.configured(None, **metadata.architecture.arguments | {"types": ()})
    model = registered.build(config)
    for layer in (one for one in model.layers if one.weights):
        layer.set_weights(trained.get_layer(layer.name).get_weights())
    kernel, bias = model.get_layer(CONDITION_LOGITS).get_weights()
    shift = [LOG_ODDS.get(name, 0.0) for name in metadata.conditions]
    model.get_layer(CONDITION_LOGITS).set_weights([kernel, bias + np.array(shift, np.float32)])

    classes = CellClasses(conditions=metadata.conditions, types=())
    opened = CellFolder.open(cells, kind=metadata.classifier_kind)
    val = read_cells(opened, Split.VAL, classes)
    batches = plain_batches(val.cells, val.labels, batch_size=128)
    found = np.concatenate(
        [np.asarray(model(one["cells"].astype(np.float32))["condition"]) for one in batches]
    )
    thresholds = class_thresholds(found, val.labels.condition, coverage=metadata.coverage or 0.95)
    changed = metadata.replace(
        architecture=registered.record(config),
        subtypes=(),
        subtype_thresholds={},
        condition_thresholds=dict(zip(metadata.conditions, thresholds.tolist(), strict=True)),
    )
    target = folder / path.name
    save_classifier(model, target, metadata=changed)
    export_onnx(model, target.with_suffix(".onnx"), metadata=changed)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("cells", type=Path, help="folder of cells that it was trained on")
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(finish(chosen.model, chosen.cells, chosen.folder))
