"""How a training of a classifier goes, on the terminal or in a log."""

import math
from collections.abc import Mapping
from pathlib import Path

from blood_cell_system.classifier_facts import ClassifierKind
from blood_cell_system.cli.training_progress import EpochProgress, as_words
from blood_cell_system.pipeline.classifier_training import ClassifierFiles
from blood_cell_system.training.classification import TrainedClassifier
from blood_cell_system.training.classifier_loop import run_files
from blood_cell_system.training.classifier_presets import ClassifierSettings
from blood_cell_system.training.run_record import CURVES_NAME

_FIGURES = (
    ("val_condition_balanced_accuracy", "condition"),
    ("val_condition_auroc", "AUROC"),
    ("val_type_macro_f1", "type F1"),
    ("val_known_auroc", "known AUROC"),
)


class ClassifierProgress(EpochProgress):
    """A line an epoch; at the end, what came of it."""

    def __init__(self, settings: ClassifierSettings) -> None:
        adaptation = ", domain adaptation" if settings.has_domain_adaptation else ""
        super().__init__(
            f"Preset {settings.preset}: {settings.epochs} epochs of {settings.cells_per_epoch} "
            f"cells, batch size {settings.batch_size}, d_reduced {settings.d_reduced}"
            f"{adaptation}, seed {settings.seed}."
        )

    def figures(self, row: Mapping[str, float]) -> str:
        """Tell losses and validation figures."""
        known = [f"{label} {row[name]:.3f}" for name, label in _FIGURES if _is_finite(row[name])]
        return (
            f"loss {row['train_loss']:.3f}  val {row['val_loss']:.3f}  "
            f"score {row['val_score']:.4f} ({', '.join(known)})"
        )

    def tell_result(
        self, trained: TrainedClassifier, output_dir: Path, log_dir: Path, *, kind: ClassifierKind
    ) -> None:
        """Say what came of the training and where it lies."""
        if trained.is_complete:
            self.console.print(
                f"Best validation score {trained.best_score:.4f} in epoch {trained.best_epoch}; "
                f"{trained.epochs} epochs took {as_words(trained.seconds)}."
            )
        else:
            self.tell_stopped(output_dir / run_files(kind).model)
        if trained.calibration is not None:
            for name, error in trained.calibration.errors_after.items():
                self.console.print(
                    f"Calibration error of {name} on validation: "
                    f"{trained.calibration.errors_before[name]:.3f} before, {error:.3f} after "
                    f"dividing by the temperature {trained.calibration.temperatures[name]:.2f}."
                )
        if trained.probe is not None and _is_finite(trained.probe.accuracy):
            self.console.print(
                f"A linear probe tells the cells' sources from the features in "
                f"{trained.probe.accuracy:.0%} of cases; chance is {trained.probe.chance:.0%}."
            )
        self.tell_warnings(trained.warnings)
        if trained.is_complete:
            files = ClassifierFiles.within(output_dir, kind)
            self.console.print(f"Model:  {files.onnx} and {files.keras} with {files.facts.name}")
        self.console.print(f"Curves: {output_dir / CURVES_NAME}, or tensorboard --logdir {log_dir}")


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
