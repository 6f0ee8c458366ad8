"""The package's segmenter: a U-Net with a Reynolds bottleneck and an instance head."""

from dataclasses import dataclass

import keras
from keras import layers

from blood_cell_system.networks.architectures import register_segmenter
from blood_cell_system.networks.reynolds import DEFAULT_OFFSETS, dihedral_orbit, reynolds_bottleneck
from blood_cell_system.networks.segmenter import convolutions, segmenter_model
from blood_cell_system.taxonomy import BUILT_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class ReynoldsUNetConfig:
    """Arguments of the architecture.

    Parameters
    ----------
    widths : tuple of int
        Channels at strides 2, 4, 8, 16, and on to as many as are given.
    d_reduced : int
        Width of the Reynolds bottleneck; 0 leaves it out.
    dropout : float
        Share of the bottleneck's channels that are dropped in training.
    has_instance_head : bool
        Whether centres and sizes of cells are predicted beside the classes.
    num_cell_types : int
        Centre heat maps: one for each cell type of the taxonomy.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    d_reduced: int = 64
    dropout: float = 0.0
    has_instance_head: bool = True
    num_cell_types: int = len(BUILT_IN)

    @property
    def values_per_pixel(self) -> float:
        """Numbers that the network holds for a pixel of its input."""
        per_pixel = 4.0 * 3
        for level, width in enumerate(self.widths):
            # Down and up: two convolutions each, with its norm and its ReLU, and the joined skip.
            per_pixel += 16 * width / 4.0 ** (level + 1)
        pairs = sum(len(dihedral_orbit(offset)) for offset in DEFAULT_OFFSETS)
        return per_pixel + 4 * pairs * self.d_reduced / 4.0 ** len(self.widths)


@register_segmenter("reynolds_unet", config=ReynoldsUNetConfig)
def build_reynolds_unet(config: ReynoldsUNetConfig) -> keras.Model:
    """Build an untrained segmenter."""
    # --- Layers ---
    pixels = keras.Input((None, None, 3), name="pixels")
    features = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(pixels)
    skips = []
    for level, width in enumerate(config.widths):
        features = convolutions(features, width, first_stride=2, name=f"down_{level}")
        skips.append(features)
    if config.d_reduced:
        features = reynolds_bottleneck(features, d_reduced=config.d_reduced)
    if config.dropout:
        features = layers.SpatialDropout2D(config.dropout, name="dropout")(features)
    at_head_stride = features
    for level in reversed(range(len(config.widths) - 1)):
        # Nearest, and the convolution behind it smooths: Keras's bilinear one wants fixed sides.
        features = layers.UpSampling2D(name=f"up_{level}")(features)
        features = layers.Concatenate(name=f"skip_{level}")([features, skips[level]])
        features = convolutions(features, config.widths[level], first_stride=1, name=f"up_{level}")
        if level == 1:
            at_head_stride = features
    features = layers.UpSampling2D(name="up_pixels")(features)

    # --- Functional model ---
    return segmenter_model(
        pixels,
        features,
        head_features=at_head_stride if config.has_instance_head else None,
        head_width=config.widths[1],
        num_cell_types=config.num_cell_types,
    )
