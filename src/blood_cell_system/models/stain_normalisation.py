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
    return math.log(256.0) - ops.log(ops.clip(pixels, 0.0, 255.0) + 1.0)


def stain_normalisation(density: Any, *, name: str = "stain") -> Any:
    """Multiply each channel of a picture's density by a gain that depends on its strength.

    Parameters
    ----------
    density : KerasTensor of shape (batch, height, width, 3)
    name : str
        Prefix of the layers' names.

    Returns
    -------
    KerasTensor of shape (batch, height, width, 3)
        Densities; 0 stays 0.
    """
    total = ops.sum(density, axis=(1, 2))
    strength = ops.sum(ops.square(density), axis=(1, 2)) / (total + SMALLEST_DENSITY)
    log_gain = layers.Dense(
        density.shape[-1], activation="tanh", kernel_initializer="zeros", name=f"{name}_log_gain"
    )(ops.log(strength + SMALLEST_DENSITY))
    gain = layers.Reshape((1, 1, density.shape[-1]), name=f"{name}_gain")(ops.exp(log_gain))
    return layers.Multiply(name=f"{name}_apply")([density, gain])
