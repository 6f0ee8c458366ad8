"""One step of learning and one of looking, compiled; and all numbers of the learner."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from blood_cell_system.models.domain_head import DOMAIN_LOGITS, STRENGTH_INPUT
from blood_cell_system.models.domain_loss import conditional_domain_loss
from blood_cell_system.models.losses import (
    centre_focal_loss,
    scored_cross_entropy,
    scored_dice,
    size_loss,
)
from blood_cell_system.models.segmenter import SegmenterConfig, build_segmenter, logits_model
from blood_cell_system.models.segmenter_domains import PIXELS_INPUT, with_segmenter_domain_head
from blood_cell_system.training.averaging_learner import AveragingLearner, optimizer_for
from blood_cell_system.training.fine_tuning import freeze
from blood_cell_system.training.loop_parts import StepRates
from blood_cell_system.training.presets import SegmentationSettings

# The centre loss is a sum over a crop's places by cell, an order larger than the pixels' means.
_CENTRE_WEIGHT = 0.2
_SIZE_WEIGHT = 0.2


def segmenter_config(settings: SegmentationSettings) -> SegmenterConfig:
    """Architecture that a training's settings ask for."""
    return SegmenterConfig(
        widths=settings.widths,
        d_reduced=settings.d_reduced,
        dropout=settings.dropout,
        has_instance_head=settings.has_instance_head,
    )


class Learner(AveragingLearner):
    """The model that learns, its running average, which is what gets used, and the optimizer.

    Parameters
    ----------
    settings : SegmentationSettings
        The seed decides the initial weights.
    start : sequence of ndarray, optional
        Weights to begin with in place of random ones.
    domains : int
        Number of laboratories that are to become alike; 0 leaves domain adaptation out.
    """

    def __init__(
        self,
        settings: SegmentationSettings,
        *,
        start: Sequence[NDArray[np.float32]] | None = None,
        domains: int = 0,
    ) -> None:
        keras.utils.set_random_seed(settings.seed)
        config = segmenter_config(settings)
        self.model = build_segmenter(config)
        self.averaged = build_segmenter(config)
        if start is not None:
            self.model.set_weights(list(start))
        freeze(self.model, settings)
        self._kept = settings.kept_share
        self._start = [
            tf.Variable(np.asarray(weight), trainable=False)
            for weight in self.model.weights
            if self._kept
        ]
        self.averaged.set_weights(self.model.get_weights())
        self._domains = domains
        self._logits = (
            with_segmenter_domain_head(self.model, domains=domains)
            if domains
            else logits_model(self.model)
        )
        self._averaged_logits = logits_model(self.averaged)
        own = {id(variable) for variable in self.model.variables}
        self._head = [v for v in self._logits.variables if id(v) not in own]
        self._learning = [*self.model.trainable_variables, *self._head]
        self.optimizer = optimizer_for(
            settings, self._learning, without_decay=("bias", "gamma", "beta")
        )

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def train_step(self, batch: Mapping[str, Any], rates: StepRates) -> dict[str, Any]:
        """Learn from one batch.

        Parameters
        ----------
        batch : mapping of str to tensor
            As ``input_pipeline.batches`` makes it; for domain adaptation also ``domain`` (batch,)
            and ``domain_weight`` (batch,).
        rates : StepRates

        Returns
        -------
        dict of str to scalar tensor
            ``class_loss``, with an instance head ``centre_loss`` and ``size_loss``, and with domain
            adaptation ``domain_loss``.
        """
        self.optimizer.learning_rate.assign(rates.learning_rate)
        with tf.GradientTape() as tape:
            outputs = self._outputs(tf.cast(batch["pixels"], tf.float32), rates)
            losses = {"class_loss": _class_loss(batch["class_mask"], outputs["class_logits"])}
            total = losses["class_loss"]
            if "centre_logits" in outputs:
                losses["centre_loss"] = centre_focal_loss(
                    batch["heat_map"], batch["heat_weight"], outputs["centre_logits"]
                )
                losses["size_loss"] = size_loss(
                    batch["log_size"], batch["size_weight"], outputs["log_size"]
                )
                total += _CENTRE_WEIGHT * losses["centre_loss"] + _SIZE_WEIGHT * losses["size_loss"]
            if DOMAIN_LOGITS in outputs:
                logits = outputs[DOMAIN_LOGITS]
                losses["domain_loss"] = conditional_domain_loss(
                    batch["domain"], batch["domain_weight"], tf.ones_like(logits), logits
                )
                total += losses["domain_loss"]
        self.optimizer.apply(tape.gradient(total, self._learning), self._learning)
        self.move_average(self._used_weights(), rates.averaging_decay)
        return losses

    def _used_weights(self) -> list[Any]:
        """Weights of the model, between those it began with and those it has now.

        Wortsman et al., *Robust fine-tuning of zero-shot models*, CVPR 2022: what lies between
        keeps most of what the beginning knew and has most of what was learned.
        """
        weights: list[Any] = self.model.weights
        if not self._kept:
            return weights
        pairs = zip(self._start, weights, strict=True)
        return [self._kept * start + (1.0 - self._kept) * weight for start, weight in pairs]

    def _outputs(self, pixels: Any, rates: StepRates) -> Any:
        if not self._domains:
            return self._logits(pixels, training=True)
        strength = tf.fill((tf.shape(pixels)[0], 1), rates.reversal_strength)
        return self._logits({PIXELS_INPUT: pixels, STRENGTH_INPUT: strength}, training=True)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def predict_step(self, pixels: Any, class_mask: Any) -> tuple[Any, Any]:
        """Class mask and class loss of the averaged model.

        Parameters
        ----------
        pixels : tensor of shape (batch, height, width, 3), dtype uint8
        class_mask : tensor of shape (batch, height, width), dtype uint8

        Returns
        -------
        predicted : tensor of shape (batch, height, width), dtype uint8
        class_loss : scalar tensor
        """
        outputs = self._averaged_logits(tf.cast(pixels, tf.float32), training=False)
        logits = outputs["class_logits"]
        predicted = tf.cast(tf.argmax(logits, axis=-1), tf.uint8)
        return predicted, _class_loss(class_mask, logits)

    def number_groups(self) -> dict[str, list[Any]]:
        """Variables by group."""
        return {
            "model": self.model.variables,
            "domain_head": self._head,
            "averaged": self.averaged.variables,
            "optimizer": self.optimizer.variables,
            "start": self._start,
        }


def _class_loss(class_mask: Any, class_logits: Any) -> Any:
    return scored_cross_entropy(class_mask, class_logits) + scored_dice(class_mask, class_logits)
