"""The segmenter with a head that guesses the laboratory, for training with domain adaptation."""

from dataclasses import dataclass
from typing import Any, Final

import keras
from keras import layers

from blood_cell_system.networks.domain_adversary import DOMAIN_LOGITS, STRENGTH_INPUT, domain_head
from blood_cell_system.networks.reynolds import reynolds_bottleneck
from blood_cell_system.taxonomy import CELL_TYPES, NUM_CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterConfig:
    """Architecture of the segmenter.

    Parameters
    ----------
    widths : tuple of int
        Channels at strides 2, 4, 8, 16, and on to as many as are given.
    d_reduced : int
        Width of the Reynolds bottleneck; 0 leaves it out.
    dropout : float
        Share of the bottleneck's channels that are dropped in training.
    has_instance_head : bool
        Whether centres and sizes of cells are predicted beside the classes.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    d_reduced: int = 64
    dropout: float = 0.0
    has_instance_head: bool = True


def build_segmenter(config: SegmenterConfig) -> keras.Model:
    """Build an untrained segmenter.

    Parameters
    ----------
    config : SegmenterConfig

    Returns
    -------
    keras.Model
        Input: float32 (batch, height, width, 3), RGB of 0..255, sides multiples of
        ``segmenter_contract.STRIDE``.
        Outputs by name: ``classes`` (batch, height, width, 3), probabilities in the order of
        ``MaskClass``; with an instance head also ``centres`` (batch, height / 4, width / 4, 3),
        the heat map of a cell type's centres in the order of ``CELL_TYPES``, and ``log_size``
        (batch, height / 4, width / 4, 2), ln(width / 64 px) and ln(height / 64 px).
        Place (r, c) of a map stands for the point x = 4 (c + 0.5), y = 4 (r + 0.5).
    """
    # --- Layers ---
    pixels = keras.Input((None, None, 3), name="pixels")
    features = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(pixels)
    skips = []
    for level, width in enumerate(config.widths):
        features = _convolutions(features, width, first_stride=2, name=f"down_{level}")
        skips.append(features)
    if config.d_reduced:
        features = reynolds_bottleneck(features, d_reduced=config.d_reduced)
    if config.dropout:
        features = layers.SpatialDropout2D(config.dropout, name="dropout")(features)
    at_head_stride = features
    for level in reversed(range(len(config.widths) - 1)):
        # Nearest, and the convolution behind it smooths: Keras's bilinear one wants fixed sides.
        features = layers.UpSampling2D(name=f"up_{level}")(features)
        features = layers.Concatenate(name=f"skip_{level}")([features, skips[level]])
        features = _convolutions(features, config.widths[level], first_stride=1, name=f"up_{level}")
        if level == 1:
            at_head_stride = features

    # --- Functional model ---
    features = layers.UpSampling2D(name="up_pixels")(features)
    class_logits = layers.Conv2D(NUM_CLASSES, 3, padding="same", name="class_logits")(features)
    outputs = {"classes": layers.Softmax(name="classes")(class_logits)}
    if config.has_instance_head:
        head = _convolution(at_head_stride, config.widths[1], stride=1, name="head")
        # The prior of a centre is about 1 in 100 places; starting there spares the first epochs.
        centre_logits = layers.Conv2D(
            len(CELL_TYPES),
            1,
            bias_initializer=keras.initializers.Constant(-4.0),
            name="centre_logits",
        )(head)
        outputs["centres"] = layers.Activation("sigmoid", name="centres")(centre_logits)
        outputs["log_size"] = layers.Conv2D(2, 1, name="log_size")(head)
    return keras.Model(pixels, outputs, name="blood_cell_segmenter")


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


def _convolution(features: Any, width: int, *, stride: int, name: str) -> Any:
    features = layers.Conv2D(
        width, 3, strides=stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(features)
    # A short memory: runs are hundreds of steps, not hundreds of thousands.
    features = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(features)
    return layers.Activation("relu", name=f"{name}_relu")(features)


def _convolutions(features: Any, width: int, *, first_stride: int, name: str) -> Any:
    features = _convolution(features, width, stride=first_stride, name=f"{name}_a")
    return _convolution(features, width, stride=1, name=f"{name}_b")


PIXELS_INPUT: Final = "pixels"


def with_segmenter_domain_head(
    segmenter: keras.Model, *, domains: int, width: int = 64
) -> keras.Model:
    """Build the graph for training with domain adaptation around a segmenter.

    It shares the segmenter's weights; the segmenter itself stays as it is and knows nothing of the
    domain head. The head reads the deepest features, averaged over the image: a laboratory is a
    matter of the whole image.

    Parameters
    ----------
    segmenter : keras.Model
        Of ``build_segmenter``.
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
    pooled = layers.GlobalAveragePooling2D(name="domain_pool")(_deepest_features(segmenter))
    strength, logits = domain_head(pooled, domains=domains, width=width, examples="images")
    outputs = {**logits_model(segmenter).output, DOMAIN_LOGITS: logits}
    return keras.Model({PIXELS_INPUT: segmenter.input, STRENGTH_INPUT: strength}, outputs)


def _deepest_features(segmenter: keras.Model) -> Any:
    """Give what the decoder starts from."""
    first = next(layer for layer in segmenter.layers if isinstance(layer, layers.UpSampling2D))
    return first.input
