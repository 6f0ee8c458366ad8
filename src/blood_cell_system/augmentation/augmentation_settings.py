"""How far an image may be changed and still be a smear: the guide's list, stain and scale."""

from dataclasses import dataclass

from blood_cell_system.settings import check_ranges, ranged


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """Ranges of the random changes; every range is drawn from evenly unless it says otherwise.

    Parameters
    ----------
    any_angle_share : float
        Share of images that are turned by any angle; the others by a multiple of 90°, which keeps
        them sharp.
    flip_share : float
        Share of mirrored images.
    scale_range : tuple of float
        Magnification, drawn evenly in the logarithm.
    elastic_share : float
        Share of images that are deformed elastically.
    elastic_px : float
        Largest standard deviation of the displacement.
    elastic_spacing_px : float
        Distance between independent displacements; the deformation is smooth in between.
    brightness_range, contrast_range : tuple of float
        Factors, as in the guide; contrast is around the image's mean.
    stain_share : float
        Share of images whose stain is changed: optical densities are mixed by I + N(0,
        ``stain_mixing``), multiplied from ``stain_strength_range`` and moved by up to
        ``stain_offset``.
    recolour_share : float
        Share of images that get the colours of a laboratory that may not exist (``recolour``).
    paste_share : float
        Share of images into which cells of others are pasted (``pasted_cells``).
    noise_share, largest_noise : float
        Share of noisy images, and the noise's largest standard deviation in gray levels.

    Raises
    ------
    SettingsError
        A range is upside down, a factor not positive, or a share outside 0 to 1.
    """

    any_angle_share: float = ranged(0.7, at_least=0, at_most=1)
    flip_share: float = ranged(0.5, at_least=0, at_most=1)
    scale_range: tuple[float, float] = ranged((0.4, 1.6), above=0)
    elastic_share: float = ranged(0.3, at_least=0, at_most=1)
    elastic_px: float = ranged(5.0, at_least=0)
    elastic_spacing_px: float = ranged(64.0, at_least=8)
    brightness_range: tuple[float, float] = ranged((0.7, 1.3), above=0)
    contrast_range: tuple[float, float] = ranged((0.7, 1.3), above=0)
    stain_share: float = ranged(0.8, at_least=0, at_most=1)
    stain_mixing: float = ranged(0.05, at_least=0)
    stain_strength_range: tuple[float, float] = ranged((0.8, 1.25), above=0)
    stain_offset: float = ranged(0.03, at_least=0)
    recolour_share: float = ranged(0.0, at_least=0, at_most=1)
    paste_share: float = ranged(0.0, at_least=0, at_most=1)
    noise_share: float = ranged(0.5, at_least=0, at_most=1)
    largest_noise: float = ranged(8.0, at_least=0)
    blur_share: float = ranged(0.2, at_least=0, at_most=1)
    largest_blur_px: float = ranged(1.5, at_least=0)
    jpeg_share: float = ranged(0.15, at_least=0, at_most=1)
    jpeg_quality_range: tuple[int, int] = ranged((40, 90), at_least=1, at_most=100)

    def __post_init__(self) -> None:
        check_ranges(self)
