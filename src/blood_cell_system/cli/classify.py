"""``bloodcells classify``: images of single cells in, a table of classes out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from blood_cell_system.model_metadata import ClassifierKind

if TYPE_CHECKING:
    from blood_cell_system.analysis.classifier_runtimes import ClassifierRuntime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="DIR", help="folders of single cells, or images"
    )
    parser.add_argument("--kind", choices=[str(kind) for kind in ClassifierKind], required=True)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE.csv", help="table to write"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a .keras or .onnx file (default: the built-in)"
    )
    parser.add_argument(
        "--views",
        type=int,
        choices=(1, 4, 8),
        help="average over quarter turns (4), flips too (8) (default: red cells 1, white cells 4)",
    )


def run(options: argparse.Namespace) -> int:
    """Classify every image, write the table, say what failed."""
    from functools import partial

    from blood_cell_system.analysis.classification import ClassificationSettings
    from blood_cell_system.parallel import with_progress
    from blood_cell_system.pipeline.single_cells import (
        classify_files,
        find_cell_files,
        table_of,
    )
    from blood_cell_system.reports.image_files import table_to_csv, write_words
    from blood_cell_system.reports.report import DISCLAIMER, shown_name

    files = find_cell_files(options.paths)
    classifier = classifier_of(options.model, ClassifierKind(options.kind))
    cells = classify_files(
        files,
        classifier,
        ClassificationSettings(views=options.views),
        progress=partial(with_progress, total=len(files), description="Classifying"),
    )
    write_words(options.output, table_to_csv(*table_of(cells, classifier.facts)))
    failed = [reason for reason in cells["reason"] if reason]
    for reason in failed:
        print(f"failed  {shown_name(reason)}")
    counts = ", ".join(
        f"{int(((cells['condition'] == name) & cells['is_known']).sum())} {name}"
        for name in classifier.facts.conditions
    )
    print(f"{counts}, {int((~cells['is_known']).sum())} none of these, {len(failed)} failed")
    print(f"Table: {shown_name(str(options.output))}")
    print(DISCLAIMER)
    return 1 if failed else 0


def classifier_of(model: Path | None, kind: ClassifierKind) -> "ClassifierRuntime":
    """Load the classifier that was named, or the built-in one.

    Raises
    ------
    MissingDataError
        There is none.
    CheckpointError
        The file is damaged, carries code, or is no classifier of this kind.
    """
    from blood_cell_system.analysis.classifier_runtimes import load_classifier
    from blood_cell_system.cli.quiet_import import import_tensorflow
    from blood_cell_system.errors import MissingDataError
    from blood_cell_system.pipeline.model_slots import bundled_classifier, weights_folder

    path = model or bundled_classifier(kind)
    if path is None:
        raise MissingDataError(
            f"{weights_folder()}: no trained classifier of {kind.cell_type} cells comes with this "
            f"version. Train one with bloodcells train-classifier {kind}, then name it: "
            f"--model models/{kind.file_stem}.onnx"
        )
    if path.suffix.lower() == ".keras" and path.is_file():
        import_tensorflow()
    return load_classifier(path, kind)
