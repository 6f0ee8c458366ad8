"""Leave the subtypes out of a trained classifier; all else it answers stays the same, bit by bit.

    python scripts/without_subtypes.py models/rbc_classifier.keras OUTPUT_DIR

The built-in classifier of red cells learned the shapes of one laboratory; elsewhere its answers
about them are wrong too often to be shown (docs/classifier_training.md).
"""

import argparse
from pathlib import Path

import keras

from blood_cell_system.analysis.runtimes import read_metadata
from blood_cell_system.model_metadata import TYPE_OUTPUT
from blood_cell_system.networks.architectures import classifier_named
from blood_cell_system.networks.onnx_export import export_onnx, save_classifier


def without_subtypes(path: Path, folder: Path) -> Path:
    """Write the classifier without its output of subtypes, as .keras and .onnx."""
    metadata, trained = read_metadata(path), keras.saving.load_model(path, compile=False)
    if metadata is None or metadata.architecture is None or TYPE_OUTPUT not in trained.output:
        raise SystemExit(f"{path}: expected a classifier of this package that names subtypes.")
    registered = classifier_named(metadata.architecture.name)
    config = registered.configured(None, **metadata.architecture.arguments | {"types": ()})
    model = registered.build(config)
    for layer in (one for one in model.layers if one.weights):
        layer.set_weights(trained.get_layer(layer.name).get_weights())
    target = folder / path.name
    changed = metadata.replace(
        architecture=registered.record(config), subtypes=(), subtype_thresholds={}
    )
    save_classifier(model, target, metadata=changed)
    export_onnx(model, target.with_suffix(".onnx"), metadata=changed)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(without_subtypes(chosen.model, chosen.folder))
