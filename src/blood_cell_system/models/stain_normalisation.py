r"""Learnable stain normalisation: how strongly a cell is stained, made alike as far as it helps.

Pixels become optical density, which is proportional to the amount of dye, and stay so:

.. math::

    d = \ln 256 - \ln(v + 1), \qquad
    m_c = \frac{\sum_p d_{pc}^2}{\sum_p d_{pc}}, \qquad
    y_{pc} = d_{pc} \exp \tanh (W \ln m + b)_c

for pixel values v of 0..255, which makes white 0 and black ln 256, never infinite. The strength m
is the mean density weighted by density: the white around a cell has no part in it. W and b start
at zero, where the layer is the identity; ``W = -1`` in its diagonal would take strength away
altogether. The gain stays between 1/e and e. A mixing of the channels would be for nothing: the
convolution behind does it.

Density 0 of the background is also what convolutions pad with, so that a cell's picture has no
border.
"""

import math
from typing import Any, Final

from keras import layers, ops

SMALLEST_DENSITY: Final = 0.01
"""Added to sums and strengths: an empty picture has no strength, and must not make one up."""


def optical_density(pixels: Any) -> Any:
    """Optical density of RGB values.

    Parameters
    ----------
    pixels : tensor of any shape
        0..255; what lies outside is cut off.

    Returns
    -------
    tensor of the same shape
        From 0 (white) to ln 256 (black).
    """
    # Not clip: at full resolution it costs several times what this does in ONNX Runtime.
    return ops.relu(math.log(256.0) - ops.log(ops.relu(pixels) + 1.0))


def stain_normalisation(density: Any, *, name: str = "stain") -> Any:
    """Multiply each channel of a picture's density by a gain that depends on its strength.

    Parameters
    ----------
    density : KerasTensor of shape (batch, height, width, 3)
        Of a fixed size.
    name : str
        Prefix of the layers' names.

    Returns
    -------
    KerasTensor of shape (batch, height, width, 3)
        Densities; 0 stays 0.
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
