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
    if _does_not_fall([row["train_class_loss"] for row in history]):
        warnings.append(
            "The training loss does not fall: the learning rate is too high or too low "
            "(--learning-rate), or the masks do not fit the pictures (--mode verify)."
        )
    if _overfits(history):
        warnings.append(
            "Overfitting: the training loss falls while the validation loss rises. Use fewer "
            "epochs (--epochs), --dropout 0.2, more augmentation, or more pictures. The best model "
            "by validation IoU is the one that was kept."
        )
    return warnings


def _does_not_fall(losses: Sequence[float]) -> bool:
    return len(losses) >= 3 and min(losses[1:]) > 0.97 * losses[0]


def _overfits(history: History) -> bool:
    if len(history) < 6:
        return False
    third = len(history) // 3
    middle, last = history[third : 2 * third], history[-third:]
    # A rise of a tenth over a third of the run is more than the noise between epochs.
    rises = _mean(last, "val_class_loss") > 1.1 * _mean(middle, "val_class_loss")
    falls = _mean(last, "train_class_loss") < _mean(middle, "train_class_loss")
    return rises and falls


def _mean(rows: History, name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)
