"""Losses of segmenters and classifiers. They leave out what is not labelled."""

from typing import Any, Final

from keras import ops

from blood_cell_system.taxonomy import NOT_LABELLED, NOT_SCORED, NUM_CLASSES

SMALLEST: Final = 1e-6
"""Smallest divisor: the mean over no example is 0."""


def scored_cross_entropy(class_mask: Any, class_logits: Any) -> Any:
    """Mean cross-entropy over the scored pixels of a batch.

    Parameters
    ----------
    class_mask : tensor of shape (batch, height, width), dtype uint8 or int32
        Values of ``MaskClass``; 255 is left out.
    class_logits : tensor of shape (batch, height, width, 3)
    """
    target, scored = _one_hot_and_scored(class_mask)
    per_pixel = -ops.sum(target * ops.log_softmax(class_logits, axis=-1), axis=-1)
    return ops.sum(per_pixel * scored) / ops.maximum(ops.sum(scored), 1.0)


def scored_dice(class_mask: Any, class_logits: Any) -> Any:
    """One minus the soft Dice coefficient, over the scored pixels of a batch, mean of the classes.

    A class that the batch does not hold counts only by what is predicted of it, which keeps empty
    crops from being rewarded for nothing [1]_.

    Parameters
    ----------
    class_mask, class_logits : tensor
        As in :func:`scored_cross_entropy`.

    References
    ----------
    .. [1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 3DV 2016, section 3.
    """
    target, scored = _one_hot_and_scored(class_mask)
    probabilities = ops.softmax(class_logits, axis=-1) * scored[..., None]
    axes = (0, 1, 2)
    overlap = ops.sum(probabilities * target, axis=axes)
    total = ops.sum(probabilities, axis=axes) + ops.sum(target, axis=axes)
    # One pixel of smoothing: an absent class that is not predicted costs nothing.
    return 1.0 - ops.mean((2.0 * overlap + 1.0) / (total + 1.0))


def centre_focal_loss(heat_map: Any, weight: Any, centre_logits: Any) -> Any:
    """Penalty-reduced focal loss of centre heat maps, divided by the number of centres.

    Parameters
    ----------
    heat_map : tensor of shape (batch, height, width, types)
        1 at a centre, falling off around it as a Gaussian.
    weight : tensor of the same shape
        0 where it is unknown whether there is a centre.
    centre_logits : tensor of the same shape

    References
    ----------
    .. [1] X. Zhou, D. Wang, P. Krähenbühl, "Objects as Points", 2019, equation 1 (α = 2, β = 4).
    """
    is_centre = ops.cast(heat_map >= 1.0, "float32")
    probability = ops.sigmoid(centre_logits)
    log_probability = ops.log_sigmoid(centre_logits)
    log_rest = ops.log_sigmoid(-centre_logits)
    hit = is_centre * ops.square(1.0 - probability) * log_probability
    miss = (1.0 - is_centre) * ops.power(1.0 - heat_map, 4.0) * ops.square(probability) * log_rest
    return -ops.sum(weight * (hit + miss)) / ops.maximum(ops.sum(is_centre * weight), 1.0)


def size_loss(log_size_true: Any, weight: Any, log_size: Any) -> Any:
    """Mean absolute error of the logarithm of width and height, near centres only.

    Parameters
    ----------
    log_size_true, log_size : tensor of shape (batch, height, width, 2)
    weight : tensor of shape (batch, height, width)
        Larger than 0 at and around centres.
    """
    error = ops.mean(ops.abs(log_size_true - log_size), axis=-1)
    return ops.sum(weight * error) / ops.maximum(ops.sum(weight), SMALLEST)


def _one_hot_and_scored(class_mask: Any) -> tuple[Any, Any]:
    class_mask = ops.cast(class_mask, "int32")
    is_scored = ops.not_equal(class_mask, NOT_SCORED)
    scored = ops.cast(is_scored, "float32")
    target = ops.one_hot(ops.where(is_scored, class_mask, 0), NUM_CLASSES, dtype="float32")
    return target * scored[..., None], scored


def labelled_cross_entropy(labels: Any, logits: Any, *, label_smoothing: float = 0.0) -> Any:
    """Mean cross-entropy over the labelled cells of a batch.

    Parameters
    ----------
    labels : tensor of shape (batch,), integer
        Index of the class; ``NOT_LABELLED`` (-1) is left out.
    logits : tensor of shape (batch, classes)
    label_smoothing : float
        This share of the target is spread evenly over all classes.
    """
    classes = logits.shape[-1]
    labels = ops.cast(labels, "int32")
    is_labelled = ops.not_equal(labels, NOT_LABELLED)
    target = ops.one_hot(ops.where(is_labelled, labels, 0), classes, dtype="float32")
    weight = ops.cast(is_labelled, "float32")
    target = (1.0 - label_smoothing) * target + label_smoothing / classes
    per_cell = -ops.sum(target * ops.log_softmax(logits, axis=-1), axis=-1)
    return ops.sum(weight * per_cell) / ops.maximum(ops.sum(weight), SMALLEST)


def labelled_binary_cross_entropy(labels: Any, logits: Any, *, label_smoothing: float = 0.0) -> Any:
    """Mean cross-entropy of yes or no over the labelled cells of a batch.

    Parameters
    ----------
    labels : tensor of shape (batch,)
        1 for yes, 0 for no; ``NOT_LABELLED`` (-1) is left out.
    logits : tensor of shape (batch,) or (batch, 1)
    label_smoothing : float
        A yes counts as ``1 - label_smoothing / 2``, a no as ``label_smoothing / 2``.
    """
    logits = ops.reshape(logits, (-1,))
    labels = ops.cast(ops.reshape(labels, (-1,)), "float32")
    weight = ops.cast(ops.not_equal(labels, float(NOT_LABELLED)), "float32")
    target = (1.0 - label_smoothing) * labels + label_smoothing / 2
    per_cell = -(target * ops.log_sigmoid(logits) + (1.0 - target) * ops.log_sigmoid(-logits))
    return ops.sum(weight * per_cell) / ops.maximum(ops.sum(weight), 1.0)
