"""From a folder of cells to the files of a classifier that others can use."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from blood_cell_system.analysis.classifier_evaluation import (
    ClassifierEvaluation,
    evaluate_classifier,
)
from blood_cell_system.analysis.opened_networks import KerasNetwork
from blood_cell_system.analysis.trained_models import NetworkClassifier
from blood_cell_system.annotation.splits import Split
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.folder_lock import locked_folder
from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.networks.onnx_export import export_onnx, save_classifier
from blood_cell_system.reports.classifier_sheets import short_figures, write_evaluation_files
from blood_cell_system.training.classifier import TrainedClassifier, train_classifier
from blood_cell_system.training.classifier_data import CellClasses, read_cells
from blood_cell_system.training.classifier_fine_tuning import (
    ClassifierStart,
    FineTuned,
    fine_tune_classifier,
)
from blood_cell_system.training.loop import TrainingListener
from blood_cell_system.training.presets import ClassifierSettings
from blood_cell_system.training.state import TrainingState


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierFiles:
    """Where a trained classifier lies.

    Parameters
    ----------
    keras, onnx, metadata : Path
        ``rbc_classifier.keras``, ``rbc_classifier.onnx`` and ``rbc_classifier.json``, or ``wbc``.
    """

    keras: Path
    onnx: Path
    metadata: Path

    @classmethod
    def within(cls, folder: Path, kind: ClassifierKind) -> "ClassifierFiles":
        """Name the files of a kind in a folder."""
        stem = kind.file_stem
        return cls(
            keras=folder / f"{stem}.keras",
            onnx=folder / f"{stem}.onnx",
            metadata=folder / f"{stem}.json",
        )


def train_classifier_files(
    folder: CellFolder,
    settings: ClassifierSettings,
    *,
    output_dir: Path,
    log_dir: Path,
    resume: TrainingState | None = None,
    listener: TrainingListener | None = None,
    is_deterministic: bool = False,
    devices: Sequence[str] | None = None,
    report: Callable[[str], None] = lambda words: None,
) -> TrainedClassifier:
    """Train a classifier, measure it, and write it as ``.keras`` with ``.json`` and as ``.onnx``.

    Figures of the cells held out for testing, if there are any, go into its metadata, and in full
    into the folder ``rbc_classifier_test`` or ``wbc_classifier_test`` beside the model. A training
    that is stopped writes its state only.

    Parameters
    ----------
    folder, settings, output_dir, log_dir, resume, listener, is_deterministic, devices
        As of ``train_classifier``.
    report : callable
        Gets a sentence before what takes a while.

    Raises
    ------
    BloodCellError
        As of ``train_classifier``.
    """
    with locked_folder(output_dir, command="train-classifier"):
        trained = train_classifier(
            folder,
            settings,
            output_dir=output_dir,
            log_dir=log_dir,
            resume=resume,
            listener=listener,
            is_deterministic=is_deterministic,
            devices=devices,
        )
        if trained.metadata is None:
            return trained
        metadata = trained.metadata
        if folder.select(Split.TEST):
            report("Measuring the classifier on the cells held out for testing.")
            network = KerasNetwork(trained.model, metadata=metadata)
            evaluation = _measured(NetworkClassifier(network, folder.kind), folder, output_dir)
            metadata = metadata.replace(
                measured={**metadata.measured, "test": short_figures(evaluation)}
            )
            for line in _headlines(evaluation):
                report(line)
        files = ClassifierFiles.within(output_dir, folder.kind)
        report("Writing the classifier as .keras and .onnx.")
        save_classifier(trained.model, files.keras, metadata=metadata)
        export_onnx(trained.model, files.onnx, metadata=metadata)
        return replace(trained, metadata=metadata)


def fine_tune_classifier_files(
    start: ClassifierStart, folder: CellFolder, *, output_dir: Path, seed: int = 0
) -> FineTuned:
    """Fine-tune a classifier and write it as ``.keras`` with ``.json`` and as ``.onnx``.

    Raises
    ------
    BloodCellError
        As of ``fine_tune_classifier``, or a file cannot be written.
    """
    with locked_folder(output_dir, command="train-classifier"):
        tuned = fine_tune_classifier(start, folder, seed=seed)
        files = ClassifierFiles.within(output_dir, folder.kind)
        save_classifier(tuned.model, files.keras, metadata=tuned.metadata)
        export_onnx(tuned.model, files.onnx, metadata=tuned.metadata)
        return tuned


def _measured(
    classifier: NetworkClassifier, folder: CellFolder, output_dir: Path
) -> ClassifierEvaluation:
    metadata = classifier.metadata
    classes = CellClasses(conditions=metadata.conditions, types=metadata.subtypes)
    cells = read_cells(folder, Split.TEST, classes)
    evaluation = evaluate_classifier(classifier, cells)
    subject = {"model": folder.kind.file_stem, "data_dir": str(folder.root), "split": "test"}
    target = output_dir / f"{folder.kind.file_stem}_test"
    write_evaluation_files(evaluation, cells, classifier, target, subject=subject)
    return evaluation


def _headlines(evaluation: ClassifierEvaluation) -> Iterator[str]:
    for scores in evaluation.diseases:
        yield f"{scores.condition} against healthy, {scores.where}: AUROC {scores.auroc}"
    for name, heads in (("Conditions", evaluation.conditions), ("Types", evaluation.types)):
        for head in heads[:1]:
            yield (
                f"{name}: accuracy {head.accuracy}, macro F1 {head.macro_f1}, calibration error "
                f"{head.calibration_error}"
            )
