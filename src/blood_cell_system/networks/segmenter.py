"""What all segmenters have in common: their outputs, and the graphs that training needs.

A registered segmenter is a Keras model that :func:`segmenter_model` finishes. Its input is float32
(batch, height, width, 3), RGB of 0..255, with sides that are multiples of ``STRIDE``. Its outputs:

- ``classes`` (batch, height, width, 3), probabilities in the order of ``MaskClass``;
- with an instance head ``centres`` (batch, height / 4, width / 4, types), the heat map of the
  centres of each cell type, and ``log_size`` (batch, height / 4, width / 4, 2), ln(width / 64 px)
  and ln(height / 64 px). Place (r, c) of a map stands for the point x = 4 (c + 0.5),
  y = 4 (r + 0.5).

The names of the layers of its level n, counted from the input, begin with ``down_n_``: fine-tuning
freezes the first levels. Its first ``UpSampling2D`` reads the deepest features: domain adaptation
reads them.
"""

from typing import Any, Final

import keras
from keras import layers

from blood_cell_system.networks.domain_adversary import DOMAIN_LOGITS, STRENGTH_INPUT, domain_head
from blood_cell_system.taxonomy import NUM_CLASSES

PIXELS_INPUT: Final = "pixels"

_CENTRE_BIAS: Final = -4.0
"""Logit of a centre before training. About 1 in 100 places is one; starting there spares the first
epochs."""

_NORM_MOMENTUM: Final = 0.9
"""A short memory: runs are hundreds of steps, not hundreds of thousands."""


def segmenter_model(
    pixels: Any, features: Any, *, head_features: Any, head_width: int, num_cell_types: int
) -> keras.Model:
    """Add the outputs of a segmenter.

    Parameters
    ----------
    pixels : KerasTensor
        Input.
    features : KerasTensor of shape (batch, height, width, channels)
        Of the input's size.
    head_features : KerasTensor of shape (batch, height / 4, width / 4, channels), or None
        None leaves the instance head out.
    head_width : int
        Channels of the instance head.
    num_cell_types : int
        Centre heat maps.
    """
    class_logits = layers.Conv2D(NUM_CLASSES, 3, padding="same", name="class_logits")(features)
    outputs = {"classes": layers.Softmax(name="classes")(class_logits)}
    if head_features is not None:
        head = _convolution(head_features, head_width, stride=1, name="head")
        bias = keras.initializers.Constant(_CENTRE_BIAS)
        logits = layers.Conv2D(num_cell_types, 1, bias_initializer=bias, name="centre_logits")(head)
        outputs["centres"] = layers.Activation("sigmoid", name="centres")(logits)
        outputs["log_size"] = layers.Conv2D(2, 1, name="log_size")(head)
    return keras.Model(pixels, outputs, name="blood_cell_segmenter")


def convolutions(features: Any, width: int, *, first_stride: int, name: str) -> Any:
    """Add two 3×3 convolutions, each with batch normalisation and ReLU."""
    features = _convolution(features, width, stride=first_stride, name=f"{name}_a")
    return _convolution(features, width, stride=1, name=f"{name}_b")


def _convolution(features: Any, width: int, *, stride: int, name: str) -> Any:
    features = layers.Conv2D(
        width, 3, strides=stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(features)
    features = layers.BatchNormalization(momentum=_NORM_MOMENTUM, name=f"{name}_norm")(features)
    return layers.Activation("relu", name=f"{name}_relu")(features)


def logits_model(segmenter: keras.Model) -> keras.Model:
    """Give the segmenter's outputs before softmax and sigmoid, sharing its weights: for losses.

    Returns
    -------
    keras.Model
        Outputs ``class_logits`` and, with an instance head, ``centre_logits`` and ``log_size``.
    """
    names = ("class_logits", "centre_logits", "log_size")
    present = {layer.name for layer in segmenter.layers}
    outputs = {name: segmenter.get_layer(name).output for name in names if name in present}
    return keras.Model(segmenter.input, outputs)


def with_segmenter_domain_head(
    segmenter: keras.Model, *, domains: int, width: int = 64
) -> keras.Model:
    """Build the graph for training with domain adaptation around a segmenter.

    It shares the segmenter's weights; the segmenter itself stays as it is. The head reads the
    deepest features, averaged over the image: a laboratory is a matter of the whole image.

    Parameters
    ----------
    segmenter : keras.Model
    domains : int
        Number of laboratories.
    width : int
        Of the domain head's hidden layer.

    Returns
    -------
    keras.Model
        Inputs ``pixels`` and ``reversal_strength`` (batch, 1), λ of the gradient reversal. Outputs
        as ``logits_model``, and ``domain_logits`` (batch, domains).

    Raises
    ------
    SettingsError
        There are fewer than two domains.
    """
    first_up = next(layer for layer in segmenter.layers if isinstance(layer, layers.UpSampling2D))
    pooled = layers.GlobalAveragePooling2D(name="domain_pool")(first_up.input)
    strength, logits = domain_head(pooled, domains=domains, width=width, examples="images")
    outputs = {**logits_model(segmenter).output, DOMAIN_LOGITS: logits}
    return keras.Model({PIXELS_INPUT: segmenter.input, STRENGTH_INPUT: strength}, outputs)
