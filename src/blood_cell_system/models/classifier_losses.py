"""Losses of the classifiers. What nobody has labelled has no part in any of them."""

from collections.abc import Sequence
from typing import Any, Final

from keras import ops

from blood_cell_system.classes import NOT_LABELLED

_SMALLEST: Final = 1e-6


def labelled_cross_entropy(
    labels: Any,
    logits: Any,
    *,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    """Weighted mean cross-entropy over the labelled cells of a batch.

    Parameters
    ----------
    labels : tensor of shape (batch,), integer
        Index of the class; ``NOT_LABELLED`` (-1) is left out.
    logits : tensor of shape (batch, classes)
    class_weights : sequence of float, optional
        A cell counts as much as its class weighs; all 1 by default.
    label_smoothing : float
        This share of the target is spread evenly over all classes.

    Returns
    -------
    scalar tensor
        0 when no cell is labelled.
    """
    classes = logits.shape[-1]
    labels = ops.cast(labels, "int32")
    is_labelled = ops.not_equal(labels, NOT_LABELLED)
    target = ops.one_hot(ops.where(is_labelled, labels, 0), classes, dtype="float32")
    weight = ops.cast(is_labelled, "float32")
    if class_weights is not None:
        weights = ops.convert_to_tensor(list(class_weights), dtype="float32")
        weight = weight * ops.sum(target * weights, axis=-1)
    target = (1.0 - label_smoothing) * target + label_smoothing / classes
    per_cell = -ops.sum(target * ops.log_softmax(logits, axis=-1), axis=-1)
    return ops.sum(weight * per_cell) / ops.maximum(ops.sum(weight), _SMALLEST)


def labelled_binary_cross_entropy(labels: Any, logits: Any, *, label_smoothing: float = 0.0) -> Any:
    """Mean cross-entropy of yes or no over the labelled cells of a batch.

    Parameters
    ----------
    labels : tensor of shape (batch,)
        1 for yes, 0 for no; ``NOT_LABELLED`` (-1) is left out.
    logits : tensor of shape (batch,) or (batch, 1)
    label_smoothing : float
        A yes counts as ``1 - label_smoothing / 2``, a no as ``label_smoothing / 2``.

    Returns
    -------
    scalar tensor
        0 when no cell is labelled.
    """
    logits = ops.reshape(logits, (-1,))
    labels = ops.cast(ops.reshape(labels, (-1,)), "float32")
    weight = ops.cast(ops.not_equal(labels, float(NOT_LABELLED)), "float32")
    target = (1.0 - label_smoothing) * labels + label_smoothing / 2
    per_cell = -(target * ops.log_sigmoid(logits) + (1.0 - target) * ops.log_sigmoid(-logits))
    return ops.sum(weight * per_cell) / ops.maximum(ops.sum(weight), 1.0)
