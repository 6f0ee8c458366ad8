"""``bloodcells evaluate``: how good a trained model is on a split."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from blood_cell_system.cli.analyze import positive_number

if TYPE_CHECKING:
    from blood_cell_system.datasets.prepared import PreparedImage

SPLITS = ("train", "val", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("checkpoints/segmentation_model_best.keras"),
        metavar="FILE",
    )
    parser.add_argument("--data-dir", type=Path, default=Path("./data/segmentation"))
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    parser.add_argument(
        "--contact-sheet", type=Path, metavar="FILE", help="draw the ten worst images there"
    )
    parser.add_argument(
        "--cell-diameter",
        type=positive_number,
        metavar="PX",
        help="of a red cell in the images (default: measured by their labels)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the split of a folder that has none (the training's seed), and of the interval",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, print the tables, write what was asked for."""
    from rich.console import Console

    from blood_cell_system.analysis.runtimes import load_runtime
    from blood_cell_system.analysis.segmenter_evaluation import EvaluationSettings, evaluate
    from blood_cell_system.annotation.splits import Split
    from blood_cell_system.atomic_files import write_json
    from blood_cell_system.cli.quiet_import import import_tensorflow
    from blood_cell_system.datasets.prepared import PreparedDataset
    from blood_cell_system.imaging.image_file import write_image
    from blood_cell_system.parallel import with_progress
    from blood_cell_system.reports.segmenter_evaluation import (
        evaluation_tables,
        evaluation_to_json,
        worst_images_sheet,
    )

    dataset = PreparedDataset.open(options.data_dir).with_splits(options.seed)
    images = images_of_split(dataset.of_split(Split(options.split)), options)
    if options.model.suffix.lower() != ".onnx":
        import_tensorflow()
    runtime = load_runtime(options.model)
    settings = EvaluationSettings(cell_diameters=cell_diameters(images, options))
    evaluation = evaluate(
        runtime,
        with_progress(images, total=len(images), description="Evaluating"),
        training_images=dataset.of_split(Split.TRAIN),
        settings=settings,
        seed=options.seed,
    )
    console = Console(highlight=False)
    title = f"{options.model} on {options.data_dir}, split {options.split}"
    console.print(evaluation_tables(evaluation, title=title))
    if options.json is not None:
        subject = {
            "model": str(options.model),
            "data_dir": str(options.data_dir),
            "split": options.split,
        }
        write_json(options.json, evaluation_to_json(evaluation, subject=subject))
        console.print(f"Numbers: {options.json}", markup=False, soft_wrap=True)
    if options.contact_sheet is not None:
        by_stem = {image.stem: image for image in images}
        sheet = worst_images_sheet(evaluation, by_stem, runtime, settings=settings)
        write_image(options.contact_sheet, sheet)
        console.print(f"Worst images: {options.contact_sheet}", markup=False, soft_wrap=True)
    return 1 if evaluation.failures else 0


def cell_diameters(
    images: tuple["PreparedImage", ...], options: argparse.Namespace
) -> dict[str, float]:
    """Diameter of the red cells of every source, as given or by the labels."""
    from blood_cell_system.datasets.cell_diameter import typical_diameters

    if options.cell_diameter is not None:
        return dict.fromkeys((image.source for image in images), options.cell_diameter)
    return typical_diameters(images)


def images_of_split(
    images: tuple["PreparedImage", ...], options: argparse.Namespace
) -> tuple["PreparedImage", ...]:
    """Pass the images through, or say that there are none.

    Raises
    ------
    DatasetError
        The split is empty.
    """
    from blood_cell_system.errors import DatasetError

    if not images:
        raise DatasetError(
            f"{options.data_dir}: the split {options.split!r} has no images; expected one at "
            f"least. Choose another --split of {', '.join(SPLITS)}, or a folder with more images."
        )
    return images
