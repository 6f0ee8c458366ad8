"""A small segmenter: a plain U-Net of three levels with the instance head, without Reynolds.

It has a twentieth of the parameters of :mod:`~blood_cell_system.networks.reynolds_unet` and sees
less far: pairs of places at a stride of 8 do not reach across a white cell. Take it for a first
try on a slow computer, and as the pattern of an architecture of your own.
"""

from dataclasses import dataclass

import keras
from keras import layers

from blood_cell_system.networks.architectures import register_segmenter
from blood_cell_system.networks.segmenter import convolutions, segmenter_model
from blood_cell_system.taxonomy import BUILT_IN

LEVELS = 3
"""Strides 2, 4 and 8: the instance head needs stride 4, and one more level sees around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallUNetConfig:
    """Arguments of the architecture.

    Parameters
    ----------
    base_width : int
        Channels at stride 2; twice as many at each further level.
    has_instance_head : bool
        Whether centres and sizes of cells are predicted beside the classes.
    num_cell_types : int
        Centre heat maps: one for each cell type of the taxonomy.
    """

    base_width: int = 12
    has_instance_head: bool = True
    num_cell_types: int = len(BUILT_IN)

    @property
    def values_per_pixel(self) -> float:
        """Numbers that the network holds for a pixel of its input."""
        return 4.0 * 3 + sum(4.0 * self.base_width * 0.5**level for level in range(LEVELS))


@register_segmenter("small_unet", config=SmallUNetConfig)
def build_small_unet(config: SmallUNetConfig) -> keras.Model:
    """Build an untrained segmenter."""
    pixels = keras.Input((None, None, 3), name="pixels")
    features = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(pixels)
    widths = [config.base_width * 2**level for level in range(LEVELS)]
    skips = []
    for level, width in enumerate(widths):
        features = convolutions(features, width, first_stride=2, name=f"down_{level}")
        skips.append(features)
    head_features = None
    for level in (1, 0):
        features = layers.UpSampling2D(name=f"up_{level}")(features)
        features = layers.Concatenate(name=f"skip_{level}")([features, skips[level]])
        features = convolutions(features, widths[level], first_stride=1, name=f"up_{level}")
        if level == 1 and config.has_instance_head:
            head_features = features
    features = layers.UpSampling2D(name="up_pixels")(features)
    return segmenter_model(
        pixels,
        features,
        head_features=head_features,
        head_width=widths[1],
        num_cell_types=config.num_cell_types,
    )
