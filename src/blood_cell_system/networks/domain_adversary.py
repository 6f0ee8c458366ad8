r"""Domain adaptation by gradient reversal: features unlearn what a domain head learns from them.

Forward the identity, backward the gradient times :math:`-\lambda` [1]_. Without a gradient of its
own, which no saved model could hold, it is written with operations that every back end has:

.. math::

    R_\lambda(x) = \operatorname{stop}((1 + \lambda) x) - \lambda x

References
----------
.. [1] Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17(59), 2016.
"""

from typing import Any, Final

import keras
from keras import layers, ops

from blood_cell_system.errors import SettingsError
from blood_cell_system.networks.losses import SMALLEST

DOMAIN_LOGITS: Final = "domain_logits"
STRENGTH_INPUT: Final = "reversal_strength"

_IMPOSSIBLE: Final = -1e9
"""Added to the logits of domains that an example cannot come from."""


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


def domain_head(features: Any, *, domains: int, width: int, examples: str) -> tuple[Any, Any]:
    """Add a head to features, which unlearn what the head learns.

    Parameters
    ----------
    features : Keras tensor of shape (batch, channels)
    domains : int
        Number of laboratories.
    width : int
        Of the hidden layer.
    examples : str
        What is learned from, for messages.

    Returns
    -------
    strength : Keras tensor of shape (batch, 1)
        Input: λ of the gradient reversal, a number an example.
    logits : Keras tensor of shape (batch, domains)

    Raises
    ------
    SettingsError
        There are fewer than two domains.
    """
    if domains < 2:
        raise SettingsError(
            f"Domain adaptation: {domains} source of {examples}; expected two or more. Add "
            f"{examples} of another laboratory, or train without it."
        )
    strength = keras.Input((1,), name=STRENGTH_INPUT)
    reversed_ = reverse_gradient(features, strength)
    hidden = layers.Dense(width, activation="relu", name="domain_hidden")(reversed_)
    return strength, layers.Dense(domains, name=DOMAIN_LOGITS)(hidden)


def conditional_domain_loss(domain: Any, weight: Any, is_possible: Any, domain_logits: Any) -> Any:
    """Weighted mean cross-entropy of the domain, among the domains that have the example's class.

    Were all domains compared at once, the class alone would reveal the domain wherever a disease
    comes from one laboratory only, and gradient reversal would unlearn the disease.

    Parameters
    ----------
    domain : tensor of shape (batch,), integer
    weight : tensor of shape (batch,)
        0 leaves an example out.
    is_possible : tensor of shape (batch, domains), bool or float
        Whether the example's class comes from that domain at all.
    domain_logits : tensor of shape (batch, domains)

    Returns
    -------
    scalar tensor
        0 when no example counts.
    """
    possible = ops.cast(is_possible, "float32")
    logits = domain_logits + (1.0 - possible) * _IMPOSSIBLE
    target = ops.one_hot(ops.cast(domain, "int32"), domain_logits.shape[-1], dtype="float32")
    # Where the domain itself is impossible, the weight is 0; its huge loss must not become NaN.
    per_example = -ops.sum(target * possible * ops.log_softmax(logits, axis=-1), axis=-1)
    return ops.sum(weight * per_example) / ops.maximum(ops.sum(weight), SMALLEST)
