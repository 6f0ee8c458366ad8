"""The cell classifiers: a small residual network that sums up a cell as a set of places."""

from dataclasses import dataclass
from typing import Any, Final, Self

import keras
from keras import layers, ops

from blood_cell_system.classifier_facts import (
    CELL_SIDE_PX,
    CONDITION_OUTPUT,
    KNOWN_OUTPUT,
    TYPE_OUTPUT,
    ClassifierKind,
)
from blood_cell_system.errors import SettingsError
from blood_cell_system.models.domain_head import DOMAIN_LOGITS, STRENGTH_INPUT, domain_head
from blood_cell_system.models.feature_attention import feature_attention
from blood_cell_system.models.reynolds import Offset, reynolds_pooling
from blood_cell_system.models.set_aggregation import set_aggregation
from blood_cell_system.models.stain_normalisation import optical_density, stain_normalisation

CONDITION_LOGITS: Final = "condition_logits"
TYPE_LOGITS: Final = "type_logits"
KNOWN_LOGIT: Final = "known_logit"
FEATURES: Final = "features"
CELLS_INPUT: Final = "cells"

PAIR_OFFSETS: Final[tuple[Offset, ...]] = ((0, 1), (2, 2), (0, 4))
"""At a stride of 16 the pairs are 16, 45 and 64 pixels apart; a cell is 100 pixels long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellClassifierConfig:
    """Architecture of a classifier.

    Parameters
    ----------
    conditions : tuple of str
        Names of the conditions, in the order of their probabilities; two or more.
    types : tuple of str
        Names of the types; empty leaves that output out.
    input_shape : tuple of int
        ``(height, width, 3)`` in pixels.
    widths : tuple of int
        Channels at strides 2, 4, 8, 16, and on to as many as are given.
    blocks : tuple of int
        Residual blocks at each of these strides.
    d_reduced : int
        Width of the Reynolds operator; 0 leaves it out.
    feature_width : int
        Length of the vector that all heads read.
    dropout : float
        Share of that vector that is dropped in training.
    has_stain_normalisation : bool
        Whether the strength of the stain is evened out, as far as training finds it useful.
    normalises_by_batch : bool
        Whether feature maps are normalised by the batch's statistics, which a trained network holds
        as constants; else by each cell's own root mean square.

    Raises
    ------
    SettingsError
        Sizes or names make no network.
    """

    conditions: tuple[str, ...]
    types: tuple[str, ...] = ()
    input_shape: tuple[int, int, int] = (CELL_SIDE_PX, CELL_SIDE_PX, 3)
    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (0, 1, 2, 2)
    d_reduced: int = 64
    feature_width: int = 128
    dropout: float = 0.2
    has_stain_normalisation: bool = True
    normalises_by_batch: bool = True

    @classmethod
    def for_kind(cls, kind: ClassifierKind, **options: Any) -> Self:
        """Architecture for the classes of a kind; ``options`` are the other parameters."""
        return cls(conditions=kind.conditions, types=kind.types, **options)

    def __post_init__(self) -> None:
        if len(self.conditions) < 2 or len(self.types) == 1:
            raise SettingsError(
                f"Classifier: {len(self.conditions)} conditions and {len(self.types)} types; "
                "expected two or more conditions, and no type or two or more."
            )
        height, width, channels = self.input_shape
        if min(height, width) < 2 ** len(self.widths) or channels != 3:
            raise SettingsError(
                f"Classifier: an input of {self.input_shape}; expected (height, width, 3) with "
                f"sides of at least {2 ** len(self.widths)} pixels for {len(self.widths)} widths."
            )
        if len(self.blocks) != len(self.widths):
            raise SettingsError(
                f"Classifier: {len(self.widths)} widths and {len(self.blocks)} numbers of blocks; "
                "expected as many of one as of the other."
            )


def build_cell_classifier(config: CellClassifierConfig) -> keras.Model:
    """Build an untrained classifier.

    Parameters
    ----------
    config : CellClassifierConfig

    Returns
    -------
    keras.Model
        Input ``cells``: float32 (batch, height, width, 3), RGB of 0..255, one cell on white.
        Outputs by name: ``condition`` (batch, conditions), probabilities that sum to 1; ``type``
        (batch, types), likewise, where there are types; ``known`` (batch, 1), the probability that
        it is one of the classes at all.
    """
    # --- Layers ---
    cells = keras.Input(config.input_shape, name=CELLS_INPUT)
    features = optical_density(cells)
    if config.has_stain_normalisation:
        features = stain_normalisation(features)
    for level, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
        features = _half(features, width, name=f"down_{level}")
        # The first level is the largest, and sees little more than the stain, which is normal.
        if level:
            features = _even(features, by_batch=config.normalises_by_batch, name=f"down_{level}")
        features = layers.Activation("relu", name=f"down_{level}_relu")(features)
        for block in range(blocks):
            features = _residual(features, name=f"block_{level}{'abcdefgh'[block % 8]}")
    features = feature_attention(features)
    summary = set_aggregation(features)
    if config.d_reduced:
        pairs = reynolds_pooling(features, d_reduced=config.d_reduced, offsets=PAIR_OFFSETS)
        summary = layers.Concatenate(name="summary")([summary, pairs])
    features = layers.Dense(config.feature_width, activation="relu", name=FEATURES)(summary)
    dropped = layers.Dropout(config.dropout, name="dropout")(features)

    # --- Functional model ---
    logits = layers.Dense(len(config.conditions), name=CONDITION_LOGITS)(dropped)
    outputs = {CONDITION_OUTPUT: layers.Softmax(name=CONDITION_OUTPUT)(logits)}
    if config.types:
        logits = layers.Dense(len(config.types), name=TYPE_LOGITS)(dropped)
        outputs[TYPE_OUTPUT] = layers.Softmax(name=TYPE_OUTPUT)(logits)
    logits = layers.Dense(1, name=KNOWN_LOGIT)(dropped)
    outputs[KNOWN_OUTPUT] = layers.Activation("sigmoid", name=KNOWN_OUTPUT)(logits)
    return keras.Model(cells, outputs, name="blood_cell_classifier")


def logits_model(classifier: keras.Model) -> keras.Model:
    """Give a classifier's outputs before softmax and sigmoid, sharing its weights: for losses.

    Returns
    -------
    keras.Model
        Outputs ``condition_logits``, ``type_logits`` (where there are types), ``known_logit`` and
        ``features`` (batch, feature_width), which the heads read.
    """
    return keras.Model(classifier.input, _logits_and_features(classifier))


def with_domain_head(classifier: keras.Model, *, domains: int, width: int = 64) -> keras.Model:
    """Build the graph for training with domain adaptation around a classifier.

    It shares the classifier's weights; the classifier itself stays as it is and knows nothing of
    the domain head.

    Parameters
    ----------
    classifier : keras.Model
        Of :func:`build_cell_classifier`.
    domains : int
        Number of sources.
    width : int
        Of the domain head's hidden layer.

    Returns
    -------
    keras.Model
        Inputs ``cells`` and ``reversal_strength`` (batch, 1), λ of the gradient reversal, a number
        for each cell. Outputs as :func:`logits_model`, and ``domain_logits`` (batch, domains).

    Raises
    ------
    SettingsError
        There are fewer than two domains.
    """
    outputs = _logits_and_features(classifier)
    strength, logits = domain_head(
        outputs[FEATURES], domains=domains, width=width, examples="cells"
    )
    outputs[DOMAIN_LOGITS] = logits
    return keras.Model({CELLS_INPUT: classifier.input, STRENGTH_INPUT: strength}, outputs)


def _logits_and_features(classifier: keras.Model) -> dict[str, Any]:
    names = (CONDITION_LOGITS, TYPE_LOGITS, KNOWN_LOGIT, FEATURES)
    present = {layer.name for layer in classifier.layers}
    return {name: classifier.get_layer(name).output for name in names if name in present}


def _half(features: Any, width: int, *, name: str) -> Any:
    """Convolve at a stride of 2, in a way that has no left and no right.

    An even number of places takes a kernel of 4, an odd one of 3: then the kernels lie
    symmetrically, and a turned picture's map is sampled at the turned places.
    """
    kernel = tuple(4 - side % 2 for side in features.shape[1:3])
    padded = layers.ZeroPadding2D(1, name=f"{name}_pad")(features)
    return layers.Conv2D(width, kernel, strides=2, name=f"{name}_conv")(padded)


def _even(features: Any, *, by_batch: bool, name: str) -> Any:
    """Bring feature maps to one size of numbers.

    By the batch's statistics, or by a cell's own root mean square over places and channels. The
    second depends on this cell alone, and takes one pass where group normalisation takes three; but
    networks learned more slowly with it, and were no better under stains that they had not seen
    (docs/architecture.md).
    """
    if by_batch:
        return layers.BatchNormalization(momentum=0.95, name=f"{name}_norm")(features)
    power = ops.mean(ops.square(features), axis=(1, 2, 3), keepdims=True)
    return features * ops.rsqrt(power + 1e-3)


def _residual(features: Any, *, name: str) -> Any:
    """Add what a bottleneck of half the channels sees; nothing at the start of training."""
    width = features.shape[-1]
    inner = layers.Conv2D(width // 2, 1, activation="relu", name=f"{name}_reduce")(features)
    inner = layers.Conv2D(width // 2, 3, padding="same", activation="relu", name=f"{name}_conv")(
        inner
    )
    inner = layers.Conv2D(width, 1, kernel_initializer="zeros", name=f"{name}_restore")(inner)
    joined = layers.Add(name=f"{name}_add")([features, inner])
    return layers.Activation("relu", name=f"{name}_relu")(joined)
