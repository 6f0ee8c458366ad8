"""A very small classifier, to fine-tune."""

import keras

from blood_cell_system.model_metadata import ClassifierKind, ModelMetadata
from blood_cell_system.networks.architectures import of_config
from blood_cell_system.networks.cell_classifier import CellClassifierConfig, build_cell_classifier
from blood_cell_system.networks.onnx_export import save_model

RBC = ClassifierKind("RBC")
TWO = RBC.conditions[:2]


def written_start(path, *, conditions=TWO, types=(), kind=RBC):
    keras.utils.set_random_seed(3)
    config = CellClassifierConfig(
        conditions=conditions, types=types, widths=(4, 6, 8, 8), blocks=(0, 0, 0, 0), d_reduced=0
    )
    metadata = ModelMetadata.of_classifier(
        kind,
        architecture=of_config(config).record(config),
        conditions=conditions,
        subtypes=types,
        condition_thresholds=dict.fromkeys(conditions, 0.4),
        in_distribution_threshold=0.9,
        data="elsewhere",
    )
    save_model(build_cell_classifier(config), path, metadata=metadata)
    return path
