"""Write the metadata record of the present version into models of version 0.2.0.

    python scripts/convert_metadata.py src/blood_cell_system/weights

Weights and graphs stay as they are, bit by bit. Data, licence, preset and figures that a
model says nothing about come from the model card beside it.
"""

import argparse
from pathlib import Path

import onnx

from blood_cell_system.analysis.runtimes import read_metadata
from blood_cell_system.atomic_files import replacing, write_bytes, write_json
from blood_cell_system.model_metadata import (
    TRAINING_DIAMETER_PX,
    Architecture,
    ModelMetadata,
    add_to_archive,
    classifier_kinds,
)
from blood_cell_system.networks.architectures import classifier_named, of_config
from blood_cell_system.networks.onnx_export import onnx_bytes
from blood_cell_system.pipeline.installed_models import card_of
from blood_cell_system.training.classifier import classifier_config
from blood_cell_system.training.classifier_data import CellClasses
from blood_cell_system.training.presets import classifier_preset_named


def convert(path: Path) -> None:
    """Write a ``.keras`` file and the ``.onnx`` file beside it anew, each with its record."""
    kind = next((kind for kind in classifier_kinds() if kind.file_stem == path.stem), None)
    metadata = read_metadata(path, kind=kind)
    if metadata is None:
        raise SystemExit(f"{path}: says nothing about itself; nothing to convert.")
    card = card_of(path)
    missing = {key: value for key, value in card.items() if not getattr(metadata, key)}
    metadata = metadata.replace(**missing)
    exported = path.with_suffix(".onnx")
    if kind is None:
        old = read_metadata(exported)
        diameter = (old.training_diameter_px if old else None) or TRAINING_DIAMETER_PX
        version = old.software_version if old else ""
        metadata = metadata.replace(training_diameter_px=diameter, software_version=version, seed=0)
    else:
        metadata = metadata.replace(
            architecture=_architecture(metadata),
            temperatures=metadata.measured["validation"]["temperatures"],
        )
    with replacing(path) as temporary:
        temporary.write_bytes(path.read_bytes())
        add_to_archive(temporary, metadata)
    if kind is not None:
        write_json(path.with_suffix(".json"), metadata.to_json())
    write_bytes(exported, onnx_bytes(onnx.load(str(exported)), metadata))


def _architecture(metadata: ModelMetadata) -> Architecture:
    classes = CellClasses(conditions=metadata.conditions, types=metadata.subtypes)
    config = classifier_config(classifier_preset_named(metadata.preset), classes)
    assert of_config(config) == classifier_named("cell_resnet")
    return of_config(config).record(config)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    for file in sorted(parser.parse_args().folder.glob("*.keras")):
        convert(file)
        print(file, read_metadata(file))
