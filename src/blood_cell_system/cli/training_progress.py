"""How a training goes, on the terminal or in a log."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from blood_cell_system.training.presets import SegmentationSettings
from blood_cell_system.training.run_record import CURVES_NAME
from blood_cell_system.training.segmentation import TrainingListener, TrainingResult


class TrainingProgress(TrainingListener):
    """A line an epoch with figures and time left; on a terminal also a bar within the epoch."""

    def __init__(self, settings: SegmentationSettings) -> None:
        self._settings = settings
        self._console = Console(highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("preparing", total=None)
        self._epoch_started = time.monotonic()

    def __enter__(self) -> Self:
        self._console.print(
            f"Preset {self._settings.preset}: {self._settings.epochs} epochs of "
            f"{self._settings.crops_per_epoch} crops, batch size {self._settings.batch_size}, "
            f"d_reduced {self._settings.d_reduced}, seed {self._settings.seed}. Ctrl-C saves."
        )
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin_epoch(self, *, epoch: int, epochs: int, steps: int) -> None:
        """Start the bar of an epoch."""
        self._epoch_started = time.monotonic()
        self._progress.reset(self._task, total=steps, description=f"epoch {epoch}/{epochs}")

    def end_step(self) -> None:
        """Move the bar on."""
        self._progress.advance(self._task)

    def end_epoch(self, row: Mapping[str, float], *, is_best: bool, seconds_left: float) -> None:
        """Tell an epoch's figures in a line."""
        self._console.print(
            f"epoch {int(row['epoch']):3d}/{self._settings.epochs}  "
            f"loss {row['train_class_loss']:.3f}  val {row['val_class_loss']:.3f}  "
            f"IoU {row['val_mean_iou']:.4f} (background {row['val_iou_background']:.3f}, "
            f"RBC {row['val_iou_rbc']:.3f}, WBC {row['val_iou_wbc']:.3f})"
            f"{' best' if is_best else '     '}  "
            f"{time.monotonic() - self._epoch_started:.1f} s, left {_as_words(seconds_left)}"
        )

    def tell_result(self, result: TrainingResult, checkpoint_dir: Path, log_dir: Path) -> None:
        """Say what came of the training and where it lies."""
        if result.is_complete:
            self._console.print(
                f"Best validation IoU {result.best_iou:.4f} in epoch {result.best_epoch}; "
                f"{result.epochs} epochs took {_as_words(result.seconds)}."
            )
        else:
            self._console.print(
                "Stopped and saved. Go on with the same command and "
                f"--resume-from {result.model_path}"
            )
        for warning in result.warnings:
            self._console.print(f"warning: {warning}", style="yellow")
        self._console.print(
            f"Model:  {result.model_path}\n"
            f"Curves: {checkpoint_dir / CURVES_NAME}, or tensorboard --logdir {log_dir}"
        )


def _as_words(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
