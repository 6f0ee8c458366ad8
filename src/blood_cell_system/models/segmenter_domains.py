"""The segmenter with a head that guesses the laboratory, for training with domain adaptation."""

from typing import Any, Final

import keras
from keras import layers

from blood_cell_system.models.domain_head import DOMAIN_LOGITS, STRENGTH_INPUT, domain_head
from blood_cell_system.models.segmenter import logits_model

PIXELS_INPUT: Final = "pixels"


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
    pooled = layers.GlobalAveragePooling2D(name="domain_pool")(_deepest_features(segmenter))
    strength, logits = domain_head(pooled, domains=domains, width=width, examples="pictures")
    outputs = {**logits_model(segmenter).output, DOMAIN_LOGITS: logits}
    return keras.Model({PIXELS_INPUT: segmenter.input, STRENGTH_INPUT: strength}, outputs)


def _deepest_features(segmenter: keras.Model) -> Any:
    """Give what the decoder starts from."""
    first = next(layer for layer in segmenter.layers if isinstance(layer, layers.UpSampling2D))
    return first.input
