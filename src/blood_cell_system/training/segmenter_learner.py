"""One step of learning and one of looking, compiled; and all numbers of the learner.

Training on from a model that is there already, with 5 to 50 images of one's own.

So few images cannot teach a network anew, but they can make it forget. Hence: the first levels of
the network, which see edges and colours, and all statistics of its normalisations stay as they are;
the rate is a quarter of that of a new training; there are few steps; the images are brought to
the size of cells that the network knows; and the weights that get used lie between those of the
beginning and those that were learned. Without the last, a network that saw ten images without a
white cell found none in 15 images of BCCD, where it had found all 15; with it, it found all of
them, and was hardly worse on the new images.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.errors import CheckpointError, MissingDataError
from blood_cell_system.model_metadata import TRAINING_DIAMETER_PX, diameter_in_name
from blood_cell_system.networks.domain_adversary import (
    DOMAIN_LOGITS,
    STRENGTH_INPUT,
    conditional_domain_loss,
)
from blood_cell_system.networks.losses import (
    centre_focal_loss,
    scored_cross_entropy,
    scored_dice,
    size_loss,
)
from blood_cell_system.networks.segmenter import (
    PIXELS_INPUT,
    SegmenterConfig,
    build_segmenter,
    logits_model,
    with_segmenter_domain_head,
)
from blood_cell_system.taxonomy import RBC, WBC
from blood_cell_system.training.loop import AveragingLearner, StepRates, optimizer_for
from blood_cell_system.training.presets import (
    FINE_TUNING,
    FINE_TUNING_ALWAYS,
    SegmentationSettings,
)

_LARGEST_MAGNIFICATION = 2.0

# Standard deviations by which the first features may be off on average: 0.2 to 0.5 for images of
# a stain that was learned.
_FAMILIAR_SHIFT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StartingPoint:
    """A trained segmenter, to go on from.

    Parameters
    ----------
    path : Path
    sha256 : str
        Of the file.
    model : keras.Model
    config : SegmenterConfig
        Its architecture.
    cell_diameter_px : float
        Diameter of red cells in the images that it learned from.
    """

    path: Path
    sha256: str
    model: keras.Model
    config: SegmenterConfig
    cell_diameter_px: float


def load_starting_point(path: Path) -> StartingPoint:
    """Open a trained segmenter.

    Parameters
    ----------
    path : Path
        A ``.keras`` file that a training of this program wrote.

    Raises
    ------
    MissingDataError
        There is no such file.
    CheckpointError
        The file is damaged, an ``.onnx`` file, or a model of another architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(
            f"{path}: there is no such model. Give --init-from a .keras file that a training "
            "wrote, or the word bundled."
        )
    if path.suffix != ".keras":
        raise CheckpointError(
            f"{path}: {path.suffix or 'a file without an ending'} cannot be trained on; expected "
            "the .keras file that the training wrote beside it."
        )
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        # Keras raises nearly everything here, by what is wrong with the file.
        raise CheckpointError(
            f"{path}: Keras cannot open this model ({type(error).__name__}: {error}). Expected a "
            "whole .keras file; copy it again."
        ) from error
    config = config_of(model, path)
    expected = [tuple(weight.shape) for weight in build_segmenter(config).weights]
    if [tuple(weight.shape) for weight in model.weights] != expected:
        raise CheckpointError(
            f"{path}: its weights do not fit the segmenter of this version; expected a model that "
            "this version trained. Train anew, without --init-from."
        )
    return StartingPoint(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        model=model,
        config=config,
        cell_diameter_px=diameter_in_name(model.name) or TRAINING_DIAMETER_PX,
    )


def config_of(model: keras.Model, path: Path) -> SegmenterConfig:
    """Read the architecture of a segmenter from its layers.

    Raises
    ------
    CheckpointError
        It is no segmenter of this program.
    """
    by_name = {layer.name: layer for layer in model.layers}
    widths: list[int] = []
    while (name := f"down_{len(widths)}_a_conv") in by_name:
        widths.append(int(by_name[name].filters))
    if len(widths) < 2 or "class_logits" not in by_name:
        raise CheckpointError(
            f"{path}: a Keras model, but no segmenter of this program (layers "
            f"{', '.join(list(by_name)[:4])}, ...). It can be used with test, analyze and "
            "evaluate; only what this program trained can be trained on. Leave out --init-from."
        )
    reduce, dropout = by_name.get("reynolds_reduce"), by_name.get("dropout")
    return SegmenterConfig(
        widths=tuple(widths),
        d_reduced=int(reduce.filters) if reduce is not None else 0,
        dropout=float(dropout.rate) if dropout is not None else 0.0,
        has_instance_head="centre_logits" in by_name,
    )


def fine_tuning_settings(
    start: StartingPoint, base: SegmentationSettings | None = None
) -> SegmentationSettings:
    """Give the settings of a training that goes on from a model.

    Parameters
    ----------
    start : StartingPoint
        Its architecture and the size of its cells are kept.
    base : SegmentationSettings, optional
        Of a preset: its numbers of epochs and crops are taken.
    """
    settings = FINE_TUNING
    if base is not None:
        settings = replace(
            base, **{name: getattr(FINE_TUNING, name) for name in FINE_TUNING_ALWAYS}
        )
    return replace(
        settings,
        widths=start.config.widths,
        d_reduced=start.config.d_reduced,
        dropout=start.config.dropout,
        has_instance_head=start.config.has_instance_head,
        cell_diameter_px=start.cell_diameter_px,
    )


def freeze(model: keras.Model, settings: SegmentationSettings) -> None:
    """Keep what fine-tuning does not change: the first levels, and statistics.

    A normalisation that is kept uses its statistics, not those of the batch.
    """
    kept = tuple(f"down_{level}_" for level in range(settings.frozen_levels))
    for layer in model.layers:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        if layer.name.startswith(kept) or (settings.keeps_statistics and is_norm):
            layer.trainable = False


def first_feature_shift(model: keras.Model, images: Sequence[NDArray[np.uint8]]) -> float:
    """How unlike images are to those that a segmenter learned from, by its first features.

    A normalisation remembers mean and variance of its inputs over the training. Their distance to
    the means over these images tells of another stain or light before anything is trained.

    Parameters
    ----------
    model : keras.Model
    images : sequence of ndarray of shape (height, width, 3), dtype uint8

    Returns
    -------
    float
        Mean over the features, in standard deviations.
    """
    norm = model.get_layer("down_0_a_norm")
    features = keras.Model(model.input, norm.input)
    means = []
    for image in images:
        height, width = (side // 32 * 32 for side in image.shape[:2])
        pixels = image[None, :height, :width].astype(np.float32)
        means.append(np.asarray(features(pixels, training=False)).mean(axis=(0, 1, 2)))
    spread = np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    distance = np.abs(np.mean(means, axis=0) - np.asarray(norm.moving_mean)) / spread
    return float(distance.mean())


def unlikeness_warnings(
    start: StartingPoint,
    *,
    magnifications: Mapping[str, float | None],
    images: Sequence[NDArray[np.uint8]],
    cells: Sequence[tuple[Annotation, ...] | None],
) -> list[str]:
    """Say where new images are unlike what a model knows, and what helps.

    Parameters
    ----------
    start : StartingPoint
    magnifications : mapping of str to float or None
        By how much the images of a source are resampled; None where their labels show too few red
        cells to tell.
    images : sequence of ndarray of shape (height, width, 3), dtype uint8
        Some of them, at the size of cells that the model knows.
    cells : sequence of tuple of Annotation, or None
        Of all of them.

    Returns
    -------
    list of str
        Empty when nothing is unusual.
    """
    warnings = []
    for source, magnification in magnifications.items():
        if magnification is None:
            warnings.append(
                f"{source}: the labels show too few whole red cells to tell their size, and the "
                f"model knows cells of {start.cell_diameter_px:.0f} px. Label red cells in a "
                "image or two, or resample the images (prepare --mode combine "
                f"--source-diameter {source}=PX)."
            )
        elif magnification > _LARGEST_MAGNIFICATION:
            warnings.append(
                f"{source}: red cells are {start.cell_diameter_px / magnification:.0f} px wide and "
                f"are enlarged {magnification:.1f} times. Images of a higher magnification would "
                "show what these do not."
            )
    if images and (shift := first_feature_shift(start.model, images)) > _FAMILIAR_SHIFT:
        warnings.append(
            f"Stain or light are unlike what the model learned from ({shift:.1f} standard "
            "deviations off). Use 20 images or more and --epochs 30, or train on your images "
            "together with others (prepare --mode combine)."
        )
    types = {cell.cell_type for boxes in cells for cell in boxes or ()}
    for cell_type in (RBC, WBC):
        if any(boxes is not None for boxes in cells) and cell_type not in types:
            warnings.append(
                f"No {cell_type} is labelled in these images: the model may forget it. Add a few "
                "images that show some, or combine them with a set that does (prepare --mode "
                "combine)."
            )
    return warnings


def start_details(start: StartingPoint) -> dict[str, Any]:
    """Describe, for ``run.json``, where a training came from."""
    return {"init_from": {"file": start.path.name, "sha256": start.sha256}}


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
