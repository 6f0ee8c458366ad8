"""``bloodcells test`` and ``train_segmentation.py test``: segment one image."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from blood_cell_system.cli.options import SEGMENTER_FILE, CellDiameter, OutputDir, Segmenter, option

if TYPE_CHECKING:
    from blood_cell_system.analysis.segmentation import FoundCells

DISCLAIMER: Final = "Research use only; not a medical device."


def segment(
    *,
    model: Segmenter = SEGMENTER_FILE,
    image: Annotated[Path, option("--image FILE", "Image to segment.")],
    output_dir: OutputDir = Path("./test_results"),
    cell_diameter: CellDiameter = None,
) -> int:
    """Segment one image with a trained model, and write the three images of the guide.

    Examples
    --------
    bloodcells test --model models/segmentation_model.onnx --image smear.png -o test_results
    """
    from blood_cell_system.analysis.scale import magnification_for
    from blood_cell_system.analysis.segmentation import find_cells
    from blood_cell_system.analysis.trained_models import load_runtime, training_diameter_of
    from blood_cell_system.atomic_files import make_folder
    from blood_cell_system.cells.separation import SeparationSettings
    from blood_cell_system.errors import SettingsError
    from blood_cell_system.folder_lock import locked_folder
    from blood_cell_system.imaging.image_file import read_image, write_image
    from blood_cell_system.imaging.mask_encoding import encode_class_mask
    from blood_cell_system.imaging.overlay import draw_overlay

    # The quick check comes first: loading a network takes seconds.
    pixels = read_image(image)
    if output_dir.resolve() == image.resolve().parent:
        raise SettingsError(
            f"{output_dir}: this is the folder of the image; its results would be taken for "
            "images the next time. Choose another --output-dir."
        )
    make_folder(output_dir)
    runtime = load_runtime(model)
    started = time.perf_counter()
    diameter = training_diameter_of(runtime)
    magnification = magnification_for(
        pixels, training_diameter_px=diameter, cell_diameter_px=cell_diameter
    )
    separation = SeparationSettings()
    found = find_cells(
        runtime,
        pixels,
        magnification=magnification,
        separation=separation.for_diameter(diameter) if diameter else separation,
    )
    seconds = time.perf_counter() - started
    overlay = draw_overlay(
        pixels,
        found.class_mask,
        label_image=found.cells.label_image,
        cell_types=found.cells["cell_type"].tolist(),
        taxonomy=found.cells.taxonomy,
    )
    height, width = found.class_mask.shape
    print(f"{image}: {width}×{height} pixels, {seconds:.2f} s")
    if magnification != 1:
        print(f"  shown to the network at {magnification:.2f} of its size, as it was trained")
    print(description(found))
    with locked_folder(output_dir, command="test"):
        for name, written in (
            ("original", pixels),
            ("segmented", overlay),
            ("mask", encode_class_mask(found.class_mask)),
        ):
            path = output_dir / f"{image.stem}_{name}.png"
            write_image(path, written)
            print(f"  {path}")
    print(DISCLAIMER)
    return 0


def description(found: "FoundCells") -> str:
    """Shares of the classes and counts of the cells, in two or three lines."""
    import numpy as np

    from blood_cell_system.taxonomy import NUM_CLASSES

    shares = np.bincount(found.class_mask.ravel(), minlength=NUM_CLASSES) / found.class_mask.size
    names = ("background", "RBC", "WBC")
    lines = [
        "  area:  "
        + ", ".join(f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True))
    ]
    types = (
        found.cells.taxonomy.cell_types if found.has_heads else found.cells.taxonomy.with_channel
    )
    counts = ", ".join(
        f"{found.cells.count(t.name)} {t.name if t.has_channel else t.display_name}" for t in types
    )
    if not found.has_heads:
        counts += ", separated by shape; this model knows no platelets"
    lines.append(f"  cells: {counts}")
    cut_off = int(found.cells["touches_border"].sum())
    if cut_off:
        verb = "is" if cut_off == 1 else "are"
        lines.append(f"  {cut_off} of them {verb} cut off by the image's border")
    return "\n".join(lines)
