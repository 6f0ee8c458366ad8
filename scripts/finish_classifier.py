"""Finish a built-in classifier: rare classes are as rare as in smears, and it is measured again.

    python scripts/finish_classifier.py models/wbc_classifier.keras cells_wbc OUTPUT_DIR

On a classifier that ``bloodcells train-classifier`` wrote:

1. Red cells: its answers about shapes are left out. They come from one laboratory, and elsewhere
   they are wrong too often to be shown (docs/classifier_training.md).
2. The log odds of classes that are rare in smears, and not in training, are lowered.
   White cells: what nuclei say about the type is learned, as ``train-classifier`` does.
3. Diseases of red cells are called from a probability on, below which cells are undecided.
4. The thresholds of the conformal sets are chosen anew, on the validation cells; the figures are
   those of the cells held out for testing.
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from blood_cell_system.analysis.classifier_evaluation import evaluate_classifier
from blood_cell_system.analysis.opened_networks import KerasNetwork, read_metadata
from blood_cell_system.analysis.trained_models import NetworkClassifier
from blood_cell_system.annotation.splits import Split
from blood_cell_system.augmentation.cell_batches import plain_batches
from blood_cell_system.cells.nucleus_terms import log_odds, nucleus_terms, with_log_odds
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.datasets.source_licences import licence_of_weights
from blood_cell_system.metrics.calibration import class_thresholds
from blood_cell_system.model_metadata import CONDITION_OUTPUT, TYPE_OUTPUT
from blood_cell_system.networks.architectures import classifier_named
from blood_cell_system.networks.cell_classifier import CONDITION_LOGITS, TYPE_LOGITS
from blood_cell_system.networks.onnx_export import export_onnx, save_classifier
from blood_cell_system.reports.classifier_sheets import short_figures
from blood_cell_system.taxonomy import RBC
from blood_cell_system.training.classifier_data import CellClasses, CellSet, read_cells
from blood_cell_system.training.nucleus_fit import fit_nucleus_evidence

LOG_ODDS = {"malaria_RBC": -2.0, "sickle_RBC": -3.0, "immature_granulocyte": -2.0}
"""Added to the logits, chosen on validation cells. Malaria: 0 calls 1.7 % of IML's healthy cells
infected and finds 100 % of the infected ones, -2 calls 0.6 % and finds 98 %, -3 calls 0.6 % and
finds 97 %. Sickle: 0 calls 1.2 % of the healthy cells of collections without sickle cells, and 16 %
of Uganda's, sickle and finds 97 %; -2 calls 0.3 and 6.5 % and finds 86 %, -3 0.1 and 3.8 %
and finds 78 %. Immature granulocytes: macro F1 of the types 0.936 with 0, 0.944 with -1, 0.941
with -2, 0.916 with -3; -2 as they are rare."""

CALL_THRESHOLDS = {"malaria_RBC": 0.95, "sickle_RBC": 0.7}
"""Probability from which a disease is called; below, the cell is undecided. Chosen by the curves of
``benchmarks/parasites.py`` and ``benchmarks/false_calls.py`` (docs/classifier_training.md)."""


def finish(path: Path, cells: Path, target: Path) -> Path:
    """Write the finished classifier as .keras, .onnx and .json."""
    metadata, trained = read_metadata(path), keras.saving.load_model(path, compile=False)
    if metadata is None or metadata.architecture is None:
        raise SystemExit(f"{path}: expected a classifier that this package trained.")
    folder = CellFolder.open(cells, kind=metadata.classifier_kind)
    types = () if metadata.cell_type == RBC else metadata.subtypes
    registered = classifier_named(metadata.architecture.name)
    config = registered.configured(None, **metadata.architecture.arguments | {"types": types})
    model = registered.build(config)
    for layer in (one for one in model.layers if one.weights):
        layer.set_weights(trained.get_layer(layer.name).get_weights())
    heads = {CONDITION_OUTPUT: (CONDITION_LOGITS, metadata.conditions)}
    if types:
        heads[TYPE_OUTPUT] = (TYPE_LOGITS, types)
    for layer_name, names in heads.values():
        kernel, bias = model.get_layer(layer_name).get_weights()
        shift = np.array([LOG_ODDS.get(name, 0.0) for name in names], np.float32)
        model.get_layer(layer_name).set_weights([kernel, bias + shift])

    classes = CellClasses(conditions=metadata.conditions, types=types)
    val, test = (read_cells(folder, split, classes) for split in (Split.VAL, Split.TEST))
    answers = _answers(model, val, sees_surround=metadata.sees_surround)
    nuclei = None
    if types:
        nuclei = fit_nucleus_evidence(read_cells(folder, Split.TRAIN, classes), types)
    if nuclei is not None:
        odds = log_odds(nuclei, types, nucleus_terms(list(val.cells)))
        answers[TYPE_OUTPUT] = with_log_odds(answers[TYPE_OUTPUT], odds)
    true = {CONDITION_OUTPUT: val.labels.condition, TYPE_OUTPUT: val.labels.cell_type}
    thresholds: dict[str, dict[str, float]] = {TYPE_OUTPUT: {}}
    for output, (_, names) in heads.items():
        chosen = class_thresholds(answers[output], true[output], coverage=metadata.coverage or 0.95)
        thresholds[output] = dict(zip(names, chosen.tolist(), strict=True))
    metadata = metadata.replace(
        architecture=registered.record(config),
        subtypes=types,
        condition_thresholds=thresholds[CONDITION_OUTPUT],
        subtype_thresholds=thresholds[TYPE_OUTPUT],
        nucleus_evidence=nuclei,
        call_thresholds={k: v for k, v in CALL_THRESHOLDS.items() if k in metadata.conditions},
        licence=licence_of_weights(metadata.data, architecture=registered.name),
    )
    network = NetworkClassifier(KerasNetwork(model, metadata=metadata), folder.kind)
    figures = short_figures(evaluate_classifier(network, test))
    metadata = metadata.replace(measured={**metadata.measured, "test": figures})
    save_classifier(model, target / path.name, metadata=metadata)
    export_onnx(model, (target / path.name).with_suffix(".onnx"), metadata=metadata)
    return target / path.name


def _answers(model: Any, cells: CellSet, *, sees_surround: bool) -> dict[str, NDArray[np.float32]]:
    batches = plain_batches(cells.cells, cells.labels, batch_size=128, sees_surround=sees_surround)
    answers = [model(one["cells"].astype(np.float32)) for one in batches]
    return {name: np.concatenate([np.asarray(one[name]) for one in answers]) for name in answers[0]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("cells", type=Path, help="folder of cells that it was trained on")
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(finish(chosen.model, chosen.cells, chosen.folder))
