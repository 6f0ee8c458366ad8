"""How far an image may be changed and still be a smear: the guide's list, stain and scale."""

import math
from dataclasses import dataclass, fields

from blood_cell_system.errors import SettingsError


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

    any_angle_share: float = 0.7
    flip_share: float = 0.5
    scale_range: tuple[float, float] = (0.4, 1.6)
    elastic_share: float = 0.3
    elastic_px: float = 5.0
    elastic_spacing_px: float = 64.0
    brightness_range: tuple[float, float] = (0.7, 1.3)
    contrast_range: tuple[float, float] = (0.7, 1.3)
    stain_share: float = 0.8
    stain_mixing: float = 0.05
    stain_strength_range: tuple[float, float] = (0.8, 1.25)
    stain_offset: float = 0.03
    recolour_share: float = 0.0
    paste_share: float = 0.0
    noise_share: float = 0.5
    largest_noise: float = 8.0
    blur_share: float = 0.2
    largest_blur_px: float = 1.5
    jpeg_share: float = 0.15
    jpeg_quality_range: tuple[int, int] = (40, 90)

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            expected = _expected_instead(setting.name, value)
            if expected:
                raise SettingsError(
                    f"AugmentationSettings: {setting.name} is {value}; expected {expected}."
                )


def _expected_instead(name: str, value: float | tuple[float, float]) -> str | None:
    """Say what is expected instead of the value; None when it is fine."""
    low, high = value if isinstance(value, tuple) else (value, value)
    if not (math.isfinite(low) and math.isfinite(high)):
        return "finite numbers"
    if low > high:
        return "the smaller number first"
    if name.endswith("_share"):
        return None if 0 <= low <= 1 else "a share from 0 to 1"
    if name in {"scale_range", "brightness_range", "contrast_range", "stain_strength_range"}:
        return None if low > 0 else "factors larger than 0"
    if name == "elastic_spacing_px":
        return None if low >= 8 else "8 pixels or more"
    if name == "jpeg_quality_range":
        return None if low >= 1 and high <= 100 else "qualities from 1 to 100"
    return None if low >= 0 else "0 or more"
