r"""Feature attention: which channels matter for this cell, from all of its places.

.. math::

    y_p = x_p \odot \sigma\big(W_2 \operatorname{ReLU}(W_1 \bar x + b_1) + b_2\big),
    \qquad \bar x = \text{mean of } x_p \text{ over places } p

The gate is the same at all places, so that attention commutes with whatever moves the places [1]_.

References
----------
.. [1] J. Hu, L. Shen, G. Sun, "Squeeze-and-Excitation Networks", CVPR 2018.
"""

from typing import Any

from keras import layers


def feature_attention(features: Any, *, reduction: int = 4, name: str = "attention") -> Any:
    """Weigh the channels of a feature map.

    Parameters
    ----------
    features : KerasTensor of shape (batch, height, width, channels)
    reduction : int
        The gate looks at the channels through this many times fewer.
    name : str
        Prefix of the layers' names.

    Returns
    -------
    KerasTensor of shape (batch, height, width, channels)
        Each channel times a number between 0 and 1.
    """
    channels = features.shape[-1]
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(features)
    hidden = layers.Conv2D(
        max(channels // reduction, 1), 1, activation="relu", name=f"{name}_hidden"
    )(mean)
    gate = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_gate")(hidden)
    return layers.Multiply(name=f"{name}_weigh")([features, gate])
