"""``bloodcells test`` and ``train_segmentation.py test``: segment one picture."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blood_cell_system.cells.separation import SeparatedCells
    from blood_cell_system.inference.segmenter import Segmentation

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


def run(options: argparse.Namespace) -> int:
    """Segment the picture, write the three pictures of the guide and print what is in it."""
    from blood_cell_system.atomic_files import make_folder
    from blood_cell_system.cells.separation import separate_cells
    from blood_cell_system.cli.quiet_import import import_tensorflow
    from blood_cell_system.drawing.overlay import draw_overlay
    from blood_cell_system.image_io import read_image, write_image
    from blood_cell_system.inference.runtimes import KerasRuntime
    from blood_cell_system.inference.segmenter import segment_image
    from blood_cell_system.mask_encoding import encode_class_mask

    # The quick check comes first: loading a network takes seconds.
    image = read_image(options.image)
    import_tensorflow()
    runtime = KerasRuntime.load(options.model)
    make_folder(options.output_dir)
    started = time.perf_counter()
    result = segment_image(runtime, image)
    found = separate_cells(result.class_probabilities, result.centres, result.log_size)
    seconds = time.perf_counter() - started
    overlay = draw_overlay(
        image,
        result.class_mask,
        label_image=found.label_image,
        cell_types=[cell.cell_type for cell in found.cells],
    )
    height, width = result.class_mask.shape
    print(f"{options.image}: {width}×{height} pixels, {seconds:.2f} s")
    print(description(result, found))
    for name, picture in (
        ("original", image),
        ("segmented", overlay),
        ("mask", encode_class_mask(result.class_mask)),
    ):
        path = options.output_dir / f"{options.image.stem}_{name}.png"
        write_image(path, picture)
        print(f"  {path}")
    print(DISCLAIMER)
    return 0


def description(result: "Segmentation", found: "SeparatedCells") -> str:
    """Shares of the classes and counts of the cells, in two or three lines."""
    import numpy as np

    from blood_cell_system.classes import NUM_CLASSES, CellType

    shares = np.bincount(result.class_mask.ravel(), minlength=NUM_CLASSES) / result.class_mask.size
    names = ("background", "RBC", "WBC")
    lines = [
        "  area:  "
        + ", ".join(f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True))
    ]
    counts = f"{found.count(CellType.RBC)} RBC, {found.count(CellType.WBC)} WBC"
    if result.centres is not None:
        lines.append(f"  cells: {counts}, {found.count(CellType.PLATELET)} platelets")
    else:
        lines.append(f"  cells: {counts}, told apart by shape; this model knows no platelets")
    cut_off = sum(cell.touches_border for cell in found.cells)
    if cut_off:
        verb = "is" if cut_off == 1 else "are"
        lines.append(f"  {cut_off} of them {verb} cut off by the picture's border")
    return "\n".join(lines)
