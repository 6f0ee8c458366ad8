"""The record of a training: history, curves, advice, ``run.json``, events for TensorBoard."""

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.atomic_files import make_folder, write_json, write_text
from blood_cell_system.errors import OutputError
from blood_cell_system.imaging.plot import plot_file

Row = Mapping[str, float]
History = Sequence[Row]

FEWEST_EPOCHS: Final = 6
"""Epochs from which losses of the middle and the last third are compared."""

_STAYS_ABOVE: Final = 0.97
"""Share of the first epoch's loss: a fall below it is more than the noise between epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """How the history of a kind of training is drawn and assessed.

    Parameters
    ----------
    score : str
        Figure of a row, the larger the better; the best model is chosen by it.
    good_score : float
        Below it, ``low_score_advice`` is given.
    train_loss, val_loss : str
        Losses that are compared to find overfitting.
    overfitting_rise : float
        Factor by which the validation loss rises over a third of the run when it is more than the
        noise between epochs.
    loss_labels, score_labels : mapping of str to str
        Labels of the lines by figure; those that a history lacks, or has no number of, are left
        out. The first score is drawn thicker.
    is_log_loss : bool
        Whether the losses' axis is logarithmic.
    low_score_advice, flat_loss_advice, overfitting_advice : str
        The first with ``{best}`` and ``{good}``.
    """

    score: str
    good_score: float
    train_loss: str
    val_loss: str
    overfitting_rise: float
    loss_title: str
    loss_labels: Mapping[str, str]
    score_title: str
    score_labels: Mapping[str, str]
    is_log_loss: bool = False
    low_score_advice: str
    flat_loss_advice: str
    overfitting_advice: str


def advice_on(history: History, view: HistoryView) -> list[str]:
    """Warnings about what the curves show; empty when all is well."""
    if not history:
        return []
    warnings = []
    best = max(row[view.score] for row in history)
    if best < view.good_score:
        warnings.append(
            view.low_score_advice.format(best=f"{best:.2f}", good=f"{view.good_score:.2f}")
        )
    losses = [row[view.train_loss] for row in history]
    if len(losses) >= 3 and min(losses[1:]) > _STAYS_ABOVE * losses[0]:
        warnings.append(view.flat_loss_advice)
    if _overfits(history, view):
        warnings.append(view.overfitting_advice)
    return warnings


def _overfits(history: History, view: HistoryView) -> bool:
    """Whether, late in the run, the training loss falls while the validation loss rises."""
    if len(history) < FEWEST_EPOCHS:
        return False
    third = len(history) // 3
    middle, last = history[third : 2 * third], history[-third:]
    rises = _mean(last, view.val_loss) > view.overfitting_rise * _mean(middle, view.val_loss)
    return rises and _mean(last, view.train_loss) < _mean(middle, view.train_loss)


def _mean(rows: History, name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def write_history(path: Path, history: History) -> None:
    """Write a row an epoch, with the endings ``.csv`` and ``.json``."""
    write_json(path.with_suffix(".json"), list(history))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path.with_suffix(".csv"), text.getvalue())


def write_curves(path: Path, history: History, view: HistoryView) -> None:
    """Draw losses, validation figures and learning rate over the epochs."""
    panels = (
        (view.loss_title, view.loss_labels),
        (view.score_title, view.score_labels),
        ("Learning rate", {"learning_rate": "learning rate"}),
    )
    with plot_file(path, size_inches=(13, 4)) as figure:
        for axes, (title, labels) in zip(figure.subplots(1, 3), panels, strict=True):
            for name, label in labels.items():
                values = [row.get(name, math.nan) for row in history]
                if not all(math.isnan(value) for value in values):
                    width = 2.5 if name == view.score else 1.2
                    axes.plot(
                        [row["epoch"] for row in history], values, label=label, linewidth=width
                    )
            axes.set(title=title, xlabel="epoch")
            axes.legend()
            axes.grid(alpha=0.3)
        figure.axes[0].set_yscale("log" if view.is_log_loss else "linear")


def write_run(path: Path, details: Mapping[str, Any]) -> None:
    """Write ``run.json``: what was trained on what, with what, and what came of it."""
    packages = ("keras", "numpy", "opencv-python-headless")
    versions = {name: version(name) for name in packages}
    import tensorflow as tf

    versions["tensorflow"] = tf.__version__
    versions["python"] = platform.python_version()
    versions["blood-cell-system"] = blood_cell_system.__version__
    machine = {"system": platform.platform(), "processor": platform.machine()}
    write_json(path, {"versions": versions, "machine": machine, **details})


class TensorBoardLog:
    """Scalars and example overlays for ``tensorboard --logdir logs/``.

    Parameters
    ----------
    folder : Path
        Folder of this run.
    """

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._tf = tf
        self._writer = tf.summary.create_file_writer(str(folder))

    def write_epoch(self, row: Mapping[str, float]) -> None:
        """Write an epoch's row: validation figures and training losses side by side."""
        with self._writer.as_default(step=int(row["epoch"])):
            for name, value in row.items():
                if name != "epoch":
                    group, _, rest = name.partition("_")
                    is_figure = group in {"train", "val"}
                    tag = f"{rest}/{group}" if is_figure else name
                    self._tf.summary.scalar(tag, value)
        self._writer.flush()

    def write_images(self, images: Sequence[NDArray[np.uint8]], *, epoch: int) -> None:
        """Write images of one size as examples; none is nothing."""
        if not images:
            return
        with self._writer.as_default(step=epoch):
            self._tf.summary.image("validation", np.stack(images), max_outputs=len(images))
        self._writer.flush()

    def close(self) -> None:
        """Finish the events file."""
        self._writer.close()


def new_run_name(log_dir: Path, preset: str, *, kind: str) -> str:
    """Make a folder in ``log_dir`` that no other run has; ``segmentation-balanced-001`` and so on.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """
    number = 1
    while True:
        name = f"{kind}-{preset}-{number:03d}"
        try:
            # Trainings that begin at the same time, into different folders, may share their logs'.
            make_folder(log_dir).joinpath(name).mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            raise OutputError(
                f"{log_dir / name}: cannot make this folder ({error.strerror or error}). "
                "Choose another --log-dir."
            ) from error
        else:
            return name
