r"""Gradient reversal: what a domain head learns from features, the features unlearn.

Forward the identity, backward the gradient times :math:`-\lambda` [1]_. Without a gradient of its
own, which no saved model could hold, it is written with operations that every back end has:

.. math::

    R_\lambda(x) = \operatorname{stop}((1 + \lambda) x) - \lambda x

References
----------
.. [1] Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17(59), 2016.
"""

from typing import Any

from keras import ops


def reverse_gradient(features: Any, strength: Any) -> Any:
    """Hand on features as they are, and their gradient turned round.

    Parameters
    ----------
    features : tensor of shape (batch, channels)
    strength : tensor or float
        λ of the formula: a number, or one a row as shape (batch, 1). 0 lets nothing back.

    Returns
    -------
    tensor of shape (batch, channels)
    """
    return ops.stop_gradient((1.0 + strength) * features) - strength * features
