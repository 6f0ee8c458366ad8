import math

import pytest

from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("scale_range", (1.6, 0.4), "the smaller number first"),
        ("scale_range", (0.0, 1.0), "more than 0"),
        ("brightness_range", (-1.0, 1.0), "more than 0"),
        ("blur_share", 1.5, "from 0 to 1"),
        ("elastic_share", -0.1, "from 0 to 1"),
        ("largest_noise", -1.0, "0 or more"),
        ("elastic_spacing_px", 2.0, "8 or more"),
        ("jpeg_quality_range", (0, 50), "from 1 to 100"),
        ("jpeg_quality_range", (50, 101), "from 1 to 100"),
        ("stain_mixing", math.nan, "0 or more"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value, expected: str):
    with pytest.raises(SettingsError, match=rf"{name} is .*; expected {expected}"):
        AugmentationSettings(**{name: value})


def test_the_guides_ranges_are_the_default():
    settings = AugmentationSettings()
    assert settings.brightness_range == settings.contrast_range == (0.7, 1.3)
