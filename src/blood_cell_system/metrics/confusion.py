"""Per-class overlap of a whole data set from one confusion matrix."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from blood_cell_system.errors import MaskFormatError
from blood_cell_system.metrics.classification_scores import ratio
from blood_cell_system.taxonomy import NOT_SCORED, NUM_CLASSES


class ConfusionMatrix:
    """Pixels counted by true and predicted class, over as many images as there are.

    IoU and Dice are those of all pixels together, not means over images, so that an image with
    a handful of a class's pixels weighs as little as it should. A class that neither the truth nor
    the prediction holds has no IoU: it is NaN, and the mean leaves it out.

    Parameters
    ----------
    counts : ndarray of shape (3, 3), dtype int64, optional
        Rows are true, columns predicted classes, in ``MaskClass`` order; zeros by default.

    Examples
    --------
    >>> matrix = ConfusionMatrix()
    >>> matrix.update(np.array([0, 1, 1, 255]), np.array([0, 1, 0, 2]))
    >>> matrix.iou.tolist()
    [0.5, 0.5, nan]
    >>> matrix.mean_iou
    0.5
    """

    def __init__(self, counts: NDArray[np.int64] | None = None) -> None:
        shape = (NUM_CLASSES, NUM_CLASSES)
        self.counts: NDArray[np.int64] = (
            np.zeros(shape, dtype=np.int64) if counts is None else np.array(counts, dtype=np.int64)
        )
        if self.counts.shape != shape:
            raise MaskFormatError(
                f"Confusion matrix: expected counts of shape {shape}. "
                f"Received: {self.counts.shape}."
            )

    def update(
        self,
        true_class_mask: NDArray[np.integer],
        predicted_class_mask: NDArray[np.integer],
    ) -> None:
        """Add an image, or a batch of them.

        Parameters
        ----------
        true_class_mask : ndarray of any shape, integer
            Values of ``MaskClass``; pixels of 255 are left out.
        predicted_class_mask : ndarray of the same shape, integer
            Values of ``MaskClass``.

        Raises
        ------
        MaskFormatError
            The shapes differ, or a value is no class.
        """
        if true_class_mask.shape != predicted_class_mask.shape:
            raise MaskFormatError(
                f"Confusion matrix: the true mask has shape {true_class_mask.shape}, the predicted "
                f"one {predicted_class_mask.shape}; expected the same. Resize neither: predict at "
                "the size of the image."
            )
        is_scored = true_class_mask != NOT_SCORED
        true_values = true_class_mask[is_scored].astype(np.intp)
        predicted_values = predicted_class_mask[is_scored].astype(np.intp)
        for name, values in (("true", true_values), ("predicted", predicted_values)):
            if values.size and not 0 <= values.min() <= values.max() < NUM_CLASSES:
                raise MaskFormatError(
                    f"Confusion matrix: the {name} mask holds values from {values.min()} to "
                    f"{values.max()}; expected 0 (background), 1 (RBC) or 2 (WBC)."
                )
        cells = np.bincount(true_values * NUM_CLASSES + predicted_values, minlength=NUM_CLASSES**2)
        self.counts += cells.reshape(NUM_CLASSES, NUM_CLASSES)

    def merge(self, other: "ConfusionMatrix") -> Self:
        """Add the counts of another matrix to this one, and return this one."""
        self.counts += other.counts
        return self

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union, TP / (TP + FP + FN), of each class; shape (3,)."""
        hits, true_total, predicted_total = self._totals()
        return ratio(hits, true_total + predicted_total - hits)

    @property
    def dice(self) -> NDArray[np.float64]:
        """Dice coefficient, 2 TP / (2 TP + FP + FN), of each class; shape (3,)."""
        hits, true_total, predicted_total = self._totals()
        return ratio(2 * hits, true_total + predicted_total)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur; NaN when no pixel was scored."""
        values = self.iou[~np.isnan(self.iou)]
        return float(values.mean()) if values.size else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of the scored pixels that have their true class; NaN when there are none."""
        return float(ratio(self.counts.trace(), self.counts.sum()))

    def _totals(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        return self.counts.diagonal(), self.counts.sum(axis=1), self.counts.sum(axis=0)
