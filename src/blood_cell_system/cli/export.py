"""``bloodcells export``: a trained model in the format of another program."""

from pathlib import Path
from typing import Annotated

from blood_cell_system.cli.options import diameter_px, option


def export(
    *,
    model: Annotated[
        Path, option("--model FILE", "Segmenter or classifier, .keras; for openvino also .onnx.")
    ],
    output: Annotated[
        Path | None,
        option("-o --output FILE", "What to write.", default="beside the model"),
    ] = None,
    to: Annotated[
        str | None,
        option(
            "--format NAME",
            "onnx, openvino (.xml, .bin), tflite or saved_model (a folder).",
            default="by the name of --output, else onnx",
        ),
    ] = None,
    training_diameter: Annotated[
        float | None,
        option(
            "--training-diameter PX",
            "Diameter of a red cell in the images that a segmenter learned from.",
            default="what the model says of itself, else 100",
            parser=diameter_px,
        ),
    ] = None,
) -> int:
    """Write a trained model for another program, if it then gives the same values.

    Both are shown drawn smears of two sizes, one and three at a time, in float32. Where a value
    differs by more than 0.0001, nothing is written, and the exit code is 1.

    Examples
    --------
    bloodcells export --model checkpoints/segmentation_model_best.keras -o models/mine.onnx
    bloodcells export --model models/rbc_classifier.keras --format tflite
    """
    from blood_cell_system.networks.export_registry import format_named, format_of
    from blood_cell_system.pipeline.model_export import export_model

    by_name = format_of(output) if to is None and output is not None else None
    chosen = by_name or format_named(to or "onnx")
    chosen.check_installed()
    made = export_model(model, output, to=chosen, training_diameter_px=training_diameter)
    shapes = ", ".join("×".join(map(str, shape)) for shape in made.tried_on)
    print(f"{made.path}: {chosen.title}, {made.size_bytes / 1e6:.1f} MB")
    print(f"  differs from {model.name} by {made.difference:.1e} at most (images: {shapes})")
    if not chosen.is_analysed:
        print("  for other programs: analyze does not run it")
    return 0
