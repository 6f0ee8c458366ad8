"""One step of learning of a classifier, compiled; and all numbers of the learner."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from blood_cell_system.networks.cell_classifier import (
    CELLS_INPUT,
    CONDITION_LOGITS,
    FEATURES,
    KNOWN_LOGIT,
    TYPE_LOGITS,
    logits_model,
    with_domain_head,
)
from blood_cell_system.networks.domain_adversary import (
    DOMAIN_LOGITS,
    STRENGTH_INPUT,
    conditional_domain_loss,
)
from blood_cell_system.networks.losses import (
    labelled_binary_cross_entropy,
    labelled_cross_entropy,
)
from blood_cell_system.networks.registry import classifier_named, of_config
from blood_cell_system.training.classifier_data import CellClasses
from blood_cell_system.training.loop import AveragingLearner, StepRates, optimizer_for
from blood_cell_system.training.presets import ClassifierSettings
from blood_cell_system.training.stain_domains import DomainPlan


def classifier_config(
    settings: ClassifierSettings, conditions: tuple[str, ...], types: tuple[str, ...]
) -> Any:
    """Config of the architecture that a training's settings name."""
    registered = classifier_named(settings.architecture)
    return registered.configured(settings, conditions=conditions, types=types)


class ClassifierLearner(AveragingLearner):
    """The classifier that learns, its running average, which is what gets used, and the optimizer.

    Parameters
    ----------
    settings : ClassifierSettings
        The seed decides the initial weights.
    classes : CellClasses
    plan : DomainPlan or None
        For domain adaptation.
    """

    def __init__(
        self, settings: ClassifierSettings, classes: CellClasses, plan: DomainPlan | None
    ) -> None:
        keras.utils.set_random_seed(settings.seed)
        config = classifier_config(settings, classes.conditions, classes.types)
        registered = of_config(config)
        self.architecture = registered.record(config)
        self.model = registered.build(config)
        self.averaged = registered.build(config)
        self.averaged.set_weights(self.model.get_weights())
        self._settings = settings
        self._plan = plan
        self._graph = (
            logits_model(self.model)
            if plan is None
            else with_domain_head(self.model, domains=len(plan.names))
        )
        self._averaged_features = keras.Model(
            self.averaged.input,
            {**self.averaged.output, FEATURES: self.averaged.get_layer(FEATURES).output},
        )
        self.optimizer = optimizer_for(
            settings, self._graph.trainable_variables, without_decay=("bias",)
        )

    def settle_statistics(self, batches: Iterable[NDArray[np.uint8]]) -> None:
        """Give the averaged classifier the statistics that its normalisations really see.

        Running ones begin with mean 0 and variance 1 and come after the weights, which a short
        training moves fast: the classifier that gets used then gives one answer to all cells,
        however well the one that learns does.

        Parameters
        ----------
        batches : iterable of ndarray of shape (batch, height, width, 3), dtype uint8
            Cells as they are learned from. Each batch counts the same.

        References
        ----------
        .. [1] Y. Wu, J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3.
        """
        norms = [
            layer
            for layer in self.averaged.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        momenta = [norm.momentum for norm in norms]
        for before, cells in enumerate(batches):
            for norm in norms:
                norm.momentum = before / (before + 1)
            self.averaged(tf.cast(cells, tf.float32), training=True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def train_step(self, batch: Mapping[str, Any], rates: StepRates) -> dict[str, Any]:
        """Learn from one batch.

        Parameters
        ----------
        batch : mapping of str to tensor
            As ``input_pipeline.cell_batches`` makes it.
        rates : StepRates

        Returns
        -------
        dict of str to scalar tensor
            ``loss``, the weighted sum; ``condition_loss``, ``known_loss``, with types
            ``type_loss``, and with domain adaptation ``domain_loss``.
        """
        self.optimizer.learning_rate.assign(rates.learning_rate)
        settings = self._settings
        cells = tf.cast(batch["cells"], tf.float32)
        with tf.GradientTape() as tape:
            if self._plan is None:
                outputs = self._graph(cells, training=True)
            else:
                strength = tf.fill((tf.shape(cells)[0], 1), rates.reversal_strength)
                outputs = self._graph({CELLS_INPUT: cells, STRENGTH_INPUT: strength}, training=True)
            losses = self._losses(batch, outputs)
            total = losses["condition_loss"] + settings.known_weight * losses["known_loss"]
            if "type_loss" in losses:
                total += settings.type_weight * losses["type_loss"]
            losses = {"loss": total, **losses}
            if "domain_loss" in losses:
                # The head learns at full strength; what reaches the features, the reversal decides.
                total += losses["domain_loss"]
        variables = self._graph.trainable_variables
        self.optimizer.apply(tape.gradient(total, variables), variables)
        self.move_average(self.model.weights, rates.averaging_decay)
        return losses

    def _losses(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        smoothing = self._settings.label_smoothing
        losses = {
            "condition_loss": labelled_cross_entropy(
                batch["condition"], outputs[CONDITION_LOGITS], label_smoothing=smoothing
            ),
            "known_loss": labelled_binary_cross_entropy(
                batch["known"], outputs[KNOWN_LOGIT], label_smoothing=smoothing
            ),
        }
        if TYPE_LOGITS in outputs:
            losses["type_loss"] = labelled_cross_entropy(
                batch["cell_type"], outputs[TYPE_LOGITS], label_smoothing=smoothing
            )
        if self._plan is not None:
            losses["domain_loss"] = _domain_loss(self._plan, batch, outputs[DOMAIN_LOGITS])
        return losses

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def _predict_step(self, cells: Any) -> Any:
        return self._averaged_features(tf.cast(cells, tf.float32), training=False)

    def predict(self, batches: Iterable[Mapping[str, Any]]) -> dict[str, NDArray[np.float32]]:
        """Run the averaged classifier on batches.

        Parameters
        ----------
        batches : iterable of mapping
            With ``cells`` (batch, height, width, 3), dtype uint8.

        Returns
        -------
        dict of str to ndarray
            ``condition``, ``known``, ``features``, and with types ``type``; a row a cell.
        """
        parts = [self._predict_step(tf.constant(batch["cells"])) for batch in batches]
        return {name: np.concatenate([np.asarray(p[name]) for p in parts]) for name in parts[0]}

    def number_groups(self) -> dict[str, list[Any]]:
        """Variables by group."""
        return {
            "model": self._graph.variables,
            "averaged": self.averaged.variables,
            "optimizer": self.optimizer.variables,
        }


def _domain_loss(plan: DomainPlan, batch: Mapping[str, Any], domain_logits: Any) -> Any:
    """Look the plan up for each cell; its last row and column are for what is not labelled."""
    condition_count, type_count, domain_count = plan.is_possible.shape
    conditions = tf.math.floormod(tf.cast(batch["condition"], tf.int32), condition_count)
    types = tf.math.floormod(tf.cast(batch["cell_type"], tf.int32), type_count)
    place = conditions * type_count + types
    possible = tf.gather(tf.constant(plan.is_possible.reshape(-1, domain_count)), place)
    domains = tf.cast(batch["source"], tf.int32)
    weights = tf.gather(tf.constant(plan.weight.reshape(-1, domain_count)), place)
    weight = tf.gather(weights, domains, batch_dims=1) * tf.cast(batch["known"] > 0, tf.float32)
    return conditional_domain_loss(domains, weight, possible, domain_logits)
