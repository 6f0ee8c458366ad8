"""Everything that is written of a classifier's evaluation, in one folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from blood_cell_system.atomic_files import make_folder, write_json, write_text
from blood_cell_system.image_io import write_image
from blood_cell_system.inference.classifier_evaluation import ClassifierEvaluation
from blood_cell_system.inference.classifier_runtimes import ClassifierRuntime
from blood_cell_system.reports.classifier_evaluation_json import classifier_evaluation_to_json
from blood_cell_system.reports.classifier_evaluation_text import classifier_evaluation_text
from blood_cell_system.reports.classifier_plots import (
    write_confusion_plot,
    write_reliability_plot,
)
from blood_cell_system.reports.occlusion_sheet import occlusion_sheet
from blood_cell_system.training.classifier_data import CellSet


def write_evaluation_files(
    evaluation: ClassifierEvaluation,
    cells: CellSet,
    classifier: ClassifierRuntime,
    folder: Path,
    *,
    subject: Mapping[str, str],
) -> list[Path]:
    """Write tables, numbers and pictures of an evaluation.

    Parameters
    ----------
    evaluation : ClassifierEvaluation
    cells : CellSet
        That was measured.
    classifier : ClassifierRuntime
        That was measured; it runs once more on the cells shown.
    folder : Path
    subject : mapping of str
        What was measured: model, data folder, split.

    Returns
    -------
    list of Path
        What was written: ``evaluation.json``, ``evaluation.txt``, ``confusion_matrix.png``,
        ``reliability.png`` and ``answers.png``.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    """
    make_folder(folder)
    title = ", ".join(subject.values())
    json_path, text_path = folder / "evaluation.json", folder / "evaluation.txt"
    write_json(json_path, classifier_evaluation_to_json(evaluation, subject=subject))
    write_text(text_path, classifier_evaluation_text(evaluation, title=title))
    written = [json_path, text_path]
    named = [("condition", head) for head in evaluation.conditions[:1]]
    named += [("type", head) for head in evaluation.types[:1]]
    if named:
        confusion_path, reliability_path = (
            folder / "confusion_matrix.png",
            folder / "reliability.png",
        )
        write_confusion_plot(confusion_path, [head for _, head in named])
        write_reliability_plot(reliability_path, named)
        written += [confusion_path, reliability_path]
    sheet_path = folder / "answers.png"
    write_image(sheet_path, np.ascontiguousarray(occlusion_sheet(evaluation, cells, classifier)))
    return [*written, sheet_path]
