"""How far a picture may be changed and still be a smear: the guide's list, stain and scale."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """Ranges of the random changes; every range is drawn from evenly unless it says otherwise.

    Parameters
    ----------
    scale_range : tuple of float
        Magnification, drawn evenly in the logarithm. Rotation is by any angle, flips by half.
    elastic_share : float
        Share of pictures that are deformed elastically.
    elastic_px : float
        Standard deviation of the displacement, in pixels.
    brightness_range, contrast_range : tuple of float
        Factors, as in the guide.
    stain_share : float
        Share of pictures whose stain is changed: optical densities are mixed by I + N(0,
        ``stain_mixing``), multiplied from ``stain_strength_range`` and moved by up to
        ``stain_offset``.
    stain_mixing : float
    stain_strength_range : tuple of float
    stain_offset : float
    noise_share, largest_noise : float
        Share of noisy pictures, and the noise's largest standard deviation in grey levels.
    blur_share, largest_blur_px : float
    jpeg_share : float
    jpeg_quality_range : tuple of int
    """

    scale_range: tuple[float, float] = (0.4, 1.6)
    elastic_share: float = 0.3
    elastic_px: float = 4.0
    brightness_range: tuple[float, float] = (0.7, 1.3)
    contrast_range: tuple[float, float] = (0.7, 1.3)
    stain_share: float = 0.8
    stain_mixing: float = 0.05
    stain_strength_range: tuple[float, float] = (0.8, 1.25)
    stain_offset: float = 0.03
    noise_share: float = 0.5
    largest_noise: float = 8.0
    blur_share: float = 0.2
    largest_blur_px: float = 1.5
    jpeg_share: float = 0.15
    jpeg_quality_range: tuple[int, int] = (40, 90)
