import math
from dataclasses import dataclass

import numpy as np
import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.settings import AllowedRange, check_options, first_out_of_range, ranged


@dataclass(frozen=True, kw_only=True)
class Example:
    count: int = ranged(1, at_least=1, hint=", or auto")
    share: float = ranged(0.5, at_least=0, below=1)
    side_px: tuple[float, float] = ranged((1.0, 2.0), above=0)
    views: int | None = ranged(None, choices=(1, 4, 8), is_optional=True)
    tile_px: int = ranged(64, above=0, multiple_of=32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "--count 0: expected 1 or more, or auto."),
        ({"share": 1.0}, "--share 1.0: expected from 0 to below 1."),
        ({"share": math.nan}, "--share nan: expected from 0 to below 1."),
        ({"side_px": (1.0, 0.0)}, "--side (1.0, 0.0): expected more than 0."),
        ({"views": 3}, "--views 3: expected 1, 4 or 8."),
        ({"tile_px": 48}, "--tile 48: expected more than 0, a multiple of 32."),
        ({"tile_px": None}, "--tile None: expected more than 0, a multiple of 32."),
        ({"side_px": (2.0, 1.0)}, "--side (2.0, 1.0): expected the smaller number first."),
    ],
)
def test_a_setting_out_of_its_range_is_an_error_with_its_option(change, message):
    with pytest.raises(SettingsError) as caught:
        check_options(Example(**change))
    assert str(caught.value) == message


def test_bounds_that_belong_to_a_range_are_within_it():
    assert first_out_of_range(Example(count=1, share=0.0)) is None
    assert 1 in AllowedRange(at_least=0, at_most=1)
    assert "1" not in AllowedRange(at_least=0, at_most=1)


def test_numbers_of_any_kind_and_values_that_may_be_missing_are_within_their_range():
    assert first_out_of_range(Example(count=np.int64(2), share=np.float32(0.25))) is None
    assert first_out_of_range(Example(views=None)) is None
    assert first_out_of_range(Example(views=8, tile_px=96)) is None
