"""``bloodcells classify``: images of single cells in, a table of classes out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from blood_cell_system.cli.options import Kind, Views, argument, option

if TYPE_CHECKING:
    from blood_cell_system.analysis.trained_models import ClassifierRuntime


def classify(
    *,
    paths: Annotated[list[Path], argument("PATH", "Folders of single cells, or images.")],
    kind: Kind,
    output: Annotated[Path, option("-o --output FILE.csv", "Table to write.")],
    model: Annotated[
        Path | None, option("--model FILE", "Classifier, .keras or .onnx.", default="built-in")
    ] = None,
    views: Views = None,
) -> int:
    """Classify images of single cells into a table.

    Examples
    --------
    bloodcells classify cells/ --kind rbc -o cells.csv
    """
    from blood_cell_system.analysis.classification import ClassificationSettings
    from blood_cell_system.imaging.image_folders import refuse_output_within
    from blood_cell_system.pipeline.single_cells import classify_files, find_cell_files, table_of
    from blood_cell_system.reports.image_files import table_to_csv, write_words
    from blood_cell_system.reports.report import DISCLAIMER, shown_name

    refuse_output_within(output, *paths)
    files = find_cell_files(paths)
    classifier = classifier_of(model, kind)
    cells = classify_files(files, classifier, ClassificationSettings(views=views))
    write_words(output, table_to_csv(*table_of(cells, classifier.metadata)))
    failed = [reason for reason in cells["reason"] if reason]
    for reason in failed:
        print(f"failed  {shown_name(reason)}")
    is_called = cells["is_known"] & ~cells["is_undecided"]
    counts = [
        f"{int(((cells['condition'] == name) & is_called).sum())} {name}"
        for name in classifier.metadata.conditions
    ]
    if undecided := int((cells["is_known"] & cells["is_undecided"]).sum()):
        counts.append(f"{undecided} undecided")
    counts.append(f"{int((~cells['is_known']).sum())} none of these")
    print(f"{', '.join(counts)}, {len(failed)} failed")
    if filled := int(cells["surround_filled"].sum()):
        print(f"Cut out before: {filled}; their surround has the colour of a guessed slide")
    print(f"Table: {shown_name(str(output))}")
    print(DISCLAIMER)
    return 1 if failed else 0


def classifier_of(model: Path | None, name: str) -> "ClassifierRuntime":
    """Load the classifier that was named, or the built-in one.

    Raises
    ------
    MissingDataError
        There is none.
    CheckpointError
        The file is damaged, carries code, or is no classifier of this kind.
    """
    from blood_cell_system.analysis.trained_models import load_classifier
    from blood_cell_system.errors import MissingDataError
    from blood_cell_system.model_metadata import ClassifierKind
    from blood_cell_system.pipeline.model_slots import (
        bundled_classifier,
        kind_of_model,
        weights_folder,
    )

    kind = kind_of_model(model, name) if model else ClassifierKind(name)
    path = model or bundled_classifier(kind)
    if path is None:
        raise MissingDataError(
            f"{weights_folder()}: no trained classifier of {kind.cell_type} cells comes with this "
            f"version. Train one with bloodcells train-classifier {kind}, then name it: "
            f"--model models/{kind.file_stem}.onnx"
        )
    return load_classifier(path, kind)
