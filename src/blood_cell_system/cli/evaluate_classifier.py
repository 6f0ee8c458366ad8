"""``bloodcells evaluate-classifier``: how good a classifier is on the cells of a split."""

import argparse
from pathlib import Path

from blood_cell_system.model_metadata import ClassifierKind

SPLITS = ("train", "val", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("--kind", choices=[str(kind) for kind in ClassifierKind], required=True)
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help=".onnx or .keras (default: ./models/KIND_classifier.onnx)",
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="folder of cells (default: ./data/cells_KIND)"
    )
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="write evaluation.json, evaluation.txt, confusion matrix, reliability diagram and a "
        "sheet of right and wrong answers there",
    )
    parser.add_argument(
        "--views",
        type=int,
        choices=(1, 4, 8),
        help="average over quarter turns (4), flips too (8) (default: red cells 1, white cells 4)",
    )
    parser.add_argument("--block-pattern", metavar="REGEX", help="as in train-classifier")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the split of a folder that has none (the training's seed), and of the intervals",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, print the tables, write what was asked for."""
    from rich.console import Console

    from blood_cell_system.analysis.classification import ClassificationSettings
    from blood_cell_system.analysis.classifier_evaluation import evaluate_classifier
    from blood_cell_system.analysis.runtimes import load_classifier
    from blood_cell_system.annotation.splits import Split
    from blood_cell_system.cli.quiet_import import import_tensorflow
    from blood_cell_system.datasets.cell_folder import CellFolder
    from blood_cell_system.reports.classifier_evaluation import (
        classifier_evaluation_tables,
        write_evaluation_files,
    )
    from blood_cell_system.training.classifier_data import CellClasses, read_cells

    kind = ClassifierKind(options.kind)
    model = options.model or Path(f"./models/{kind.file_stem}.onnx")
    data_dir = options.data_dir or Path(f"./data/cells_{kind}")
    folder = CellFolder.open(
        data_dir, kind=kind, block_pattern=options.block_pattern, seed=options.seed
    )
    if model.suffix.lower() == ".keras":
        import_tensorflow()
    classifier = load_classifier(model, kind)
    metadata = classifier.metadata
    classes = CellClasses(conditions=metadata.conditions, types=metadata.subtypes)
    cells = read_cells(folder, Split(options.split), classes)
    evaluation = evaluate_classifier(
        classifier,
        cells,
        settings=ClassificationSettings(views=options.views),
        seed=options.seed,
    )
    console = Console(highlight=False)
    title = f"{model} on {data_dir}, split {options.split}"
    console.print(classifier_evaluation_tables(evaluation, title=title))
    if options.output_dir is not None:
        subject = {"model": str(model), "data_dir": str(data_dir), "split": options.split}
        for path in write_evaluation_files(
            evaluation, cells, classifier, options.output_dir, subject=subject
        ):
            console.print(f"Written: {path}", markup=False, soft_wrap=True)
    return 0
