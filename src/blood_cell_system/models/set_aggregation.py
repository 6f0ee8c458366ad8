r"""Adaptive set aggregation: a feature map as a set of places, in one vector.

.. math::

    \Big[\ \sum_p w_p x_p,\quad \max_p x_p,\quad \tfrac{1}{n} \sum_p x_p\ \Big], \qquad
    w = \operatorname{softmax}_p (u \cdot x_p)

A parasite is small: the mean drowns it, the maximum finds it, and the learned weights, which are
convex, choose between both. The result does not depend on the order of the places [1]_.

References
----------
.. [1] M. Ilse, J. Tomczak, M. Welling, "Attention-based Deep Multiple Instance Learning",
   ICML 2018; M. Zaheer et al., "Deep Sets", NeurIPS 2017.
"""

from typing import Any

from keras import layers


def set_aggregation(features: Any, *, name: str = "set") -> Any:
    """Sum up a feature map without regard to the order of its places.

    Parameters
    ----------
    features : KerasTensor of shape (batch, height, width, channels)
        Of a fixed size.
    name : str
        Prefix of the layers' names; ``{name}_weights`` gives the weights of shape
        (batch, places, 1), which sum to 1.

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
