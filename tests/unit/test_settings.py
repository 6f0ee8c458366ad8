import math
from dataclasses import dataclass

import pytest

from blood_cell_system.errors import SettingsError
from blood_cell_system.settings import AllowedRange, check_options, first_out_of_range, ranged


@dataclass(frozen=True, kw_only=True)
class Example:
    count: int = ranged(1, at_least=1, hint=", or auto")
    share: float = ranged(0.5, at_least=0, below=1)
    side_px: tuple[float, float] = ranged((1.0, 2.0), above=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "--count 0: expected 1 or more, or auto."),
        ({"share": 1.0}, "--share 1.0: expected from 0 to below 1."),
        ({"share": math.nan}, "--share nan: expected from 0 to below 1."),
        ({"side_px": (1.0, 0.0)}, "--side (1.0, 0.0): expected more than 0."),
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
