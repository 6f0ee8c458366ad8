"""``bloodcells export``: a trained model as an ONNX file."""

from pathlib import Path
from typing import Annotated, Final

from blood_cell_system.cli.options import diameter_px, option

# Largest difference of a probability. Rounding differs between the two runtimes by some 1e-5; a
# conversion gone wrong differs by far more.
MAX_DIFFERENCE: Final = 1e-3


def export(
    *,
    model: Annotated[Path, option("--model FILE", "A .keras file.")],
    output: Annotated[
        Path | None,
        option("-o --output FILE", "The .onnx file to write.", default="beside the model"),
    ] = None,
    training_diameter: Annotated[
        float | None,
        option(
            "--training-diameter PX",
            "Diameter of a red cell in the images that the model learned from.",
            default="what the model says of itself, else 100",
            parser=diameter_px,
        ),
    ] = None,
) -> int:
    """Write a trained model as .onnx, which needs no TensorFlow.

    Examples
    --------
    bloodcells export --model checkpoints/segmentation_model_best.keras -o models/mine.onnx
    """
    import numpy as np

    import blood_cell_system
    from blood_cell_system.analysis.model_files import load_keras_model
    from blood_cell_system.analysis.opened_networks import KerasNetwork, read_metadata
    from blood_cell_system.analysis.trained_models import (
        NetworkSegmenter,
        largest_difference,
        load_runtime,
    )
    from blood_cell_system.errors import CheckpointError
    from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX, ModelMetadata
    from blood_cell_system.networks.onnx_export import export_onnx
    from blood_cell_system.pipeline.model_slots import sha256_of
    from blood_cell_system.seeding import generator_for

    output = output or model.with_suffix(".onnx")
    keras_model = load_keras_model(model)
    network = KerasNetwork(keras_model, name=str(model), metadata=read_metadata(model))
    keras_runtime = NetworkSegmenter(network)
    metadata = network.metadata or ModelMetadata(kind="segmenter")
    diameter = training_diameter or metadata.training_diameter_px or TRAINING_DIAMETER_PX
    metadata = metadata.replace(
        training_diameter_px=diameter,
        software_version=blood_cell_system.__version__,
        source_sha256=sha256_of(model),
    )
    difference = 0.0

    def check(exported: Path) -> None:
        nonlocal difference
        onnx_runtime = load_runtime(exported)
        height, width = onnx_runtime.input_shape or (256, 320)
        pixels = generator_for(0, "export").uniform(0, 255, size=(1, height, width, 3))
        difference = largest_difference(keras_runtime, onnx_runtime, pixels.astype(np.float32))
        if not difference <= MAX_DIFFERENCE:
            raise CheckpointError(
                f"{model}: exported it gives values that differ by {difference:.2g}; expected "
                f"{MAX_DIFFERENCE:g} at most. {output} was not written; use the model as .keras."
            )

    export_onnx(keras_model, output, metadata=metadata, check=check)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    print(f"  differs from {model.name} by {difference:.1e} at most")
    return 0
