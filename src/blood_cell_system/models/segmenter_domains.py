"""The segmenter with a head that guesses the laboratory, for training with domain adaptation."""

from typing import Any, Final

import keras
from keras import layers

from blood_cell_system.errors import SettingsError
from blood_cell_system.models.gradient_reversal import reverse_gradient
from blood_cell_system.models.segmenter import logits_model

DOMAIN_LOGITS: Final = "domain_logits"
PIXELS_INPUT: Final = "pixels"
STRENGTH_INPUT: Final = "reversal_strength"


def with_segmenter_domain_head(
    segmenter: keras.Model, *, domains: int, width: int = 64
) -> keras.Model:
    """Build the graph for training with domain adaptation around a segmenter.

    It shares the segmenter's weights; the segmenter itself stays as it is and knows nothing of the
    domain head. The head reads the deepest features, averaged over the picture: a laboratory is a
    matter of the whole picture.

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
    if domains < 2:
        raise SettingsError(
            f"Domain adaptation: {domains} kind of pictures; expected two or more. Add pictures of "
            "another laboratory, or train without it."
        )
    strength = keras.Input((1,), name=STRENGTH_INPUT)
    pooled = layers.GlobalAveragePooling2D(name="domain_pool")(_deepest_features(segmenter))
    reversed_ = reverse_gradient(pooled, strength)
    hidden = layers.Dense(width, activation="relu", name="domain_hidden")(reversed_)
    outputs = dict(logits_model(segmenter).output)
    outputs[DOMAIN_LOGITS] = layers.Dense(domains, name=DOMAIN_LOGITS)(hidden)
    return keras.Model({PIXELS_INPUT: segmenter.input, STRENGTH_INPUT: strength}, outputs)


def _deepest_features(segmenter: keras.Model) -> Any:
    """Give what the decoder starts from."""
    first = next(layer for layer in segmenter.layers if isinstance(layer, layers.UpSampling2D))
    return first.input
