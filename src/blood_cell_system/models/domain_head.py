"""The head that guesses the laboratory, behind a gradient reversal, for domain adaptation."""

from typing import Any, Final

import keras
from keras import layers

from blood_cell_system.errors import SettingsError
from blood_cell_system.models.gradient_reversal import reverse_gradient

DOMAIN_LOGITS: Final = "domain_logits"
STRENGTH_INPUT: Final = "reversal_strength"


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
