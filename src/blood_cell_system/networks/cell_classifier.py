r"""The package's classifier of cells, from pixels to condition, subtype and in distribution.

A network of a few residual levels between four operators, each of Keras's own layers:

1. *Optical density*, proportional to the amount of dye: :math:`d = \ln 256 - \ln(v + 1)` for pixel
   values v of 0..255. White is 0, which is also what convolutions pad with, so that a cell's image
   has no border.
2. *Stain normalisation* evens out how strongly a cell is stained, as far as training finds it
   useful:

   .. math::

       m_c = \frac{\sum_p d_{pc}^2}{\sum_p d_{pc}}, \qquad
       y_{pc} = d_{pc} \exp \tanh (W \ln m + b)_c

   The strength m is the mean density weighted by density, so that the white around a cell has no
   part in it. W and b start at zero, the identity; the gain stays between 1/e and e.
3. *Feature attention* weighs the channels of the feature map by all of its places [1]_:
   :math:`y_p = x_p \odot \sigma(W_2 \operatorname{ReLU}(W_1 \bar x + b_1) + b_2)`. The gate is the
   same at all places, so that it commutes with whatever moves them.
4. *Set aggregation* takes the map as a set of places [2]_:
   :math:`[\sum_p w_p x_p, \max_p x_p, \tfrac1n \sum_p x_p]` with
   :math:`w = \operatorname{softmax}_p(u \cdot x_p)`. A parasite is small: the mean drowns it, the
   maximum finds it, and the weights choose. Reynolds pooling adds pairs of places.

The input of a registered classifier is float32 (batch, height, width, 3), RGB of 0..255, one cell
on white. Its outputs by name: ``condition`` (batch, conditions), probabilities that sum to 1;
``type`` (batch, subtypes), likewise, where there are subtypes; ``known`` (batch, 1), the
probability that the cell is in distribution. Training reads the layers ``condition_logits``,
``type_logits``, ``known_logit`` and ``features``.

References
----------
.. [1] J. Hu, L. Shen, G. Sun, "Squeeze-and-Excitation Networks", CVPR 2018.
.. [2] M. Ilse, J. Tomczak, M. Welling, "Attention-based Deep Multiple Instance Learning",
   ICML 2018; M. Zaheer et al., "Deep Sets", NeurIPS 2017.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Self

import keras
from keras import layers, ops

from blood_cell_system.errors import CheckpointError, SettingsError
from blood_cell_system.model_metadata import (
    CELL_SIDE_PX,
    CONDITION_OUTPUT,
    KNOWN_OUTPUT,
    TYPE_OUTPUT,
    ClassifierKind,
)
from blood_cell_system.networks.architectures import register_classifier
from blood_cell_system.networks.domain_adversary import DOMAIN_LOGITS, STRENGTH_INPUT, domain_head
from blood_cell_system.networks.reynolds import Offset, reynolds_pooling

CONDITION_LOGITS: Final = "condition_logits"
TYPE_LOGITS: Final = "type_logits"
KNOWN_LOGIT: Final = "known_logit"
FEATURES: Final = "features"
CELLS_INPUT: Final = "cells"

SMALLEST_DENSITY: Final = 0.01
"""Added to sums and strengths of density: an empty image has none, and must not gain any."""

PAIR_OFFSETS: Final[tuple[Offset, ...]] = ((0, 1), (2, 2), (0, 4))
"""At a stride of 16 the pairs are 16, 45 and 64 pixels apart; a cell is 100 pixels long."""

_NORM_MOMENTUM: Final = 0.95
"""A short memory: runs are thousands of steps."""

_FIT_WEIGHT_DECAY: Final = 1e-4
"""Of AdamW, as in the package's own trainings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellClassifierConfig:
    """Architecture of a classifier.

    Parameters
    ----------
    conditions : tuple of str
        Names of the conditions, in the order of their probabilities; two or more.
    types : tuple of str
        Names of the subtypes; empty leaves that output out.
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
        return cls(**({"conditions": kind.conditions, "types": kind.types} | options))

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


@register_classifier("cell_resnet", config=CellClassifierConfig)
def build_cell_classifier(config: CellClassifierConfig) -> keras.Model:
    """Build an untrained classifier."""
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


def optical_density(pixels: Any) -> Any:
    """Optical density of RGB values: from 0 (white) to ln 256 (black)."""
    # Not clip: at full resolution it costs several times what this does in ONNX Runtime.
    return ops.relu(math.log(256.0) - ops.log(ops.relu(pixels) + 1.0))


def stain_normalisation(density: Any, *, name: str = "stain") -> Any:
    """Multiply each channel of an image's density by a gain that depends on its strength.

    Parameters
    ----------
    density : KerasTensor of shape (batch, height, width, 3)
        Of a fixed size.
    name : str
        Prefix of the layers' names.
    """
    height, width, channels = density.shape[1:]
    # Whole rows, not pixels of three values: sums and products run over long stretches of memory,
    # which is several times as fast in ONNX Runtime.
    rows = layers.Reshape((height, width * channels), name=f"{name}_rows")(density)
    total = _sum_of_channels(rows, channels)
    strength = _sum_of_channels(ops.square(rows), channels) / (total + SMALLEST_DENSITY)
    log_gain = layers.Dense(
        channels, activation="tanh", kernel_initializer="zeros", name=f"{name}_log_gain"
    )(ops.log(strength + SMALLEST_DENSITY))
    gain = layers.RepeatVector(width, name=f"{name}_gain")(ops.exp(log_gain))
    gain = layers.Reshape((1, width * channels), name=f"{name}_gain_row")(gain)
    evened = layers.Multiply(name=f"{name}_apply")([rows, gain])
    return layers.Reshape((height, width, channels), name=f"{name}_density")(evened)


def _sum_of_channels(rows: Any, channels: int) -> Any:
    row = ops.sum(rows, axis=1)
    return ops.sum(ops.reshape(row, (-1, row.shape[-1] // channels, channels)), axis=1)


def feature_attention(features: Any, *, reduction: int = 4, name: str = "attention") -> Any:
    """Multiply each channel of a feature map by a number between 0 and 1.

    The gate sees the channels through ``reduction`` times fewer.
    """
    channels = features.shape[-1]
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(features)
    narrow = max(channels // reduction, 1)
    hidden = layers.Conv2D(narrow, 1, activation="relu", name=f"{name}_hidden")(mean)
    gate = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_gate")(hidden)
    return layers.Multiply(name=f"{name}_weigh")([features, gate])


def set_aggregation(features: Any, *, name: str = "set") -> Any:
    """Aggregate a feature map without regard to the order of its places.

    Parameters
    ----------
    features : KerasTensor of shape (batch, height, width, channels)
        Of a fixed size.
    name : str
        Prefix of the layers' names; ``{name}_weights`` gives the weights (batch, places, 1).

    Returns
    -------
    KerasTensor of shape (batch, 3 * channels)
        Weighted sum, maximum and mean.
    """
    height, width, channels = features.shape[1:]
    places = layers.Reshape((height * width, channels), name=f"{name}_places")(features)
    # Zeros: training starts from the plain mean.
    scores = layers.Dense(1, use_bias=False, kernel_initializer="zeros", name=f"{name}_scores")(
        places
    )
    weights = layers.Softmax(axis=1, name=f"{name}_weights")(scores)
    weighted = layers.Dot(axes=(1, 1), name=f"{name}_weighted")([weights, places])
    weighted = layers.Reshape((channels,), name=f"{name}_flat")(weighted)
    largest = layers.GlobalMaxPooling1D(name=f"{name}_max")(places)
    mean = layers.GlobalAveragePooling1D(name=f"{name}_mean")(places)
    return layers.Concatenate(name=f"{name}_join")([weighted, largest, mean])


def _half(features: Any, width: int, *, name: str) -> Any:
    """Convolve at a stride of 2, with neither left nor right.

    An even number of places takes a kernel of 4, an odd one of 3: then the kernels lie
    symmetrically, and a turned image's map is sampled at the turned places.
    """
    kernel = tuple(4 - side % 2 for side in features.shape[1:3])
    padded = layers.ZeroPadding2D(1, name=f"{name}_pad")(features)
    return layers.Conv2D(width, kernel, strides=2, name=f"{name}_conv")(padded)


def _even(features: Any, *, by_batch: bool, name: str) -> Any:
    """Normalise by the batch's statistics, or by a cell's own root mean square.

    The second depends on this cell alone, and takes one pass where group normalisation takes three;
    but networks learned more slowly with it, and were no better under stains that they had not seen
    (docs/architecture.md).
    """
    if by_batch:
        return layers.BatchNormalization(momentum=_NORM_MOMENTUM, name=f"{name}_norm")(features)
    power = ops.mean(ops.square(features), axis=(1, 2, 3), keepdims=True)
    return features * ops.rsqrt(power + 1e-3)


def _residual(features: Any, *, name: str) -> Any:
    """Add a bottleneck of half the channels, which is zero at the start of training."""
    width = features.shape[-1]
    inner = layers.Conv2D(width // 2, 1, activation="relu", name=f"{name}_reduce")(features)
    inner = layers.Conv2D(width // 2, 3, padding="same", activation="relu", name=f"{name}_conv")(
        inner
    )
    inner = layers.Conv2D(width, 1, kernel_initializer="zeros", name=f"{name}_restore")(inner)
    joined = layers.Add(name=f"{name}_add")([features, inner])
    return layers.Activation("relu", name=f"{name}_relu")(joined)


# --- For training ---


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

    It shares the classifier's weights; the classifier itself stays as it is.

    Parameters
    ----------
    classifier : keras.Model
    domains : int
        Number of sources, two or more.
    width : int
        Of the domain head's hidden layer.

    Returns
    -------
    keras.Model
        Inputs ``cells`` and ``reversal_strength`` (batch, 1), λ of the gradient reversal. Outputs
        as :func:`logits_model`, and ``domain_logits`` (batch, domains).
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


def bake_temperature(model: Any, layer_name: str, temperature: float) -> None:
    """Divide the logits of a head by a temperature, by dividing the weights that make them.

    The network then gives calibrated probabilities anywhere. Called twice it divides twice.

    Parameters
    ----------
    model : keras.Model
        Changed in place.
    layer_name : str
        Of the ``Dense`` layer that gives the logits, such as ``condition_logits``.
    temperature : float
        Above 1 makes the model less sure, below 1 surer.

    Raises
    ------
    SettingsError
        The temperature is not a positive number.
    CheckpointError
        The model has no such layer, or it does not end in logits.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise SettingsError(f"temperature: received {temperature}; expected a positive number.")
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        raise CheckpointError(
            f"{model.name}: has no layer {layer_name!r}; its last are {', '.join(names[-5:])}. "
            "Expected a classifier of this package."
        )
    layer = model.get_layer(layer_name)
    if getattr(layer, "kernel", None) is None or layer.activation.__name__ != "linear":
        raise CheckpointError(
            f"{model.name}: the layer {layer_name!r} gives no logits; expected a Dense layer "
            "without an activation."
        )
    for weight in layer.weights:
        weight.assign(weight / temperature)


_LOSSES: Final = {
    CONDITION_OUTPUT: "categorical_crossentropy",
    TYPE_OUTPUT: "categorical_crossentropy",
    KNOWN_OUTPUT: "binary_crossentropy",
    "classes": "categorical_crossentropy",
    "centres": "binary_crossentropy",
    "log_size": "mean_absolute_error",
}
_MEASURED: Final = frozenset({CONDITION_OUTPUT, TYPE_OUTPUT, KNOWN_OUTPUT, "classes"})


def compile_for_fit(model: keras.Model, *, learning_rate: float) -> None:
    """Compile a model in place for Keras's own ``fit``: AdamW, losses, accuracies of the classes.

    Targets are one-hot, of each output's shape; a foreign model with one output takes the loss of
    classes.
    """
    optimizer = keras.optimizers.AdamW(learning_rate=learning_rate, weight_decay=_FIT_WEIGHT_DECAY)
    outputs: Any = model.output
    if not isinstance(outputs, dict):
        model.compile(optimizer=optimizer, loss=_LOSSES["classes"], metrics=["accuracy"])
        return
    model.compile(
        optimizer=optimizer,
        loss={name: _LOSSES[name] for name in outputs},
        metrics={name: ["accuracy"] for name in outputs if name in _MEASURED},
    )
