"""The record of a training: history, curves, run.json, TensorBoard."""

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import blood_cell_system
from blood_cell_system.atomic_files import replacing, write_json, write_text

History = Sequence[Mapping[str, float]]

GOOD_IOU = 0.70


def advice_on(history: History) -> list[str]:
    """Warnings that a person would give who looks at the curves.

    Parameters
    ----------
    history : sequence of mapping
        A row an epoch with ``train_class_loss``, ``val_class_loss`` and ``val_mean_iou``.

    Returns
    -------
    list of str
        Empty when all is well.
    """
    if not history:
        return []
    warnings = []
    best_iou = max(row["val_mean_iou"] for row in history)
    if best_iou < GOOD_IOU:
        warnings.append(
            f"Validation IoU reached {best_iou:.2f}, below {GOOD_IOU:.2f}: more augmentation "
            "(--mode augment --aug-factor 5), longer training (--epochs 100), or check the masks "
            "(--mode verify)."
        )
    if does_not_fall(history, "train_class_loss"):
        warnings.append(
            "The training loss does not fall: the learning rate is too high or too low "
            "(--learning-rate), or the masks do not fit the images (--mode verify)."
        )
    # A rise of a tenth over a third of the run is more than the noise between epochs.
    if overfits(history, learned="train_class_loss", measured="val_class_loss", rise=1.1):
        warnings.append(
            "Overfitting: the training loss falls while the validation loss rises. Use fewer "
            "epochs (--epochs), --dropout 0.2, more augmentation, or more images. The best model "
            "by validation IoU is the one that was kept."
        )
    return warnings


def does_not_fall(history: History, name: str) -> bool:
    """Whether a loss is never clearly below that of the first epoch."""
    losses = [row[name] for row in history]
    return len(losses) >= 3 and min(losses[1:]) > 0.97 * losses[0]


def overfits(history: History, *, learned: str, measured: str, rise: float) -> bool:
    """Whether, late in the run, the loss of training falls while that of validation rises.

    Parameters
    ----------
    history : sequence of mapping
        A row an epoch; of fewer than six nothing is said.
    learned, measured : str
        Names of the losses.
    rise : float
        Factor that is more than the noise between epochs.
    """
    if len(history) < 6:
        return False
    third = len(history) // 3
    middle, last = history[third : 2 * third], history[-third:]
    rises = _mean(last, measured) > rise * _mean(middle, measured)
    return rises and _mean(last, learned) < _mean(middle, learned)


def _mean(rows: History, name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


HISTORY_NAME = "history"
CURVES_NAME = "training_curves.png"
RUN_NAME = "run.json"


def write_history(folder: Path, history: History) -> None:
    """Write ``history.csv`` and ``history.json``: a row an epoch."""
    write_json(folder / f"{HISTORY_NAME}.json", list(history))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(folder / f"{HISTORY_NAME}.csv", text.getvalue())


def write_curves(path: Path, history: History) -> None:
    """Draw losses, IoU by class and learning rate over the epochs."""
    # Figure without pyplot: no display, no global state, safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, iou_axes, rate_axes = figure.subplots(1, 3)
    loss_axes.plot(epochs, [row["train_class_loss"] for row in history], label="training")
    loss_axes.plot(epochs, [row["val_class_loss"] for row in history], label="validation")
    loss_axes.set(title="Class loss (cross-entropy + Dice)", xlabel="epoch", yscale="log")
    loss_axes.legend()
    for name, label in (
        ("val_mean_iou", "mean"),
        ("val_iou_background", "background"),
        ("val_iou_rbc", "RBC"),
        ("val_iou_wbc", "WBC"),
    ):
        width = 2.5 if label == "mean" else 1.2
        iou_axes.plot(epochs, [row[name] for row in history], label=label, linewidth=width)
    iou_axes.set(title="Validation IoU", xlabel="epoch")
    iou_axes.legend(loc="lower right")
    rate_axes.plot(epochs, [row["learning_rate"] for row in history])
    rate_axes.set(title="Learning rate", xlabel="epoch")
    for axes in (loss_axes, iou_axes, rate_axes):
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


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
        """Write images of one size as examples."""
        with self._writer.as_default(step=epoch):
            self._tf.summary.image("validation", np.stack(images), max_outputs=len(images))
        self._writer.flush()

    def close(self) -> None:
        """Finish the events file."""
        self._writer.close()


def new_run_name(log_dir: Path, preset: str, *, kind: str = "segmentation") -> str:
    """Name of a run that no folder in ``log_dir`` has: ``segmentation-balanced-001`` and so on."""
    taken = {path.name for path in log_dir.iterdir()} if log_dir.is_dir() else set()
    number = 1
    while f"{kind}-{preset}-{number:03d}" in taken:
        number += 1
    return f"{kind}-{preset}-{number:03d}"
