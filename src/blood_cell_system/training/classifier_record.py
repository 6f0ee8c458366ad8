"""The curves of a classifier's training, drawn and in words."""

from collections.abc import Sequence
from pathlib import Path

from blood_cell_system.atomic_files import replacing
from blood_cell_system.training.advice import does_not_fall, overfits
from blood_cell_system.training.loop_parts import Row

GOOD_SCORE = 0.85


def write_classifier_curves(path: Path, history: Sequence[Row]) -> None:
    """Draw losses, validation figures and learning rate over the epochs."""
    # Figure without pyplot: no display, no global state, safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, figure_axes, rate_axes = figure.subplots(1, 3)
    for name in ("train_condition_loss", "train_type_loss", "train_known_loss", "val_loss"):
        if name in history[0]:
            label = name.replace("_", " ").replace("val loss", "validation, without smoothing")
            loss_axes.plot(epochs, [row[name] for row in history], label=label)
    loss_axes.set(title="Losses", xlabel="epoch")
    loss_axes.legend()
    for name, label in (
        ("val_score", "score"),
        ("val_condition_balanced_accuracy", "condition, balanced accuracy"),
        ("val_condition_auroc", "condition, AUROC"),
        ("val_type_macro_f1", "type, macro F1"),
        ("val_known_auroc", "one of the classes at all, AUROC"),
    ):
        values = [row[name] for row in history]
        # NaN, the only value unequal to itself, where there is nothing to measure.
        if any(value == value for value in values):
            width = 2.5 if label == "score" else 1.2
            figure_axes.plot(epochs, values, label=label, linewidth=width)
    figure_axes.set(title="Validation", xlabel="epoch")
    figure_axes.legend(loc="lower right")
    rate_axes.plot(epochs, [row["learning_rate"] for row in history])
    rate_axes.set(title="Learning rate", xlabel="epoch")
    for axes in (loss_axes, figure_axes, rate_axes):
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def classifier_advice(history: Sequence[Row]) -> list[str]:
    """Warnings that a person would give who looks at the curves.

    Parameters
    ----------
    history : sequence of mapping
        A row an epoch with ``train_loss``, ``val_loss`` and ``val_score``.

    Returns
    -------
    list of str
        Empty when all is well.
    """
    if not history:
        return []
    warnings = []
    best = max(row["val_score"] for row in history)
    if best < GOOD_SCORE:
        warnings.append(
            f"The validation score reached {best:.2f}, below {GOOD_SCORE:.2f}: train longer "
            "(--epochs), add cells of more slides, or look whether the class folders hold what "
            "their names say."
        )
    if does_not_fall(history, "train_loss"):
        warnings.append(
            "The training loss does not fall: the learning rate is too high or too low "
            "(--learning-rate), or the labels do not fit the cells."
        )
    # A rise of a quarter over a third of the run is more than the noise between epochs.
    if overfits(history, learned="train_loss", measured="val_loss", rise=1.25):
        warnings.append(
            "Overfitting: the training loss falls while the validation loss rises. Use fewer "
            "epochs (--epochs) or more cells of other slides. The best model by validation is the "
            "one that was kept."
        )
    return warnings
