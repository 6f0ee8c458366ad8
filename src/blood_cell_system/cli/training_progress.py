"""Progress of a training, on the terminal or in a log."""

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from blood_cell_system.model_metadata import ClassifierKind
from blood_cell_system.pipeline.classifier_training import ClassifierFiles
from blood_cell_system.terminal import safe_console
from blood_cell_system.training.classifier import TrainedClassifier
from blood_cell_system.training.loop import TrainingListener, TrainingResult
from blood_cell_system.training.presets import ClassifierSettings, SegmentationSettings
from blood_cell_system.training.state import SEGMENTER_FILES, classifier_files
from blood_cell_system.wording import counted


class EpochProgress(TrainingListener, ABC):
    """A line an epoch with figures and time left; on a terminal also a bar within the epoch.

    With ``--quiet`` neither is shown.

    Parameters
    ----------
    opening : str
        Line before the start.
    batch_size : int
    examples : str
        What batches are of, in the plural.
    """

    def __init__(self, opening: str, *, batch_size: int, examples: str) -> None:
        self._opening, self._batch_size, self._examples = opening, batch_size, examples
        self.console = safe_console(highlight=False, soft_wrap=True)
        self._is_quiet = logging.getLogger("blood_cell_system").level >= logging.WARNING
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=self._is_quiet or not self.console.is_terminal,
        )
        self._task = self._progress.add_task("preparing", total=None)
        self._epochs = 0
        self._epoch_started = self._last_step = time.monotonic()
        self._steps = 0

    @abstractmethod
    def figures(self, row: Mapping[str, float]) -> str:
        """Give an epoch's figures in a few words."""

    def say(self, line: str) -> None:
        """Print a remark, unless the user wants quiet."""
        if not self._is_quiet:
            self.console.print(line)

    def __enter__(self) -> Self:
        self.say(f"{self._opening} Ctrl-C saves.")
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, *, remarks: Sequence[str], warnings: Sequence[str]) -> None:
        """Print what is known about the data."""
        for remark in remarks:
            self.say(remark)
        self.report_warnings(warnings)

    def begin_epoch(self, *, epoch: int, epochs: int, steps: int) -> None:
        """Start the bar of an epoch."""
        self._epochs = epochs
        self._epoch_started = self._last_step = time.monotonic()
        self._steps = 0
        self._progress.reset(self._task, total=steps, description=f"epoch {epoch}/{epochs}")

    def end_step(self) -> None:
        """Move the bar on."""
        self._steps += 1
        self._last_step = time.monotonic()
        self._progress.advance(self._task)

    def end_epoch(self, row: Mapping[str, float], *, is_best: bool, seconds_left: float) -> None:
        """Print an epoch's figures in a line; validation does not count for the rate."""
        seconds = max(self._last_step - self._epoch_started, 1e-9)
        rate = self._steps * self._batch_size / seconds
        self.say(
            f"epoch {int(row['epoch']):3d}/{self._epochs}  {self.figures(row)}"
            f"{' best' if is_best else '     '}  "
            f"{time.monotonic() - self._epoch_started:.1f} s, {rate:.1f} {self._examples}/s, "
            f"left {as_words(seconds_left)}"
        )

    def report_warnings(self, warnings: Sequence[str]) -> None:
        """Print what a person should check."""
        for warning in warnings:
            self.console.print(f"warning: {warning}", style="yellow")

    def _report_end(
        self,
        result: TrainingResult | TrainedClassifier,
        *,
        score: str,
        remarks: Sequence[str] = (),
        model: str,
        curves: Path,
        log_dir: Path,
    ) -> None:
        """Print how the training ended and where its files are, or how to continue it."""
        if result.is_complete:
            self.console.print(
                f"Best validation {score} {result.best_score:.4f} in epoch {result.best_epoch}; "
                f"{counted(result.epochs, 'epoch')} took {as_words(result.seconds)}."
            )
        else:
            self.console.print(
                "Stopped and saved. Go on with the same command and --resume-from "
                f"{result.model_path}"
            )
        for remark in remarks:
            self.console.print(remark)
        self.report_warnings(result.warnings)
        if model:
            self.console.print(f"Model:  {model}")
        self.console.print(f"Curves: {curves}, or tensorboard --logdir {log_dir}")


class TrainingProgress(EpochProgress):
    """Progress of a training of the segmenter."""

    def __init__(self, settings: SegmentationSettings) -> None:
        super().__init__(
            f"Preset {settings.preset}: {counted(settings.epochs, 'epoch')} of "
            f"{settings.crops_per_epoch} crops, batch size {settings.batch_size}, "
            f"d_reduced {settings.d_reduced}, seed {settings.seed}.",
            batch_size=settings.batch_size,
            examples="images",
        )

    def figures(self, row: Mapping[str, float]) -> str:
        """Give losses and IoU."""
        return (
            f"loss {row['train_class_loss']:.3f}  val {row['val_class_loss']:.3f}  "
            f"IoU {row['val_mean_iou']:.4f} (background {row['val_iou_background']:.3f}, "
            f"RBC {row['val_iou_rbc']:.3f}, WBC {row['val_iou_wbc']:.3f})"
        )

    def report_result(self, result: TrainingResult, checkpoint_dir: Path, log_dir: Path) -> None:
        """Print the result of the training and where it is stored."""
        self._report_end(
            result,
            score="IoU",
            model=str(result.model_path),
            curves=checkpoint_dir / SEGMENTER_FILES.curves,
            log_dir=log_dir,
        )


def as_words(seconds: float) -> str:
    """Give a duration in words.

    Examples
    --------
    >>> as_words(83.2), as_words(7)
    ('1 min 23 s', '7 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


_FIGURES = (
    ("val_condition_balanced_accuracy", "condition"),
    ("val_condition_auroc", "AUROC"),
    ("val_type_macro_f1", "type F1"),
    ("val_known_auroc", "known AUROC"),
)


class ClassifierProgress(EpochProgress):
    """Progress of a training of a classifier."""

    def __init__(self, settings: ClassifierSettings) -> None:
        adaptation = ", domain adaptation" if settings.has_domain_adaptation else ""
        super().__init__(
            f"Preset {settings.preset}: {counted(settings.epochs, 'epoch')} of "
            f"{counted(settings.cells_per_epoch, 'cell')}, batch size {settings.batch_size}, "
            f"d_reduced {settings.d_reduced}{adaptation}, seed {settings.seed}.",
            batch_size=settings.batch_size,
            examples="cells",
        )

    def figures(self, row: Mapping[str, float]) -> str:
        """Give losses and validation figures."""
        known = [f"{label} {row[name]:.3f}" for name, label in _FIGURES if _is_finite(row[name])]
        return (
            f"loss {row['train_loss']:.3f}  val {row['val_loss']:.3f}  "
            f"score {row['val_score']:.4f} ({', '.join(known)})"
        )

    def report_result(
        self, trained: TrainedClassifier, output_dir: Path, log_dir: Path, *, kind: ClassifierKind
    ) -> None:
        """Print the result of the training and where it is stored."""
        remarks = []
        if (found := trained.calibration) is not None:
            remarks += [
                f"Calibration error of {name} on validation: {found.errors_before[name]:.3f} "
                f"before, {error:.3f} after dividing by the temperature "
                f"{found.temperatures[name]:.2f}."
                for name, error in found.errors_after.items()
            ]
        if trained.probe is not None and _is_finite(trained.probe.accuracy):
            remarks.append(
                f"A linear probe finds the cells' sources from the features in "
                f"{trained.probe.accuracy:.0%} of cases; chance is {trained.probe.chance:.0%}."
            )
        files = ClassifierFiles.within(output_dir, kind)
        model = f"{files.onnx} and {files.keras} with {files.metadata.name}"
        self._report_end(
            trained,
            score="score",
            remarks=remarks,
            model=model if trained.is_complete else "",
            curves=output_dir / classifier_files(kind).curves,
            log_dir=log_dir,
        )


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
