r"""A classifier that begins with what a network learned from photographs.

Three branches look at a cell and what is around it: as it is stained; with all stain scaled to one
strength; and with each colour scaled to its own usual strength, which leaves little of the
laboratory's colours. Each is the stem and the first eight blocks of EfficientNet-Lite0 [1]_ and a
dense layer on the mean and the maximum of its map. In training whole branches are dropped at
random, so that each learns to stand alone; in use they add up. With d the optical density, the
strength of a channel c in the middle of the image is :math:`m_c = \sum_p d_{pc}^2 / \sum_p d_{pc}`.

On cells of laboratories that were left out, such branches together were better than each alone
(docs/classifier_training.md). Outputs and layers
for training are those of ``networks/cell_classifier.py``.

References
----------
.. [1] M. Tan, Q. Le, "EfficientNet", ICML 2019, and R. Liu, "Higher accuracy on vision models with
   EfficientNet-Lite", TensorFlow blog, 2020. The weights are Apache-2.0; normalisations are
   folded into the convolutions (weights/CLASSIFIER_CARDS.md).
"""

from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any, Final

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from blood_cell_system.errors import SettingsError
from blood_cell_system.model_metadata import (
    CELL_SIDE_PX,
    CONDITION_OUTPUT,
    KNOWN_OUTPUT,
    TYPE_OUTPUT,
)
from blood_cell_system.networks.architectures import register_classifier
from blood_cell_system.networks.cell_classifier import (
    CELLS_INPUT,
    CONDITION_LOGITS,
    FEATURES,
    KNOWN_LOGIT,
    SMALLEST_DENSITY,
    TYPE_LOGITS,
    optical_density,
)

_START: Final = "imagenet_lite0.npz"
"""Of the package's weights: kernels and biases as float16."""

_STRIDES: Final = (1, 2, 1, 2, 1, 2, 1, 1)
"""Of the blocks after the stem, which has 2."""

_MIDDLE_SHARE: Final = 0.6
"""Side of the part whose strength counts, in sides of the image; a cell is 0.77 long."""

_USUAL_STRENGTH: Final = (0.6, 0.8, 0.45)
"""Strength that red, green and blue are scaled to, chosen by eye to look like a usual stain; the
mean of the three is that of the branch that keeps the colours' proportions."""

_HEAD_DEVIATION: Final = 0.01
"""Standard deviation of the heads' first weights."""

BRANCHES: Final = ("plain", "strength", "colour")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteClassifierConfig:
    """Architecture of such a classifier.

    Parameters
    ----------
    conditions, types : tuple of str
        As of ``CellClassifierConfig``.
    input_shape : tuple of int
        ``(height, width, 3)`` in pixels.
    side : int
        Pixels a side that the convolutions see.
    branch_width : int
        Length of each branch's vector.
    dropout : float
        Share of each branch's vector that is dropped in training.
    branch_dropout : float
        Share of the branches that are.
    branches : tuple of str
        Which of ``BRANCHES`` there are.

    Raises
    ------
    SettingsError
        Names or sizes make no network.
    """

    conditions: tuple[str, ...]
    types: tuple[str, ...] = ()
    input_shape: tuple[int, int, int] = (CELL_SIDE_PX, CELL_SIDE_PX, 3)
    side: int = 80
    branch_width: int = 96
    dropout: float = 0.2
    branch_dropout: float = 0.4
    branches: tuple[str, ...] = BRANCHES

    def __post_init__(self) -> None:
        if len(self.conditions) < 2 or len(self.types) == 1 or self.side < 32:
            raise SettingsError(
                f"Classifier: {len(self.conditions)} conditions, {len(self.types)} types and a "
                f"side of {self.side} pixels; expected two or more conditions, no type or two or "
                "more, and a side of 32 or more."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainLiteClassifierConfig(LiteClassifierConfig):
    """Architecture of one branch alone, that of cells as they are stained: a third of the work."""

    branch_dropout: float = 0.0
    branches: tuple[str, ...] = ("plain",)


@register_classifier("cell_lite_plain", config=PlainLiteClassifierConfig)
@register_classifier("cell_lite", config=LiteClassifierConfig, sees_surround=True)
def build_lite_classifier(config: LiteClassifierConfig) -> keras.Model:
    """Build the classifier with the weights of photographs, and heads that know nothing yet."""
    start = _start_weights()
    cells = keras.Input(config.input_shape, name=CELLS_INPUT)
    small = layers.Resizing(config.side, config.side, name="resize")(cells)
    density = optical_density(small)
    vectors = []
    for branch in config.branches:
        features = _trunk(_evened(density, branch), start, name=branch)
        mean = layers.GlobalAveragePooling2D(name=f"{branch}_mean")(features)
        largest = layers.GlobalMaxPooling2D(name=f"{branch}_max")(features)
        joined = layers.Concatenate(name=f"{branch}_join")([mean, largest])
        joined = layers.Dropout(config.dropout, name=f"{branch}_dropout")(joined)
        vector = layers.Dense(config.branch_width, activation="relu", name=f"{branch}_vector")
        vectors.append(layers.Reshape((1, config.branch_width))(vector(joined)))
    features = layers.Concatenate(axis=1, name="branches")(vectors) if vectors[1:] else vectors[0]
    features = layers.Flatten(name=FEATURES)(features)
    dropped = layers.Reshape((len(config.branches), config.branch_width), name="by_branch")(
        features
    )
    dropped = layers.Dropout(
        config.branch_dropout, noise_shape=(None, len(config.branches), 1), name="branch_dropout"
    )(dropped)
    dropped = layers.Flatten(name="dropped")(dropped)

    # Near even answers: large first errors would undo what the trunk knows.
    small = keras.initializers.RandomNormal(stddev=_HEAD_DEVIATION)
    head = partial(layers.Dense, kernel_initializer=small)
    logits = head(len(config.conditions), name=CONDITION_LOGITS)(dropped)
    outputs = {CONDITION_OUTPUT: layers.Softmax(name=CONDITION_OUTPUT)(logits)}
    if config.types:
        logits = head(len(config.types), name=TYPE_LOGITS)(dropped)
        outputs[TYPE_OUTPUT] = layers.Softmax(name=TYPE_OUTPUT)(logits)
    logits = head(1, name=KNOWN_LOGIT)(dropped)
    outputs[KNOWN_OUTPUT] = layers.Activation("sigmoid", name=KNOWN_OUTPUT)(logits)
    model = keras.Model(cells, outputs, name="blood_cell_lite_classifier")
    for branch in config.branches:
        for name, values in start.items():
            layer = model.get_layer(f"{branch}_{name}")
            layer.set_weights(
                [value.reshape(w.shape) for value, w in zip(values, layer.weights, strict=True)]
            )
    return model


def _evened(density: Any, branch: str) -> Any:
    """Scale the density, or leave it; then the values that the network of photographs expects."""
    if branch != "plain":
        side = density.shape[1]
        edge = round(side * (1 - _MIDDLE_SHARE) / 2)
        middle = layers.Cropping2D(edge, name=f"{branch}_middle")(density)
        squares = ops.sum(ops.square(middle), axis=(1, 2), keepdims=True)
        strength = squares / (ops.sum(middle, axis=(1, 2), keepdims=True) + SMALLEST_DENSITY)
        if branch == "strength":
            usual = sum(_USUAL_STRENGTH) / 3
            strength = ops.mean(strength, axis=-1, keepdims=True)
            gain = usual / (strength + SMALLEST_DENSITY)
        else:
            gain = 1.0 / (strength + SMALLEST_DENSITY)
            gain = layers.Rescaling(list(_USUAL_STRENGTH), name=f"{branch}_usual")(gain)
        density = layers.Multiply(name=f"{branch}_apply")([density, gain])
    # Pixels of 0..255 as (v - 127) / 128.
    return 2.0 * ops.exp(-density) - 1.0


def _trunk(pixels: Any, start: dict[str, list[NDArray[np.float32]]], *, name: str) -> Any:
    """Run the first convolutions, with the names of ``start``; the map has a stride of 16."""

    def convolve(maps: Any, layer: str, *, strides: int = 1, is_depthwise: bool = False) -> Any:
        kernel = start[layer][0]
        size = kernel.shape[:2]
        if is_depthwise:
            made = layers.DepthwiseConv2D(
                size, strides=strides, padding="same", name=f"{name}_{layer}"
            )
        else:
            made = layers.Conv2D(
                kernel.shape[-1], size, strides=strides, padding="same", name=f"{name}_{layer}"
            )
        return made(maps)

    maps = layers.ReLU(6.0, name=f"{name}_stem_relu")(convolve(pixels, "stem", strides=2))
    for block, strides in enumerate(_STRIDES):
        inner = maps
        if f"b{block}_expand" in start:
            inner = layers.ReLU(6.0)(convolve(inner, f"b{block}_expand"))
        inner = convolve(inner, f"b{block}_depthwise", strides=strides, is_depthwise=True)
        inner = convolve(layers.ReLU(6.0)(inner), f"b{block}_project")
        is_residual = strides == 1 and inner.shape[-1] == maps.shape[-1]
        maps = layers.Add(name=f"{name}_b{block}_add")([maps, inner]) if is_residual else inner
    return maps


def _start_weights() -> dict[str, list[NDArray[np.float32]]]:
    """Kernel and bias of each layer, in the order of the network."""
    with (
        (files("blood_cell_system") / "weights" / _START).open("rb") as file,
        np.load(file) as arrays,
    ):
        names = [name.removesuffix("/kernel") for name in arrays.files if name.endswith("/kernel")]
        return {
            name: [arrays[f"{name}/{part}"].astype(np.float32) for part in ("kernel", "bias")]
            for name in names
        }
