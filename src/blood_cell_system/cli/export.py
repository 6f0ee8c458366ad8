"""``bloodcells export``: a trained model as an ONNX file."""

import argparse
from pathlib import Path

# Rounding differs between the two; a conversion gone wrong differs by far more.
MAX_DIFFERENCE = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="a .keras file")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the .onnx file to write; beside the model by default",
    )
    parser.add_argument(
        "--training-diameter",
        type=float,
        metavar="PX",
        help="diameter of a red cell in the images that the model learned from "
        "(default: what the model says of itself, else 100)",
    )


def run(options: argparse.Namespace) -> int:
    """Export the model, run both on one image, and print how far they differ."""
    import numpy as np

    import blood_cell_system
    from blood_cell_system.analysis.runtimes import (
        KerasNetwork,
        NetworkSegmenter,
        largest_difference,
        load_keras_model,
        load_runtime,
        read_metadata,
    )
    from blood_cell_system.cli.quiet_import import import_tensorflow
    from blood_cell_system.errors import CheckpointError, SettingsError
    from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX, ModelMetadata
    from blood_cell_system.networks.export import export_onnx
    from blood_cell_system.pipeline.model_slots import sha256_of
    from blood_cell_system.seeding import generator_for

    diameter = options.training_diameter
    if diameter is not None and not 0 < diameter < float("inf"):
        raise SettingsError(f"--training-diameter: received {diameter}; expected more than 0.")
    output = options.output or options.model.with_suffix(".onnx")
    import_tensorflow()
    model = load_keras_model(options.model)
    keras_runtime = NetworkSegmenter(
        KerasNetwork(model, name=str(options.model), metadata=read_metadata(options.model))
    )
    metadata = keras_runtime.metadata or ModelMetadata(kind="segmenter")
    diameter = diameter or metadata.training_diameter_px or TRAINING_DIAMETER_PX
    metadata = metadata.replace(
        training_diameter_px=diameter,
        software_version=blood_cell_system.__version__,
        source_sha256=sha256_of(options.model),
    )
    export_onnx(model, output, metadata=metadata)
    onnx_runtime = load_runtime(output)
    height, width = onnx_runtime.input_shape or (256, 320)
    pixels = generator_for(0, "export").uniform(0, 255, size=(1, height, width, 3))
    difference = largest_difference(keras_runtime, onnx_runtime, pixels.astype(np.float32))
    if not difference <= MAX_DIFFERENCE:
        output.unlink()
        raise CheckpointError(
            f"{options.model}: exported it gives values that differ by {difference:.2g}; expected "
            f"{MAX_DIFFERENCE:g} at most. The file was not kept; use the model as .keras."
        )
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    print(f"  differs from {options.model.name} by {difference:.1e} at most")
    return 0
