"""What a training's curves say, in words, with the guide's remedies."""

from collections.abc import Mapping, Sequence

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
            "(--learning-rate), or the masks do not fit the pictures (--mode verify)."
        )
    # A rise of a tenth over a third of the run is more than the noise between epochs.
    if overfits(history, learned="train_class_loss", measured="val_class_loss", rise=1.1):
        warnings.append(
            "Overfitting: the training loss falls while the validation loss rises. Use fewer "
            "epochs (--epochs), --dropout 0.2, more augmentation, or more pictures. The best model "
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
