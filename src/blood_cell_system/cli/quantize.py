"""``bloodcells quantize``: a network of 8 bits beside a model, where it is as accurate."""

from pathlib import Path
from typing import Annotated

from blood_cell_system.annotation.splits import Split
from blood_cell_system.cli.options import SplitName, option, seed_in_range, within


def quantize(
    *,
    model: Annotated[Path, option("--model FILE", "Segmenter or classifier, .onnx.")],
    data_dir: Annotated[
        Path,
        option("--data-dir DIR", "Prepared folder for a segmenter, cells for a classifier."),
    ],
    split: SplitName = Split.TEST,
    calibration: Annotated[
        int,
        option(
            "--calibration N",
            "Training images, or cells, that ranges are taken from.",
            parser=within(int, 1, 100_000),
        ),
    ] = 24,
    measured: Annotated[
        int,
        option(
            "--measured N",
            "Images, or cells, that figures are measured on, at most.",
            parser=within(int, 1, 1_000_000),
        ),
    ] = 2000,
    seed: Annotated[
        int, option("--seed N", "Decides which ones are taken.", parser=seed_in_range)
    ] = 0,
) -> int:
    """Write a model of 8 bits beside a model, which analyze --precision int8 runs.

    The figures of both are compared on a split. Where one falls by more than its bound, more
    layers stay in float32; where that does not help, nothing is written, and the exit code is 1.

    Examples
    --------
    bloodcells quantize --model models/segmentation_model.onnx --data-dir data/segmentation
    bloodcells quantize --model models/rbc_classifier.onnx --data-dir data/cells_rbc
    """
    from blood_cell_system.analysis.opened_networks import int8_file
    from blood_cell_system.atomic_files import write_bytes
    from blood_cell_system.errors import SettingsError
    from blood_cell_system.pipeline.precision_gate import GateSettings, quantise

    if model.suffix.lower() != ".onnx":
        raise SettingsError(
            f"{model}: expected an .onnx file. Write one first: bloodcells export --model {model}"
        )
    settings = GateSettings(calibration=calibration, measured=measured, split=split, seed=seed)
    made = quantise(model, data_dir, settings=settings)
    output = int8_file(model)
    write_bytes(output, made.data)
    print(f"Measured on {made.record.measured_on}:")
    for name, fall in made.record.falls.items():
        print(f"  {name:32s} worse by {fall:+.4f}, at most {made.record.bounds[name]}")
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, in float32 {made.record.kept}")
    return 0
