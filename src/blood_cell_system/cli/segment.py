"""``bloodcells test`` and ``train_segmentation.py test``: segment one image."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from blood_cell_system.cli.analyze import positive_number

if TYPE_CHECKING:
    from blood_cell_system.analysis.segmentation import FoundCells

DISCLAIMER = "Research use only; not a medical device."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("checkpoints/segmentation_model_best.keras"),
        metavar="FILE",
    )
    parser.add_argument("--image", type=Path, required=True, metavar="FILE")
    parser.add_argument("--output-dir", type=Path, default=Path("./test_results"), metavar="DIR")
    parser.add_argument(
        "--cell-diameter",
        type=positive_number,
        metavar="PX",
        help="of a red cell in the image (default: estimated)",
    )


def run(options: argparse.Namespace) -> int:
    """Segment the image_path, write the three images of the guide and print what is in it."""
    from blood_cell_system.analysis.runtimes import load_runtime, training_diameter_of
    from blood_cell_system.analysis.scale import magnification_for
    from blood_cell_system.analysis.segmentation import find_cells
    from blood_cell_system.atomic_files import make_folder
    from blood_cell_system.cells.separation import SeparationSettings
    from blood_cell_system.cli.quiet_import import import_tensorflow
    from blood_cell_system.imaging.image_file import read_image, write_image
    from blood_cell_system.imaging.mask_encoding import encode_class_mask
    from blood_cell_system.imaging.overlay import draw_overlay

    # The quick check comes first: loading a network takes seconds.
    image = read_image(options.image)
    if options.model.suffix.lower() != ".onnx":
        import_tensorflow()
    runtime = load_runtime(options.model)
    make_folder(options.output_dir)
    started = time.perf_counter()
    diameter = training_diameter_of(runtime)
    magnification = magnification_for(
        image, training_diameter_px=diameter, cell_diameter_px=options.cell_diameter
    )
    separation = SeparationSettings()
    found = find_cells(
        runtime,
        image,
        magnification=magnification,
        separation=separation.for_diameter(diameter) if diameter else separation,
    )
    seconds = time.perf_counter() - started
    overlay = draw_overlay(
        image,
        found.class_mask,
        label_image=found.cells.label_image,
        cell_types=found.cells["cell_type"].tolist(),
    )
    height, width = found.class_mask.shape
    print(f"{options.image}: {width}×{height} pixels, {seconds:.2f} s")
    if magnification != 1:
        print(f"  shown to the network at {magnification:.2f} of its size, as it was trained")
    print(description(found))
    for name, image_path in (
        ("original", image),
        ("segmented", overlay),
        ("mask", encode_class_mask(found.class_mask)),
    ):
        path = options.output_dir / f"{options.image.stem}_{name}.png"
        write_image(path, image_path)
        print(f"  {path}")
    print(DISCLAIMER)
    return 0


def description(found: "FoundCells") -> str:
    """Shares of the classes and counts of the cells, in two or three lines."""
    import numpy as np

    from blood_cell_system.taxonomy import NUM_CLASSES, PLATELET, RBC, WBC

    shares = np.bincount(found.class_mask.ravel(), minlength=NUM_CLASSES) / found.class_mask.size
    names = ("background", "RBC", "WBC")
    lines = [
        "  area:  "
        + ", ".join(f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True))
    ]
    counts = f"{found.cells.count(RBC)} RBC, {found.cells.count(WBC)} WBC"
    if found.has_heads:
        lines.append(f"  cells: {counts}, {found.cells.count(PLATELET)} platelets")
    else:
        lines.append(f"  cells: {counts}, told apart by shape; this model knows no platelets")
    cut_off = int(found.cells["touches_border"].sum())
    if cut_off:
        verb = "is" if cut_off == 1 else "are"
        lines.append(f"  {cut_off} of them {verb} cut off by the image's border")
    return "\n".join(lines)
