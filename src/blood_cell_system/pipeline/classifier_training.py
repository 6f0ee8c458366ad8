"""From a folder of cells to the files of a classifier that others can use."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blood_cell_system.classifier_facts import ClassifierKind
from blood_cell_system.datasets.cell_folder import CellFolder
from blood_cell_system.models.classifier_export import export_classifier, save_classifier
from blood_cell_system.training.classification import TrainedClassifier, train_classifier
from blood_cell_system.training.classifier_presets import ClassifierSettings
from blood_cell_system.training.epoch_loop import TrainingListener
from blood_cell_system.training.state import TrainingState


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierFiles:
    """Where a trained classifier lies.

    Parameters
    ----------
    keras, onnx, facts : Path
        ``rbc_classifier.keras``, ``rbc_classifier.onnx`` and ``rbc_classifier.json``, or ``wbc``.
    """

    keras: Path
    onnx: Path
    facts: Path

    @classmethod
    def within(cls, folder: Path, kind: ClassifierKind) -> "ClassifierFiles":
        """Name the files of a kind in a folder."""
        stem = kind.file_stem
        return cls(
            keras=folder / f"{stem}.keras",
            onnx=folder / f"{stem}.onnx",
            facts=folder / f"{stem}.json",
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
    tell: Callable[[str], None] = lambda words: None,
) -> TrainedClassifier:
    """Train a classifier and write it as ``.keras`` with ``.json``, and as ``.onnx``.

    A training that is stopped writes its state only.

    Parameters
    ----------
    folder, settings, output_dir, log_dir, resume, listener, is_deterministic
        As of ``train_classifier``.
    tell : callable
        Gets a sentence before what takes a while.

    Raises
    ------
    BloodCellError
        As of ``train_classifier``.
    """
    trained = train_classifier(
        folder,
        settings,
        output_dir=output_dir,
        log_dir=log_dir,
        resume=resume,
        listener=listener,
        is_deterministic=is_deterministic,
    )
    if trained.facts is not None:
        files = ClassifierFiles.within(output_dir, folder.kind)
        tell("Writing the classifier as .keras and .onnx.")
        save_classifier(trained.model, files.keras, facts=trained.facts)
        export_classifier(trained.model, files.onnx, facts=trained.facts)
    return trained
