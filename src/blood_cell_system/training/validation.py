"""Measuring the averaged model on whole validation pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from blood_cell_system.classes import NOT_SCORED
from blood_cell_system.datasets.prepared import PreparedImage
from blood_cell_system.drawing.overlay import draw_overlay
from blood_cell_system.input_pipeline.decoded_images import DecodedImage, DecodedImages
from blood_cell_system.models.confusion import ConfusionMatrix
from blood_cell_system.segmenter_contract import STRIDE
from blood_cell_system.training.learner import Learner

_EXAMPLES: Final = 3
_EXAMPLE_SIZE: Final = (384, 288)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationOutcome:
    """Figures of one validation.

    Parameters
    ----------
    confusion : ConfusionMatrix
        Of all scored pixels of all pictures.
    class_loss : float
        Mean over the pictures.
    pictures : tuple of ndarray of shape (288, 384, 3), dtype uint8
        Overlays of the first pictures.
    """

    confusion: ConfusionMatrix
    class_loss: float
    pictures: tuple[NDArray[np.uint8], ...]


class Validation:
    """Validation pictures, held in memory, and the learner that is measured on them."""

    def __init__(
        self,
        images: Sequence[PreparedImage],
        learner: Learner,
        *,
        magnifications: Mapping[str, float] | None = None,
    ) -> None:
        self._images = DecodedImages(images, magnifications=magnifications)
        self._learner = learner

    def some(self, count: int) -> Iterator[DecodedImage]:
        """Give so many pictures at most, from all over the list."""
        for number in range(min(count, len(self._images))):
            yield self._images[number * len(self._images) // min(count, len(self._images))]

    def run(self) -> ValidationOutcome:
        """Measure the averaged model."""
        confusion = ConfusionMatrix()
        losses = []
        pictures = []
        for position in range(len(self._images)):
            image = self._images[position]
            height, width = image.class_mask.shape
            pixels, class_mask = _padded(image.pixels, image.class_mask)
            predicted, loss = self._learner.predict_step(
                tf.constant(pixels[None]), tf.constant(class_mask[None])
            )
            class_mask_predicted = np.asarray(predicted)[0, :height, :width]
            confusion.update(image.class_mask, class_mask_predicted)
            losses.append(float(loss))
            if position < _EXAMPLES:
                overlay = draw_overlay(image.pixels, class_mask_predicted)
                pictures.append(cv2.resize(overlay, _EXAMPLE_SIZE, interpolation=cv2.INTER_AREA))
        return ValidationOutcome(
            confusion=confusion, class_loss=float(np.mean(losses)), pictures=tuple(pictures)
        )


def _padded(
    pixels: NDArray[np.uint8], class_mask: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bring both to the segmenter's stride; what is added is not scored."""
    height, width = class_mask.shape
    below, right = -height % STRIDE, -width % STRIDE
    return (
        cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REPLICATE),
        cv2.copyMakeBorder(
            class_mask, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(NOT_SCORED,)
        ),
    )
